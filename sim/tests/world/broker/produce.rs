//! Producers: their records, and the ids that they are known by.

use freshet_metadata::{AllocateProducerIds, Ask as _, Reply};
use freshet_partition::replication::Overdue;
use freshet_types::{ProducerId, TopicPartition};

use super::For;
use super::replica::{Stand, Waiting};
use crate::invariants::Asked;
use crate::message::{Message, Place, Produce, Refusal, Row};
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{Alarm, World};

/// Producer ids that a broker takes at once: few, so that it has to ask often.
const BLOCK: i32 = 3;

impl World {
    pub(crate) fn produce(&mut self, host: Host, from: Host, produce: Produce) {
        let Produce {
            id,
            at,
            value,
            sender,
            all,
            wait_ms,
        } = produce;
        let now = self.local(host);
        let asked = Asked::Produce { value, sender };
        let may = match self.lie_to_producer() {
            Some(lie) => Err(lie),
            None => self.may_produce(host, at, all),
        };
        let epoch = match may {
            Ok(epoch) => epoch,
            Err(refusal) => {
                self.write_refused(host, at, refusal, (value, sender));
                return self.refuse(host, at, (from, id), (asked, refusal));
            }
        };
        let deduplicates = self.has(Duty::Deduplicate);
        let log = self.log(host, at);
        let known = sender
            .filter(|_| deduplicates)
            .map_or(Ok(None), |s| log.check(s));
        let place = match known {
            Ok(Some(place)) => place,
            Ok(None) => {
                let offset = log.end();
                log.push(Row {
                    epoch,
                    value,
                    sender,
                });
                if let Some(brain) = self.replica(host, at).and_then(|r| r.brain()) {
                    brain.appended(offset + 1, now);
                }
                Place::At(offset)
            }
            Err(()) => {
                return self.refuse(host, at, (from, id), (asked, Refusal::OutOfOrder));
            }
        };
        let waits = all && self.has(Duty::AcksWait);
        let committed = self.replica(host, at).map_or(0, |r| r.committed);
        if waits && place.last() >= committed {
            let waiting = Waiting {
                to: from,
                id,
                value,
                place,
                ticket: self.next_id(),
                due: now + wait_ms,
                // Clocks go wrong by a quarter.
                hears_by: self.now + wait_ms * 3 / 2 + 50,
            };
            self.park(host, at, waiting);
        } else {
            if all {
                self.acknowledged(host, at, epoch, (place, value));
            }
            let outcome = Ok(place);
            self.send(host, from, Message::Produced { id, outcome });
        }
        self.begin_flush(host, at);
        if self.log(host, at).is_flushed() {
            self.progress(host, at);
        }
    }

    fn park(&mut self, host: Host, at: TopicPartition, waiting: Waiting) {
        if let Some(replica) = self.replica(host, at)
            && let Stand::Leads { parked, .. } = &mut replica.stand
        {
            let all = parked.entry(waiting.place.last()).or_default();
            all.push(waiting);
        }
        if self.has(Duty::WaitsEnd) {
            let Waiting { due, ticket, .. } = waiting;
            self.wake_at(host, due, Alarm::Overdue(at, ticket));
        }
    }

    /// Who waits learns what for, and its record stays.
    pub(crate) fn overdue(&mut self, host: Host, at: TopicPartition, ticket: u64) {
        let (now, once) = (self.local(host), self.has(Duty::AnsweredOnce));
        let failed = self.nodes[host].disk.has_failed;
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let Stand::Leads { brain, parked, .. } = &mut replica.stand else {
            return;
        };
        let found = |waiting: &&Waiting| waiting.ticket == ticket;
        let Some(waiting) = parked.values().flatten().find(found).copied() else {
            return;
        };
        let refusal = match brain.overdue() {
            _ if failed => Refusal::Failed,
            Overdue::TooFew { .. } => Refusal::NotEnoughAfterAppend,
            Overdue::Late => Refusal::TimedOut,
        };
        if now < waiting.due {
            // Its clock goes slower than it did.
            return self.wake_at(host, waiting.due, Alarm::Overdue(at, ticket));
        }
        if once {
            parked.retain(|_, all| {
                all.retain(|waiting| waiting.ticket != ticket);
                !all.is_empty()
            });
        }
        let asked = Asked::Waiting(waiting);
        self.refuse(host, at, (waiting.to, waiting.id), (asked, refusal));
    }

    /// What is refused is not written, unless that is what is tried.
    fn write_refused(
        &mut self,
        host: Host,
        at: TopicPartition,
        refusal: Refusal,
        (value, sender): (u64, Option<(ProducerId, i32)>),
    ) {
        // Who sends it again would make it a duplicate.
        let is_one = refusal == Refusal::NotEnoughReplicas && sender.is_none();
        if !is_one || self.has(Duty::RefusedUnwritten) {
            return;
        }
        let now = self.local(host);
        if let Some(epoch) = self.replica(host, at).map(|replica| replica.epoch) {
            let log = self.log(host, at);
            log.push(Row {
                epoch,
                value,
                sender,
            });
            let end = log.end();
            if let Some(brain) = self.replica(host, at).and_then(|r| r.brain()) {
                brain.appended(end, now);
            }
            self.begin_flush(host, at);
        }
    }

    pub(crate) fn may_produce(
        &mut self,
        host: Host,
        at: TopicPartition,
        all: bool,
    ) -> Result<i32, Refusal> {
        if self.nodes[host].disk.has_failed {
            return Err(Refusal::Failed);
        }
        let brain = self.replica(host, at).and_then(|r| r.brain());
        let brain = brain.ok_or(Refusal::NotLeader)?;
        let (in_sync, needed) = brain.in_sync();
        // Kindness: what is taken here all the same would wait.
        if all && in_sync < needed {
            return Err(Refusal::NotEnoughReplicas);
        }
        Ok(brain.term().leader_epoch)
    }

    pub(super) fn refuse(
        &mut self,
        host: Host,
        at: TopicPartition,
        (to, id): (Host, u64),
        (asked, refusal): (Asked, Refusal),
    ) {
        self.judge_refusal(host, at, asked, refusal);
        let outcome = Err(refusal);
        self.send(host, to, Message::Produced { id, outcome });
    }

    /// Somebody wants to be known.
    pub(crate) fn new_producer(&mut self, host: Host, asker: (Host, u64)) {
        self.process(host).ids_wanted.push(asker);
        self.hand_out_ids(host);
        let process = self.process(host);
        if process.ids_wanted.len() == 1 {
            let request = AllocateProducerIds { count: BLOCK };
            self.ask(host, For::ProducerIds, request.into(), 1_000);
        }
    }

    fn hand_out_ids(&mut self, host: Host) {
        loop {
            let process = self.process(host);
            if process.ids.is_empty() || process.ids_wanted.is_empty() {
                return;
            }
            let producer = process.ids.next();
            let (to, id) = process.ids_wanted.remove(0);
            self.handed_out(producer);
            self.send(host, to, Message::NewProducerId { id, producer });
        }
    }

    pub(super) fn block_arrived(&mut self, host: Host, reply: Option<Reply>) {
        match reply.map(AllocateProducerIds::answer) {
            Some(Ok(block)) => {
                let process = self.process(host);
                process.ids = block.first..block.first + i64::from(block.count);
                self.hand_out_ids(host);
            }
            Some(Err(_)) | None => {
                for (to, id) in std::mem::take(&mut self.process(host).ids_wanted) {
                    let producer = None;
                    self.send(host, to, Message::NewProducerId { id, producer });
                }
            }
        }
        self.process(host).ids_wanted.clear();
    }
}
