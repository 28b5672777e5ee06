//! ListOffsets (key 2): offsets by time, and the special ones.
//!
//! Sources: KIP-79 (one offset by time), KIP-320 (leader epochs), KIP-734 (largest timestamp),
//! KIP-405 and KIP-1005 (tiered storage), KIP-1075 (timeout).

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
}

impl Request for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response = ListOffsetsResponse;
}
