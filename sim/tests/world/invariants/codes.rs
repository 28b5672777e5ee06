//! I8: each error that a client is told is one that makes it do the right thing, for it is so.
//!
//! | code | it is so if | written? |
//! |---|---|---|
//! | NOT_LEADER_OR_FOLLOWER, NOT_COORDINATOR | who says so leads in no epoch that its own image names | perhaps |
//! | NOT_ENOUGH_REPLICAS | fewer are in sync in its image than must be | no |
//! | NOT_ENOUGH_REPLICAS_AFTER_APPEND | the batch is stored and not committed, its time is over, and fewer are in sync than must be | yes |
//! | REQUEST_TIMED_OUT | the same, and enough are | yes |
//! | OUT_OF_ORDER_SEQUENCE_NUMBER | the batch is not there, and is not the next; who is deposed and has not heard of it cannot know what was written since | no |
//! | FENCED_LEADER_EPOCH | a newer one is agreed to | |
//! | UNKNOWN_LEADER_EPOCH | the client's is newer than its own | |
//! | OFFSET_OUT_OF_RANGE | it was deleted, or nobody has committed so much | |
//! | OFFSET_NOT_AVAILABLE | its leader does not know yet what was committed | |
//! | KAFKA_STORAGE_ERROR | the disk has failed | perhaps |
//! | COORDINATOR_LOAD_IN_PROGRESS | it leads, and its log is not read | no |
//! | COORDINATOR_NOT_AVAILABLE | its log takes nothing | perhaps |
//!
//! What is overdue is neither acknowledged nor gone: nobody is told anything of that question any more,
//! and nobody waits for longer than it has said. Whoever sends it again has it once (I3).
//!
//! Codes of groups are judged with what was told to them (`groups/history.rs`).
//!
//! G1a: what is refused for good is never read: a batch of which every copy that was on the line was
//! told that it is not written is not committed.

use std::sync::Arc;

use freshet_types::{LeaderEpoch, Offset, ProducerId, TopicPartition};

use crate::broker::{Stand, Waiting, topic_rules};
use crate::disk::{index, offset};
use crate::groups::Unheard;
use crate::message::{Place, Refusal, Row};
use crate::network::Host;
use crate::rules::Rule;
use crate::world::{World, node_id};

/// What a client may be told instead of what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NotLeader,
    NotEnoughReplicas,
    NotEnoughAfterAppend,
    TimedOut,
    OutOfOrder,
    FencedEpoch,
    UnknownEpoch,
    Deleted,
    OutOfRange,
    NotAvailable,
    Storage,
    NotCoordinator,
    Loading,
    CoordinatorNotAvailable,
    IllegalGeneration,
    UnknownMember,
    RebalanceInProgress,
}

impl Code {
    pub(crate) const ALL: [Self; 17] = [
        Self::NotLeader,
        Self::NotEnoughReplicas,
        Self::NotEnoughAfterAppend,
        Self::TimedOut,
        Self::OutOfOrder,
        Self::FencedEpoch,
        Self::UnknownEpoch,
        Self::Deleted,
        Self::OutOfRange,
        Self::NotAvailable,
        Self::Storage,
        Self::NotCoordinator,
        Self::Loading,
        Self::CoordinatorNotAvailable,
        Self::IllegalGeneration,
        Self::UnknownMember,
        Self::RebalanceInProgress,
    ];
}

/// What was asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    Produce {
        value: u64,
        sender: Option<(ProducerId, i32)>,
    },
    /// What is stored shall be committed.
    Waiting(Waiting),
    Read {
        epoch: LeaderEpoch,
        from: Offset,
    },
}

