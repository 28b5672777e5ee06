//! One partition of `__consumer_offsets` as a machine: finds the group, lets it decide.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use freshet_types::{Decision, Machine, Now, Ticket};

use super::api::{GroupError, Heartbeat, Join, Leave, LeaveOutcome, Reply, Request, Sync};
use super::classic::Classic;
use super::group::Group;
use super::turn::Turn;
use super::{Limits, Record, admin, offsets};

/// Names a timer of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TimerKey {
    /// A member's session ends, or nobody came back with an id that was given out.
    Session {
        /// Of which group.
        group: Arc<str>,
        /// Of whom.
        member_id: Arc<str>,
    },
    /// A rebalance has waited for joins long enough.
    Join {
        /// Of which group.
        group: Arc<str>,
    },
    /// A rebalance has waited for syncs long enough.
    Sync {
        /// Of which group.
        group: Arc<str>,
    },
    /// Offsets and empty groups are looked at for expiry.
    Expiry,
}

/// All groups of one shard.
#[derive(Debug)]
pub struct Groups {
    limits: Limits,
    groups: BTreeMap<Arc<str>, Group>,
    /// Where the next round of expiry goes on; `None` at the start.
    expire_from: Option<Arc<str>>,
}

impl Groups {
    /// An empty shard.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            groups: BTreeMap::new(),
            expire_from: None,
        }
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    fn join(&mut self, turn: &mut Turn, ticket: Ticket, request: Join) {
        let refuse = |turn: &mut Turn, error| turn.join_refused(ticket, error, &request.member_id);
        if let Err(error) = self.check_join(&request) {
            return refuse(turn, error);
        }
        let id = Arc::clone(&request.group);
        let full = self.groups.len() >= self.limits.groups;
        match self.groups.entry(Arc::clone(&id)) {
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                entry.get_mut().classic.join(turn, ticket, request);
            }
            std::collections::btree_map::Entry::Vacant(_) if !request.member_id.is_empty() => {
                refuse(turn, GroupError::UnknownMember);
            }
            std::collections::btree_map::Entry::Vacant(_) if full => {
                refuse(turn, GroupError::Busy);
            }
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry
                    .insert(Group::new(Arc::clone(&id)))
                    .classic
                    .join(turn, ticket, request);
            }
        }
        self.settle(turn, &id);
    }

    fn check_join(&self, request: &Join) -> Result<(), GroupError> {
        let timeouts = self.limits.session_timeout_min_ms..=self.limits.session_timeout_max_ms;
        let bytes: usize = request
            .protocols
            .iter()
            .map(|p| p.name.len() + p.metadata.len())
            .sum();
        if request.group.is_empty() {
            Err(GroupError::InvalidGroupId)
        } else if !timeouts.contains(&request.session_timeout_ms) {
            Err(GroupError::InvalidSessionTimeout)
        } else if bytes > self.limits.member_bytes {
            Err(GroupError::TooLarge)
        } else {
            Ok(())
        }
    }

    fn sync(&mut self, turn: &mut Turn, ticket: Ticket, request: Sync) {
        match self.member_group(&request.group) {
            Ok(group) => group.classic.sync(turn, ticket, request),
            Err(error) => turn.synced(ticket, Err(error)),
        }
    }

    fn heartbeat(&mut self, turn: &mut Turn, request: &Heartbeat) -> Result<(), GroupError> {
        self.member_group(&request.group)?
            .classic
            .heartbeat(turn, request)
    }

    fn leave(&mut self, turn: &mut Turn, request: Leave) -> Vec<LeaveOutcome> {
        match self.member_group(&request.group) {
            Ok(group) => {
                let outcomes = group.classic.leave(turn, request.members);
                self.settle(turn, &request.group);
                outcomes
            }
            Err(error) => {
                let refuse = |leaver| LeaveOutcome {
                    leaver,
                    result: Err(error),
                };
                request.members.into_iter().map(refuse).collect()
            }
        }
    }

    /// The group a member speaks of. One that we do not know has no members.
    fn member_group(&mut self, id: &str) -> Result<&mut Group, GroupError> {
        if id.is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        self.groups.get_mut(id).ok_or(GroupError::UnknownMember)
    }

    /// After a group has decided: forgets it if nothing is left. Not while records are on their
    /// way, for they may be what is left.
    fn settle(&mut self, turn: &Turn, id: &str) {
        if turn.records() == 0 {
            self.drop_if_vacant(id);
        }
    }

    fn drop_if_vacant(&mut self, id: &str) {
        if self.groups.get(id).is_some_and(Group::is_vacant) {
            self.groups.remove(id);
        }
    }

    /// One round of expiry: looks at groups until enough is to be written, then pauses so that
    /// requests get their turn.
    fn expire(&mut self, turn: &mut Turn) {
        let from = match self.expire_from.take() {
            Some(id) => Bound::Included(id),
            None => Bound::Unbounded,
        };
        for (id, group) in self
            .groups
            .range::<str, _>((from.as_ref().map(|id| &**id), Bound::Unbounded))
        {
            if turn.records() >= self.limits.expire_at_once {
                self.expire_from = Some(Arc::clone(id));
                return turn.fire_in(TimerKey::Expiry, 0);
            }
            offsets::expire(turn, id, group);
        }
        turn.fire_in(TimerKey::Expiry, self.limits.expiry_interval_ms);
    }

    fn answer(&mut self, turn: &mut Turn, request: Request) -> Option<Reply> {
        Some(match request {
            Request::Join(_) | Request::Sync(_) => return None,
            Request::Heartbeat(request) => Reply::Heartbeat(self.heartbeat(turn, &request)),
            Request::Leave(request) => Reply::Leave(self.leave(turn, request)),
            Request::Commit(request) => {
                Reply::Commit(offsets::commit(turn, &mut self.groups, request))
            }
            Request::Fetch(request) => Reply::Fetch(offsets::fetch(&self.groups, request)),
            Request::FetchAll(_) => Reply::FetchAll(offsets::fetch_all(&self.groups)),
            Request::DeleteOffsets(request) => {
                Reply::DeleteOffsets(offsets::delete(turn, &self.groups, request))
            }
            Request::ForgetTopics(request) => {
                Reply::ForgetTopics(offsets::forget_topics(turn, &self.groups, &request))
            }
            Request::List(request) => Reply::List(admin::list(&self.groups, &request)),
            Request::Describe(request) => Reply::Describe(admin::describe(&self.groups, request)),
            Request::Delete(request) => Reply::Delete(admin::delete(turn, &self.groups, request)),
        })
    }
}

