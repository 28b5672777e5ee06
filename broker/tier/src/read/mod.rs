//! Reading a partition's past out of the bucket.
//!
//! ```text
//!  offset ─▶ manifest ─▶ segment ─▶ opened (footer, index, sums) ─▶ chunks ─▶ batches, whole
//!                                        │                            │
//!                                 kept, bounded in bytes       kept, bounded in bytes ──▶ disk
//!                                        └── one fetch for each ──────┴── read ahead ──▶ gate ─▶ store
//! ```
//! It answers as a local log does. Every fetch is a task of its own, which the host starts where cold
//! reads belong: not on a reactor, not on an append thread. Whoever polls a read computes checksums
//! and, for lookups by time, decompresses: that belongs there too. Nothing here knows the time: how
//! long a request may take is the store's business.

mod counters;
mod cursor;
mod disk;
mod error;
mod gate;
mod opened;
mod runs;
mod shared;
mod shelf;
mod store;
mod streams;
mod times;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::Objects;
use freshet_types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

use counters::count_up;
pub use counters::{Counters, DiskCounters};
use cursor::Cursor;
pub use disk::{DiskCache, DiskCacheParts, Pause};
pub use error::ColdError;
pub use gate::GateLoad;
use gate::Turn;
use opened::Opened;
use shared::Shared;
use streams::Progress;
use times::Lookup;

use crate::layout::Layout;
use crate::manifest::Manifest;
use crate::object::SectionKind;
use crate::segment::Segment;

/// Starts a task on the runtime that cold reads have. When it is dropped there, who waits gets an error.
pub type Spawn = Arc<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// What readers may take. What is kept, under way and waiting can be adjusted later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// Chunks that are kept, bytes.
    pub chunk_bytes: u64,
    /// Footers and indexes that are kept, bytes.
    pub index_bytes: u64,
    /// Sections that are kept (aborted transactions), bytes.
    pub section_bytes: u64,
    /// Requests to the store under way at a time, four chunks or a section each; at least 2.
    pub requests: usize,
    /// Requests that may wait for that.
    pub waiting: usize,
    /// Chunks that are read ahead of a stream; a quarter of those that are kept at most.
    pub ahead: u32,
    /// Streams that are known.
    pub streams: usize,
    /// Bytes that one read gives at most, whatever it asks for; one batch may be larger.
    pub read_bytes: usize,
    /// Length of a section that is read, bytes.
    pub section_max_bytes: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            chunk_bytes: 64 << 20,
            index_bytes: 16 << 20,
            section_bytes: 8 << 20,
            requests: 16,
            waiting: 4096,
            ahead: 16,
            streams: 4096,
            read_bytes: 8 << 20,
            section_max_bytes: 32 << 20,
        }
    }
}

impl ReadLimits {
    /// Keeps so many bytes of what objects have beside batches: indexes above all.
    #[must_use]
    pub fn keeping_indexes(self, bytes: u64) -> Self {
        let section_bytes = bytes / 3;
        Self {
            index_bytes: bytes - section_bytes,
            section_bytes,
            ..self
        }
    }
}

/// A partition's past: a copy of its manifest.
#[derive(Debug, Clone)]
pub struct Past {
    /// Whose.
    pub partition: TopicPartition,
    /// As of some version. What it names is there for a grace age after it was named last.
    pub manifest: Arc<Manifest>,
}

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColdSpec {
    /// First offset wanted; the batch that holds it comes whole.
    pub from: Offset,
    /// Bytes of batches wanted at most.
    pub max_bytes: usize,
    /// Batches that reach this offset or beyond are left out (high watermark, last stable offset).
    pub upper_bound: Offset,
    /// Return the first batch even if it is larger than `max_bytes` (KIP-74).
    pub at_least_one: bool,
    /// Who reads, for the turns and for what is read ahead: a number that is the same each time.
    pub client: u64,
}

/// Whole batches, in order, as stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColdBatches {
    /// Shared buffers that hold the batches back to back when joined; borders mean nothing.
    pub chunks: Vec<Bytes>,
    /// Sum of the chunks' lengths.
    pub bytes: usize,
    /// Where to go on: the offset after the last batch; the remote end where the bucket has no batch
    /// from the offset on (they were cleaned away); else the offset asked.
    pub next_offset: Offset,
}

/// A record found by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// Reads the past of all partitions of one broker. Cheap to clone.
#[derive(Clone)]
pub struct ColdReader(Arc<Shared>);

impl fmt::Debug for ColdReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ColdReader({:?})", self.0.limits)
    }
}

impl ColdReader {
    /// Reads objects of `layout`; fetches run where `spawn` starts them. What leaves memory is kept
    /// on `disk`, if there is one.
    pub fn new(
        objects: Arc<dyn Objects>,
        layout: Layout,
        spawn: Spawn,
        limits: ReadLimits,
        disk: Option<DiskCache>,
    ) -> Self {
        let disk = disk.map(Arc::new);
        Self(Arc::new(Shared::new(objects, layout, spawn, limits, disk)))
    }

    /// From now on no more than that is kept, under way and waiting. The other limits stay.
    pub fn adjust(&self, limits: &ReadLimits) {
        self.0.adjust(limits);
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.0.store.counters
    }

    /// Requests to the store under way, and waiting.
    pub fn load(&self) -> GateLoad {
        self.0.gate.load()
    }

    /// Bytes that are kept now: chunks, indexes and sections. What is on its way is not in there
    /// ([`ReadLimits::requests`] chunks or sections at most), nor what was handed out.
    pub fn held_bytes(&self) -> u64 {
        self.0.held_bytes()
    }