impl World {
    /// A client is refused.
    pub(crate) fn judge_refusal(
        &mut self,
        host: Host,
        at: TopicPartition,
        asked: Asked,
        refusal: Refusal,
    ) {
        let is_true = match (refusal, asked) {
            (Refusal::NotLeader, _) => !self.leads_by_image(host, at),
            (Refusal::NotEnoughReplicas, Asked::Produce { .. }) => self.lacks_replicas(host, at),
            (Refusal::NotEnoughAfterAppend, Asked::Waiting(waiting)) => {
                self.witness.overdue.0 += 1;
                self.is_overdue(host, at, waiting) && self.lacks_replicas(host, at)
            }
            (Refusal::TimedOut, Asked::Waiting(waiting)) => {
                self.witness.overdue.1 += 1;
                self.is_overdue(host, at, waiting) && !self.lacks_replicas(host, at)
            }
            (Refusal::OutOfOrder, Asked::Produce { sender, .. }) => {
                sender.is_some_and(|sender| self.is_out_of_order(host, at, sender))
            }
            (Refusal::FencedEpoch, Asked::Read { epoch, .. }) => {
                let newest = self.agreed.newest().partition(at);
                newest.is_some_and(|newest| newest.leader_epoch > epoch)
            }
            (Refusal::UnknownEpoch, Asked::Read { epoch, .. }) => {
                let own = self.replica(host, at).map(|replica| replica.epoch);
                own.is_none_or(|own| own < epoch)
            }
            (Refusal::Deleted(start), Asked::Read { from, .. }) => {
                let truth = self.witness.truth(at);
                from < start && (start <= truth.deleted || truth.pardons > 0)
            }
            (Refusal::OutOfRange, Asked::Read { from, .. }) => {
                let truth = self.witness.truth(at);
                from > offset(truth.rows.len()) || !truth.is_settled()
            }
            (Refusal::NotAvailable, _) => self.replica(host, at).is_some_and(|replica| {
                matches!(&replica.stand, Stand::Leads { start, .. } if replica.committed < *start)
            }),
            (Refusal::Failed, _) => self.nodes[host].disk.has_failed,
            (_, _) => false,
        };
        if !is_true {
            let what = format!("I8: {host} tells {refusal:?} of {at} to {asked:?}");
            self.witness.flaw(|| what);
        }
        if let Asked::Waiting(waiting) = asked {
            self.witness.told_overdue.insert(waiting.ticket);
        }
        let is_final = matches!(refusal, Refusal::NotEnoughReplicas | Refusal::OutOfOrder);
        if let Asked::Produce { value, .. } = asked
            && is_final
            && let Some(left) = self.witness.copies.get_mut(&value)
        {
            *left -= 1;
        }
    }

    /// Whether a process knows that it leads, and is not about to end.
    fn leads_by_image(&mut self, host: Host, at: TopicPartition) -> bool {
        if self.nodes[host].disk.has_failed {
            return false;
        }
        let process = self.process(host);
        let (applied, ends) = (process.applied, process.ends);
        let Some(replica) = self.replica(host, at) else {
            return false;
        };
        let (epoch, leads) = (replica.epoch, matches!(replica.stand, Stand::Leads { .. }));
        let partition = self.agreed.image(applied).partition(at);
        let named =
            partition.is_some_and(|p| p.leader == Some(node_id(host)) && p.leader_epoch == epoch);
        !ends && (leads || named)
    }

    fn lacks_replicas(&mut self, host: Host, at: TopicPartition) -> bool {
        let applied = self.process(host).applied;
        let image = Arc::clone(self.agreed.image(applied));
        let (least, _) = topic_rules(&image, at);
        image
            .partition(at)
            .is_none_or(|p| p.isr.len() < least.min(p.replicas.len()))
    }

    /// Whether a batch is stored here, and may be committed yet, though its producer waits no more.
    fn is_overdue(&mut self, host: Host, at: TopicPartition, waiting: Waiting) -> bool {
        let is_over = self.local(host) >= waiting.due;
        let committed = self.replica(host, at).map_or(0, |r| r.committed);
        let log = self.log(host, at);
        let is_stored = match waiting.place {
            Place::At(offset) => log.rows[index(offset)].value == waiting.value,
            Place::Below(end) => end <= log.end(),
        };
        is_over && is_stored && waiting.place.last() >= committed
    }

    /// Somebody is told that its record is committed.
    pub(crate) fn acknowledged_in_time(
        &mut self,
        host: Host,
        at: TopicPartition,
        waiting: Waiting,
    ) {
        if self.witness.told_overdue.contains(&waiting.ticket) {
            let what = format!("I8: {host} acknowledges of {at} what was overdue: {waiting:?}");
            self.witness.flaw(|| what);
        }
    }

