//! One decision in the making.

use std::sync::Arc;

use freshet_types::{Decision, Now, Ticket, Timer};

use super::api::{GroupError, JoinRefused, Joined, Reply, Synced};
use super::{Groups, Limits, Record, TimerKey};

/// Collects what one request or timer leads to.
pub(crate) struct Turn {
    pub(crate) now: Now,
    pub(crate) limits: Limits,
    decision: Decision<Groups>,
}

impl Turn {
    pub(crate) fn new(now: Now, limits: Limits) -> Self {
        Self {
            now,
            limits,
            decision: Decision::default(),
        }
    }

    pub(crate) fn finish(self) -> Decision<Groups> {
        self.decision
    }

    pub(crate) fn record(&mut self, record: Record) {
        self.decision.records.push(record);
    }

    /// How many records were decided.
    pub(crate) fn records(&self) -> usize {
        self.decision.records.len()
    }

    pub(crate) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.decision.replies.push((ticket, reply));
    }

    pub(crate) fn joined(&mut self, ticket: Ticket, joined: Joined) {
        self.reply(ticket, Reply::Join(Ok(joined)));
    }

    pub(crate) fn join_refused(&mut self, ticket: Ticket, error: GroupError, id: &Arc<str>) {
        let refused = JoinRefused {
            error,
            member_id: Arc::clone(id),
        };
        self.reply(ticket, Reply::Join(Err(refused)));
    }

    pub(crate) fn synced(&mut self, ticket: Ticket, result: Result<Synced, GroupError>) {
        self.reply(ticket, Reply::Sync(result));
    }

    /// Fires `key` in `ms` milliseconds, instead of when it was due before.
    pub(crate) fn fire_in(&mut self, key: TimerKey, ms: u64) {
        let at = Some(self.now.monotonic + ms);
        self.decision.timers.push(Timer { key, at });
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.decision.timers.push(Timer { key, at: None });
    }
}
