//! A leader's side: what its brain decides is carried out.

use std::sync::Arc;

use freshet_metadata::{self as metadata, AlterPartitions, Ask as _, ProposedIsr};
use freshet_partition::replication::{Answer, FetchRefusal, Fetched, IsrChange, Moved};
use freshet_peers::followers::{Verdict, verdict};
use freshet_types::{Offset, TopicPartition};

use super::For;
use super::replica::{Stand, Waiting};
use crate::disk::{index, offset};
use crate::message::{Fetch, Fetched as Reply, Message, Row};
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{Alarm, World, node_id};

/// Rows of one answer.
const ROWS: usize = 6;
/// Longest wait for a decision, ms.
const DECISION_MS: u64 = 800;
/// Pause before what was not decided is proposed again, ms.
const PAUSE_MS: u64 = 100;

impl World {
    /// Carries out what followed from an event.
    pub(super) fn moved(&mut self, host: Host, at: TopicPartition, moved: Moved) {
        if let Some(end) = moved.high_watermark {
            self.know_committed(host, at, end);
            self.acknowledge(host, at);
            self.groups_committed(host, at, end);
        }
        if let Some(change) = moved.propose {
            self.propose(host, at, change);
        }
    }

    fn acknowledge(&mut self, host: Host, at: TopicPartition) {
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let (epoch, end) = (replica.epoch, replica.committed);
        let Stand::Leads { parked, .. } = &mut replica.stand else {
            return;
        };
        let later = parked.split_off(&end);
        let due = std::mem::replace(parked, later);
        for waiting in due.into_values().flatten() {
            let Waiting { to, id, place, .. } = waiting;
            self.acknowledged(host, at, epoch, (place, waiting.value));
            self.acknowledged_in_time(host, at, waiting);
            let outcome = Ok(place);
            self.send(host, to, Message::Produced { id, outcome });
        }
    }

    /// A follower asks for more, and so tells how far it is.
    pub(crate) fn fetched(&mut self, host: Host, from: Host, fetch: Fetch) {
        let report = match self.departs(host, fetch) {
            Some(answer) => Err(answer),
            None => self.report(host, from, fetch),
        };
        let mut rows = Vec::new();
        let log_start = offset(self.log(host, fetch.at).start);
        let answer = report.map(|high_watermark| {
            rows = self.rows_from(host, fetch);
            Answer::Records {
                any: !rows.is_empty(),
                high_watermark,
                log_start,
            }
        });
        let message = Message::Fetched(Reply {
            id: fetch.id,
            at: fetch.at,
            leader_epoch: fetch.leader_epoch,
            asked: fetch.end,
            answer: answer.unwrap_or_else(|refusal| refusal),
            rows,
        });
        self.send(host, from, message);
    }

    fn rows_from(&mut self, host: Host, fetch: Fetch) -> Vec<Row> {
        let rows = &self.log(host, fetch.at).rows;
        let from = index(fetch.end);
        let until = (from + ROWS).min(rows.len());
        rows[from..until].to_vec()
    }

    /// Whether the two speak of the same leader and the same history; the order of these checks is
    /// that of the real door.
    fn departs(&mut self, host: Host, fetch: Fetch) -> Option<Answer> {
        let same_epoch = self.has(Duty::LeaderEpochs);
        let tells = self.has(Duty::Divergence);
        let failed = self.nodes[host].disk.has_failed;
        let Some(replica) = self.replica(host, fetch.at).filter(|_| !failed) else {
            return Some(Answer::NotLeader);
        };
        if same_epoch && fetch.leader_epoch != replica.epoch {
            return Some(match fetch.leader_epoch < replica.epoch {
                true => Answer::Fenced,
                false => Answer::NotLeader,
            });
        }
        let leads = matches!(replica.stand, Stand::Leads { .. });
        let log = self.log(host, fetch.at);
        let (log_start, log_end) = (offset(log.start), log.end());
        let out = Answer::OutOfRange { log_start, log_end };
        if fetch.last_epoch >= 0 && tells {
            let end = log.end_of_epoch(fetch.last_epoch);
            let agrees = end.epoch == fetch.last_epoch && end.end >= fetch.end;
            if !agrees && !leads {
                return Some(Answer::Failed);
            }
            if !agrees {
                let diverged = Answer::Diverged(end);
                return Some(if end.epoch < 0 { out } else { diverged });
            }
        }
        (fetch.end > log_end || fetch.end < log_start).then_some(out)
    }

