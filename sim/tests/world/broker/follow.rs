//! A follower's side: it asks, stores, flushes, and asks again.

use freshet_partition::replication::{Answer, Local, Step, next_step};
use freshet_types::{Offset, TopicPartition};

use super::replica::{Replica, Stand};
use crate::disk::offset;
use crate::message::{Fetch, Fetched, Message};
use crate::network::Host;
use crate::rules::Duty;
use crate::world::{Alarm, World, host_of};

/// How long an answer is waited for, ms.
const PATIENCE_MS: u64 = 150;
/// Pause after an answer without rows, ms.
const POLL_MS: u64 = 40;

impl World {
    pub(crate) fn fetch(&mut self, host: Host, at: TopicPartition) {
        let early = !self.has(Duty::FlushBeforeReport);
        if self.nodes[host].disk.has_failed {
            return;
        }
        let broker_epoch = self.process(host).course.epoch();
        let log = self.log(host, at);
        let rests = log.is_flushed() || early;
        let (end, last_epoch) = (log.end(), log.last_epoch());
        let log_start = offset(log.start);
        let id = self.next_id();
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let leader_epoch = replica.epoch;
        let Stand::Follows {
            leader,
            fetch,
            copying,
        } = &mut replica.stand
        else {
            return;
        };
        if fetch.is_some() || copying.is_some() || !rests {
            return;
        }
        let Some(broker_epoch) = broker_epoch else {
            // It copies nothing while it is not registered.
            return self.wake_in(host, POLL_MS, Alarm::Fetch(at));
        };
        *fetch = Some(id);
        let to = host_of(*leader);
        let fetch = Fetch {
            id,
            at,
            leader_epoch,
            broker_epoch,
            log_start,
            end,
            last_epoch,
        };
        self.send(host, to, Message::Fetch(fetch));
        let now = self.local(host);
        self.wake_at(host, now + PATIENCE_MS, Alarm::Unfetched(at, id));
    }

    pub(crate) fn unfetched(&mut self, host: Host, at: TopicPartition, id: u64) {
        if self.end_fetch(host, at, id) {
            self.fetch(host, at);
        }
    }

    /// Whether this was the fetch under way.
    fn end_fetch(&mut self, host: Host, at: TopicPartition, id: u64) -> bool {
        let Some(replica) = self.replica(host, at) else {
            return false;
        };
        match &mut replica.stand {
            Stand::Follows { fetch, .. } => fetch.take_if(|fetch| *fetch == id).is_some(),
            Stand::Waits | Stand::Leads { .. } => false,
        }
    }

    /// What the leader of an epoch answered.
    pub(crate) fn follow(&mut self, host: Host, fetched: Fetched) {
        let Fetched {
            id,
            at,
            leader_epoch: epoch,
            asked,
            answer,
            rows,
        } = fetched;
        let same_epoch = self.has(Duty::LeaderEpochs);
        let failed = self.nodes[host].disk.has_failed;
        let current = self.replica(host, at).map(|replica| replica.epoch);
        let is_awaited = self.end_fetch(host, at, id) && current == Some(epoch);
        if failed || (same_epoch && !is_awaited) {
            return;
        }
        let follows = |replica: &mut Replica| matches!(replica.stand, Stand::Follows { .. });
        let log_end = self.log(host, at).end();
        // A log takes no rows that do not begin at its end.
        if asked != log_end || !self.replica(host, at).is_some_and(follows) {
            return;
        }
        let log = self.log(host, at);
        let copies = !rows.is_empty();
        rows.into_iter().for_each(|row| log.push(row));
        if let Some(replica) = self.replica(host, at)
            && let Stand::Follows { copying, .. } = &mut replica.stand
        {
            *copying = Some((epoch, answer));
        }
        if copies {
            self.begin_flush(host, at);
            if !self.has(Duty::FlushBeforeReport) {
                self.copied(host, at);
            }
        }
        if self.log(host, at).is_flushed() {
            self.copied(host, at);
        }
    }

    /// All that an answer brought is flushed.
    pub(super) fn copied(&mut self, host: Host, at: TopicPartition) {
        let log = self.log(host, at);
        let (log_end, log_start) = (log.end(), offset(log.start));
        let Some(replica) = self.replica(host, at) else {
            return;
        };
        let local = Local {
            log_start,
            log_end,
            high_watermark: replica.committed,
        };
        let Stand::Follows { copying, .. } = &mut replica.stand else {
            return;
        };
        let Some((_, answer)) = copying.take() else {
            return;
        };
        let log = self.log(host, at);
        let any = matches!(answer, Answer::Records { any: true, .. });
        match next_step(answer, local, |epoch| log.end_of_epoch(epoch)) {
            Step::Append {
                high_watermark,
                log_start,
            } => {
                // What its leader has dropped may be another record than what is here.
                self.log(host, at).trim(log_start);
                self.starts_at(host, at);
                self.know_committed(host, at, high_watermark);
                match any {
                    true => self.fetch(host, at),
                    false => self.pause_fetch(host, at),
                }
            }
            Step::Truncate {
                to,
                loses_committed,
            } => {
                self.cut(host, at, to, loses_committed);
                self.fetch(host, at);
            }
            Step::RestartAt(start) => {
                self.note(|| format!("{host} begins {at} anew at {start}"));
                self.log(host, at).restart_at(start);
                self.witness.forget(host, at);
                self.starts_at(host, at);
                self.know_committed(host, at, start);
                self.fetch(host, at);
            }
            Step::Pause => self.pause_fetch(host, at),
            Step::AwaitLeader => {}
        }
    }

    fn pause_fetch(&mut self, host: Host, at: TopicPartition) {
        let ms = self.throws.between(POLL_MS / 2, POLL_MS + POLL_MS / 2);
        self.wake_in(host, ms, Alarm::Fetch(at));
    }

    fn cut(&mut self, host: Host, at: TopicPartition, to: Offset, loses_committed: bool) {
        self.note(|| format!("{host} cuts {at} at {to}"));
        self.log(host, at).truncate(to);
        self.cut_committed(host, at, loses_committed);
        if let Some(replica) = self.replica(host, at) {
            replica.committed = replica.committed.min(to);
        }
    }

    pub(crate) fn begin_flush(&mut self, host: Host, at: TopicPartition) {
        let (least, most) = self.nodes[host].disk.pace;
        let token = self.next_id();
        let ms = self.throws.between(least, most);
        let log = self.log(host, at);
        if log.flushing.is_none() && !log.is_flushed() {
            log.flushing = Some((token, log.rows.len()));
            self.wake_in(host, ms, Alarm::Flushed(at, token));
        }
    }

    pub(crate) fn flushed(&mut self, host: Host, at: TopicPartition, token: u64) {
        let failed = self.nodes[host].disk.has_failed;
        let log = self.log(host, at);
        let Some((_, to)) = log.flushing.take_if(|(known, _)| *known == token) else {
            return;
        };
        if failed {
            return;
        }
        log.settle(to);
        self.begin_flush(host, at);
        self.progress(host, at);
    }

    /// The log tells how far it is flushed.
    pub(super) fn progress(&mut self, host: Host, at: TopicPartition) {
        let now = self.local(host);
        let log = self.log(host, at);
        let (flushed, whole) = (offset(log.flushed), log.is_flushed());
        if let Some(brain) = self.replica(host, at).and_then(|r| r.brain()) {
            let moved = brain.flushed(flushed, now);
            self.moved(host, at, moved);
        } else if whole {
            self.copied(host, at);
            self.fetch(host, at);
        }
    }
}
