//! Lookups by time, as a local log answers them (ListOffsets, KIP-734): the manifest finds the segment,
//! its index the neighbourhood, headers the batch, records the offset.

use std::sync::Arc;

use freshet_records::{Batch, BatchError, TimestampType};
use freshet_types::{LeaderEpoch, Offset, Timestamp};

use super::cursor::Cursor;
use super::error::ColdError;
use super::gate::Turn;
use super::shared::Shared;
use super::{Past, TimedOffset};
use crate::segment::Segment;

/// A stored batch passed `max.message.bytes` when compressed; this bounds what it may become.
const INFLATED_CAP_BYTES: usize = 1 << 30;

/// Offsets that count.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    start: Offset,
    upper: Offset,
}

/// Looks one partition through.
pub(super) struct Lookup<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) past: &'a Past,
    pub(super) upper: Offset,
    pub(super) turn: Turn,
}

impl Lookup<'_> {
    /// What counts of a segment; `None` if nothing does.
    fn bounds(&self, segment: &Segment) -> Option<Bounds> {
        let start = segment.start.max(self.past.manifest.log_start());
        let upper = segment.end.min(self.upper);
        (start < upper).then_some(Bounds { start, upper })
    }

    /// The first record with a timestamp of `target` or later.
    pub(super) async fn first(&self, target: Timestamp) -> Result<Option<TimedOffset>, ColdError> {
        for segment in self.past.manifest.since_time(target) {
            if segment.start >= self.upper {
                break;
            }
            let Some(bounds) = self.bounds(segment) else {
                continue;
            };
            let found = self.first_in(segment, target, bounds).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn first_in(
        &self,
        segment: &Segment,
        target: Timestamp,
        bounds: Bounds,
    ) -> Result<Option<TimedOffset>, ColdError> {
        let partition = self.past.partition;
        let object = self.shared.open(partition, segment, self.turn).await?;
        let mut cursor = Cursor::new(self.shared, &object, self.turn);
        let mut position = object.index.by_time(target);
        while position < object.batches_end {
            let header = cursor.header(position).await?;
            if header.base_offset >= bounds.upper {
                break;
            }
            let inside = header.next_offset() > bounds.start;
            if inside && header.max_timestamp >= target {
                let batch = cursor.batch(&header, position).await?;
                let found = first_record(&batch, target, bounds);
                let found = found.map_err(|error| object.damaged(position, error))?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            position += header.size_bytes as u64;
        }
        Ok(None)
    }

    /// The first record with the largest timestamp of all. Segments are looked into only where their
    /// declared maximum, which may be hidden, could be the largest.
    pub(super) async fn largest(&self) -> Result<Option<TimedOffset>, ColdError> {
        let segments = self.past.manifest.segments().iter();
        let mut likely: Vec<&Segment> = segments.filter(|s| self.bounds(s).is_some()).collect();
        likely.sort_by_key(|segment| std::cmp::Reverse(segment.max_timestamp));
        let mut best = Timestamp::NONE;
        for segment in likely {
            if segment.max_timestamp <= best {
                break;
            }
            best = best.max(self.largest_in(segment).await?);
        }
        if best <= Timestamp::NONE {
            return Ok(None);
        }
        self.first(best).await
    }

    /// The largest timestamp of the batches that count.
    async fn largest_in(&self, segment: &Segment) -> Result<Timestamp, ColdError> {
        let Some(bounds) = self.bounds(segment) else {
            return Ok(Timestamp::NONE);
        };
        let partition = self.past.partition;
        let object = self.shared.open(partition, segment, self.turn).await?;
        if bounds.start == object.footer.start && bounds.upper == object.footer.end {
            return Ok(object.footer.max_timestamp);
        }
        let mut cursor = Cursor::new(self.shared, &object, self.turn);
        let mut best = Timestamp::NONE;
        let mut position = object.index.by_offset(bounds.start - object.footer.start);
        while position < object.batches_end {
            let header = cursor.header(position).await?;
            if header.base_offset >= bounds.upper {
                break;
            }
            if header.next_offset() > bounds.start {
                best = best.max(header.max_timestamp);
            }
            position += header.size_bytes as u64;
        }
        Ok(best)
    }
}

/// The first record of a batch, inside the bounds, with a timestamp of `target` or later.
fn first_record(
    batch: &Batch,
    target: Timestamp,
    bounds: Bounds,
) -> Result<Option<TimedOffset>, BatchError> {
    let header = batch.header();
    let leader_epoch: LeaderEpoch = header.leader_epoch;
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        // All records share the batch's time; no need to look inside.
        let (offset, timestamp) = (header.base_offset.max(bounds.start), header.max_timestamp);
        let hit = offset < bounds.upper && timestamp >= target;
        return Ok(hit.then_some(TimedOffset {
            offset,
            timestamp,
            leader_epoch,
        }));
    }
    for record in batch.records(INFLATED_CAP_BYTES)? {
        let record = record?;
        let inside = (bounds.start..bounds.upper).contains(&record.offset);
        if inside && record.timestamp >= target {
            return Ok(Some(TimedOffset {
                offset: record.offset,
                timestamp: record.timestamp,
                leader_epoch,
            }));
        }
    }
    Ok(None)
}
