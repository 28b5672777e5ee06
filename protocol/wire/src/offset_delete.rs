//! OffsetDelete (key 47): forgets a group's positions in partitions it no longer reads (KIP-496).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Positions to forget.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct OffsetDeleteRequest {
    /// The group.
    pub group_id: String,
    /// By topic.
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

/// Positions in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteRequestTopic {
    /// Its name.
    pub name: String,
    /// By partition.
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteRequestPartition {
    /// The partition.
    pub partition_index: i32,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct OffsetDeleteResponse {
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// Outcome by topic.
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

/// The outcome in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteResponseTopic {
    /// Its name.
    pub name: String,
    /// Outcome by partition.
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

/// The outcome in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetDeleteResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error, for example GROUP_SUBSCRIBED_TO_TOPIC.
    pub error_code: i16,
}

impl Request for OffsetDeleteRequest {
    const KEY: ApiKey = ApiKey::OffsetDelete;
    type Response = OffsetDeleteResponse;
}
