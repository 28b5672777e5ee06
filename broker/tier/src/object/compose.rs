//! A segment as an object: batches as they lie in the log, then what readers need beside them.
//!
//! ```text
//!  source ──a part is read──▶ checked, indexed, summed ──the same memory──▶ store
//!                                     └──at the end: index, producers, sums, footer──▶ store
//! ```
//! The bytes are read once, and what is sent is what was checked. Damage that is found late ends an
//! upload of which nothing is visible yet. The rejected ways: to check all of it before the first part is
//! sent takes a second reading, which has to be summed again; to trust that reading stores what
//! nobody checked.

use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure, ObjectWait};
use freshet_records::{BatchError, crc32c};
use freshet_types::{ErrorKind, LeaderEpoch, Offset, TopicPartition};

use super::footer::{Footer, Section, SectionKind};
use super::walk::Walk;
use crate::machine::Stored;
use crate::segment::{EpochStart, SegmentId, span};

/// The bytes of a closed segment.
pub trait SegmentBytes: Send + Sync {
    /// How many there are.
    fn len_bytes(&self) -> u64;

    /// Reads a range, into memory whose length and bytes mean nothing: what was read into before, so
    /// that the kernel need not find and clear new pages each time.
    fn read(&self, range: Range<u64>, memory: BytesMut) -> ObjectWait<'_, BytesMut>;
}

/// A closed segment, and what its object is to say of it.
pub struct SegmentSource {
    /// Whose records.
    pub partition: TopicPartition,
    /// Drawn for this attempt.
    pub id: SegmentId,
    /// Epoch of the leader that uploads.
    pub leader_epoch: LeaderEpoch,
    /// 0 as the leader wrote the records; else how often they were rewritten.
    pub generation: u32,
    /// First offset.
    pub start: Offset,
    /// The offset after the last one.
    pub end: Offset,
    /// The leader epochs of these offsets, ascending; the first one begins at or before `start`.
    pub epochs: Vec<EpochStart>,
    /// Exactly the batches of these offsets, as on the disk. Offsets may lack where a cleaner was.
    pub batches: Box<dyn SegmentBytes>,
    /// The producers as of `end`; not looked into.
    pub producers: Bytes,
    /// The aborted transactions that reach into it; not looked into, may be empty.
    pub aborted: Bytes,
    /// Bytes from one entry of the index to the next (`index.interval.bytes`).
    pub spacing: u32,
}

impl fmt::Debug for SegmentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, start, end) = (self.id, self.start, self.end);
        write!(f, "SegmentSource({id}, {start}..{end})")
    }
}

/// Why a segment is not made an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// No whole, valid batch is where one should be.
    #[error("the batch at offset {offset}, byte {position}, is damaged: {what}")]
    Damaged {
        /// The first offset that no batch before covers.
        offset: Offset,
        /// Where it should begin.
        position: u64,
        /// What is wrong.
        what: BatchError,
    },
    /// A valid batch is not one of these offsets, or comes twice.
    #[error("the batch at byte {position} has offsets {from}..{to}, wanted is {least}..{end}")]
    Misplaced {
        /// Where it begins.
        position: u64,
        /// Its first offset.
        from: Offset,
        /// The offset after its last one.
        to: Offset,
        /// Where the batch before ends.
        least: Offset,
        /// Where the segment ends.
        end: Offset,
    },
    /// It is too long for an index.
    #[error("byte {position} lies too far from the segment's first")]
    TooLong {
        /// A batch begins here.
        position: u64,
    },
    /// Offsets and epochs contradict one another.
    #[error("malformed segment: {0}")]
    Malformed(&'static str),
    /// The bytes cannot be read.
    #[error(transparent)]
    Source(#[from] ObjectError),
}

impl ComposeError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } | Self::Misplaced { .. } => ErrorKind::Corrupt,
            Self::TooLong { .. } | Self::Malformed(_) => ErrorKind::Invalid,
            Self::Source(error) => error.kind(),
        }
    }
}

/// What was made of a segment, once all of it was given away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Composed {
    /// What its end says.
    pub(crate) footer: Footer,
    pub(crate) size_bytes: u64,
}

impl Composed {
    /// What to commit, once it is stored and verified.
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            id: self.footer.id,
            start: self.footer.start,
            end: self.footer.end,
            size_bytes: self.size_bytes,
            max_timestamp: self.footer.max_timestamp,
            epochs: self.footer.epochs.clone(),
        }
    }
}

/// A segment on its way to become an object. Memory: the parts that the store has not done with, one more, and
/// its end (index, producers, aborted transactions, sums and footer; below 1 MiB but for many producers).
pub(crate) struct SegmentObject {
    source: SegmentSource,
    walk: Walk,
    /// Bytes of batches that were read.
    read: u64,
    /// What was given away of them and not taken back.
    lent: Vec<Bytes>,
    /// What was made at the end, and what of that is not given away yet.
    end: Option<(Composed, Bytes)>,
    trouble: Option<ComposeError>,
}

