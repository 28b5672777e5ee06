//! The live half of a classic group: members agree on a protocol, one of them assigns.
//!
//! ```text
//!               first join                      all joined, or time is up
//!   ┌───────┐ ─────────────► ┌───────────────────┐ ─────────────► ┌────────────────────┐
//!   │ Empty │                │ PreparingRebalance│                │ CompletingRebalance│
//!   └───────┘ ◄───────────── └───────────────────┘ ◄───────────── └────────────────────┘
//!              nobody joined        ▲               join, leave,           │ the leader's
//!                                   │               expiry, late sync      │ sync is stored
//!                                   │                               ┌────────┐
//!                                   └────────────────────────────── │ Stable │
//!                                                                   └────────┘
//! ```
//!
//! A join waits until the rebalance is over; a sync waits for the leader's. Whatever happens in
//! between answers each waiting ticket exactly once. Sources: the classic protocol as in Apache
//! Kafka 4.4, KIP-62, KIP-134 (first rebalance waits), KIP-345 (static members), KIP-394 (member
//! id first), KIP-559, KIP-814.

mod join;
mod leave;
mod rebalance;
mod restore;
mod roster;
mod session;
mod sync;

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_types::{Ticket, Timestamp};

use super::TimerKey;
use super::api::{DescribedMember, GroupError, JoinedMember, State};
use super::records::subscribed_topics;
use super::turn::Turn;
use crate::guard::{Guard, holds};
use roster::Roster;

/// The protocol type whose metadata names topics.
const CONSUMER: &str = "consumer";

/// See the module's story.
#[derive(Debug)]
pub(crate) struct Classic {
    id: Arc<str>,
    phase: Phase,
    generation: i32,
    /// Whether a coordinator that takes over would know this generation.
    is_stored: bool,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<Arc<str>>,
    /// Topics of all consumers; `None` when they cannot be known.
    topics: Option<BTreeSet<Arc<str>>>,
    roster: Roster,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    Preparing(Gathering),
    Completing,
    Stable,
}

/// How long a rebalance waits for members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathering {
    /// The group was empty: in any case until the timer fires, which every newcomer may put off.
    First {
        /// The wait that runs.
        delay_ms: u64,
        /// How much longer the wait may become.
        remaining_ms: u64,
        /// Whether somebody came while it ran.
        newcomer: bool,
    },
    /// Until all known members have joined, or the timer fires.
    Again,
}

impl Classic {
    /// A group without members and past.
    pub(crate) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            generation: 0,
            is_stored: true,
            protocol_type: None,
            protocol: None,
            leader: None,
            topics: None,
            roster: Roster::default(),
        }
    }

    pub(crate) fn state(&self) -> State {
        match self.phase {
            Phase::Empty => State::Empty,
            Phase::Preparing(_) => State::PreparingRebalance,
            Phase::Completing => State::CompletingRebalance,
            Phase::Stable => State::Stable,
        }
    }

    pub(crate) fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// Nobody is there and nobody is expected.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Empty && self.roster.pending() == 0
    }

    pub(crate) fn is_consumer(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether its topics are known, members or not.
    pub(crate) fn knows_topics(&self) -> bool {
        self.topics.is_some()
    }

    /// Whether members may be reading `topic`. Consumers whose topics cannot be known may read any.
    pub(crate) fn is_subscribed(&self, topic: &str) -> bool {
        match &self.topics {
            Some(topics) => topics.contains(topic),
            None => self.is_consumer(),
        }
    }

    /// May this member commit offsets now? Counts as a heartbeat if so.
    pub(crate) fn check_commit(
        &mut self,
        turn: &mut Turn,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        if self.phase == Phase::Empty && generation < 0 {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            // A consumer that is no member would overwrite what the members commit.
            return Err(GroupError::UnknownMember);
        }
        self.roster.check(member_id, instance_id)?;
        if generation != self.generation && holds(Guard::CommitGeneration) {
            return Err(GroupError::IllegalGeneration);
        }
        // Also when the next rebalance has begun: after a failover this number is another generation's.
        if !self.is_stored && holds(Guard::CommitStored) {
            return Err(GroupError::RebalanceInProgress);
        }
        self.extend_session(turn, member_id);
        Ok(())
    }

    /// All members for people; metadata and assignments only when they mean something.
    pub(crate) fn describe_members(&self) -> Vec<DescribedMember> {
        let stable = self.phase == Phase::Stable;
        let protocol = self.protocol.as_deref().filter(|_| stable);
        let describe = |member: &roster::Member| DescribedMember {
            member_id: Arc::clone(&member.id),
            instance_id: member.instance_id.clone(),
            client_id: Arc::clone(&member.client_id),
            client_host: Arc::clone(&member.client_host),
            metadata: member.metadata(protocol),
            assignment: if stable {
                member.assignment.clone()
            } else {
                Default::default()
            },
        };
        self.roster.iter().map(describe).collect()
    }

    /// The chosen protocol, once all know what to do.
    pub(crate) fn stable_protocol(&self) -> Option<&Arc<str>> {
        self.protocol
            .as_ref()
            .filter(|_| self.phase == Phase::Stable)
    }

    fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// All members, as the leader gets to see them.
    fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref();
        let show = |member: &roster::Member| JoinedMember {
            member_id: Arc::clone(&member.id),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        self.roster.iter().map(show).collect()
    }

    fn learn_topics(&mut self) {
        self.topics = if self.is_consumer() {
            self.all_topics()
        } else {
            None
        };
    }

    fn all_topics(&self) -> Option<BTreeSet<Arc<str>>> {
        let mut all = BTreeSet::new();
        for member in self.roster.iter() {
            all.extend(subscribed_topics(
                &member.metadata(self.protocol.as_deref()),
            )?);
        }
        Some(all)
    }

    /// Takes a member off the roster and answers what it waits for.
    fn dismiss(&mut self, turn: &mut Turn, member_id: &str) {
        let Some((member, joining)) = self.roster.remove(member_id) else {
            return;
        };
        turn.cancel(self.session_timer(&member.id));
        if let Some(ticket) = joining {
            // No id is echoed: the client is to come back as a new member.
            turn.join_refused(ticket, GroupError::UnknownMember, &"".into());
        }
        if let Some(ticket) = member.syncing {
            turn.synced(ticket, Err(GroupError::UnknownMember));
        }
        if self.is_leader(member_id) {
            self.leader = self.roster.iter().next().map(|next| Arc::clone(&next.id));
        }
    }

    /// Parks a join; an older one of the same member, whose connection is surely gone, is answered.
    fn park_join(&mut self, turn: &mut Turn, member_id: &Arc<str>, ticket: Ticket) {
        if let Some(older) = self.roster.park_join(member_id, ticket) {
            turn.join_refused(older, GroupError::RebalanceInProgress, member_id);
        }
    }

    fn session_timer(&self, member_id: &Arc<str>) -> TimerKey {
        TimerKey::Session {
            group: Arc::clone(&self.id),
            member_id: Arc::clone(member_id),
        }
    }

    fn join_timer(&self) -> TimerKey {
        TimerKey::Join {
            group: Arc::clone(&self.id),
        }
    }

    fn sync_timer(&self) -> TimerKey {
        TimerKey::Sync {
            group: Arc::clone(&self.id),
        }
    }

    /// What shall be stored of the group as it is now.
    fn record(&mut self, changed_at: Timestamp) -> super::Record {
        self.is_stored = true;
        restore::record(self, changed_at)
    }
}
