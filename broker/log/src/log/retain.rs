//! What is deleted because it is old, too much, or below the log start.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use freshet_types::{Offset, Timestamp};

use super::Log;
use super::save::{CheckpointJob, Garbage};
use crate::segment::Segment;
use crate::{LogError, Retained};

impl Log {
    /// Applies retention (of this disk, where there is object storage too) and the log start to whole
    /// segments, oldest first. A segment goes only when all its records are below `limit`. When even the active segment is
    /// due, it is closed first. Idle producers are forgotten. Nothing may be staged.
    pub(crate) fn retain(
        &mut self,
        now: Timestamp,
        limit: Offset,
    ) -> Result<(Retained, Option<CheckpointJob>), LogError> {
        self.shared.usable()?;
        self.producers
            .expire(now, self.config().producer_expiration_ms);
        self.publish_unstable();
        let segments = self.shared.segments.read().clone();
        let due = self.due(&segments, now, limit);
        if due == segments.len() || self.is_overdue(&segments, now) {
            self.roll()?;
        }
        let gone = self.drop_first(due);
        let retained = Retained {
            segments: gone.len(),
            bytes: gone.iter().map(|segment| segment.size_bytes()).sum(),
            log_start: self.shared.log_start.load(Ordering::Acquire),
        };
        if gone.is_empty() {
            let job = self.could_checkpoint().then(|| self.checkpoint());
            return Ok((retained, job));
        }
        Ok((retained, Some(self.checkpoint_without(gone))))
    }

    /// How many segments at the front are due. Never an empty active one.
    fn due(&self, segments: &[Arc<Segment>], now: Timestamp, limit: Offset) -> usize {
        let log_start = self.shared.log_start.load(Ordering::Acquire);
        let sizes: u64 = segments.iter().map(|segment| segment.size_bytes()).sum();
        let (max_age_ms, max_bytes) = self.config().local_retention();
        let mut surplus = sizes.saturating_sub(max_bytes.unwrap_or(u64::MAX));
        for (i, segment) in segments.iter().enumerate() {
            let end = segments.get(i + 1).map_or(self.end, |next| next.base());
            if segment.size_bytes() == 0 || end > limit {
                return i;
            }
            let too_much = surplus >= segment.size_bytes();
            let below_start = end <= log_start && i + 1 < segments.len();
            let too_old = max_age_ms.is_some_and(|max| self.is_older(segment, now, max));
            if !too_much && !below_start && !too_old {
                return i;
            }
            surplus = surplus.saturating_sub(segment.size_bytes());
        }
        segments.len()
    }

    /// Whether the active segment keeps records from being copied to object storage, and from expiring
    /// there.
    fn is_overdue(&self, segments: &[Arc<Segment>], now: Timestamp) -> bool {
        let config = self.config();
        let copies = config.cleanup.delete && config.tiered.is_some_and(|tiered| tiered.copies);
        let max_age_ms = config.retention_ms.filter(|_| copies);
        let active = segments.last().filter(|active| active.size_bytes() > 0);
        match (active, max_age_ms) {
            (Some(active), Some(max)) => self.is_older(active, now, max),
            _ => false,
        }
    }

    /// Whether the newest record of a segment is older than that. Records without any timestamp never
    /// are, and neither are segments that cannot be read: they are kept.
    fn is_older(&self, segment: &Segment, now: Timestamp, max_age_ms: u64) -> bool {
        match segment.max_time() {
            Ok(Some(max)) if max.timestamp.0 >= 0 => {
                let age = now.0.saturating_sub(max.timestamp.0);
                u64::try_from(age).is_ok_and(|age| age > max_age_ms)
            }
            Ok(_) => false,
            Err(error) => {
                tracing::warn!(log = %self.shared.name, %error, "cannot tell a segment's age");
                false
            }
        }
    }

    /// Takes segments off the front and moves the log start. The last segment always stays.
    pub(super) fn drop_first(&mut self, count: usize) -> Vec<Arc<Segment>> {
        let mut segments = self.shared.segments.write();
        let count = count.min(segments.len() - 1);
        let start = segments[count].base();
        if count > 0 {
            // Before the list shrinks, so that no reader looks for what is not there any more.
            self.shared.log_start.fetch_max(start, Ordering::AcqRel);
        }
        let gone: Vec<_> = segments.drain(..count).collect();
        drop(segments);
        if count > 0 {
            self.shared.epochs.write().cut_start(start);
        }
        gone
    }

    /// A checkpoint without the segments in `gone`; their files are removed once it is written,
    /// because the one before promises that they are there.
    pub(super) fn checkpoint_without(&mut self, gone: Vec<Arc<Segment>>) -> CheckpointJob {
        let first = self.shared.segments.read()[0].base();
        let below = self.snapshots.partition_point(|&offset| offset < first);
        let snapshots = self.snapshots.drain(..below).collect();
        let mut job = self.checkpoint();
        job.garbage = Some(Garbage {
            segments: gone,
            snapshots,
        });
        job
    }
}
