//! The named segments, with what makes lookups logarithmic: running maxima of their timestamps
//! (timestamps need not ascend, their maxima do) and the epochs of all of them in one list.

use freshet_types::{Offset, Timestamp};

use crate::segment::{EpochStart, Segment, SegmentId};

/// In the order of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Segments {
    list: Vec<Segment>,
    /// `peaks[i]` is the largest timestamp of `list[..=i]`.
    peaks: Vec<Timestamp>,
    epochs: Vec<EpochStart>,
}

impl Segments {
    pub(crate) fn as_slice(&self) -> &[Segment] {
        &self.list
    }

    pub(crate) fn epochs(&self) -> &[EpochStart] {
        &self.epochs
    }

    pub(crate) fn end(&self) -> Option<Offset> {
        self.list.last().map(|last| last.end)
    }

    pub(crate) fn at(&self, offset: Offset) -> Option<&Segment> {
        let begun = self.list.partition_point(|s| s.start <= offset);
        let segment = &self.list[begun.checked_sub(1)?];
        (offset < segment.end).then_some(segment)
    }

    pub(crate) fn since_time(&self, timestamp: Timestamp) -> impl Iterator<Item = &Segment> {
        let first = self.peaks.partition_point(|peak| *peak < timestamp);
        let rest = self.list.get(first..).unwrap_or_default();
        rest.iter().filter(move |s| s.max_timestamp >= timestamp)
    }

    /// Adds a segment in its place. One that has the id already gives way: the same change may be
    /// applied twice by who follows.
    pub(crate) fn insert(&mut self, segment: Segment) {
        let is_next = self.end().is_none_or(|end| end <= segment.start);
        if is_next {
            self.list.push(segment);
            self.index(self.list.len() - 1);
            return;
        }
        self.list.retain(|s| s.id != segment.id);
        let place = self.list.partition_point(|s| s.start < segment.start);
        self.list.insert(place, segment);
        self.index(0);
    }

    /// Takes segments out; gives those that were there.
    pub(crate) fn remove(&mut self, ids: &[SegmentId]) -> Vec<Segment> {
        self.take(|segment| ids.contains(&segment.id))
    }

    /// Takes out what ends at or below `start`.
    pub(crate) fn drop_below(&mut self, start: Offset) -> Vec<Segment> {
        self.take(|segment| segment.end <= start)
    }

    /// Takes out what begins at or behind `end`, and hides what reaches beyond it.
    pub(crate) fn cut(&mut self, end: Offset) -> Vec<Segment> {
        let gone = self.take(|segment| segment.start >= end);
        if let Some(last) = self.list.last_mut()
            && last.end > end
        {
            last.end = end;
            last.epochs.retain(|epoch| epoch.offset < end);
            self.index(0);
        }
        gone
    }

    pub(crate) fn clear(&mut self) -> Vec<Segment> {
        self.take(|_| true)
    }

    fn take(&mut self, goes: impl Fn(&Segment) -> bool) -> Vec<Segment> {
        if !self.list.iter().any(&goes) {
            return Vec::new();
        }
        let (gone, stay) = std::mem::take(&mut self.list).into_iter().partition(goes);
        self.list = stay;
        self.index(0);
        gone
    }

    /// Brings what is derived up to date, from the `from`th segment on.
    fn index(&mut self, from: usize) {
        self.peaks.truncate(from);
        if from == 0 {
            self.epochs.clear();
        }
        for segment in &self.list[from..] {
            let peak = self.peaks.last().map_or(segment.max_timestamp, |peak| {
                segment.max_timestamp.max(*peak)
            });
            self.peaks.push(peak);
            for &start in &segment.epochs {
                let known = self.epochs.last().is_some_and(|e| e.epoch >= start.epoch);
                if !known {
                    self.epochs.push(start);
                }
            }
        }
    }
}