impl fmt::Debug for SegmentObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentObject({:?}, {})", self.source, self.read)
    }
}

impl SegmentObject {
    /// Nothing is read yet.
    ///
    /// # Errors
    /// `Malformed`: its offsets and epochs contradict one another.
    pub(crate) fn new(source: SegmentSource) -> Result<Self, ComposeError> {
        let (start, end) = (source.start, source.end);
        if start < 0 || start >= end {
            return Err(ComposeError::Malformed("it has no offsets"));
        }
        if !span(&source.epochs, start, end) {
            return Err(ComposeError::Malformed("epochs of other offsets"));
        }
        let walk = Walk::new(start..end, source.batches.len_bytes(), source.spacing);
        Ok(Self {
            source,
            walk,
            read: 0,
            lent: Vec::new(),
            end: None,
            trouble: None,
        })
    }

    /// What was made, when all batches have turned out to be sound; else, why not, if that is known.
    pub(crate) fn ended(self) -> Result<Composed, Option<ComposeError>> {
        self.end.map(|(composed, _)| composed).ok_or(self.trouble)
    }

    async fn next(&mut self, bytes: u64) -> Result<Vec<Bytes>, ComposeError> {
        let mut part = Vec::with_capacity(2);
        let left = self.source.batches.len_bytes() - self.read;
        let now = left.min(bytes);
        if now > 0 {
            part.push(self.batches(now).await?);
        }
        if now == left {
            part.extend(self.rest(bytes - now)?);
        }
        Ok(part)
    }

    /// The next bytes of batches, checked.
    async fn batches(&mut self, bytes: u64) -> Result<Bytes, ComposeError> {
        let memory = self.given_back();
        let range = self.read..self.read + bytes;
        let part = self
            .source
            .batches
            .read(range.clone(), memory.unwrap_or_default());
        let part = part.await?.freeze();
        if part.len() as u64 != bytes {
            let why = format!("{} bytes of {range:?}", part.len());
            return Err(refused(ObjectFailure::Unanswered, why).into());
        }
        self.walk.take(&part)?;
        self.read += bytes;
        match self.read < self.source.batches.len_bytes() {
            true => self.lent.push(part.clone()),
            // Nothing more is read, so no memory is waited for.
            false => self.lent.clear(),
        }
        Ok(part)
    }

    /// The memory of a part that the store is done with. Of what is more than that one nothing stays.
    fn given_back(&mut self) -> Option<BytesMut> {
        let done = self.lent.iter().position(Bytes::is_unique)?;
        let memory = self.lent.swap_remove(done);
        self.lent.retain(|part| !part.is_unique());
        memory.try_into_mut().ok()
    }

    /// What is left of the end, as far as it fits.
    fn rest(&mut self, bytes: u64) -> Result<Option<Bytes>, ComposeError> {
        if self.end.is_none() {
            self.end = Some(self.make_end()?);
        }
        let rest = self.end.as_mut().map(|(_, rest)| {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            rest.split_to(bytes.min(rest.len()))
        });
        Ok(rest.filter(|rest| !rest.is_empty()))
    }

    fn make_end(&mut self) -> Result<(Composed, Bytes), ComposeError> {
        let walked = self.walk.finish()?;
        let source = &mut self.source;
        let batches = Section {
            kind: SectionKind::Batches,
            range: 0..self.read,
            crc: walked.crc,
        };
        let mut footer = Footer {
            partition: source.partition,
            id: source.id,
            leader_epoch: source.leader_epoch,
            generation: source.generation,
            start: source.start,
            end: source.end,
            max_timestamp: walked.max_timestamp,
            epochs: std::mem::take(&mut source.epochs),
            sections: vec![batches],
        };
        let mut tail = BytesMut::new();
        for (kind, bytes) in [
            (SectionKind::Index, walked.index.into()),
            (
                SectionKind::ProducersAfter,
                std::mem::take(&mut source.producers),
            ),
            (SectionKind::Aborted, std::mem::take(&mut source.aborted)),
            (SectionKind::Sums, Bytes::from(walked.sums)),
        ] {
            let from = self.read + tail.len() as u64;
            let range = from..from + bytes.len() as u64;
            let crc = crc32c(&bytes);
            footer.sections.push(Section { kind, range, crc });
            tail.extend_from_slice(&bytes);
        }
        tail.extend_from_slice(&footer.to_bytes());
        let size_bytes = self.read + tail.len() as u64;
        Ok((Composed { footer, size_bytes }, tail.freeze()))
    }
}

impl ObjectBody for SegmentObject {
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>> {
        Box::pin(async move {
            let part = self.next(bytes).await;
            part.map_err(|error| {
                let told = refused(ObjectFailure::Invalid, error.to_string());
                self.trouble = Some(error);
                told
            })
        })
    }
}

fn refused(failure: ObjectFailure, why: String) -> ObjectError {
    ObjectError {
        doing: "read a part of",
        key: "a segment".to_owned(),
        failure,
        why,
    }
}