    /// What the disk cache has done so far, and the bytes that it holds; none without one.
    pub fn disk(&self) -> Option<(&DiskCounters, u64)> {
        let disk = self.0.disk.as_ref()?;
        Some((disk.counters(), disk.held_bytes()))
    }

    /// Reads from one segment, as a local log does; where a segment has nothing more, from the next.
    ///
    /// # Errors
    /// See [`ColdError`]. What is damaged or cut is never handed out; batches in front of it are.
    pub async fn read(&self, past: &Past, spec: &ColdSpec) -> Result<ColdBatches, ColdError> {
        let turn = Turn::Client(spec.client);
        let mut segment = segment_at(past, spec.from)?;
        let nothing = |next_offset| ColdBatches {
            next_offset,
            ..ColdBatches::default()
        };
        if spec.upper_bound <= spec.from {
            return Ok(nothing(spec.from));
        }
        let spec = ColdSpec {
            max_bytes: spec.max_bytes.min(self.0.limits.read_bytes),
            ..*spec
        };
        loop {
            let object = self.0.open(past.partition, segment, turn).await?;
            let next = past.manifest.at(segment.end);
            let mut cursor = Cursor::new(&self.0, &object, turn);
            let found = cursor.find(&spec, segment.start..segment.end).await?;
            if let Some(position) = found {
                let upper = spec.upper_bound.min(segment.end);
                let taken = cursor.take(position, &spec, upper).await?;
                self.note(past.partition, &spec, (&object, next), &taken);
                return Ok(taken.batches);
            }
            match next {
                Some(_) if segment.end >= spec.upper_bound => return Ok(nothing(spec.from)),
                Some(next) => segment = next,
                None => return Ok(nothing(segment.end)),
            }
        }
    }

    fn note(
        &self,
        partition: TopicPartition,
        spec: &ColdSpec,
        (object, behind): (&Arc<Opened>, Option<&Segment>),
        taken: &cursor::Taken,
    ) {
        if taken.batches.bytes == 0 {
            return;
        }
        count_up(&self.counters().read_bytes, taken.batches.bytes as u64);
        let progress = Progress {
            from: spec.from,
            next: taken.batches.next_offset,
            segment: object.footer.id,
            chunk: taken.chunk,
            last: object.last_chunk(),
        };
        let stream = (spec.client, partition);
        self.0.ahead(stream, (object, behind), &progress);
    }

    /// The first record below `upper_bound` with this timestamp or a later one, if the bucket has it;
    /// else the local log is asked.
    ///
    /// # Errors
    /// See [`ColdError`].
    pub async fn find_time(
        &self,
        past: &Past,
        target: Timestamp,
        upper_bound: Offset,
        client: u64,
    ) -> Result<Option<TimedOffset>, ColdError> {
        self.lookup(past, upper_bound, client).first(target).await
    }

    /// The record below `upper_bound` with the largest timestamp, the first if there are several. The
    /// local log may have a larger one.
    ///
    /// # Errors
    /// See [`ColdError`].
    pub async fn find_max_time(
        &self,
        past: &Past,
        upper_bound: Offset,
        client: u64,
    ) -> Result<Option<TimedOffset>, ColdError> {
        self.lookup(past, upper_bound, client).largest().await
    }

    fn lookup<'a>(&'a self, past: &'a Past, upper: Offset, client: u64) -> Lookup<'a> {
        Lookup {
            shared: &self.0,
            past,
            upper,
            turn: Turn::Client(client),
        }
    }

    /// The aborted transactions that reach into the segment that shows `offset`, as stored. The batches
    /// of one read are of one segment: that which shows the offset before their `next_offset`.
    ///
    /// # Errors
    /// See [`ColdError`].
    pub async fn aborted(
        &self,
        past: &Past,
        offset: Offset,
        client: u64,
    ) -> Result<Bytes, ColdError> {
        let segment = segment_at(past, offset)?;
        let place = (past.partition, segment, client);
        self.section(place, SectionKind::Aborted).await
    }

    /// The producers as of the end of the segment that shows `offset`, as stored: what a replica begins
    /// with there.
    ///
    /// # Errors
    /// See [`ColdError`]. `NoSection` where the segment was cut: its producers are those of its
    /// object's end, which is gone from readers.
    pub async fn producers_after(
        &self,
        past: &Past,
        offset: Offset,
        client: u64,
    ) -> Result<Bytes, ColdError> {
        let segment = segment_at(past, offset)?;
        let place = (past.partition, segment, client);
        self.section(place, SectionKind::ProducersAfter).await
    }

    async fn section(
        &self,
        (partition, segment, client): (TopicPartition, &Segment, u64),
        kind: SectionKind,
    ) -> Result<Bytes, ColdError> {
        let turn = Turn::Client(client);
        let object = self.0.open(partition, segment, turn).await?;
        let refuse = |what| ColdError::NoSection {
            key: object.key.clone(),
            what,
        };
        let section = object.footer.section(kind);
        let section = section.ok_or_else(|| refuse("it has no such section"))?;
        if section.range.end - section.range.start > self.0.limits.section_max_bytes {
            return Err(refuse("the section is too large"));
        }
        if kind == SectionKind::ProducersAfter && segment.end != object.footer.end {
            return Err(refuse("its end is hidden, and so are the producers there"));
        }
        self.0.section(&object, section, turn).await
    }
}

fn segment_at(past: &Past, offset: Offset) -> Result<&Segment, ColdError> {
    past.manifest.at(offset).ok_or(ColdError::OutOfRange {
        offset,
        start: past.manifest.log_start(),
        end: past.manifest.remote_end(),
    })
}