    fn report(&mut self, host: Host, from: Host, fetch: Fetch) -> Result<i64, Answer> {
        let now = self.local(host);
        let same_epoch = self.has(Duty::LeaderEpochs);
        let leader_start = offset(self.log(host, fetch.at).start);
        let image = Arc::clone(self.agreed.image(self.nodes[host].seat.committed));
        let brain = self.replica(host, fetch.at).and_then(|r| r.brain());
        let brain = brain.ok_or(Answer::NotLeader)?;
        if brain.term().leader_epoch != fetch.leader_epoch && same_epoch {
            return Err(Answer::NotLeader);
        }
        let fetched = Fetched {
            node: node_id(from),
            broker_epoch: fetch.broker_epoch,
            log_start: fetch.log_start,
            end: fetch.end,
            leader_start,
            now,
        };
        let copies = brain.in_sync();
        let taken = brain.fetched(fetched, |node| image.may_be_in(fetch.at, node, copies));
        let moved = taken.map_err(|refusal| match refusal {
            FetchRefusal::NotAReplica(_) => Answer::NotLeader,
            FetchRefusal::OldBroker { .. } => Answer::Failed,
        })?;
        let high_watermark = brain.high_watermark();
        self.moved(host, fetch.at, moved);
        self.look_for_deletes(host, fetch.at);
        Ok(high_watermark)
    }

    /// The leader's log starts later from now on; `waits`: somebody waits until it is so everywhere
    /// (DeleteRecords), else it is retention.
    pub(crate) fn delete_records(
        &mut self,
        host: Host,
        at: TopicPartition,
        (to, waits): (Offset, bool),
    ) {
        let to = to.min(self.log(host, at).end());
        self.note(|| format!("*** {host} deletes {at} up to {to}, told: {waits}"));
        self.deletes(host, at, to);
        self.log(host, at).trim(to);
        if let Some(replica) = self.replica(host, at)
            && let Stand::Leads { deleting, .. } = &mut replica.stand
            && waits
        {
            *deleting = Some(to);
        }
        self.starts_at(host, at);
        self.look_for_deletes(host, at);
    }

    /// Answers who waits when all that live have dropped it.
    fn look_for_deletes(&mut self, host: Host, at: TopicPartition) {
        let image = Arc::clone(self.agreed.image(self.nodes[host].seat.committed));
        let own = offset(self.log(host, at).start);
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let Stand::Leads {
            brain, deleting, ..
        } = &mut replica.stand
        else {
            return;
        };
        let lives = |node| image.broker(node).is_some_and(|broker| !broker.fenced);
        let low = brain.low_watermark(own, lives);
        if let Some(to) = deleting.take_if(|to| low >= *to) {
            let epoch = replica.epoch;
            self.deleted(at, epoch, to);
        }
    }

    pub(super) fn propose(&mut self, host: Host, at: TopicPartition, change: IsrChange) {
        self.process(host).proposals.insert(at, change);
        self.send_proposals(host);
    }

    /// One request at a time, with all that waits.
    pub(crate) fn send_proposals(&mut self, host: Host) {
        let process = self.process(host);
        let epoch = process.course.epoch();
        let Some(broker_epoch) = epoch.filter(|_| process.proposing.is_none()) else {
            return;
        };
        let batch: Vec<_> = std::mem::take(&mut process.proposals).into_iter().collect();
        if batch.is_empty() {
            return;
        }
        let proposed = |(at, change): &(TopicPartition, IsrChange)| ProposedIsr {
            at: *at,
            leader_epoch: change.leader_epoch,
            partition_epoch: change.partition_epoch,
            isr: change.isr.clone(),
        };
        let request = AlterPartitions {
            node: node_id(host),
            broker_epoch,
            partitions: batch.iter().map(proposed).collect(),
        };
        process.proposing = Some(batch);
        self.ask(host, For::Proposals, request.into(), DECISION_MS);
    }

    pub(super) fn proposals_heard(&mut self, host: Host, reply: Option<metadata::Reply>) {
        let Some(batch) = self.process(host).proposing.take() else {
            return;
        };
        let outcomes = match reply.map(AlterPartitions::answer) {
            Some(Ok(outcomes)) => outcomes,
            // Nobody decided, or it is known by another registration.
            Some(Err(_)) | None => {
                let all: Vec<_> = batch.iter().map(|(at, _)| *at).collect();
                return self.propose_again(host, &all);
            }
        };
        let mut again = Vec::new();
        for ((at, change), outcome) in batch.into_iter().zip(outcomes) {
            match verdict(&outcome) {
                Verdict::Settled => {}
                Verdict::Again => again.push(at),
                Verdict::Refused => {
                    if let Some(brain) = self.replica(host, at).and_then(|r| r.brain()) {
                        brain.refused(&change);
                    }
                }
            }
        }
        self.propose_again(host, &again);
    }

    fn propose_again(&mut self, host: Host, all: &[TopicPartition]) {
        for at in all {
            let brain = self.replica(host, *at).and_then(|r| r.brain());
            if let Some(change) = brain.and_then(|brain| brain.proposed().cloned()) {
                self.process(host).proposals.entry(*at).or_insert(change);
            }
        }
        self.wake_in(host, PAUSE_MS, Alarm::Proposals);
    }
}
