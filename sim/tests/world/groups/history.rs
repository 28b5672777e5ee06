//! What is promised to groups.
//!
//! I5: committed offsets do not go back. What a coordinator acknowledges is committed, and so is the
//! generation that it lets members begin; what it tells as the group's offset is what was committed
//! last, at some moment between question and answer; in the log, an offset is followed by higher ones
//! only, unless a copy of a client's earlier commit comes late.
//! Z1: each commit of a member lies behind the record of its own generation, and before that of the
//! next one.
//! E4: who answers leads, in the epoch that it was loaded in; and one process leads in it (E1).
//!
//! One thing is not promised, here or by Kafka: a coordinator that does not know yet that another one
//! leads may tell what was committed when it led. Its commits fail; its answers are counted
//! (`stale`), and whoever heard one is misled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_coordinators::groups::Record;
use freshet_coordinators::groups::api::{
    Describe, GroupError, Heartbeat, Reply, Request, State, Sync,
};
use freshet_types::{LeaderEpoch, Machine, Millis, Offset, Ticket, TopicPartition};

use super::members::SESSION_MS;
use super::{Ask, committed, told};
use crate::network::Host;
use crate::world::World;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    shards: BTreeMap<TopicPartition, Shard>,
    minds: BTreeMap<(TopicPartition, LeaderEpoch), Mind>,
    misled: BTreeSet<Host>,
    pub(crate) stale: usize,
}

/// What is committed of a shard.
#[derive(Debug, Default)]
struct Shard {
    age: u64,
    rows: usize,
    groups: BTreeMap<Arc<str>, Past>,
}

#[derive(Debug, Clone, Default)]
struct Past {
    generation: i32,
    members: Vec<Arc<str>>,
    /// Each change, the row behind which it holds, and who made it.
    offsets: Vec<(usize, Offset, Option<Host>)>,
}

impl Past {
    /// Whether this was the offset behind `low` rows or any time later.
    fn was(&self, low: usize, offset: Offset) -> bool {
        let before = self.offsets.partition_point(|(row, ..)| *row <= low);
        let first = before.checked_sub(1).map_or(0, |last| self.offsets[last].1);
        let later = &self.offsets[before..];
        first == offset || later.iter().any(|(_, later, _)| *later == offset)
    }
}

/// What the coordinator of an epoch has told.
#[derive(Debug, Default)]
struct Mind {
    generations: BTreeMap<Arc<str>, i32>,
    /// Members that it has let live on, when, and in which generation.
    heard: BTreeMap<Arc<str>, (Millis, i32)>,
    /// Static members that have come as new ones.
    came_anew: BTreeSet<Arc<str>>,
}

/// The group, member and generation that a request names.
fn named(request: &Request) -> Option<(&Arc<str>, &Arc<str>, i32)> {
    match request {
        Request::Commit(commit) => Some((&commit.group, &commit.member_id, commit.generation)),
        Request::Heartbeat(beat) => Some((&beat.group, &beat.member_id, beat.generation)),
        Request::Sync(sync) => Some((&sync.group, &sync.member_id, sync.generation)),
        _ => None,
    }
}

/// What a member is told instead of what it wants.
pub(super) fn error(reply: &Reply) -> Option<GroupError> {
    match reply {
        Reply::Commit(Err(error)) | Reply::Heartbeat(Err(error)) | Reply::Sync(Err(error)) => {
            Some(*error)
        }
        _ => None,
    }
}

impl World {
    /// More is committed.
    pub(crate) fn judge_groups(&mut self, at: TopicPartition) {
        if !self.is_offsets(at) {
            return;
        }
        let Some(truth) = self.witness.truths.get(&at) else {
            return;
        };
        let shard = self.witness.histories.shards.entry(at).or_default();
        if shard.age != truth.age {
            *shard = Shard {
                age: truth.age,
                ..Shard::default()
            };
        }
        let mut flaw = None;
        for (row, value) in (1..).zip(&truth.rows).skip(shard.rows) {
            let Some(written) = self.journal.get(&value.value) else {
                continue;
            };
            let commit = written.commit.as_ref();
            for record in written.records() {
                match record {
                    Record::Group { group, value } => {
                        let past = shard.groups.entry(group).or_default();
                        past.generation = value.as_ref().map_or(0, |value| value.generation);
                        let members = value.iter().flat_map(|value| &value.members);
                        past.members = members.map(|m| Arc::clone(&m.member_id)).collect();
                    }
                    Record::Offset { group, value, .. } => {
                        let past = shard.groups.entry(group).or_default();
                        let before = past.offsets.last().map_or(0, |(_, offset, _)| *offset);
                        let offset = value.map_or(0, |value| value.offset);
                        if offset < before && !commit.is_some_and(|c| c.is_late) {
                            flaw =
                                Some(format!("I5: {before} is followed by {offset}: {commit:?}"));
                        }
                        if let Some(c) = commit {
                            let of_nobody = c.generation < 0 && past.members.is_empty();
                            let of_member =
                                c.generation == past.generation && past.members.contains(&c.member);
                            if !of_nobody && !of_member {
                                let is = past.generation;
                                flaw = Some(format!("Z1: in generation {is} comes {c:?}"));
                            }
                        }
                        let client = commit.map(|c| c.client);
                        past.offsets.push((row, offset, client));
                    }
                }
            }
        }
        shard.rows = truth.rows.len();
        if let Some(what) = flaw {
            self.witness.flaw(|| what);
        }
    }

