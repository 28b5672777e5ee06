//! Requests of people and tools: list, describe, delete.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::GroupError;

/// Where a group stands. Shown in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No members; perhaps offsets.
    Empty,
    /// Members are asked to join.
    PreparingRebalance,
    /// Members have joined and wait for the leader's assignment.
    CompletingRebalance,
    /// All know what to do.
    Stable,
}

impl State {
    /// Kafka's name of a group that does not exist.
    pub const DEAD: &'static str = "Dead";

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which protocol a group lives by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The members' own: join and sync, assigned by one of them.
    Classic,
}

impl Kind {
    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
        }
    }
}

/// List groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// Names of states, in any case; empty for all.
    pub states: Vec<String>,
    /// Names of kinds, in any case; empty for all.
    pub kinds: Vec<String>,
}

/// One group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub group: Arc<str>,
    /// Its class of protocols; empty for a group with nothing but offsets.
    pub protocol_type: Arc<str>,
    /// Where it stands.
    pub state: State,
    /// Which protocol it lives by.
    pub kind: Kind,
}

/// Describe classic groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Describe {
    /// Which.
    pub groups: Vec<Arc<str>>,
}

/// One group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its id.
    pub group: Arc<str>,
    /// Where it stands.
    pub state: State,
    /// Its class of protocols; empty for a group with nothing but offsets.
    pub protocol_type: Arc<str>,
    /// The chosen protocol; empty unless stable.
    pub protocol: Arc<str>,
    /// In the order of their ids.
    pub members: Vec<DescribedMember>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// What it calls itself.
    pub client_id: Arc<str>,
    /// Where it comes from.
    pub client_host: Arc<str>,
    /// What it said under the chosen protocol; empty unless the group is stable.
    pub metadata: Bytes,
    /// What it does; empty unless the group is stable.
    pub assignment: Bytes,
}

/// Delete groups with all their offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// Which.
    pub groups: Vec<Arc<str>>,
}

/// Whether one group is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOutcome {
    /// Its id.
    pub group: Arc<str>,
    /// Whether it is gone.
    pub result: Result<(), GroupError>,
}