    /// Nobody waits for longer than it has said; but all waits where a machine stands still.
    pub(crate) fn judge_waits(&mut self, host: Host) {
        let now = self.now;
        if self.is_calm || self.nodes[host].stalled_until + 10 >= now {
            return;
        }
        let Some(process) = &self.nodes[host].process else {
            return;
        };
        let told = &self.witness.told_overdue;
        let is_late =
            |waiting: &&Waiting| waiting.hears_by < now && !told.contains(&waiting.ticket);
        let late = process.replicas.iter().find_map(|(at, replica)| {
            let Stand::Leads { parked, .. } = &replica.stand else {
                return None;
            };
            let waiting = parked.values().flatten().find(is_late)?;
            Some(format!("I8: {host} lets wait for {at}: {waiting:?}"))
        });
        if let Some(what) = late {
            self.witness.flaw(|| what);
        }
    }

    /// Whether a batch is not the next one of its producer here, and was not committed before. What is
    /// not in the log any more says nothing.
    fn is_out_of_order(
        &mut self,
        host: Host,
        at: TopicPartition,
        (producer, sequence): (ProducerId, i32),
    ) -> bool {
        let own = self.replica(host, at).map(|replica| replica.epoch);
        let present = self.agreed.newest().partition(at).map(|p| p.leader_epoch);
        let truth = self.witness.truth(at);
        let committed = truth.sequences.get(&producer);
        let is_known =
            own == present && truth.pardons == 0 && committed.is_some_and(|last| *last >= sequence);
        let of_it = |row: &Row| row.sender.filter(|(id, _)| *id == producer);
        let last = self.log(host, at).rows.iter().rev().find_map(of_it);
        !is_known && last.is_none_or(|(_, last)| last + 1 != sequence)
    }

    /// A coordinator does not listen.
    pub(crate) fn judge_unheard(&mut self, host: Host, at: TopicPartition, unheard: Unheard) {
        let loaded = self.coordinator(host, at).map(|c| c.is_loaded());
        let is_true = match unheard {
            Unheard::NotCoordinator => !self.leads_by_image(host, at),
            Unheard::Loading => loaded == Some(false) && self.leads_by_image(host, at),
            Unheard::NotAvailable => !self.has_room(host, at),
        };
        // One whose disk has failed serves nobody, whatever it says.
        if !is_true && !self.nodes[host].disk.has_failed {
            let what = format!("I8: {host} tells {unheard:?} of {at}");
            self.witness.flaw(|| what);
        }
    }

    /// A producer's batch is on its way so many times.
    pub(crate) fn on_the_way(&mut self, value: u64, copies: usize) {
        let copies = i64::try_from(copies).unwrap();
        *self.witness.copies.entry(value).or_default() += copies;
    }

    /// Whether somebody is told what is not so, because that is what is tried.
    pub(crate) fn lies(&mut self, code: Code) -> bool {
        self.without == Some(Rule::Told(code)) && self.throws.chance(10)
    }

    pub(crate) fn lie_to_producer(&mut self) -> Option<Refusal> {
        let all = [
            (Code::NotLeader, Refusal::NotLeader),
            (Code::NotEnoughReplicas, Refusal::NotEnoughReplicas),
            (Code::NotEnoughAfterAppend, Refusal::NotEnoughAfterAppend),
            (Code::TimedOut, Refusal::TimedOut),
            (Code::OutOfOrder, Refusal::OutOfOrder),
            (Code::Storage, Refusal::Failed),
        ];
        let found = all.into_iter().find(|(code, _)| self.lies(*code));
        found.map(|(_, refusal)| refusal)
    }

    pub(crate) fn lie_to_reader(&mut self, from: Offset) -> Option<Refusal> {
        let all = [
            (Code::FencedEpoch, Refusal::FencedEpoch),
            (Code::UnknownEpoch, Refusal::UnknownEpoch),
            (Code::Deleted, Refusal::Deleted(from + 1)),
            (Code::OutOfRange, Refusal::OutOfRange),
            (Code::NotAvailable, Refusal::NotAvailable),
        ];
        let found = all.into_iter().find(|(code, _)| self.lies(*code));
        found.map(|(_, refusal)| refusal)
    }

    pub(crate) fn lie_of_coordinator(&mut self) -> Option<Unheard> {
        let all = [
            (Code::NotCoordinator, Unheard::NotCoordinator),
            (Code::Loading, Unheard::Loading),
            (Code::CoordinatorNotAvailable, Unheard::NotAvailable),
        ];
        let found = all.into_iter().find(|(code, _)| self.lies(*code));
        found.map(|(_, unheard)| unheard)
    }
}
