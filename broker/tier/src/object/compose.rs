//! A segment as an object: batches as they lie in the log, then what readers need beside them.
//!
//! ```text
//!  source ──one pass: checked, indexed, summed──▶ index, sums, footer      (in memory, below 1 MiB)
//!    └──────a second time, in parts, each held against its sums──▶ store
//! ```
//! The bytes are read twice and held never: what could change in between is seen by the sums. The
//! rejected way, to trust the second reading, would store and commit what nobody checked.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use freshet_env::objects::{ObjectBody, ObjectError, ObjectFailure, ObjectWait};
use freshet_records::{Batch, BatchError, crc32c};
use freshet_types::{ErrorKind, LeaderEpoch, Offset, TopicPartition};

use super::footer::{Footer, Section, SectionKind};
use super::index::Index;
use super::sums::{CHUNK_BYTES, Sums};
use crate::machine::Stored;
use crate::segment::{EpochStart, SegmentId, span};

/// Batches begin below this, as in a log's segment: positions are 32 bits.
const MAX_POSITION: u64 = i32::MAX as u64;

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
    pub batches: Arc<dyn ObjectBody>,
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

/// A segment, ready to be put. Its memory is its tail: index, producers, aborted transactions, sums and
/// footer.
pub struct SegmentObject {
    footer: Footer,
    batches: Arc<dyn ObjectBody>,
    sums: Sums,
    tail: Bytes,
}

impl fmt::Debug for SegmentObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentObject({:?})", self.footer)
    }
}

/// Checks a segment, indexes it, and makes it an object. Memory: a chunk, or one batch that is larger.
///
/// # Errors
/// See [`ComposeError`]: damage is told by offset and byte, and no object comes of it.
pub async fn compose(source: SegmentSource) -> Result<SegmentObject, ComposeError> {
    check(&source)?;
    let mut walk = Walk {
        source: &source,
        position: 0,
        next: source.start,
        index: Index::new(source.spacing),
        sums: Sums::default(),
    };
    walk.all().await?;
    let (index, mut sums) = (walk.index, walk.sums);
    let crc = sums.finish();
    let mut footer = Footer {
        partition: source.partition,
        id: source.id,
        leader_epoch: source.leader_epoch,
        generation: source.generation,
        start: source.start,
        end: source.end,
        max_timestamp: index.max_timestamp(),
        epochs: source.epochs,
        sections: vec![Section {
            kind: SectionKind::Batches,
            range: 0..source.batches.len_bytes(),
            crc,
        }],
    };
    let mut tail = BytesMut::new();
    for (kind, bytes) in [
        (SectionKind::Index, index.to_bytes().into()),
        (SectionKind::ProducersAfter, source.producers),
        (SectionKind::Aborted, source.aborted),
        (SectionKind::Sums, Bytes::from(sums.to_bytes())),
    ] {
        let from = source.batches.len_bytes() + tail.len() as u64;
        let range = from..from + bytes.len() as u64;
        let crc = crc32c(&bytes);
        footer.sections.push(Section { kind, range, crc });
        tail.extend_from_slice(&bytes);
    }
    tail.extend_from_slice(&footer.to_bytes());
    Ok(SegmentObject {
        footer,
        batches: source.batches,
        sums,
        tail: tail.freeze(),
    })
}

fn check(source: &SegmentSource) -> Result<(), ComposeError> {
    let (start, end) = (source.start, source.end);
    if start < 0 || start >= end {
        return Err(ComposeError::Malformed("it has no offsets"));
    }
    if !span(&source.epochs, start, end) {
        return Err(ComposeError::Malformed("epochs of other offsets"));
    }
    Ok(())
}

/// The one pass.
struct Walk<'a> {
    source: &'a SegmentSource,
    position: u64,
    /// The next batch begins here, or behind.
    next: Offset,
    index: Index,
    sums: Sums,
}

