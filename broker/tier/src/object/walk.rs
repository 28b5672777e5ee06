//! Judges the batches of a segment, which come in pieces that are cut anywhere: what is judged in one place
//! is sent from there, and a part of an object ends where it is full.

use std::ops::Range;

use freshet_records::{BatchError, BatchHeader, CRC_FROM, Crc32c, HEADER_BYTES};
use freshet_types::{Offset, Timestamp};

use super::compose::ComposeError;
use super::index::Index;
use super::sums::Sums;

/// Batches begin below this, as in a log's segment: positions are 32 bits.
const MAX_POSITION: u64 = i32::MAX as u64;
/// Bytes have two checksums, their batch's and their chunk's. The second is made of so many at a time, while
/// a core has them at hand.
const NEAR_BYTES: usize = 256 << 10;

/// See the module.
pub(crate) struct Walk {
    start: Offset,
    end: Offset,
    len_bytes: u64,
    /// Where the batch begins that is walked over, or the next one.
    position: u64,
    /// It begins at this offset, or behind.
    next: Offset,
    /// The beginning of a header.
    head: Vec<u8>,
    open: Option<Open>,
    index: Index,
    sums: Sums,
}

/// A batch whose header is known.
struct Open {
    header: BatchHeader,
    left: usize,
    crc: Crc32c,
}

/// What is known of batches that are all sound.
pub(crate) struct Walked {
    pub(crate) index: Vec<u8>,
    pub(crate) sums: Vec<u8>,
    /// Of all bytes.
    pub(crate) crc: u32,
    pub(crate) max_timestamp: Timestamp,
}

impl Walk {
    /// Over so many bytes, which should be the batches of these offsets.
    pub(crate) fn new(offsets: Range<Offset>, len_bytes: u64, spacing: u32) -> Self {
        Self {
            start: offsets.start,
            end: offsets.end,
            len_bytes,
            position: 0,
            next: offsets.start,
            head: Vec::with_capacity(HEADER_BYTES),
            open: None,
            index: Index::new(spacing),
            sums: Sums::default(),
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// Damage, of which nothing more is to be taken.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), ComposeError> {
        for near in bytes.chunks(NEAR_BYTES) {
            let mut left = near;
            while !left.is_empty() {
                left = match self.open.take() {
                    Some(open) => self.body(open, left)?,
                    None => self.header(left)?,
                };
            }
            self.sums.add(near);
        }
        Ok(())
    }

    /// No more bytes come.
    ///
    /// # Errors
    /// They end within a batch.
    pub(crate) fn finish(&mut self) -> Result<Walked, ComposeError> {
        if !self.head.is_empty() {
            let what = BatchError::Truncated {
                needed_bytes: HEADER_BYTES,
                present_bytes: self.head.len(),
            };
            return Err(self.damaged(what));
        }
        Ok(Walked {
            crc: self.sums.finish(),
            sums: self.sums.to_bytes(),
            index: self.index.to_bytes(),
            max_timestamp: self.index.max_timestamp(),
        })
    }

    /// The header of the next batch, and what of its body is there; gives what is behind.
    fn header<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], ComposeError> {
        let wanted = HEADER_BYTES - self.head.len();
        let (now, behind) = bytes.split_at(wanted.min(bytes.len()));
        self.head.extend_from_slice(now);
        if self.head.len() < HEADER_BYTES {
            return Ok(behind);
        }
        let header = BatchHeader::parse(&self.head).map_err(|what| self.damaged(what))?;
        let mut crc = Crc32c::default();
        crc.add(&self.head[CRC_FROM..]);
        self.head.clear();
        let present = self.len_bytes - self.position;
        // What no longer fits is damage; nothing is waited for because a length field says so.
        if header.size_bytes as u64 > present {
            return Err(self.damaged(BatchError::Truncated {
                needed_bytes: header.size_bytes,
                present_bytes: usize::try_from(present).unwrap_or(usize::MAX),
            }));
        }
        let left = header.size_bytes - HEADER_BYTES;
        self.body(Open { header, left, crc }, behind)
    }

    /// What is there of a batch's body; gives what is behind.
    fn body<'b>(&mut self, mut open: Open, bytes: &'b [u8]) -> Result<&'b [u8], ComposeError> {
        let (now, behind) = bytes.split_at(open.left.min(bytes.len()));
        open.crc.add(now);
        open.left -= now.len();
        if open.left > 0 {
            self.open = Some(open);
        } else {
            self.close(&open.header, open.crc.value())?;
        }
        Ok(behind)
    }

    fn close(&mut self, header: &BatchHeader, computed: u32) -> Result<(), ComposeError> {
        let stored = header.crc;
        if computed != stored {
            return Err(self.damaged(BatchError::Crc { stored, computed }));
        }
        let (position, end) = (self.position, self.end);
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
        let delta = u32::try_from(from - self.start).ok();
        let bytes = u32::try_from(header.size_bytes).ok();
        let (Some(delta), Some(bytes)) = (delta, bytes.filter(|_| position <= MAX_POSITION)) else {
            return Err(ComposeError::TooLong { position });
        };
        self.index.add(delta, bytes, header.max_timestamp);
        self.position += header.size_bytes as u64;
        self.next = to;
        Ok(())
    }

    fn damaged(&self, what: BatchError) -> ComposeError {
        ComposeError::Damaged {
            offset: self.next,
            position: self.position,
            what,
        }
    }
}
