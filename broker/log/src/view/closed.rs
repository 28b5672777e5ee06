//! Segments that nobody writes to any more, as they are copied to another store.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use freshet_types::{LeaderEpoch, Offset, Timestamp};

use super::read::failed_read;
use super::{LogView, Shared};
use crate::log::producers_at;
use crate::segment::Segment;
use crate::{Busy, Done, ReadError};

/// A closed segment. What was opened of it stays readable while retention removes it.
#[derive(Debug, Clone)]
pub struct ClosedSegment {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
    end: Offset,
}

impl LogView {
    /// The closed segments that end above `from`, and at `upto` or below, oldest first.
    pub fn closed_segments(&self, from: Offset, upto: Offset) -> Vec<ClosedSegment> {
        let segments = self.0.segments.read();
        let ends = segments.iter().skip(1).map(|next| next.base());
        let closed = segments.iter().zip(ends);
        closed
            .filter(|(_, end)| (from + 1..=upto).contains(end))
            .map(|(segment, end)| ClosedSegment {
                shared: Arc::clone(&self.0),
                segment: Arc::clone(segment),
                end,
            })
            .collect()
    }

    /// The leader epochs of the log and where they start, ascending. The first one may have begun
    /// before the log does.
    pub fn epochs(&self) -> Vec<(LeaderEpoch, Offset)> {
        self.0.epochs.read().entries().to_vec()
    }
}

impl ClosedSegment {
    /// Its first offset.
    pub fn base(&self) -> Offset {
        self.segment.base()
    }

    /// The offset after its last one.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Bytes of its batches.
    pub fn size_bytes(&self) -> u64 {
        self.segment.size_bytes()
    }

    /// When its newest record was made; `None` if none of its records says. On a reader thread; `done`
    /// runs there.
    ///
    /// # Errors
    /// As [`Self::read`]; [`ReadError::Corrupt`], where no index tells and the headers of batches do not either.
    pub fn newest(&self, done: Done<Option<Timestamp>, ReadError>) -> Result<(), Busy> {
        let this = self.clone();
        let job = Box::new(move || {
            let found = this.segment.max_time();
            let found = found.map_err(|error| this.shared.scan_failed(this.base(), error));
            done(found.map(|max| max.map(|max| max.timestamp)));
        });
        self.shared.context.readers.submit(job)
    }

    /// Reads a range of its bytes on a reader thread; `done` runs there. Nothing is verified. `memory` is what
    /// they are read into, if it is large enough; what it holds is overwritten.
    ///
    /// # Errors
    /// [`ReadError::Unreadable`]: the device does not give back what was written, or the file ends early.
    /// [`ReadError::Io`]: the range does not lie in it, or it was removed before it was opened.
    pub fn read(
        &self,
        range: Range<u64>,
        memory: BytesMut,
        done: Done<BytesMut, ReadError>,
    ) -> Result<(), Busy> {
        let this = self.clone();
        let job = Box::new(move || {
            let read = this.read_blocking(range, memory);
            done(read.map_err(|error| failed_read(&error)));
        });
        self.shared.context.readers.submit(job)
    }

    fn read_blocking(&self, range: Range<u64>, mut memory: BytesMut) -> io::Result<BytesMut> {
        let within = range.start <= range.end && range.end <= self.size_bytes();
        let length = usize::try_from(range.end.saturating_sub(range.start));
        let (true, Ok(length)) = (within, length) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if memory.capacity() < length {
            memory = BytesMut::zeroed(length);
        }
        memory.resize(length, 0);
        let file = self.shared.open_segment(&self.segment)?;
        file.read_exact_at(&mut memory, range.start)?;
        Ok(memory)
    }

    /// The producers as they were at its end: what a snapshot file has (docs/formats/log.md, FRPR).
    /// On a reader thread; `done` runs there.
    ///
    /// # Errors
    /// As [`Self::read`]; [`ReadError::Corrupt`], where no snapshot tells and the headers of batches do not
    /// either.
    pub fn producers(&self, done: Done<Bytes, ReadError>) -> Result<(), Busy> {
        let this = self.clone();
        let job = Box::new(move || done(this.producers_blocking()));
        self.shared.context.readers.submit(job)
    }

    fn producers_blocking(&self) -> Result<Bytes, ReadError> {
        let segments = self.shared.segments.read().clone();
        let max_producers = self.shared.config.load().max_producers;
        let snapshots = self.shared.snapshot_files();
        let mut snapshots = snapshots.map_err(|error| ReadError::Io {
            reason: error.to_string().into(),
        })?;
        snapshots.retain(|offset| *offset <= self.end);
        let producers = producers_at(
            &self.shared,
            &segments,
            &mut snapshots,
            self.end,
            max_producers,
        );
        let producers = producers.map_err(|error| self.shared.scan_failed(self.end, error))?;
        Ok(producers.snapshot().into())
    }
}
