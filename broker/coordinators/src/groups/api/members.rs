//! Requests of members: join, sync, heartbeat, leave.

use std::sync::Arc;

use bytes::Bytes;

use super::GroupError;

/// One protocol a member speaks. Name and metadata are opaque, except that the metadata of the
/// protocol type "consumer" is read for its topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// For a consumer, the assignor's name.
    pub name: Arc<str>,
    /// What the leader gets to see.
    pub metadata: Bytes,
}

/// Enter a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Which group.
    pub group: Arc<str>,
    /// Id given by the coordinator; empty for a new member.
    pub member_id: Arc<str>,
    /// Name of a static member.
    pub instance_id: Option<Arc<str>>,
    /// What the client calls itself; the first part of new member ids.
    pub client_id: Arc<str>,
    /// Where it comes from, as shown to people.
    pub client_host: Arc<str>,
    /// Silence after which the member is taken for dead.
    pub session_timeout_ms: i32,
    /// How long the group waits for this member in a rebalance; negative: the session timeout.
    pub rebalance_timeout_ms: i32,
    /// Class of protocols, for example "consumer" or "connect".
    pub protocol_type: Arc<str>,
    /// Best first.
    pub protocols: Vec<Protocol>,
    /// Whether a new dynamic member must come back with its id before it counts (version 4).
    pub needs_known_id: bool,
    /// Whether the client understands "leave the assignment as it is" (version 9).
    pub may_skip_assignment: bool,
    /// Random bits for a new member id.
    pub random: [u8; 16],
}

/// The member is in, and this is its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Counts rebalances of the group.
    pub generation: i32,
    /// The group's class of protocols.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol that all members speak.
    pub protocol: Option<Arc<str>>,
    /// Member id of the leader.
    pub leader: Arc<str>,
    /// The leader must not assign anew (KIP-814).
    pub skip_assignment: bool,
    /// The member's own id.
    pub member_id: Arc<str>,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// What it said under the chosen protocol.
    pub metadata: Bytes,
}

/// The member is not in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("member {member_id:?} cannot join: {error}")]
pub struct JoinRefused {
    /// Why.
    pub error: GroupError,
    /// The id to be echoed, or to come back with after [`GroupError::MemberIdRequired`].
    pub member_id: Arc<str>,
}

/// Fetch one's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sync {
    /// Which group.
    pub group: Arc<str>,
    /// Who asks.
    pub member_id: Arc<str>,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// The generation it was given by the join.
    pub generation: i32,
    /// What it takes for the group's class of protocols; checked if given (version 5).
    pub protocol_type: Option<Arc<str>>,
    /// What it takes for the chosen protocol; checked if given (version 5).
    pub protocol: Option<Arc<str>>,
    /// From the leader: one per member. Members left out get an empty one.
    pub assignments: Vec<Assignment>,
}

/// What one member shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Whom it is for.
    pub member_id: Arc<str>,
    /// Opaque.
    pub assignment: Bytes,
}

/// One's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The group's class of protocols.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen protocol.
    pub protocol: Option<Arc<str>>,
    /// Opaque; may be empty.
    pub assignment: Bytes,
}

/// Still alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which group.
    pub group: Arc<str>,
    /// Who.
    pub member_id: Arc<str>,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// The generation it lives in.
    pub generation: i32,
}

/// Members go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// Which group.
    pub group: Arc<str>,
    /// Who.
    pub members: Vec<Leaver>,
}

/// One that goes, or is sent away by an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaver {
    /// Its id; empty when it is named by its instance id alone.
    pub member_id: Arc<str>,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
}

/// Whether one is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveOutcome {
    /// Who, as it was named.
    pub leaver: Leaver,
    /// Whether it is gone.
    pub result: Result<(), GroupError>,
}
