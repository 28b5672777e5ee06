//! OffsetForLeaderEpoch (key 23): where a leader epoch ends, so that a log that has departed from
//! its leader's can be cut at the right place.
//!
//! Sources: KIP-101, KIP-279 (answer the largest epoch that is not above), KIP-320 (consumers).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks where epochs end.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    /// The follower; -1 for a consumer, -2 for one that does not say.
    #[field(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    /// The epochs by topic.
    pub topics: Vec<OffsetForLeaderTopic>,
}

/// The epochs of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderTopic {
    /// The topic.
    pub topic: String,
    /// The epochs by partition.
    pub partitions: Vec<OffsetForLeaderPartition>,
}

/// The epoch in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderPartition {
    /// The partition.
    pub partition: i32,
    /// The leader epoch the asker knows; -1 if none.
    #[field(default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// The epoch whose end is wanted.
    pub leader_epoch: i32,
}

/// Where epochs end.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(ignorable)]
    pub throttle_time_ms: i32,
    /// The ends by topic.
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

/// The ends of one topic's epochs.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetForLeaderTopicResult {
    /// The topic.
    pub topic: String,
    /// The ends by partition.
    pub partitions: Vec<EpochEndOffset>,
}

/// The end of an epoch in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct EpochEndOffset {
    /// 0 or the error.
    pub error_code: i16,
    /// The partition.
    pub partition: i32,
    /// The largest epoch in the log that is not above the asked one; -1 if there is none.
    #[field(default = -1, ignorable)]
    pub leader_epoch: i32,
    /// Where that epoch ends; -1 if there is none.
    #[field(default = -1)]
    pub end_offset: i64,
}

impl Request for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Response = OffsetForLeaderEpochResponse;
}
