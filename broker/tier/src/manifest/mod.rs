//! What of one partition is in the bucket, and what else of it may be there.
//!
//! ```text
//!            log start                     local log start              remote end       high watermark
//!  offsets ──────┼──────────────────────────────┼───────────────────────────┼──────────────────┼───▶
//!                ├── segment ─┼── segment ──────┼── segment ────────────────┤                  │
//!                                               ├───────────── local log ───────────────────────
//!
//!  an object:   open ──commit──▶ named ──replaced, expired, cut──▶ unnamed ──grace──▶ doomed ──▶ gone
//!                 └──────abandoned, timed out, another leader ────────▲
//! ```
//! Named segments follow one another without a hole and without an overlap: what a reader looks up is
//! one segment or none. An object that was ever begun stays in here until it is known to be deleted,
//! so nothing in the bucket is forgotten but by a manifest that is lost.

mod change;
mod departure;
mod due;
mod file;
mod parts;
mod segments;

use std::collections::BTreeMap;

use freshet_types::{LeaderEpoch, Offset, Timestamp};

pub use due::Retention;
pub use file::ExportedManifest;
pub(crate) use parts::Staged;
pub use parts::{Head, Part};
pub(crate) use segments::Segments;

use crate::segment::{Attempt, EpochStart, Segment, SegmentId, epoch_at};

/// An object that no reader is sent to any more, or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unnamed {
    /// First offset in it; a part of its name.
    pub start: Offset,
    /// The first version of the manifest without it; 0 if none ever named it.
    pub since: u64,
    /// It may be deleted. That is never taken back.
    pub doomed: bool,
}

/// Where an epoch ends in the tiered part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch that the answer is about: the one asked for, or the largest known below it.
    pub epoch: LeaderEpoch,
    /// Its end, exclusive.
    pub end_offset: Offset,
}

/// See the module. Its own leader keeps a copy of it, and follows the changes that it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) log_start: Offset,
    pub(crate) version: u64,
    pub(crate) exported: u64,
    pub(crate) deleted: bool,
    pub(crate) segments: Segments,
    pub(crate) open: BTreeMap<SegmentId, Attempt>,
    pub(crate) unnamed: BTreeMap<SegmentId, Unnamed>,
}

impl Manifest {
    /// Of a partition that begins at `log_start` and has nothing in the bucket.
    pub fn new(leader_epoch: LeaderEpoch, log_start: Offset) -> Self {
        Self {
            leader_epoch,
            log_start,
            version: 0,
            exported: 0,
            deleted: false,
            segments: Segments::default(),
            open: BTreeMap::new(),
            unnamed: BTreeMap::new(),
        }
    }

    /// The epoch that claimed last. Only its leader changes the manifest.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// First offset that may be read, of both tiers. May lie inside of the first segment.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset after the last one in the bucket; the log start if nothing is.
    pub fn remote_end(&self) -> Offset {
        self.segments
            .end()
            .map_or(self.log_start, |end| end.max(self.log_start))
    }

    /// Counts the changes of what the bucket shows, so that two exports can be compared.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The version that is in the bucket as an object.
    pub fn exported(&self) -> u64 {
        self.exported
    }

    /// Whether the topic is deleted and only its objects are left to be collected.
    pub fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Whether it has never named anything. Such a one is not put into the bucket; so if one of its
    /// partition is there, its shard has lost what it knew.
    pub fn is_pristine(&self) -> bool {
        let never_named = self.unnamed.values().all(|unnamed| unnamed.since == 0);
        self.segments().is_empty() && never_named && self.exported == 0 && !self.deleted
    }

    /// What readers are sent to, in the order of offsets.
    pub fn segments(&self) -> &[Segment] {
        self.segments.as_slice()
    }

    /// What is being uploaded.
    pub fn open(&self) -> &BTreeMap<SegmentId, Attempt> {
        &self.open
    }

    /// What waits to be deleted.
    pub fn unnamed(&self) -> &BTreeMap<SegmentId, Unnamed> {
        &self.unnamed
    }

    /// The segment that shows an offset. O(log n).
    pub fn at(&self, offset: Offset) -> Option<&Segment> {
        if offset < self.log_start {
            return None;
        }
        self.segments.at(offset)
    }

    /// The segments that may have a record of `timestamp` or later, in the order of offsets, from the
    /// first one on. O(log n) to the first. One may turn out to have none that is visible: then the
    /// next is looked into, and behind the last one the local log (ListOffsets by time).
    pub fn since_time(&self, timestamp: Timestamp) -> impl Iterator<Item = &Segment> {
        self.segments.since_time(timestamp)
    }

    /// Where an epoch ends (KIP-101, KIP-279), if the bucket knows: `None` for the latest epoch in it
    /// and for later ones, whose end is in the local log. O(log n).
    pub fn end_of_epoch(&self, asked: LeaderEpoch) -> Option<EpochEnd> {
        let epochs = self.segments.epochs();
        let higher = epochs.partition_point(|start| start.epoch <= asked);
        let end_offset = epochs.get(higher)?.offset;
        let epoch = match higher.checked_sub(1) {
            Some(floor) => epochs[floor].epoch,
            None => asked,
        };
        Some(EpochEnd { epoch, end_offset })
    }

    /// The epochs of all that is in the bucket. A replica that begins at the remote end takes them as
    /// its history.
    pub fn epochs(&self) -> &[EpochStart] {
        self.segments.epochs()
    }

    /// The epoch of a visible record. O(log n).
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        epoch_at(self.epochs(), offset)
    }

    /// Bytes of all named objects.
    pub fn size_bytes(&self) -> u64 {
        self.segments().iter().map(|s| s.size_bytes).sum()
    }

    /// Which of some objects were never begun, as far as this copy knows: for [`Ask::Sweep`](crate::Ask).
    /// O(n) of all that is named, whatever was listed.
    pub fn strangers(
        &self,
        listed: impl Iterator<Item = (SegmentId, Offset)>,
    ) -> Vec<(SegmentId, Offset)> {
        let mut strangers: BTreeMap<SegmentId, Offset> = listed.collect();
        let named = self.segments().iter().map(|segment| &segment.id);
        for id in named.chain(self.open.keys()).chain(self.unnamed.keys()) {
            strangers.remove(id);
        }
        strangers.into_iter().collect()
    }

    /// Whether an id is taken, by whatever became of it.
    pub(crate) fn knows(&self, id: SegmentId) -> bool {
        self.is_named(id) || self.open.contains_key(&id) || self.unnamed.contains_key(&id)
    }

    pub(crate) fn is_named(&self, id: SegmentId) -> bool {
        self.segments().iter().any(|segment| segment.id == id)
    }

    /// A named segment by its id.
    pub(crate) fn named(&self, id: SegmentId) -> Option<&Segment> {
        self.segments().iter().find(|segment| segment.id == id)
    }
}
