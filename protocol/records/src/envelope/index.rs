//! The sparse index of a segment, of a log or in object storage: where batches lie, by offset and by
//! time (FRIX, docs/formats/log.md).
//!
//! An entry says where a batch starts and what the largest timestamp in front of it is, so one list
//! serves both lookups. Entries are `spacing` bytes apart; when there are too many, every second
//! one goes and the spacing doubles: an index has a bound, and a lookup walks a little further.

use bytes::{Buf, BufMut};
use freshet_types::Timestamp;

use super::{EnvelopeError, Kind, malformed, seal, unseal};

const KIND: Kind = Kind {
    magic: *b"FRIX",
    version: 1,
};
const ENTRY_BYTES: usize = 16;
/// Entries of one segment at most.
pub const MAX_ENTRIES: usize = 8192;
/// Largest index that is read: far above what [`MAX_ENTRIES`] need.
pub const MAX_INDEX_BYTES: u64 = 1 << 20;

/// Where a batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Base offset of the batch, relative to the segment's.
    pub delta: u32,
    /// Its first byte.
    pub position: u32,
    /// Largest timestamp of all batches in front of it in this segment.
    pub max_before: Timestamp,
}

/// The batch with the largest timestamp so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxTime {
    /// That timestamp.
    pub timestamp: Timestamp,
    /// First byte of the first batch that has it.
    pub position: u32,
}

/// What one batch adds to an index.
#[derive(Debug, Clone, Copy)]
pub struct Indexed {
    /// Its base offset, relative to the segment's.
    pub delta: u32,
    /// Its first byte.
    pub position: u32,
    /// The largest timestamp in it.
    pub max_timestamp: Timestamp,
}

/// Entries over one stretch of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// In the order of offsets, positions and timestamps.
    pub list: Vec<Entry>,
    /// Bytes from one to the next at least.
    pub spacing: u32,
    /// None without batches.
    pub max: Option<MaxTime>,
}

impl Entries {
    /// Of nothing yet.
    pub fn new(spacing: u32) -> Self {
        Self {
            spacing,
            ..Self::default()
        }
    }

    /// Adds the next batch; `cap` entries are kept at most.
    pub fn add(&mut self, batch: Indexed, cap: usize) {
        let due = |last: &Entry| batch.position - last.position >= self.spacing;
        if self.list.last().is_none_or(due) {
            if self.list.len() >= cap {
                self.thin();
            }
            self.list.push(Entry {
                delta: batch.delta,
                position: batch.position,
                max_before: self.max.map_or(Timestamp(i64::MIN), |max| max.timestamp),
            });
        }
        if self
            .max
            .is_none_or(|max| batch.max_timestamp > max.timestamp)
        {
            self.max = Some(MaxTime {
                timestamp: batch.max_timestamp,
                position: batch.position,
            });
        }
    }

    /// Drops every second entry.
    pub fn thin(&mut self) {
        let mut keep = false;
        self.list.retain(|_| {
            keep = !keep;
            keep
        });
        self.list.shrink_to(self.list.len() * 2);
        self.spacing = self.spacing.saturating_mul(2);
    }
}

/// An index with the length of what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIndex {
    /// Bytes of the batches.
    pub covers: u32,
    /// Where they lie.
    pub entries: Entries,
}

impl StoredIndex {
    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = &self.entries;
        let mut body = Vec::with_capacity(28 + entries.list.len() * ENTRY_BYTES);
        body.put_u32(self.covers);
        body.put_u32(entries.spacing);
        body.put_u8(u8::from(entries.max.is_some()));
        if let Some(max) = entries.max {
            body.put_i64(max.timestamp.0);
            body.put_u32(max.position);
        }
        for entry in &entries.list {
            body.put_u32(entry.delta);
            body.put_u32(entry.position);
            body.put_i64(entry.max_before.0);
        }
        seal(KIND, &body)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is damaged, or of another kind.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let covers = body.try_get_u32()?;
        let spacing = body.try_get_u32()?;
        let max = match body.try_get_u8()? {
            0 => None,
            1 => Some(MaxTime {
                timestamp: Timestamp(body.try_get_i64()?),
                position: body.try_get_u32()?,
            }),
            _ => return Err(malformed("a flag that is neither 0 nor 1")),
        };
        if !body.len().is_multiple_of(ENTRY_BYTES) {
            return Err(malformed("a part of an entry"));
        }
        let mut list = Vec::with_capacity(body.len() / ENTRY_BYTES);
        while body.has_remaining() {
            list.push(Entry {
                delta: body.try_get_u32()?,
                position: body.try_get_u32()?,
                max_before: Timestamp(body.try_get_i64()?),
            });
        }
        let sorted = list.is_sorted_by(|a: &Entry, b| {
            a.delta < b.delta && a.position < b.position && a.max_before <= b.max_before
        });
        if !sorted || list.last().is_some_and(|last| last.position >= covers) {
            return Err(malformed("entries out of order"));
        }
        Ok(Self {
            covers,
            entries: Entries { list, spacing, max },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(delta: u32, position: u32, max_before: i64) -> Entry {
        Entry {
            delta,
            position,
            max_before: Timestamp(max_before),
        }
    }

    fn file(list: Vec<Entry>) -> StoredIndex {
        let max = list.last().map(|last| MaxTime {
            timestamp: last.max_before,
            position: 0,
        });
        StoredIndex {
            covers: 10_000,
            entries: Entries {
                list,
                spacing: 4096,
                max,
            },
        }
    }

    #[test]
    fn round_trips() {
        for list in [vec![], vec![entry(0, 0, i64::MIN), entry(9, 5000, 77)]] {
            let file = file(list);
            assert_eq!(StoredIndex::from_bytes(&file.to_bytes()), Ok(file));
        }
    }

    #[test]
    fn unsorted_entries_are_refused() {
        for second in [
            entry(0, 5000, 7),
            entry(9, 0, 7),
            entry(9, 5000, 6),
            entry(9, 10_000, 7),
        ] {
            let bytes = file(vec![entry(0, 0, 7), second]).to_bytes();
            assert!(StoredIndex::from_bytes(&bytes).is_err(), "{second:?}");
        }
    }

    proptest! {
        #[test]
        fn strange_bodies_never_panic(body: Vec<u8>) {
            let _ = StoredIndex::from_bytes(&seal(KIND, &body));
        }
    }
}
