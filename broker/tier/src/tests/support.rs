//! One partition and its machine, asked in one line.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use freshet_env::objects::ObjectWait;
use freshet_types::{
    LeaderEpoch, Machine, Millis, Now, Offset, StoredRecord, Ticket, Timestamp, TopicId,
    TopicPartition,
};

use crate::machine::{
    Answer, Ask, Claim, Limits, Manifests, Purpose, Record, Refusal, Request, Stored,
    said_from_bytes, said_to_bytes,
};
use crate::manifest::Manifest;
use crate::object::SegmentBytes;
use crate::segment::{EpochStart, SegmentId};

pub(super) const HERE: TopicPartition = TopicPartition {
    topic: TopicId([7; 16]),
    partition: 2,
};

impl SegmentBytes for Bytes {
    fn len_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, range: Range<u64>, mut memory: BytesMut) -> ObjectWait<'_, BytesMut> {
        let at = |position: u64| usize::try_from(position).unwrap();
        memory.clear();
        memory.extend_from_slice(&self[at(range.start)..at(range.end)]);
        Box::pin(std::future::ready(Ok(memory)))
    }
}

pub(super) fn id(n: u8) -> SegmentId {
    SegmentId([n; 16])
}

pub(super) fn epochs(list: &[(LeaderEpoch, Offset)]) -> Vec<EpochStart> {
    let start = |&(epoch, offset)| EpochStart { epoch, offset };
    list.iter().map(start).collect()
}

pub(super) fn stored(n: u8, start: Offset, end: Offset) -> Stored {
    Stored {
        id: id(n),
        start,
        end,
        size_bytes: 100,
        max_timestamp: Timestamp(end * 10),
        epochs: epochs(&[(1, start)]),
    }
}

pub(super) fn log(log_start: Offset, local_start: Offset, log_end: Offset) -> Claim {
    Claim {
        log_start,
        local_start,
        log_end,
        epochs: epochs(&[(1, local_start)]),
        unclean: None,
    }
}

/// A machine with a clock, and what it has written.
pub(super) struct Shard {
    pub(super) machine: Manifests,
    pub(super) now: u64,
    pub(super) records: Vec<Record>,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            machine: Manifests::new(Limits::default()),
            now: 0,
            records: Vec::new(),
        }
    }

    /// A leader of epoch 1 has claimed a log of 1000 records.
    pub(super) fn claimed() -> Self {
        let mut shard = Self::new();
        shard.ask(1, Ask::Claim(log(0, 0, 1000))).unwrap();
        shard
    }

    /// ... and has tiered these; ids count from 1.
    pub(super) fn with(segments: &[(Offset, Offset)]) -> Self {
        let mut shard = Self::claimed();
        for (n, (start, end)) in (1..).zip(segments) {
            shard.append(1, stored(n, *start, *end)).unwrap();
        }
        shard
    }

    pub(super) fn ask(&mut self, leader_epoch: LeaderEpoch, ask: Ask) -> Result<Answer, Refusal> {
        let now = Now {
            monotonic: Millis(self.now),
            wall: Timestamp(0),
        };
        let request = Request {
            partition: HERE,
            leader_epoch,
            ask,
        };
        assert_eq!(
            Request::from_bytes(&request.to_bytes()).as_ref(),
            Ok(&request)
        );
        let mut decision = self.machine.decide(now, Ticket(7), request);
        for record in &decision.records {
            let bytes = record.to_bytes();
            assert_eq!(Record::from_bytes(&bytes).as_ref(), Ok(record));
            self.machine.apply(record);
        }
        self.records.append(&mut decision.records);
        assert_eq!(decision.replies.len(), 1);
        let said = decision.replies.remove(0).1;
        assert_eq!(
            said_from_bytes(&said_to_bytes(&said)).as_ref(),
            Ok(&said),
            "it goes to another broker as it is"
        );
        said
    }

    pub(super) fn begin(
        &mut self,
        leader_epoch: LeaderEpoch,
        stored: &Stored,
        purpose: Purpose,
    ) -> Result<Answer, Refusal> {
        let Stored { id, start, end, .. } = *stored;
        self.ask(
            leader_epoch,
            Ask::Begin {
                id,
                start,
                end,
                purpose,
            },
        )
    }

    pub(super) fn append(
        &mut self,
        leader_epoch: LeaderEpoch,
        stored: Stored,
    ) -> Result<Answer, Refusal> {
        self.begin(leader_epoch, &stored, Purpose::Append)?;
        self.ask(leader_epoch, Ask::Commit(stored))
    }

    pub(super) fn rewrite(&mut self, added: &[Stored], removed: &[u8]) -> Result<Answer, Refusal> {
        for stored in added {
            self.begin(1, stored, Purpose::Rewrite)?;
        }
        let removed = removed.iter().map(|n| id(*n)).collect();
        let added = added.to_vec();
        self.ask(1, Ask::Replace { removed, added })
    }

    pub(super) fn manifest(&self) -> &Manifest {
        self.machine.get(HERE).unwrap()
    }

    /// What is visible, by the first byte of the ids.
    pub(super) fn shown(&self) -> Vec<(u8, Offset, Offset)> {
        let segments = self.manifest().segments().iter();
        segments.map(|s| (s.id.0[0], s.start, s.end)).collect()
    }

    /// The present version is in the bucket.
    pub(super) fn export(&mut self) {
        let version = self.manifest().version();
        let epoch = self.manifest().leader_epoch();
        self.ask(epoch, Ask::Exported { version }).unwrap();
    }

    /// What may be deleted, by the first byte of the ids.
    pub(super) fn doomed(&mut self) -> Vec<u8> {
        match self.ask(1, Ask::Collect) {
            Ok(Answer::Doomed { objects, .. }) => objects.iter().map(|(id, _)| id.0[0]).collect(),
            other => panic!("{other:?}"),
        }
    }
}
