//! Lookups by time: the index finds the neighbourhood, headers the batch, records the offset.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use freshet_records::{Batch, BatchError, TimestampType};
use freshet_types::{Offset, Timestamp};

use super::{Shared, TimeQuery, TimedOffset};
use crate::ReadError;
use crate::segment::Segment;
use crate::segment::order::Start;
use crate::segment::scan::Scan;

/// A stored batch passed `max.message.bytes` when compressed; this bounds what it may become.
const INFLATED_CAP_BYTES: usize = 1 << 30;

impl Shared {
    /// The first record below `upper_bound` that answers the query.
    pub(super) fn find_time(
        &self,
        query: TimeQuery,
        upper_bound: Offset,
    ) -> Result<Option<TimedOffset>, ReadError> {
        self.readable()?;
        loop {
            let cuts = self.cuts.load(Ordering::Acquire);
            let found = self.find_once(query, upper_bound);
            if cuts.is_multiple_of(2) && cuts == self.cuts.load(Ordering::Acquire) {
                return found;
            }
            // Files were cut meanwhile; whoever cuts holds this.
            drop(self.flushing.lock());
        }
    }

    fn find_once(
        &self,
        query: TimeQuery,
        upper_bound: Offset,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let bounds = Bounds {
            start: self.log_start.load(Ordering::Acquire),
            upper: upper_bound.min(self.log_end.load(Ordering::Acquire)),
        };
        let segments = self.segments.read().clone();
        match query {
            TimeQuery::AtOrAfter(target) => self.first_at(&segments, target, bounds),
            TimeQuery::Max => self.largest(&segments, bounds),
        }
    }

    fn first_at(
        &self,
        segments: &[Arc<Segment>],
        target: Timestamp,
        bounds: Bounds,
    ) -> Result<Option<TimedOffset>, ReadError> {
        for segment in segments {
            if segment.base() >= bounds.upper {
                break;
            }
            let failed = |error| self.scan_failed(segment.base(), error);
            let max = segment.max_time().map_err(failed)?;
            if max.is_none_or(|max| max.timestamp < target) {
                continue;
            }
            let start = segment.start_for_time(target).map_err(failed)?;
            let found = self.first_in(segment, &start, target, bounds)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record from `start` on with a timestamp of `target` or later.
    fn first_in(
        &self,
        segment: &Arc<Segment>,
        start: &Start,
        target: Timestamp,
        bounds: Bounds,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let mut scan = self.scan(segment, start)?;
        loop {
            let next = scan.next_header();
            let next = next.map_err(|error| self.scan_failed(segment.base(), error))?;
            let Some((header, at)) = next else {
                return Ok(None);
            };
            if header.base_offset >= bounds.upper {
                return Ok(None);
            }
            let inside = header.next_offset() > bounds.start;
            if !inside || header.max_timestamp < target {
                continue;
            }
            let size = header.size_bytes as u64;
            let mut whole = Scan::new(self.segment_file(segment)?, at, at + size);
            let batch = whole.next_batch();
            let batch = batch.map_err(|error| self.scan_failed(header.base_offset, error))?;
            let Some((_, bytes)) = batch else {
                return Ok(None);
            };
            let wanted = |time: Timestamp| time >= target;
            let found = self.first_record(bytes, bounds, wanted)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// The first record with the largest timestamp of all that are below the upper bound.
    fn largest(
        &self,
        segments: &[Arc<Segment>],
        bounds: Bounds,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let mut best: Option<Timestamp> = None;
        for (i, segment) in segments.iter().enumerate() {
            if segment.base() >= bounds.upper {
                break;
            }
            let next = segments.get(i + 1).map(|next| next.base());
            let end = next.unwrap_or_else(|| self.log_end.load(Ordering::Acquire));
            let whole = end <= bounds.upper && segment.base() >= bounds.start;
            let max = if whole {
                let max = segment.max_time();
                let max = max.map_err(|error| self.scan_failed(segment.base(), error))?;
                max.map(|max| max.timestamp)
            } else {
                self.largest_header(segment, bounds)?
            };
            best = best.max(max);
        }
        match best {
            Some(best) if best > Timestamp::NONE => self.first_at(segments, best, bounds),
            _ => Ok(None),
        }
    }

    /// The largest timestamp of the batches inside the bounds, for segments that reach beyond.
    fn largest_header(
        &self,
        segment: &Arc<Segment>,
        bounds: Bounds,
    ) -> Result<Option<Timestamp>, ReadError> {
        let mut scan = self.scan(segment, &segment.all())?;
        let mut best = None;
        loop {
            let next = scan.next_header();
            let next = next.map_err(|error| self.scan_failed(segment.base(), error))?;
            match next {
                Some((header, _)) if header.base_offset >= bounds.upper => return Ok(best),
                Some((header, _)) if header.next_offset() <= bounds.start => {}
                Some((header, _)) => best = best.max(Some(header.max_timestamp)),
                None => return Ok(best),
            }
        }
    }

    /// The first record of a batch, inside the bounds, whose timestamp is wanted.
    fn first_record(
        &self,
        bytes: &[u8],
        bounds: Bounds,
        wanted: impl Fn(Timestamp) -> bool,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let damaged = |offset: Offset| {
            move |error: BatchError| ReadError::Corrupt {
                offset,
                what: error.to_string().into(),
            }
        };
        let batch = Batch::parse(&Bytes::copy_from_slice(bytes)).map_err(damaged(bounds.start))?;
        let header = *batch.header();
        let found = |offset: Offset, timestamp: Timestamp| TimedOffset {
            offset,
            timestamp,
            leader_epoch: header.leader_epoch,
        };
        if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
            // All records share the batch's time; no need to look inside.
            let offset = header.base_offset.max(bounds.start);
            let hit = offset < bounds.upper && wanted(header.max_timestamp);
            return Ok(hit.then(|| found(offset, header.max_timestamp)));
        }
        let failed = damaged(header.base_offset);
        for record in batch.records(INFLATED_CAP_BYTES).map_err(failed)? {
            let record = record.map_err(failed)?;
            let inside = (bounds.start..bounds.upper).contains(&record.offset);
            if inside && wanted(record.timestamp) {
                return Ok(Some(found(record.offset, record.timestamp)));
            }
        }
        Ok(None)
    }

    fn scan(&self, segment: &Arc<Segment>, start: &Start) -> Result<Scan, ReadError> {
        Ok(Scan::in_order(self.segment_file(segment)?, start))
    }

    fn segment_file(
        &self,
        segment: &Arc<Segment>,
    ) -> Result<Arc<dyn freshet_env::DiskFile>, ReadError> {
        let file = self.open_segment(segment);
        file.map_err(|error| ReadError::Io {
            reason: error.to_string().into(),
        })
    }
}

/// Offsets that count: from the log start to below the upper bound.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    start: Offset,
    upper: Offset,
}
