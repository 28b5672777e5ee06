//! The sparse index of a segment object. Its bytes are those of a log's index file.

use freshet_records::envelope::index::{Entries, Entry, Indexed, MAX_ENTRIES, StoredIndex};
use freshet_records::envelope::{EnvelopeError, malformed};
use freshet_types::Timestamp;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index(StoredIndex);

impl Index {
    /// Of nothing yet; entries are `spacing` bytes apart, or more.
    pub(crate) fn new(spacing: u32) -> Self {
        Self(StoredIndex {
            covers: 0,
            entries: Entries::new(spacing.max(1)),
        })
    }

    /// Adds the next batch, which has so many `bytes`.
    pub(crate) fn add(&mut self, delta: u32, bytes: u32, max_timestamp: Timestamp) {
        let batch = Indexed {
            delta,
            position: self.0.covers,
            max_timestamp,
        };
        self.0.entries.add(batch, MAX_ENTRIES);
        self.0.covers = self.0.covers.saturating_add(bytes);
    }

    /// The largest timestamp; none without batches.
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        let max = self.0.entries.max;
        max.map_or(Timestamp::NONE, |max| max.timestamp)
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
        let list = &self.0.entries.list;
        let last = list.partition_point(fits).checked_sub(1);
        last.map_or(0, |last| u64::from(list[last].position))
    }

    /// What it takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.0.entries.list.capacity() * size_of::<Entry>()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// Reads the index of batches of so many bytes.
    ///
    /// # Errors
    /// It is damaged, or of another kind, or of other batches.
    pub(crate) fn from_bytes(bytes: &[u8], covers: u64) -> Result<Self, EnvelopeError> {
        let index = StoredIndex::from_bytes(bytes)?;
        match u64::from(index.covers) == covers {
            true => Ok(Self(index)),
            false => Err(malformed("the index of other batches")),
        }
    }
}

#[cfg(test)]
mod tests {
    use freshet_records::envelope::index::{MAX_INDEX_BYTES, MaxTime};

    use super::*;

    /// The index that the log's golden file holds.
    #[test]
    fn the_bytes_are_the_logs() {
        let entry = |(delta, position, max_before)| Entry {
            delta,
            position,
            max_before: Timestamp(max_before),
        };
        let index = Index(StoredIndex {
            covers: 10_000,
            entries: Entries {
                list: [(0, 0, i64::MIN), (17, 4200, 1001)].map(entry).into(),
                spacing: 4096,
                max: Some(MaxTime {
                    timestamp: Timestamp(1005),
                    position: 4200,
                }),
            },
        });
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
        assert!(index.0.entries.list.len() <= MAX_ENTRIES);
        assert!(index.to_bytes().len() as u64 <= MAX_INDEX_BYTES);
        for n in [0, 1, 7, 49_999_u32] {
            let at = index.by_offset(i64::from(n) * 2);
            assert!(at <= u64::from(n) * 100 && u64::from(n) * 100 - at < 100 * 16);
            let at = index.by_time(Timestamp(i64::from(n)));
            assert!(at <= u64::from(n) * 100 && u64::from(n) * 100 - at < 100 * 16);
        }
        assert_eq!((index.by_offset(-5), index.max_timestamp().0), (0, 49_999));
    }
}
