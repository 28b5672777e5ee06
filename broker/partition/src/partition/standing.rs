//! How a partition stands between its disk and object storage, for whoever looks after a cluster.

use bytes::BytesMut;
use freshet_log::ClosedSegment;
use freshet_records::{BatchHeader, HEADER_BYTES, TimestampType};
use freshet_types::{Offset, Timestamp};

use super::past::PastTrouble;
use super::{KnownPast, Partition, Past};

/// One partition as its leader has it, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierStanding {
    /// Whether closed segments are copied; if not, what is there stays.
    pub copies: bool,
    /// First offset on the disk.
    pub local_start: Offset,
    /// The high watermark.
    pub end: Offset,
    /// Bytes on the leader's disk.
    pub local_bytes: u64,
    /// What is in the bucket; `None` while that is not known here.
    pub remote: Option<RemoteStanding>,
    /// What has gone wrong last.
    pub trouble: Option<PastTrouble>,
}

/// What of a partition is in the bucket, and what should be and is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteStanding {
    /// First offset that may be read, of both tiers.
    pub log_start: Offset,
    /// The offset after the last one in the bucket; the log start if nothing is.
    pub end: Offset,
    /// Objects that readers are sent to.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segments that are closed and committed, and not there.
    pub lag_segments: u64,
    /// Their bytes.
    pub lag_bytes: u64,
    /// The time of the first record of these; `None` if there are none, or it does not say.
    pub lag_since: Option<Timestamp>,
}

impl Partition {
    /// How it stands; `None` if its topic does not use object storage. Reads a batch's header where something
    /// is not copied yet.
    pub async fn tier_standing(&self) -> Option<TierStanding> {
        let copies = self.view().tiered()?.copies;
        let ends = self.ends();
        let remote = match self.past() {
            Past::Known(past) => Some(self.remote_standing(&past, ends.high_watermark).await),
            Past::None | Past::Unknown => None,
        };
        Some(TierStanding {
            copies,
            local_start: ends.local_start,
            end: ends.high_watermark,
            local_bytes: self.view().size_bytes(),
            remote,
            trouble: self.past_trouble(),
        })
    }

    async fn remote_standing(&self, past: &KnownPast, committed: Offset) -> RemoteStanding {
        let manifest = &past.manifest;
        let due = self
            .view()
            .closed_segments(manifest.remote_end(), committed);
        let lag_since = match due.first() {
            Some(first) => self.first_time(first).await,
            None => None,
        };
        let local_start = self.view().log_start();
        RemoteStanding {
            log_start: Past::Known(past.clone()).start_of_all(local_start),
            end: manifest.remote_end(),
            objects: manifest.segments().len() as u64,
            bytes: manifest.size_bytes(),
            lag_segments: due.len() as u64,
            lag_bytes: due.iter().map(ClosedSegment::size_bytes).sum(),
            lag_since,
        }
    }

    /// When a segment's first record was made; `None` too if it cannot be read now.
    async fn first_time(&self, segment: &ClosedSegment) -> Option<Timestamp> {
        let memory = BytesMut::zeroed(HEADER_BYTES);
        let header = self.cold(|done| segment.read(0..HEADER_BYTES as u64, memory, done));
        let header = BatchHeader::parse(&header.await.ok()?).ok()?;
        let attributes = header.attributes;
        let is_first = attributes.timestamp_type() == TimestampType::CreateTime
            && !attributes.has_delete_horizon();
        let time = match is_first {
            true => header.base_timestamp,
            false => header.max_timestamp,
        };
        Some(time).filter(|time| *time > Timestamp::NONE)
    }
}