    /// What is committed of a group.
    fn past(&mut self, at: TopicPartition, group: &Arc<str>) -> &Past {
        let shard = self.witness.histories.shards.entry(at).or_default();
        shard.groups.entry(Arc::clone(group)).or_default()
    }

    /// A coordinator is loaded: it knows what is committed.
    pub(super) fn coordinates(&mut self, host: Host, at: TopicPartition, epoch: LeaderEpoch) {
        let present = self.agreed.newest().partition(at).map(|p| p.leader_epoch);
        let whole = self.witness.truths.get(&at).is_none_or(|t| t.pardons == 0);
        self.note(|| format!("{host} coordinates in epoch {epoch}"));
        let all = &mut self.witness.histories;
        all.minds.remove(&(at, epoch));
        if present == Some(epoch) && whole {
            let groups = all.shards.get(&at).map(|shard| &shard.groups);
            let generations = groups.into_iter().flatten();
            let mind = Mind {
                generations: generations
                    .map(|(group, past)| (Arc::clone(group), past.generation))
                    .collect(),
                ..Mind::default()
            };
            all.minds.insert((at, epoch), mind);
        }
    }

    /// A coordinator is asked, and hears it.
    pub(super) fn group_hears(&mut self, host: Host, ask: &Ask) {
        let epoch = self.coordinator(host, ask.at).map(|c| c.epoch);
        if let Request::Join(join) = &ask.request
            && let (Some(epoch), Some(name)) = (epoch, &join.instance_id)
            && let Some(mind) = self.witness.histories.minds.get_mut(&(ask.at, epoch))
            && join.member_id.is_empty()
        {
            mind.came_anew.insert(Arc::clone(name));
        }
    }

    /// A coordinator has decided.
    pub(super) fn groups_decide(
        &mut self,
        host: Host,
        at: TopicPartition,
        records: &[Record],
        replies: &[(Ticket, Reply)],
    ) {
        let Some(epoch) = self.coordinator(host, at).map(|c| c.epoch) else {
            return;
        };
        for (ticket, reply) in replies {
            if let Some((_, ask)) = self.asked_by(host, at, *ticket) {
                self.judge_member_error(host, &ask, reply);
            }
        }
        let now = self.local(host);
        let asked: Vec<_> = replies
            .iter()
            .map(|(ticket, _)| self.asked_by(host, at, *ticket))
            .collect();
        let Some(mind) = self.witness.histories.minds.get_mut(&(at, epoch)) else {
            return;
        };
        for record in records {
            if let Record::Group { group, value } = record {
                let generation = value.as_ref().map_or(0, |value| value.generation);
                mind.generations.insert(Arc::clone(group), generation);
            }
        }
        for ((_, reply), asked) in replies.iter().zip(asked) {
            let Some((_, ask)) = asked else { continue };
            if let (Reply::Join(Ok(joined)), Request::Join(join)) = (reply, &ask.request) {
                mind.generations
                    .insert(Arc::clone(&join.group), joined.generation);
            }
            let Some((_, member, generation)) = named(&ask.request) else {
                continue;
            };
            let lives = match reply {
                Reply::Sync(Ok(_)) => true,
                Reply::Heartbeat(Ok(())) | Reply::Commit(Ok(_)) => {
                    let heard = mind.heard.get(member);
                    heard.is_some_and(|(_, known)| *known == generation)
                }
                _ => false,
            };
            if lives {
                mind.heard.insert(Arc::clone(member), (now, generation));
            }
        }
    }

