//! An index as a file: `<base offset>.index`, written when a segment is closed.
//!
//! It is a cache. It is never synced; when it is missing, damaged or made for a segment of another
//! length, the segment is scanned and the file written again.

use bytes::{Buf, BufMut};
use freshet_types::Timestamp;

use super::index::{Entries, Entry, MaxTime};
use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};

const KIND: Kind = Kind {
    magic: *b"FRIX",
    version: 1,
};
const ENTRY_BYTES: usize = 16;
/// Largest file that is read: far above what [`super::index::MAX_ENTRIES`] need.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;

/// An index with the length of the segment that it covers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IndexFile {
    /// Bytes of the segment.
    pub(crate) covers: u32,
    pub(crate) entries: Entries,
}

impl IndexFile {
    pub(crate) fn to_file(&self) -> Vec<u8> {
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

    pub(crate) fn from_file(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let covers = body.try_get_u32()?;
        let spacing = body.try_get_u32()?;
        let max = match body.try_get_u8()? {
            0 => None,
            _ => Some(MaxTime {
                timestamp: Timestamp(body.try_get_i64()?),
                position: body.try_get_u32()?,
            }),
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

    fn file(list: Vec<Entry>) -> IndexFile {
        let max = list.last().map(|last| MaxTime {
            timestamp: last.max_before,
            position: 0,
        });
        IndexFile {
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
            assert_eq!(IndexFile::from_file(&file.to_file()), Ok(file));
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
            let bytes = file(vec![entry(0, 0, 7), second]).to_file();
            assert!(IndexFile::from_file(&bytes).is_err(), "{second:?}");
        }
    }

    proptest! {
        #[test]
        fn strange_bodies_never_panic(body: Vec<u8>) {
            let _ = IndexFile::from_file(&seal(KIND, &body));
        }
    }
}
