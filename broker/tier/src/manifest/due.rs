//! What of a partition is to go because it is old, or too much.

use freshet_types::{Offset, Timestamp};

use super::Manifest;

/// `retention.ms` and `retention.bytes`, and what they are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Now, by the clock that stamps records.
    pub now: Timestamp,
    /// How old records may get, ms; `None` for any age.
    pub max_age_ms: Option<u64>,
    /// How many bytes there may be; `None` for any number.
    pub max_bytes: Option<u64>,
    /// Bytes that are in the local log only.
    pub local_bytes: u64,
}

impl Manifest {
    /// Where the log is to begin by its retention: behind all segments at the front whose newest
    /// record is too old, or without which there are still bytes enough. What is in the local log only
    /// is not due before it is in the bucket. The log start if nothing is due.
    pub fn due(&self, retention: &Retention) -> Offset {
        let Retention {
            now,
            max_age_ms,
            max_bytes,
            local_bytes,
        } = *retention;
        let all = self.size_bytes().saturating_add(local_bytes);
        let mut surplus = max_bytes.map_or(0, |max| all.saturating_sub(max));
        let mut start = self.log_start();
        for segment in self.segments() {
            let age = now.0.saturating_sub(segment.max_timestamp.0);
            // Records without a timestamp are of no age.
            let has_age = segment.max_timestamp.0 >= 0;
            let is_older = |max| u64::try_from(age).is_ok_and(|age| age > max);
            let too_old = has_age && max_age_ms.is_some_and(is_older);
            if !too_old && surplus < segment.size_bytes.max(1) {
                break;
            }
            surplus = surplus.saturating_sub(segment.size_bytes);
            start = segment.end;
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Change;
    use crate::segment::{EpochStart, Segment, SegmentId};

    /// Segments of ten offsets and a hundred bytes; record times are those given.
    fn manifest(times: &[i64]) -> Manifest {
        let mut manifest = Manifest::new(1, 0);
        for (n, time) in (0u8..).zip(times) {
            let start = i64::from(n) * 10;
            let segment = Segment {
                id: SegmentId([n; 16]),
                object_start: start,
                start,
                end: start + 10,
                generation: 0,
                size_bytes: 100,
                max_timestamp: Timestamp(*time),
                epochs: vec![EpochStart {
                    epoch: 1,
                    offset: 0,
                }],
            };
            manifest.apply(&Change::Committed { segment });
        }
        manifest
    }

    #[test]
    fn old_segments_go_from_the_front() {
        let due = |times: &[i64], max_age_ms| {
            manifest(times).due(&Retention {
                now: Timestamp(1000),
                max_age_ms,
                max_bytes: None,
                local_bytes: 0,
            })
        };
        assert_eq!(due(&[100, 200, 300], None), 0);
        assert_eq!(due(&[100, 200, 300], Some(750)), 20);
        assert_eq!(due(&[100, 200, 300], Some(0)), 30);
        assert_eq!(
            due(&[100, 950, 300], Some(100)),
            10,
            "one behind a young one stays"
        );
        assert_eq!(due(&[-1, 100], Some(0)), 0, "nobody knows how old that is");
        assert_eq!(due(&[2000], Some(0)), 0, "records of the future");
    }

    #[test]
    fn whole_segments_go_that_are_too_much() {
        let due = |local_bytes, max_bytes| {
            manifest(&[1, 2, 3]).due(&Retention {
                now: Timestamp(10),
                max_age_ms: None,
                max_bytes: Some(max_bytes),
                local_bytes,
            })
        };
        assert_eq!(due(0, 300), 0);
        assert_eq!(due(0, 299), 0, "a segment goes only when enough remain");
        assert_eq!(due(0, 200), 10);
        assert_eq!(due(150, 200), 20);
        assert_eq!(due(1000, 200), 30, "never what is in the local log only");
        assert_eq!(due(0, 0), 30);
    }
}
