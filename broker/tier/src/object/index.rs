//! The sparse index of a segment object: where batches lie, by offset and by time (FRIX,
//! docs/formats/log.md: the bytes are those of a log's index file).
//!
//! An entry says where a batch starts and what the largest timestamp in front of it is, so one list
//! serves both lookups. When there are too many entries, every second one goes and the spacing
//! doubles: an index has a bound, and a lookup walks a little further.

use bytes::{Buf, BufMut};
use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};
use freshet_types::Timestamp;

use crate::codec;

const KIND: Kind = Kind {
    magic: *b"FRIX",
    version: 1,
};
/// Entries of one index at most, 16 bytes each.
const MAX_ENTRIES: usize = 8192;
const ENTRY_BYTES: usize = 16;
/// Largest section that is read: far above what [`MAX_ENTRIES`] need.
pub(crate) const MAX_INDEX_BYTES: u64 = 1 << 20;

/// Where a batch starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// Its base offset, relative to the object's first one.
    delta: u32,
    /// Its first byte.
    position: u32,
    /// Largest timestamp of all batches in front of it.
    max_before: Timestamp,
}

/// The batch with the largest timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MaxTime {
    timestamp: Timestamp,
    /// First byte of the first batch that has it.
    position: u32,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// Bytes of the batches.
    covers: u32,
    spacing: u32,
    max: Option<MaxTime>,
    list: Vec<Entry>,
}

impl Index {
    /// Of nothing yet; entries are `spacing` bytes apart, or more.
    pub(crate) fn new(spacing: u32) -> Self {
        Self {
            covers: 0,
            spacing: spacing.max(1),
            max: None,
            list: Vec::new(),
        }
    }

    /// Adds the next batch, which has so many `bytes`.
    pub(crate) fn add(&mut self, delta: u32, bytes: u32, max_timestamp: Timestamp) {
        let position = self.covers;
        let due = |last: &Entry| position - last.position >= self.spacing;
        if self.list.last().is_none_or(due) {
            if self.list.len() >= MAX_ENTRIES {
                self.thin();
            }
            self.list.push(Entry {
                delta,
                position,
                max_before: self.max.map_or(Timestamp(i64::MIN), |max| max.timestamp),
            });
        }
        if self.max.is_none_or(|max| max_timestamp > max.timestamp) {
            self.max = Some(MaxTime {
                timestamp: max_timestamp,
                position,
            });
        }
        self.covers = self.covers.saturating_add(bytes);
    }

    fn thin(&mut self) {
        let mut keep = false;
        self.list.retain(|_| {
            keep = !keep;
            keep
        });
        self.spacing = self.spacing.saturating_mul(2);
    }

    /// The largest timestamp; none without batches.
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        self.max.map_or(Timestamp::NONE, |max| max.timestamp)
    }

    /// Where to begin looking for an offset, relative to the object's first one: a batch starts there,
    /// and what is in front of it ends before the offset.
    pub(crate) fn by_offset(&self, delta: i64) -> u64 {
        self.start(|entry| i64::from(entry.delta) <= delta)
    }

    /// Where to begin looking for a timestamp of `target` or later: there is none in front of it.
    pub(crate) fn by_time(&self, target: Timestamp) -> u64 {
        self.start(|entry| entry.max_before < target)
    }

    /// The last entry that fits; those that fit come first.
    fn start(&self, fits: impl Fn(&Entry) -> bool) -> u64 {
        let fitting = self.list.partition_point(fits);
        let last = fitting.checked_sub(1);
        last.map_or(0, |last| u64::from(self.list[last].position))
    }

    /// What it takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Entry>()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(28 + self.list.len() * ENTRY_BYTES);
        body.put_u32(self.covers);
        body.put_u32(self.spacing);
        body.put_u8(u8::from(self.max.is_some()));
        if let Some(max) = self.max {
            body.put_i64(max.timestamp.0);
            body.put_u32(max.position);
        }
        for entry in &self.list {
            body.put_u32(entry.delta);
            body.put_u32(entry.position);
            body.put_i64(entry.max_before.0);
        }
        seal(KIND, &body)
    }

    /// Reads the index of batches of so many bytes.
    ///
    /// # Errors
    /// It is damaged, or of another kind, or of other batches.
    pub(crate) fn from_bytes(bytes: &[u8], covers: u64) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let mut index = Self::new(0);
        index.covers = body.try_get_u32()?;
        index.spacing = body.try_get_u32()?;
        if codec::flag(&mut body)? {
            index.max = Some(MaxTime {
                timestamp: Timestamp(body.try_get_i64()?),
                position: body.try_get_u32()?,
            });
        }
        if !body.len().is_multiple_of(ENTRY_BYTES) {
            return Err(malformed("a part of an entry"));
        }
        index.list.reserve_exact(body.len() / ENTRY_BYTES);
        while body.has_remaining() {
            index.list.push(Entry {
                delta: body.try_get_u32()?,
                position: body.try_get_u32()?,
                max_before: Timestamp(body.try_get_i64()?),
            });
        }
        let rises = |a: &Entry, b: &Entry| {
            a.delta < b.delta && a.position < b.position && a.max_before <= b.max_before
        };
        let within = |last: &Entry| last.position < index.covers;
        if !index.list.is_sorted_by(rises) || !index.list.last().is_none_or(within) {
            return Err(malformed("entries out of order"));
        }
        if u64::from(index.covers) != covers {
            return Err(malformed("the index of other batches"));
        }
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The index that the log's golden file holds: one format, written in two rooms.
    #[test]
    fn the_bytes_are_the_logs() {
        let mut index = Index::new(4096);
        index.list = Vec::new();
        index.covers = 10_000;
        index.max = Some(MaxTime {
            timestamp: Timestamp(1005),
            position: 4200,
        });
        for (delta, position, max_before) in [(0, 0, i64::MIN), (17, 4200, 1001)] {
            index.list.push(Entry {
                delta,
                position,
                max_before: Timestamp(max_before),
            });
        }
        let log = "4652495800010000003500002710000010000100000000000003ed0000106800\
                   000000000000008000000000000000000000110000106800000000000003e980a73ae1";
        let hex: String = index
            .to_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, log);
        assert_eq!(
            Index::from_bytes(&index.to_bytes(), 10_000),
            Ok(index.clone())
        );
        assert!(Index::from_bytes(&index.to_bytes(), 10_001).is_err());
    }

    #[test]
    fn entries_have_a_bound_and_lookups_stay_right() {
        let mut index = Index::new(1);
        for n in 0..50_000_u32 {
            index.add(n * 2, 100, Timestamp(i64::from(n)));
        }
        assert!(index.list.len() <= MAX_ENTRIES);
        assert!(index.to_bytes().len() as u64 <= MAX_INDEX_BYTES);
        for n in [0, 1, 7, 49_999_u32] {
            let at = index.by_offset(i64::from(n) * 2);
            assert!(at <= u64::from(n) * 100 && u64::from(n) * 100 - at < 100 * 16);
            let at = index.by_time(Timestamp(i64::from(n)));
            assert!(at <= u64::from(n) * 100 && u64::from(n) * 100 - at < 100 * 16);
        }
        assert_eq!((index.by_offset(-5), index.max_timestamp().0), (0, 49_999));
    }

    proptest! {
        #[test]
        fn strange_bodies_never_panic(body: Vec<u8>, covers: u64) {
            let _ = Index::from_bytes(&seal(KIND, &body), covers);
        }
    }
}
