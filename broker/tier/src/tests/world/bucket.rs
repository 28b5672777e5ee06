//! The bucket, and what objects hold here: rows of a few bytes with a real footer behind them.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BufMut, Bytes};
use freshet_env::objects::{MemoryObjects, ObjectError, ObjectWait, Objects};
use freshet_records::crc32c;
use freshet_types::{ClusterId, LeaderEpoch, Offset};

use super::{PARTITION, Row};
use crate::layout::{Layout, ObjectName};
use crate::machine::Stored;
use crate::manifest::Manifest;
use crate::object::{Footer, Section, SectionKind};
use crate::segment::SegmentId;

pub(super) type Rows = BTreeMap<Offset, Row>;

pub(super) struct Bucket {
    store: MemoryObjects,
    pub(super) layout: Layout,
    /// What is in the store, read once. A damaged object has no rows.
    pub(super) objects: BTreeMap<SegmentId, Option<Rows>>,
    /// The newest manifest.
    pub(super) newest: Option<Manifest>,
}

/// What the store in memory says, which is at once.
fn at_once<T>(mut wait: ObjectWait<'_, T>) -> Result<T, ObjectError> {
    match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(said) => said,
        Poll::Pending => panic!("memory answers at once"),
    }
}

impl Bucket {
    pub(super) fn new() -> Self {
        Self {
            store: MemoryObjects::default(),
            layout: Layout::new("test", &ClusterId("world".into())),
            objects: BTreeMap::new(),
            newest: None,
        }
    }

    /// Stores a new object, or its first half.
    pub(super) fn put(
        &mut self,
        key: &str,
        mut bytes: Vec<u8>,
        torn: bool,
    ) -> Result<(), ObjectError> {
        if torn {
            bytes.truncate(bytes.len() / 2);
        }
        at_once(self.store.put_new(key, &mut Bytes::from(bytes)))?;
        match self.layout.parse(PARTITION, key) {
            Some(ObjectName::Segment { id, .. }) => {
                let rows = self.rows(key);
                self.objects.insert(id, rows);
            }
            Some(ObjectName::Manifest { version }) => {
                let head = at_once(self.store.head(key))?;
                let bytes = at_once(self.store.get_range(key, 0..head.len_bytes))?;
                // What is torn is no manifest: a restore takes the one before.
                if let Ok((_, manifest)) = Manifest::restore(&bytes)
                    && self.newest.as_ref().is_none_or(|n| n.version() < version)
                {
                    self.newest = Some(manifest);
                }
            }
            None => panic!("{key} is no name of ours"),
        }
        Ok(())
    }

    /// The newest manifest as its object is, and its version.
    pub(super) fn newest_object(&self) -> Option<(Vec<u8>, u64)> {
        let version = self.newest.as_ref()?.version();
        let key = self.layout.manifest(PARTITION, version);
        Some((self.bytes(&key)?, version))
    }

    pub(super) fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let head = at_once(self.store.head(key)).ok()?;
        let bytes = at_once(self.store.get_range(key, 0..head.len_bytes)).ok()?;
        Some(bytes.to_vec())
    }

    pub(super) fn delete(&mut self, key: &str) {
        at_once(self.store.delete(key)).unwrap();
        if let Some(ObjectName::Segment { id, .. }) = self.layout.parse(PARTITION, key) {
            self.objects.remove(&id);
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        at_once(self.store.head(key)).is_ok()
    }

    /// Names of all segments.
    pub(super) fn listed(&self) -> Vec<(SegmentId, Offset)> {
        let prefix = self.layout.partition(PARTITION);
        let listing = at_once(self.store.list(&prefix, None, 10_000)).unwrap();
        let keys = listing.objects.into_iter();
        keys.filter_map(|(key, _)| match self.layout.parse(PARTITION, &key)? {
            ObjectName::Segment { start, id } => Some((id, start)),
            ObjectName::Manifest { .. } => None,
        })
        .collect()
    }

    /// Reads an object whole; `None` if it is not, or not there.
    pub(super) fn rows(&self, key: &str) -> Option<Rows> {
        let bytes = self.bytes(key)?;
        let footer = Footer::from_tail(&bytes, bytes.len() as u64).ok()?;
        let section = footer.section(SectionKind::Batches)?;
        let mut batches = &bytes[..usize::try_from(section.range.end).ok()?];
        if crc32c(batches) != section.crc {
            return None;
        }
        let mut rows = Rows::new();
        while batches.has_remaining() {
            let offset = batches.get_i64();
            rows.insert(offset, (batches.get_i32(), batches.get_u64()));
        }
        Some(rows)
    }
}

/// The bytes of an object.
pub(super) fn object(stored: &Stored, leader_epoch: LeaderEpoch, rows: &Rows) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (offset, (epoch, value)) in rows {
        bytes.put_i64(*offset);
        bytes.put_i32(*epoch);
        bytes.put_u64(*value);
    }
    let footer = Footer {
        partition: PARTITION,
        id: stored.id,
        leader_epoch,
        generation: 0,
        start: stored.start,
        end: stored.end,
        max_timestamp: stored.max_timestamp,
        epochs: stored.epochs.clone(),
        sections: vec![Section {
            kind: SectionKind::Batches,
            range: 0..bytes.len() as u64,
            crc: crc32c(&bytes),
        }],
    };
    bytes.extend(footer.to_bytes());
    bytes
}
