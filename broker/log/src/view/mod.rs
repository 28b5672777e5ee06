//! Reading a log without asking its writer.

pub(crate) mod buffers;
mod closed;
pub(crate) mod hot;
mod read;
mod shared;
mod times;

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use bytes::Bytes;
use freshet_types::{LeaderEpoch, Offset, Timestamp, TopicId};

pub use closed::ClosedSegment;
pub(crate) use shared::{Dirty, Shared, SharedSpec};

use crate::{Busy, Cleanup, Done, LogConfig, LogDir, LogError, LogName, ReadError, Tiered};

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadSpec {
    /// First offset wanted; the batch that holds it comes whole.
    pub from: Offset,
    /// Bytes of batches wanted at most.
    pub max_bytes: usize,
    /// Batches that reach this offset or beyond are left out (high watermark, last stable offset).
    pub upper_bound: Offset,
    /// Return the first batch even if it is larger than `max_bytes` (KIP-74).
    pub at_least_one: bool,
}

/// Whole batches, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Shared buffers that hold the batches back to back when joined; borders mean nothing.
    pub chunks: Vec<Bytes>,
    /// Sum of the chunks' lengths.
    pub bytes: usize,
    /// Offset after the last batch; `from` when there is none.
    pub next_offset: Offset,
    /// The log start when it was read.
    pub log_start: Offset,
    /// The log end when it was read.
    pub log_end: Offset,
}

impl Fetched {
    /// The batches as one buffer: the chunk itself where there is one, a copy where there are more.
    pub fn into_one(self) -> Bytes {
        match <[Bytes; 1]>::try_from(self.chunks) {
            Ok([only]) => only,
            Err(chunks) => chunks.concat().into(),
        }
    }
}

/// Answer of [`LogView::read`].
#[derive(Debug)]
pub enum Read {
    /// From the hot tail or the page cache.
    Ready(Fetched),
    /// The device must be asked: pass the same spec to [`LogView::read_cold`].
    Cold,
}

/// Where an epoch ends (KIP-101, KIP-279).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch in the log that is not above the one asked; -1 when there is none.
    pub epoch: LeaderEpoch,
    /// The offset after its last record; -1 when there is none.
    pub end_offset: Offset,
}

/// A lookup by time (ListOffsets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeQuery {
    /// The first record with this timestamp or a later one.
    AtOrAfter(Timestamp),
    /// The record with the largest timestamp, the first if there are several (-3).
    Max,
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

/// Readers' side of a log: cheap to clone, never waits for the writer.
#[derive(Debug, Clone)]
pub struct LogView(pub(crate) Arc<Shared>);

impl LogView {
    /// Topic and partition.
    pub fn name(&self) -> &LogName {
        &self.0.name
    }

    /// Which life of the topic.
    pub fn topic_id(&self) -> TopicId {
        self.0.topic_id
    }

    /// The directory (an entry of `log.dirs`) that holds it.
    pub fn dir(&self) -> &Arc<LogDir> {
        &self.0.dir
    }

    /// Its settings.
    pub fn config(&self) -> Arc<LogConfig> {
        self.0.config.load_full()
    }

    /// What becomes of it in object storage, if it goes there.
    pub fn tiered(&self) -> Option<Tiered> {
        self.0.config.load().tiered
    }

    /// What happens to old records.
    pub fn cleanup(&self) -> Cleanup {
        self.0.config.load().cleanup
    }

    /// First offset that can be read.
    pub fn log_start(&self) -> Offset {
        self.0.log_start.load(Acquire)
    }

    /// Offset that the next record gets.
    pub fn log_end(&self) -> Offset {
        self.0.log_end.load(Acquire)
    }

    /// Records below are durable as the topic's [`crate::Durability`] means it.
    pub fn flushed(&self) -> Offset {
        self.0.flushed.load(Acquire)
    }

    /// First offset of the oldest open transaction.
    pub fn first_unstable(&self) -> Option<Offset> {
        Some(self.0.first_unstable.load(Acquire)).filter(|&offset| offset >= 0)
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        let segments = self.0.segments.read();
        segments.iter().map(|segment| segment.size_bytes()).sum()
    }

    /// Why the log cannot serve, if it cannot.
    pub fn failure(&self) -> Option<LogError> {
        self.0.usable().err()
    }

    /// The latest leader epoch, with the offset where it started.
    pub fn latest_epoch(&self) -> Option<(LeaderEpoch, Offset)> {
        self.0.epochs.read().latest()
    }

    /// Where `epoch` ends; the log end for the latest.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> EpochEnd {
        let epochs = self.0.epochs.read();
        epochs.end_of(epoch, self.log_end())
    }

    /// Leader epoch of the record at `offset`; `None` outside of the log.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let inside = (self.log_start()..self.log_end()).contains(&offset);
        inside.then(|| self.0.epochs.read().at(offset)).flatten()
    }

    /// How far a copy of this log is right: up to its end, or less where this log was cut since; `None`
    /// if it has nothing that counts and must begin anew. By leader epochs (KIP-101): a record is
    /// the same in both if its offset and epoch are.
    pub fn agrees_with(&self, copy: &Self) -> Option<Offset> {
        let (start, end) = (self.log_start(), copy.log_end());
        // Without the first records it is none, however right the others are.
        if copy.log_start() > start {
            return None;
        }
        let common = match copy.latest_epoch() {
            Some((epoch, _)) => {
                let here = self.end_offset_for_epoch(epoch);
                (here.epoch == epoch).then_some(here.end_offset.min(end))?
            }
            None if copy.log_start() == end => end,
            None => return None,
        };
        (common >= start && common >= copy.log_start() && common <= self.log_end())
            .then_some(common)
    }

    /// Reads without ever waiting for the device. `from == log_end` gives nothing; so does a first
    /// batch that reaches `upper_bound`.
    pub fn read(&self, spec: &ReadSpec) -> Result<Read, ReadError> {
        self.0.read(spec)
    }

    /// Reads on a reader thread; `done` runs there.
    pub fn read_cold(&self, spec: ReadSpec, done: Done<Fetched, ReadError>) -> Result<(), Busy> {
        let view = self.clone();
        self.0.context.metrics.count_cold_read();
        let job = Box::new(move || done(view.read_blocking(&spec)));
        self.0.context.readers.submit(job)
    }

    /// Reads, waiting for the device. For threads of our own and tests, never for async tasks.
    pub fn read_blocking(&self, spec: &ReadSpec) -> Result<Fetched, ReadError> {
        self.0.read_blocking(spec)
    }

    /// Looks a record up by time on a reader thread, among batches below `upper_bound`.
    pub fn find_time(
        &self,
        query: TimeQuery,
        upper_bound: Offset,
        done: Done<Option<TimedOffset>, ReadError>,
    ) -> Result<(), Busy> {
        let view = self.clone();
        let job = Box::new(move || done(view.find_time_blocking(query, upper_bound)));
        self.0.context.readers.submit(job)
    }

    /// Like [`LogView::find_time`], on the calling thread.
    pub fn find_time_blocking(
        &self,
        query: TimeQuery,
        upper_bound: Offset,
    ) -> Result<Option<TimedOffset>, ReadError> {
        self.0.find_time(query, upper_bound)
    }
}
