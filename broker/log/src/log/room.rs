//! Room made ahead of the active segment's last batch, so that a sync has less to write.
//!
//! ```text
//!   batches            │ zeros            ┊ reserved blocks        ┊
//!  ────────────────────┼──────────────────┊────────────────────────┊
//!                      position           end of the file          until
//! ```
//!
//! A file that grows makes each sync write its new length and the place of its new blocks as well:
//! a second write to another part of the disk, and where the file system has a journal, a commit of
//! that. Two remedies, for two kinds of load:
//!
//! - *Small writes* are mostly the price of their sync. One in many writes zeros behind itself; the
//!   others overwrite zeros, and their sync is the data and nothing else.
//! - *Large writes* are mostly the price of their bytes; writing those twice would double it. Blocks
//!   are reserved ahead instead, which saves the search for each one.
//!
//! Zeros are no batch, so recovery ends the log where they begin. It leaves them there: nothing in them
//! can be taken for a batch behind the next one, and cutting them off the logs of a broker with
//! thousands would be as many syncs. A clean stop leaves them too, and writes down where they end.

use std::io;
use std::ops::Range;

use freshet_env::DiskFile;

/// A write below this is small.
const SMALL_BYTES: u64 = 32 << 10;
/// As many zeros as the segment has bytes, but no more than this.
const ZEROS_MAX_BYTES: usize = 256 << 10;
/// What the file system hands out; zeros end at a multiple of it.
const BLOCK_BYTES: u64 = 4096;
/// A segment below this gets no reserve: most logs stay small.
const RESERVE_FROM_BYTES: u64 = 1 << 20;
/// As much again as the segment has, but no more than this.
const RESERVE_MAX_BYTES: u64 = 16 << 20;

static ZEROS: [u8; ZEROS_MAX_BYTES] = [0; ZEROS_MAX_BYTES];

/// See the module's story. Positions are bytes in the active segment.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// End of the zeros; the file ends here when that is behind the last batch.
    zeroed: u64,
    /// End of the reserved blocks.
    reserved: u64,
}

/// Whether `range` of a file is room: not empty, not more than is ever made, and nothing but zeros.
pub(super) fn is_room(file: &dyn DiskFile, range: Range<u64>) -> io::Result<bool> {
    let len = range.end.saturating_sub(range.start);
    let most = ZEROS_MAX_BYTES as u64 + SMALL_BYTES;
    let Some(len) = usize::try_from(len)
        .ok()
        .filter(|_| (1..=most).contains(&len))
    else {
        return Ok(false);
    };
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}

impl Room {
    /// Zeros up to `end` were found behind the last batch.
    pub(super) fn found(end: u64) -> Self {
        Self {
            zeroed: end,
            reserved: 0,
        }
    }

    /// What to write behind a write of `bytes` that ends at `position`, in a segment of `most` bytes
    /// at most.
    pub(super) fn zeros_for(&self, bytes: u64, position: u64, most: u64) -> &'static [u8] {
        if bytes >= SMALL_BYTES || position <= self.zeroed {
            return &[];
        }
        let as_much = position.min(ZEROS_MAX_BYTES as u64 - BLOCK_BYTES);
        let end = (position + as_much).next_multiple_of(BLOCK_BYTES).min(most);
        let count = usize::try_from(end.saturating_sub(position)).unwrap_or(0);
        &ZEROS[..count.min(ZEROS_MAX_BYTES)]
    }

    /// A write that ends at `position`, with so many zeros behind it, was done.
    pub(super) fn written(&mut self, position: u64, zeros: usize) {
        if zeros > 0 {
            self.zeroed = position + zeros as u64;
        }
    }

    /// Blocks to reserve before a write that ends at `position`, in a segment of `most` bytes at
    /// most; the `whole` of it when that is asked for.
    pub(super) fn to_reserve(&self, position: u64, most: u64, whole: bool) -> Option<Range<u64>> {
        let wanted = if whole {
            most
        } else if position < RESERVE_FROM_BYTES {
            return None;
        } else {
            (position + position.min(RESERVE_MAX_BYTES)).min(most)
        };
        let short = position > self.reserved && wanted > self.reserved;
        short.then_some(self.reserved..wanted)
    }

    /// Blocks up to `until` were reserved, or cannot be.
    pub(super) fn reserved(&mut self, until: u64) {
        self.reserved = until;
    }

    /// Whether reserved blocks lie behind `position`.
    pub(super) fn is_reserved_beyond(&self, position: u64) -> bool {
        self.reserved > position
    }

    /// Where the zeros behind `position` end; 0 when there are none.
    pub(super) fn zeroed_beyond(&self, position: u64) -> u64 {
        if self.zeroed > position {
            self.zeroed
        } else {
            0
        }
    }

    /// Whether anything lies behind `position`.
    pub(super) fn reaches_beyond(&self, position: u64) -> bool {
        self.zeroed.max(self.reserved) > position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_small_write_in_many_brings_zeros_and_large_ones_never() {
        let most = 1 << 30;
        let mut room = Room::default();
        let (mut position, mut brought) = (0, 0);
        for _ in 0..10_000 {
            position += 100;
            let zeros = room.zeros_for(100, position, most);
            room.written(position, zeros.len());
            brought += usize::from(!zeros.is_empty());
            assert!(room.zeroed >= position && room.zeroed <= 2 * position + BLOCK_BYTES);
            assert_eq!(room.zeroed % BLOCK_BYTES, 0);
        }
        assert!((8..14).contains(&brought), "{brought} for 1 MB");
        assert!(room.reaches_beyond(position));
        assert!(room.zeros_for(SMALL_BYTES, most / 2, most).is_empty());
        assert_eq!(
            room.zeros_for(100, most - 7, most).len(),
            7,
            "not beyond the segment"
        );
        assert!(
            room.zeros_for(100, most + 7, most).is_empty(),
            "a batch larger than it"
        );
    }

    #[test]
    fn blocks_are_reserved_once_a_segment_has_grown_and_in_proportion() {
        let mut room = Room::default();
        let most = 1 << 30;
        assert_eq!(room.to_reserve(RESERVE_FROM_BYTES - 1, most, false), None);
        let first = room.to_reserve(RESERVE_FROM_BYTES, most, false);
        assert_eq!(first, Some(0..2 * RESERVE_FROM_BYTES));
        room.reserved(2 * RESERVE_FROM_BYTES);
        assert_eq!(room.to_reserve(2 * RESERVE_FROM_BYTES, most, false), None);
        let late = room.to_reserve(most - 5, most, false);
        assert_eq!(
            late,
            Some(2 * RESERVE_FROM_BYTES..most),
            "not beyond the segment"
        );
        assert_eq!(Room::default().to_reserve(1, most, true), Some(0..most));
    }
}
