//! The one shape of agreed state: request → records → commit → reply.
//!
//! A machine is pure: `now` is an argument, randomness comes in through requests, and nothing is
//! written here. A host (the metadata quorum, or one partition of an internal topic) drives it:
//!
//! ```text
//! request ──► decide ──► records ──► host appends ──► committed ──► replies released
//!                │           └────► apply, at once, in order
//!                └── timers ──► host calls `fire` when due
//! ```
//!
//! The host applies records as soon as they are decided, so that the next decision sees them, but
//! it releases a reply only when every record decided up to then is committed. If an append fails,
//! the host answers all waiting tickets with an error, throws the machine away and replays the log
//! into a fresh one (docs/decisions/0002). State that is not derived from records (members that are
//! still joining, heartbeat deadlines) lives in the machine too, and is lost with the host by design.

use crate::{Millis, NodeId, Timestamp};

/// Names one request that waits for its reply. Chosen by the host; opaque to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Sets or clears a timer. A later timer with the same key replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer<K> {
    /// What fires.
    pub key: K,
    /// When it fires on the monotonic clock; `None` cancels.
    pub at: Option<Millis>,
}

/// What a machine wants to happen.
#[derive(Debug)]
pub struct Decision<M: Machine + ?Sized> {
    /// To be appended in this order, atomically; applied by the host before the next decision.
    pub records: Vec<M::Record>,
    /// Released once `records`, and all that was decided before them, are committed.
    pub replies: Vec<(Ticket, M::Reply)>,
    /// Timers to set or cancel.
    pub timers: Vec<Timer<M::TimerKey>>,
}

impl<M: Machine + ?Sized> Default for Decision<M> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            replies: Vec::new(),
            timers: Vec::new(),
        }
    }
}

impl<M: Machine + ?Sized> Decision<M> {
    /// A decision that only answers.
    pub fn reply(ticket: Ticket, reply: M::Reply) -> Self {
        Self {
            replies: vec![(ticket, reply)],
            ..Self::default()
        }
    }
}

/// The moment a decision is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub monotonic: Millis,
    /// For what is shown or stored.
    pub wall: Timestamp,
}

/// Who decided before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// Its node.
    pub node: NodeId,
    /// When it was heard last, by this host's clock.
    pub heard: Millis,
}

/// Agreed state. See the module's story.
pub trait Machine {
    /// What callers ask.
    type Request;
    /// What callers get, errors included.
    type Reply;
    /// One durable change.
    type Record;
    /// Names a timer.
    type TimerKey: Clone + Eq + std::hash::Hash;

    /// Decides a request. Durable state changes only in [`Machine::apply`].
    fn decide(&mut self, now: Now, ticket: Ticket, request: Self::Request) -> Decision<Self>;

    /// A timer is due.
    fn fire(&mut self, now: Now, timer: Self::TimerKey) -> Decision<Self>;

    /// Applies one durable change. Deterministic, and it cannot fail: what cannot be applied must
    /// not have been decided.
    fn apply(&mut self, record: &Self::Record);

    /// Called once after replay, before the first request: soft state and first timers.
    fn loaded(&mut self, now: Now) -> Decision<Self>;

    /// Called right after [`Machine::loaded`] where another host of the same state decided before,
    /// and fell silent.
    fn succeeds(&mut self, _now: Now, _before: Predecessor) -> Decision<Self> {
        Decision::default()
    }

    /// The records that rebuild the durable state from nothing, in an order `apply` accepts.
    fn snapshot(&self) -> Vec<Self::Record>;
}