impl Walk<'_> {
    async fn all(&mut self) -> Result<(), ComposeError> {
        let end = self.source.batches.len_bytes();
        let mut want = CHUNK_BYTES;
        while self.position < end {
            let until = end.min(self.position.saturating_add(want));
            let piece = read(&*self.source.batches, self.position..until).await?;
            let (taken, needed) = self.take(&piece, until == end)?;
            self.sums.add(&piece[..taken]);
            // A batch that is larger than a piece is read whole.
            want = if taken == 0 { needed } else { CHUNK_BYTES };
        }
        Ok(())
    }

    /// Takes the whole batches of a piece: their bytes, and what the next one needs.
    fn take(&mut self, piece: &Bytes, is_last: bool) -> Result<(usize, u64), ComposeError> {
        let mut taken = 0;
        while taken < piece.len() {
            match Batch::parse(&piece.slice(taken..)) {
                Ok(batch) => {
                    self.batch(&batch)?;
                    taken += batch.bytes().len();
                }
                // What no longer fits is damage; nothing is read because a length field says so.
                Err(BatchError::Truncated { needed_bytes, .. })
                    if !is_last && needed_bytes as u64 <= self.left() =>
                {
                    return Ok((taken, needed_bytes as u64));
                }
                Err(what) => return Err(self.damaged(what)),
            }
        }
        Ok((taken, CHUNK_BYTES))
    }

    fn left(&self) -> u64 {
        self.source.batches.len_bytes() - self.position
    }

    fn damaged(&self, what: BatchError) -> ComposeError {
        ComposeError::Damaged {
            offset: self.next,
            position: self.position,
            what,
        }
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), ComposeError> {
        batch.check_crc().map_err(|what| self.damaged(what))?;
        let header = batch.header();
        let (position, end) = (self.position, self.source.end);
        let (from, to) = (header.base_offset, header.next_offset());
        if from < self.next || to > end {
            return Err(ComposeError::Misplaced {
                position,
                from,
                to,
                least: self.next,
                end,
            });
        }
        let delta = u32::try_from(from - self.source.start).ok();
        let bytes = u32::try_from(header.size_bytes).ok();
        let (Some(delta), Some(bytes)) = (delta, bytes.filter(|_| position <= MAX_POSITION)) else {
            return Err(ComposeError::TooLong { position });
        };
        self.index.add(delta, bytes, header.max_timestamp);
        self.position += header.size_bytes as u64;
        self.next = to;
        Ok(())
    }
}

/// A part of a body, all of it.
async fn read(body: &dyn ObjectBody, range: Range<u64>) -> Result<Bytes, ObjectError> {
    let bytes = body.part(range.clone()).await?;
    if bytes.len() as u64 != range.end - range.start {
        let why = format!("{} bytes of {range:?}", bytes.len());
        return Err(refused(ObjectFailure::Unanswered, why));
    }
    Ok(bytes)
}

fn refused(failure: ObjectFailure, why: String) -> ObjectError {
    ObjectError {
        doing: "read a part of",
        key: "a segment".to_owned(),
        failure,
        why,
    }
}

impl SegmentObject {
    /// What its end says.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// What to commit, once it is stored and verified.
    pub fn stored(&self) -> Stored {
        Stored {
            id: self.footer.id,
            start: self.footer.start,
            end: self.footer.end,
            size_bytes: self.len_bytes(),
            max_timestamp: self.footer.max_timestamp,
            epochs: self.footer.epochs.clone(),
        }
    }

    /// A range of the batches, as they were when they were checked: whole chunks are read and summed.
    async fn checked(&self, range: Range<u64>) -> Result<Bytes, ObjectError> {
        let first = range.start / CHUNK_BYTES;
        let from = first * CHUNK_BYTES;
        let until = range.end.next_multiple_of(CHUNK_BYTES);
        let whole = from..until.min(self.batches.len_bytes());
        let bytes = read(&*self.batches, whole).await?;
        let chunk_bytes = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
        for (chunk, bytes) in (first..).zip(bytes.chunks(chunk_bytes)) {
            let chunk = u32::try_from(chunk).unwrap_or(u32::MAX);
            if self.sums.of(chunk) != Some(crc32c(bytes)) {
                let why = format!("chunk {chunk} has changed since it was checked");
                return Err(refused(ObjectFailure::Invalid, why));
            }
        }
        let skip = usize::try_from(range.start - from).unwrap_or(usize::MAX);
        let until = usize::try_from(range.end - from).unwrap_or(usize::MAX);
        Ok(bytes.slice(skip..until))
    }
}

impl ObjectBody for SegmentObject {
    fn len_bytes(&self) -> u64 {
        self.batches.len_bytes() + self.tail.len() as u64
    }

    fn part(&self, range: Range<u64>) -> ObjectWait<'_, Bytes> {
        Box::pin(async move {
            let len = self.len_bytes();
            if range.start > range.end || range.end > len {
                let why = format!("bytes {range:?} of {len}");
                return Err(refused(ObjectFailure::Invalid, why));
            }
            let border = self.batches.len_bytes();
            let (from, until) = (range.start.max(border), range.end.max(border));
            let tail = self.tail.part(from - border..until - border).await?;
            if range.start >= border {
                return Ok(tail);
            }
            let batches = self.checked(range.start..range.end.min(border)).await?;
            if tail.is_empty() {
                return Ok(batches);
            }
            Ok([batches, tail].concat().into())
        })
    }
}