    /// I8: whether what a member is told is so.
    pub(super) fn judge_member_error(&mut self, host: Host, ask: &Ask, reply: &Reply) {
        let at = ask.at;
        let (Some(error), Some((group, member, generation))) = (error(reply), named(&ask.request))
        else {
            return;
        };
        let now = self.nodes[host].clock.now(self.now);
        let Some(coordinator) = self.coordinator(host, at) else {
            return;
        };
        let epoch = coordinator.epoch;
        let is_stable = coordinator.machine().is_some_and(|machine| {
            let groups = vec![Arc::clone(group)];
            let request = Request::Describe(Describe { groups });
            let told = machine.decide(now, Ticket(u64::MAX), request).replies;
            let is_stable = |reply: &Reply| match reply {
                Reply::Describe(all) => all.iter().flatten().any(|g| g.state == State::Stable),
                _ => false,
            };
            told.iter().any(|(_, reply)| is_stable(reply))
        });
        let is_stored = self.past(at, group).members.contains(member);
        let Some(mind) = self.witness.histories.minds.get(&(at, epoch)) else {
            return;
        };
        let known = mind.generations.get(group).copied().unwrap_or(0);
        let present = known == generation;
        let lives = mind.heard.get(member).is_some_and(|(heard, of)| {
            present && *of == generation && now.monotonic - *heard < SESSION_MS
        });
        let is_sync = matches!(ask.request, Request::Sync(_));
        let is_true = match error {
            GroupError::IllegalGeneration => !present,
            GroupError::UnknownMember => !lives,
            GroupError::RebalanceInProgress => is_sync || !is_stable,
            GroupError::FencedInstance => !is_stored || !mind.came_anew.is_empty(),
            // A commit in a generation, to a group that is not there.
            GroupError::NotFound => known == 0,
            _ => false,
        };
        if !is_true {
            let what = format!("I8: {error:?} in generation {known}: {:?}", ask.request);
            self.witness.flaw(|| what);
        }
    }

    /// I5, when an answer goes out.
    pub(super) fn group_answered(
        &mut self,
        host: Host,
        at: TopicPartition,
        (to, ask): (Host, &Ask),
        reply: &Reply,
    ) {
        let Some(epoch) = self.coordinator(host, at).map(|c| c.epoch) else {
            return;
        };
        let leads = self.leads_in(host, at);
        if leads != Some(epoch) {
            let what = format!("E4: {host} answers in epoch {epoch}, and leads in {leads:?}");
            self.witness.flaw(|| what);
        }
        let truth = self.witness.truths.entry(at).or_default();
        if !truth.judges(epoch) {
            return;
        }
        let low = if truth.pardons == 0 { ask.known } else { 0 };
        match (&ask.request, reply) {
            (Request::Commit(commit), Reply::Commit(Ok(_))) => {
                let offset = committed(commit);
                let past = self.past(at, &commit.group);
                let mut all = past.offsets.iter();
                if !all.any(|(_, known, client)| *known == offset && *client == Some(to)) {
                    let what = format!("I5: {host} acknowledges what is not committed: {commit:?}");
                    self.witness.flaw(|| what);
                }
            }
            (
                Request::Sync(Sync {
                    group, generation, ..
                }),
                Reply::Sync(Ok(_)),
            ) => {
                let stored = self.past(at, group).generation;
                if stored < *generation {
                    let what = format!("Z1: {generation} of {group} begins, {stored} is stored");
                    self.witness.flaw(|| what);
                }
            }
            (Request::Fetch(fetch), Reply::Fetch(topics)) => {
                self.judge_told((host, at, epoch), (to, &fetch.group), (low, told(topics)));
            }
            _ => {}
        }
    }

    fn judge_told(
        &mut self,
        (host, at, epoch): (Host, TopicPartition, LeaderEpoch),
        (to, group): (Host, &Arc<str>),
        (low, offset): (usize, Offset),
    ) {
        let present = self.agreed.newest().partition(at).map(|p| p.leader_epoch);
        let own = self.replica(host, at).map(|replica| replica.epoch);
        let is_deposed = present != Some(epoch) && own == Some(epoch);
        let past = self.past(at, group);
        let (is_so, was_so) = (past.was(low, offset), past.was(0, offset));
        let is = past.offsets.last().copied();
        let all = &mut self.witness.histories;
        if is_so {
            all.misled.remove(&to);
        } else if is_deposed && was_so {
            all.misled.insert(to);
            all.stale += 1;
        } else {
            let what = format!("I5: {host} tells {offset} in epoch {epoch}, {is:?} is committed");
            self.witness.flaw(|| what);
        }
    }

    /// Whether a client has gone further than what comes of it now, or does not know how far it is.
    pub(super) fn is_late(&self, client: Host, offset: Offset) -> bool {
        let acked = self.member(client).map_or(0, |member| member.acked);
        acked > offset || self.witness.histories.misled.contains(&client)
    }

    /// Instead of a truth, when that is what is tried.
    pub(super) fn lie_to_member(&mut self, request: &Request) -> Option<Reply> {
        use crate::invariants::Code;
        let lies = [
            (Code::IllegalGeneration, GroupError::IllegalGeneration),
            (Code::UnknownMember, GroupError::UnknownMember),
            (Code::RebalanceInProgress, GroupError::RebalanceInProgress),
        ];
        let (_, error) = lies.into_iter().find(|(code, _)| self.lies(*code))?;
        match request {
            Request::Commit(_) => Some(Reply::Commit(Err(error))),
            Request::Heartbeat(Heartbeat { .. }) => Some(Reply::Heartbeat(Err(error))),
            _ => None,
        }
    }
}
