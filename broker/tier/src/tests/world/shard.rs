//! The shard of the internal topic: hosts that decide at once and answer once it is committed, as
//! docs/decisions/0002 has it, and the log that all of them are loaded from.

use std::collections::VecDeque;

use freshet_types::{Machine, Millis, Now, StoredRecord, Ticket, Timestamp};

use super::{Caller, LIMITS, Message, PARTITION, World};
use crate::machine::{Answer, Change, Manifests, Record, Refusal, Request};
use crate::manifest::Manifest;

struct Host {
    machine: Manifests,
    pending: VecDeque<(Vec<Record>, Caller, Result<Answer, Refusal>)>,
}

pub(super) struct Shard {
    /// What is committed, as bytes.
    log: Vec<Vec<u8>>,
    /// What it makes.
    committed: Manifests,
    hosts: Vec<Host>,
}

impl Host {
    fn of(records: impl Iterator<Item = Record>) -> Self {
        let mut machine = Manifests::new(LIMITS);
        records.for_each(|record| machine.apply(&record));
        Self {
            machine,
            pending: VecDeque::new(),
        }
    }
}

fn read(bytes: &[u8]) -> Record {
    Record::from_bytes(bytes).expect("what was written is read")
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            log: Vec::new(),
            committed: Manifests::new(LIMITS),
            hosts: vec![Host::of(std::iter::empty())],
        }
    }

    /// The manifest as it is committed.
    pub(super) fn manifest(&self) -> Option<&Manifest> {
        self.committed.get(PARTITION)
    }

    pub(super) fn newest_host(&self) -> usize {
        self.hosts.len() - 1
    }
}

impl World {
    pub(super) fn ask_host(&mut self, at: usize, caller: Caller, request: Request) {
        let now = Now {
            monotonic: Millis(self.now.0),
            wall: Timestamp(0),
        };
        let host = &mut self.shard.hosts[at];
        let decision = host.machine.decide(now, Ticket(0), request);
        for record in &decision.records {
            host.machine.apply(record);
        }
        for (_, reply) in decision.replies {
            host.pending
                .push_back((decision.records.clone(), caller, reply));
        }
        self.release(at);
    }

    /// What waits for no record is answered, also by a host that lost its shard long ago.
    fn release(&mut self, at: usize) {
        let pending = &mut self.shard.hosts[at].pending;
        while let Some((records, _, _)) = pending.front()
            && records.is_empty()
        {
            if let Some((_, caller, reply)) = pending.pop_front() {
                self.post
                    .push((self.now.0 + 1, Message::Answer(caller, reply)));
            }
        }
    }

    /// The oldest append of the host that has the shard is committed. Nobody else's ever is.
    pub(super) fn commit_in_shard(&mut self) {
        let at = self.shard.newest_host();
        if self.dice.chance(30) {
            return;
        }
        let Some((records, caller, reply)) = self.shard.hosts[at].pending.pop_front() else {
            return;
        };
        for record in records {
            self.tell(&record.change);
            self.shard.committed.apply(&record);
            self.shard.log.push(record.to_bytes());
        }
        self.is_dirty = true;
        self.send(Message::Answer(caller, reply));
        self.release(at);
    }

    fn tell(&mut self, change: &Change) {
        match change {
            Change::Committed { .. } => self.told.commits += 1,
            Change::Replaced { .. } => self.told.replacements += 1,
            Change::Collected { .. } => self.told.collected += 1,
            Change::Claimed { cut: Some(_), .. } => self.told.cuts += 1,
            _ => {}
        }
    }

    /// Another host is loaded, from the log or from a snapshot; the old one does not know.
    pub(super) fn move_shard(&mut self) {
        let shard = &mut self.shard;
        if self.dice.chance(50) {
            // As the host writes one: behind the log, which is trimmed a little later.
            let snapshot = shard.committed.snapshot();
            if self.dice.chance(50) {
                shard.log.clear();
            }
            shard
                .log
                .extend(snapshot.iter().map(StoredRecord::to_bytes));
        }
        let host = Host::of(shard.log.iter().map(|bytes| read(bytes)));
        assert_eq!(host.machine.get(PARTITION), shard.committed.get(PARTITION));
        shard.hosts.push(host);
    }
}
