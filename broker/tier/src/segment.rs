//! One stretch of a partition in one object.

use std::fmt;

use freshet_types::{LeaderEpoch, Offset, Timestamp};

use crate::machine::Purpose;

/// Names one attempt to store a segment: 16 random bytes, drawn anew for every attempt, so that two
/// attempts never share an object (KIP-405's RemoteLogSegmentId).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub [u8; 16]);

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A leader epoch and its first offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochStart {
    /// Which epoch.
    pub epoch: LeaderEpoch,
    /// Where it begins.
    pub offset: Offset,
}

/// Whether epochs and their starts both ascend, and there are some.
pub(crate) fn ascend(epochs: &[EpochStart]) -> bool {
    let rises =
        |pair: &[EpochStart]| pair[0].epoch < pair[1].epoch && pair[0].offset < pair[1].offset;
    epochs.first().is_some_and(|first| first.epoch >= 0) && epochs.windows(2).all(rises)
}

/// Those that `start..end` shows of an object's epochs.
pub(crate) fn visible(epochs: &[EpochStart], start: Offset, end: Offset) -> Vec<EpochStart> {
    let covering = epochs.partition_point(|epoch| epoch.offset <= start);
    let from = epochs.get(covering.saturating_sub(1)..).unwrap_or_default();
    let shown = from.iter().copied();
    shown.filter(|epoch| epoch.offset < end).collect()
}

/// Whether these are all epochs of a log that begins at `start`, or of more.
pub(crate) fn span_from(epochs: &[EpochStart], start: Offset) -> bool {
    ascend(epochs) && epochs.first().is_some_and(|first| first.offset <= start)
}

/// Whether these are all epochs of `start..end`, and of nothing behind it.
pub(crate) fn span(epochs: &[EpochStart], start: Offset, end: Offset) -> bool {
    span_from(epochs, start) && epochs.last().is_some_and(|last| last.offset < end)
}

/// The epoch that holds an offset.
pub(crate) fn epoch_at(epochs: &[EpochStart], offset: Offset) -> Option<LeaderEpoch> {
    let covered = epochs.partition_point(|start| start.offset <= offset);
    Some(epochs[covered.checked_sub(1)?].epoch)
}

/// A stored segment that readers are sent to.
///
/// What is *visible* of it may be less than its object holds: the segment before may reach into it
/// (replicas roll at different offsets), and a cut may have taken its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its object's id.
    pub id: SegmentId,
    /// First offset in its object; a part of the object's name.
    pub object_start: Offset,
    /// First visible offset.
    pub start: Offset,
    /// The offset after the last visible one.
    pub end: Offset,
    /// How often the records were rewritten; 0 as the leader wrote them.
    pub generation: u32,
    /// Length of the whole object.
    pub size_bytes: u64,
    /// Largest timestamp of the object's records.
    pub max_timestamp: Timestamp,
    /// The leader epochs of the visible records, ascending; the first one begins at or before `start`.
    pub epochs: Vec<EpochStart>,
}

/// A segment that is on its way to the bucket. Nobody reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// First offset of the object.
    pub start: Offset,
    /// The offset after its last one.
    pub end: Offset,
    /// What it is to become.
    pub purpose: Purpose,
}
