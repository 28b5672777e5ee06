//! ListOffsets (key 2): offsets by time, and the special ones.
//!
//! Sources: KIP-79 (one offset by time), KIP-320 (leader epochs), KIP-734 (largest timestamp),
//! KIP-405 and KIP-1005 (tiered storage), KIP-1075 (timeout). Tags from 10000 on are our own (KIP-482): by one
//! request to each leader all is told that there is to know of many partitions and object storage.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Timestamp that asks for the end: the high watermark, or the last stable offset.
pub const LATEST: i64 = -1;
/// Timestamp that asks for the log's start.
pub const EARLIEST: i64 = -2;
/// Timestamp that asks for the record with the largest timestamp (version 7 and later).
pub const MAX_TIMESTAMP: i64 = -3;
/// Timestamp that asks for the first offset on the broker's own disk (version 8 and later).
pub const EARLIEST_LOCAL: i64 = -4;
/// Timestamp that asks for the last offset in tiered storage (version 9 and later).
pub const LATEST_TIERED: i64 = -5;
/// Timestamp that asks for the first offset not yet in tiered storage (version 11 and later).
pub const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Asks for offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest {
    /// The follower; -1 for a client.
    pub replica_id: i32,
    /// 0: up to the high watermark. 1: up to the last stable offset.
    #[field(versions = "2+")]
    pub isolation_level: i8,
    /// What to look up by topic.
    pub topics: Vec<ListOffsetsTopic>,
    /// Milliseconds to wait for tiered storage.
    #[field(versions = "10+", ignorable)]
    pub timeout_ms: i32,
    /// Ours: leaders shall tell how partitions stand between disks and object storage.
    #[field(versions = "6+", tag = 10000, ignorable)]
    pub wants_tiers: bool,
}

/// What to look up in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsTopic {
    /// The topic.
    pub name: String,
    /// What to look up by partition.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// What to look up in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsPartition {
    /// The partition.
    pub partition_index: i32,
    /// The leader epoch the client knows; -1 if none.
    #[field(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// Milliseconds since 1970, or one of the special values.
    pub timestamp: i64,
}

/// Offsets.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// Offsets by topic.
    pub topics: Vec<ListOffsetsTopicResponse>,
}

/// Offsets in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsTopicResponse {
    /// The topic.
    pub name: String,
    /// Offsets by partition.
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

/// The offset in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListOffsetsPartitionResponse {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The timestamp at the offset; -1 if there is none.
    #[field(default = -1)]
    pub timestamp: i64,
    /// The offset; -1 if there is none.
    #[field(default = -1)]
    pub offset: i64,
    /// The leader epoch of the record at the offset; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// Ours: how it stands between disks and object storage, if that was asked for.
    #[field(versions = "6+", tag = 10000, ignorable)]
    pub tier: TierStanding,
}

/// [`TierStanding::state`]: nothing is told.
pub const TIER_UNTOLD: i8 = 0;
/// [`TierStanding::state`]: the topic does not use object storage.
pub const TIER_OFF: i8 = 1;
/// [`TierStanding::state`]: closed segments are copied.
pub const TIER_COPIES: i8 = 2;
/// [`TierStanding::state`]: what is in object storage stays, and nothing is copied.
pub const TIER_PAUSED: i8 = 3;

/// Ours: what of a partition is where, as its leader has it. -1 stands for what is not known.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TierStanding {
    /// One of `TIER_*`.
    pub state: i8,
    /// First offset that can be read.
    #[field(default = -1)]
    pub log_start: i64,
    /// First offset on the leader's disk.
    #[field(default = -1)]
    pub local_start: i64,
    /// The offset after the last one in object storage; the log start if nothing is there.
    #[field(default = -1)]
    pub remote_end: i64,
    /// The high watermark.
    #[field(default = -1)]
    pub end: i64,
    /// Objects that readers are sent to.
    #[field(default = -1)]
    pub objects: i64,
    /// Bytes of these.
    #[field(default = -1)]
    pub object_bytes: i64,
    /// Bytes on the leader's disk.
    #[field(default = -1)]
    pub local_bytes: i64,
    /// Segments that are closed and committed, and not in object storage.
    #[field(default = -1)]
    pub lag_segments: i64,
    /// Bytes of these.
    #[field(default = -1)]
    pub lag_bytes: i64,
    /// Age of the first record of these, ms.
    #[field(default = -1)]
    pub lag_ms: i64,
    /// What has gone wrong last; null if nothing has since the leader was elected.
    pub error: Option<String>,
    /// How long ago, ms.
    #[field(default = -1)]
    pub error_ms: i64,
    /// Whether that is so now.
    pub fails: bool,
}

impl Request for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response = ListOffsetsResponse;
}
