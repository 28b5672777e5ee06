//! The shard of the internal topic: hosts that decide at once and answer once it is committed, as
//! docs/decisions/0002 has it, and the log that all of them are loaded from. What a host has not committed
//! when it loses the shard may be there up to any record.

use std::collections::VecDeque;

use freshet_types::{Machine, Millis, Now, StoredRecord, Ticket, Timestamp};

use super::{Caller, LIMITS, Message, PARTITION, World};
use crate::machine::{Answer, Change, Manifests, Record, Refusal, Request};
use crate::manifest::Manifest;

/// What a host has decided, and not committed yet.
struct Append {
    records: Vec<Record>,
    /// Nobody waits for a snapshot.
    reply: Option<(Caller, Result<Answer, Refusal>)>,
}

struct Host {
    machine: Manifests,
    pending: VecDeque<Append>,
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
        machine.loaded(at(0));
        Self {
            machine,
            pending: VecDeque::new(),
        }
    }
}

fn at(now: u64) -> Now {
    Now {
        monotonic: Millis(now),
        wall: Timestamp(0),
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
    pub(super) fn ask_host(&mut self, to: usize, caller: Caller, request: Request) {
        let host = &mut self.shard.hosts[to];
        let decision = host.machine.decide(at(self.now.0), Ticket(0), request);
        for record in &decision.records {
            host.machine.apply(record);
        }
        for (_, reply) in decision.replies {
            host.pending.push_back(Append {
                records: decision.records.clone(),
                reply: Some((caller, reply)),
            });
        }
        self.release(to);
    }

    /// What waits for no record is answered, also by a host that lost its shard long ago.
    fn release(&mut self, at: usize) {
        let pending = &mut self.shard.hosts[at].pending;
        while pending.front().is_some_and(|next| next.records.is_empty()) {
            let next = pending.pop_front();
            if let Some((caller, reply)) = next.and_then(|next| next.reply) {
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
        let Some(Append { records, reply }) = self.shard.hosts[at].pending.pop_front() else {
            return;
        };
        let before = self.shard.log.len();
        self.commit(records);
        match reply {
            Some((caller, reply)) => self.send(Message::Answer(caller, reply)),
            // Behind a snapshot the log is trimmed, a little later.
            None if self.dice.chance(50) => drop(self.shard.log.drain(..before)),
            None => {}
        }
        self.release(at);
    }

    fn commit(&mut self, records: Vec<Record>) {
        for record in records {
            self.tell(&record.change);
            self.shard.committed.apply(&record);
            self.shard.log.push(record.to_bytes());
        }
        self.is_dirty = true;
    }

    /// The host writes down all it has, behind what it has decided.
    pub(super) fn write_snapshot(&mut self) {
        let at = self.shard.newest_host();
        let host = &mut self.shard.hosts[at];
        let records = host.machine.snapshot();
        let reply = None;
        host.pending.push_back(Append { records, reply });
    }

    fn tell(&mut self, change: &Change) {
        match change {
            Change::Committed { .. } => self.told.commits += 1,
            Change::Replaced { .. } => self.told.replacements += 1,
            Change::Collected { .. } => self.told.collected += 1,
            Change::Claimed { cut: Some(_), .. } => self.told.cuts += 1,
            Change::Deleted { keep_objects } => self.deletes(*keep_objects),
            _ => {}
        }
    }

    /// Another host is loaded; the old one does not know. What that was about to commit is there as far
    /// as it was replicated, which nobody is told.
    pub(super) fn move_shard(&mut self) {
        if self.dice.chance(40) {
            self.write_snapshot();
        }
        let at = self.shard.newest_host();
        if self.dice.chance(70) {
            let pending = &self.shard.hosts[at].pending;
            let mut under_way: Vec<Record> = pending
                .iter()
                .flat_map(|append| append.records.iter().cloned())
                .collect();
            let replicated = self.dice.index(under_way.len() + 1);
            under_way.truncate(replicated);
            self.commit(under_way);
        }
        let shard = &mut self.shard;
        let host = Host::of(shard.log.iter().map(|bytes| read(bytes)));
        assert_eq!(host.machine.get(PARTITION), shard.committed.get(PARTITION));
        shard.hosts.push(host);
    }

    /// Somebody has emptied the topic.
    pub(super) fn forget_shard(&mut self) {
        self.shard.log.clear();
        self.shard.committed = Manifests::new(LIMITS);
        self.shard.hosts.push(Host::of(std::iter::empty()));
        // Ids that nobody knows any more are not drawn again: they have 128 bits.
        self.drawn.clear();
    }
}
