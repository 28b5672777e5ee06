//! AssignReplicasToDirs (key 73): a broker tells the controller which of its log directories holds
//! which replica, so that a failed directory costs only the replicas in it.
//!
//! Source: KIP-858.

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Tells where replicas are.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AssignReplicasToDirsRequest {
    /// The broker.
    pub broker_id: i32,
    /// The epoch of its registration.
    #[field(default = -1)]
    pub broker_epoch: i64,
    /// The replicas by directory.
    pub directories: Vec<DirectoryData>,
}

/// The replicas in one directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DirectoryData {
    /// The directory.
    pub id: [u8; 16],
    /// The replicas by topic.
    pub topics: Vec<TopicData>,
}

/// The replicas in one directory of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic.
    pub topic_id: TopicId,
    /// The replicas by partition.
    pub partitions: Vec<PartitionData>,
}

/// The replica of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
}

/// Whether the controller has taken it in.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AssignReplicasToDirsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The results by directory.
    pub directories: Vec<DirectoryDataResponse>,
}

/// The results of one directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DirectoryDataResponse {
    /// The directory.
    pub id: [u8; 16],
    /// The results by topic.
    pub topics: Vec<TopicDataResponse>,
}

/// The results of one directory and topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicDataResponse {
    /// The topic.
    pub topic_id: TopicId,
    /// The results by partition.
    pub partitions: Vec<PartitionDataResponse>,
}

/// The result of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionDataResponse {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error.
    pub error_code: i16,
}

impl Request for AssignReplicasToDirsRequest {
    const KEY: ApiKey = ApiKey::AssignReplicasToDirs;
    type Response = AssignReplicasToDirsResponse;
}
