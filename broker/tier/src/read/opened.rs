//! A segment object as readers see it: its footer, index and checksums, judged.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use freshet_records::crc32c;
use freshet_records::envelope::index::MAX_INDEX_BYTES;
use freshet_types::TopicPartition;

use super::error::ColdError;
use super::shelf::Held;
use super::store::Store;
use crate::object::{CHUNK_BYTES, Footer, Index, MAX_FOOTER_BYTES, Section, SectionKind, Sums};
use crate::segment::Segment;

/// What is read of an object's end first: index, checksums and footer, when there are not too many
/// producers in between.
const TAIL_BYTES: u64 = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) key: String,
    /// Length of the object.
    pub(super) size_bytes: u64,
    pub(super) footer: Footer,
    pub(super) index: Index,
    pub(super) sums: Sums,
    /// Batches lie below this.
    pub(super) batches_end: u64,
}

impl Held for Arc<Opened> {
    fn held_bytes(&self) -> u64 {
        let lists = self.index.held_bytes() + self.sums.held_bytes();
        let footer = self.footer.epochs.len() * 16 + self.footer.sections.len() * 32;
        (lists + footer + self.key.len() + size_of::<Opened>()) as u64
    }
}

impl Opened {
    /// Where a chunk lies; nothing behind the last one.
    pub(super) fn range(&self, chunk: u32) -> Range<u64> {
        let from = u64::from(chunk) * CHUNK_BYTES;
        from.min(self.batches_end)..(from + CHUNK_BYTES).min(self.batches_end)
    }

    /// The chunk that has a byte.
    pub(super) fn chunk_of(&self, position: u64) -> u32 {
        u32::try_from(position / CHUNK_BYTES).unwrap_or(u32::MAX)
    }

    /// The last one.
    pub(super) fn last_chunk(&self) -> u32 {
        self.chunk_of(self.batches_end.saturating_sub(1))
    }

    pub(super) fn damaged(&self, position: u64, what: impl ToString) -> ColdError {
        ColdError::Damaged {
            key: self.key.clone(),
            position,
            what: what.to_string(),
        }
    }
}

/// The end of an object, as far as it was read.
struct Tail {
    bytes: Bytes,
    from: u64,
}

impl Tail {
    fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let from = usize::try_from(range.start.checked_sub(self.from)?).ok()?;
        let until = usize::try_from(range.end - self.from).ok()?;
        (until <= self.bytes.len()).then(|| self.bytes.slice(from..until))
    }
}

/// Reads an object's end: one request, or one more for each part that does not fit in.
pub(super) async fn open(
    store: &Store,
    key: String,
    (partition, segment): (TopicPartition, &Segment),
) -> Result<Opened, ColdError> {
    let size_bytes = segment.size_bytes;
    let damaged = |what: String| ColdError::Damaged {
        key: key.clone(),
        position: size_bytes,
        what,
    };
    let from = size_bytes.saturating_sub(TAIL_BYTES);
    let bytes = store.range(&key, size_bytes, from..size_bytes).await?;
    let tail = Tail { bytes, from };
    // A footer that is longer than what was read is none of ours: the limit on epochs says so.
    const { assert!(MAX_FOOTER_BYTES <= TAIL_BYTES) };
    let footer = Footer::from_tail(&tail.bytes, size_bytes);
    let footer = footer.map_err(|error| damaged(error.to_string()))?;
    if !is_of(&footer, partition, segment) {
        return Err(damaged("the footer of another segment".to_owned()));
    }
    let batches = find(&footer, SectionKind::Batches).map_err(|what| damaged(what.to_owned()))?;
    let batches_end = batches.range.end;
    let mut sections = Vec::new();
    for (kind, most) in [
        (SectionKind::Index, MAX_INDEX_BYTES),
        (SectionKind::Sums, Sums::section_bytes(batches_end)),
    ] {
        let section = find(&footer, kind).map_err(|what| damaged(what.to_owned()))?;
        if batches.range.start != 0 || section.range.end - section.range.start > most {
            return Err(damaged(format!("a {kind:?} section that cannot be")));
        }
        let bytes = match tail.slice(&section.range) {
            Some(bytes) => bytes,
            None if section.range.is_empty() => Bytes::new(),
            None => store.range(&key, size_bytes, section.range.clone()).await?,
        };
        if crc32c(&bytes) != section.crc {
            return Err(damaged(format!(
                "checksum mismatch of the {kind:?} section"
            )));
        }
        sections.push(bytes);
    }
    let index = Index::from_bytes(&sections[0], batches_end);
    let sums = Sums::from_bytes(sections.swap_remove(1), batches_end);
    Ok(Opened {
        index: index.map_err(|error| damaged(error.to_string()))?,
        sums: sums.map_err(|error| damaged(error.to_string()))?,
        key,
        size_bytes,
        footer,
        batches_end,
    })
}

fn find(footer: &Footer, kind: SectionKind) -> Result<&Section, &'static str> {
    footer.section(kind).ok_or(match kind {
        SectionKind::Batches => "a footer without batches",
        SectionKind::Index => "a footer without an index",
        _ => "a footer without checksums",
    })
}

/// Whether the footer is that of the object that the manifest names.
fn is_of(footer: &Footer, partition: TopicPartition, segment: &Segment) -> bool {
    footer.partition == partition
        && footer.id == segment.id
        && footer.generation == segment.generation
        && footer.start == segment.object_start
        && footer.end >= segment.end
}
