//! What the offsets of batches must be where they are found: the only thing in a batch that tells its place
//! is its base offset, and no checksum covers that (record-batch.md).
//!
//! ```text
//!   indexed                                    indexed, or the end
//!   ▼ begins at 40, exactly                    ▼ begins at 90: nothing before reaches beyond
//!   ├── 40..50 ──┬── 50..61 ──┬── 64..90 ──────┼──
//!                             ▲ a hole: believed once all up to the next border is in order
//! ```
//!
//! A batch in the place of another, or one whose offset has changed, is not in order with what is around
//! it, unless there are holes that are as large. Records are dropped from the middle of compacted logs, so a hole
//! is no damage; but a batch behind one may be a later one, or say a later offset than it has, and then what
//! follows it is out of order. And the one in front of it may say fewer offsets than it has, which its checksum
//! tells. Logs without holes, nearly all, pay for a comparison per header.

use freshet_records::BatchHeader;
use freshet_types::Offset;

/// A batch begins at this byte and offset, or the segment ends there. No batch in front of it has later
/// offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Border {
    pub(crate) position: u64,
    pub(crate) offset: Offset,
}

/// Where to start looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Start {
    /// A batch starts here.
    pub(crate) position: u64,
    /// Its base offset, if that is known, else the lowest that it may have.
    pub(crate) offset: Offset,
    /// It is known.
    pub(crate) exact: bool,
    /// Where the next batch that is indexed begins. The batch looked for starts before it.
    pub(crate) before: Option<Border>,
    /// Where the segment ends.
    pub(crate) end: Border,
}

impl Start {
    /// Up to here there is no other border.
    pub(crate) fn border(&self) -> Border {
        self.before.unwrap_or(self.end)
    }
}

/// Offsets where others should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a batch of offsets {from}..{to} and {size_bytes} bytes where {} was due", self.due())]
pub(crate) struct Misplaced {
    from: Offset,
    to: Offset,
    size_bytes: usize,
    wanted: Start,
}

impl Misplaced {
    fn due(&self) -> String {
        let (start, border) = (&self.wanted, self.wanted.border());
        let at = match start.exact {
            true => format!("one from {} on", start.offset),
            false => format!("one from {} on or behind", start.offset),
        };
        let (offset, position) = (border.offset, border.position);
        format!("{at}, before offset {offset} at byte {position},")
    }
}

/// The order of batches, from a place on.
#[derive(Debug, Clone)]
pub(crate) struct Order(Start);

impl Order {
    pub(crate) fn new(start: &Start) -> Self {
        Self(*start)
    }

    /// Where order is known up to, once all in front of it was taken.
    pub(crate) fn border(&self) -> Border {
        self.0.border()
    }

    /// Takes the batch behind those that were taken. Says whether it lies behind a hole.
    ///
    /// # Errors
    /// It does not belong there.
    pub(crate) fn take(&mut self, header: &BatchHeader) -> Result<bool, Misplaced> {
        let (wanted, border) = (self.0, self.0.border());
        let (from, to) = (header.base_offset, header.next_offset());
        let after = wanted.position.saturating_add(header.size_bytes as u64);
        let is_hole = from > wanted.offset;
        let fits = after <= border.position && to <= border.offset;
        if from < wanted.offset || (wanted.exact && is_hole) || !fits {
            return Err(Misplaced {
                from,
                to,
                size_bytes: header.size_bytes,
                wanted,
            });
        }
        self.0.position = after;
        self.0.offset = to;
        self.0.exact = false;
        if after == border.position && self.0.before.take().is_some() {
            self.0.offset = border.offset;
            self.0.exact = true;
        }
        Ok(is_hole)
    }
}