impl Machine for Groups {
    type Request = Request;
    type Reply = Reply;
    type Record = Record;
    type TimerKey = TimerKey;

    fn decide(&mut self, now: Now, ticket: Ticket, request: Request) -> Decision<Self> {
        let mut turn = Turn::new(now, self.limits);
        match request {
            Request::Join(request) => self.join(&mut turn, ticket, request),
            Request::Sync(request) => self.sync(&mut turn, ticket, request),
            request => {
                if let Some(reply) = self.answer(&mut turn, request) {
                    turn.reply(ticket, reply);
                }
            }
        }
        turn.finish()
    }

    fn fire(&mut self, now: Now, timer: TimerKey) -> Decision<Self> {
        let mut turn = Turn::new(now, self.limits);
        let id = match &timer {
            TimerKey::Expiry => {
                self.expire(&mut turn);
                return turn.finish();
            }
            TimerKey::Session { group, .. }
            | TimerKey::Join { group }
            | TimerKey::Sync { group } => Arc::clone(group),
        };
        if let Some(group) = self.groups.get_mut(&id) {
            match &timer {
                TimerKey::Session { member_id, .. } => {
                    group.classic.session_ended(&mut turn, member_id);
                }
                TimerKey::Join { .. } => group.classic.join_timer_fired(&mut turn),
                TimerKey::Sync { .. } => group.classic.sync_timer_fired(&mut turn),
                TimerKey::Expiry => {}
            }
            self.settle(&turn, &id);
        }
        turn.finish()
    }

    fn apply(&mut self, record: &Record) {
        let (Record::Offset { group: id, .. } | Record::Group { group: id, .. }) = record;
        let new = || Group::new(Arc::clone(id));
        let group = self.groups.entry(Arc::clone(id)).or_insert_with(new);
        match record {
            Record::Offset {
                topic,
                partition,
                value,
                ..
            } => {
                group.offsets.apply(topic, *partition, value.as_ref());
            }
            Record::Group {
                value: Some(value), ..
            } => group.stored = Some(Arc::clone(value)),
            Record::Group { value: None, .. } => {
                // It had no members, or it would not be forgotten. Ids it gave out are void.
                group.stored = None;
                group.classic = Classic::new(Arc::clone(id));
            }
        }
        self.drop_if_vacant(id);
    }

    fn loaded(&mut self, now: Now) -> Decision<Self> {
        let mut turn = Turn::new(now, self.limits);
        for (id, group) in &mut self.groups {
            if let Some(stored) = &group.stored {
                group.classic = Classic::restore(Arc::clone(id), stored, &mut turn);
            }
        }
        turn.fire_in(TimerKey::Expiry, self.limits.expiry_interval_ms);
        turn.finish()
    }

    fn snapshot(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (id, group) in &self.groups {
            if let Some(value) = &group.stored {
                records.push(Record::Group {
                    group: Arc::clone(id),
                    value: Some(Arc::clone(value)),
                });
            }
            records.extend(group.offsets.snapshot(id));
        }
        records
    }
}
