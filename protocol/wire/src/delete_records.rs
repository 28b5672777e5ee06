//! DeleteRecords (key 21): moves the log start of partitions (KIP-107).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Partitions to trim.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsRequest {
    /// By topic.
    pub topics: Vec<DeleteRecordsTopic>,
    /// Milliseconds to wait for all replicas.
    pub timeout_ms: i32,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsTopic {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsPartition {
    /// The partition.
    pub partition_index: i32,
    /// First offset to keep; -1 means the high watermark.
    pub offset: i64,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct DeleteRecordsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// Outcome by topic.
    pub topics: Vec<DeleteRecordsTopicResult>,
}

/// The outcome in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsTopicResult {
    /// Its name.
    pub name: String,
    /// Outcome by partition.
    pub partitions: Vec<DeleteRecordsPartitionResult>,
}

/// The outcome in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeleteRecordsPartitionResult {
    /// The partition.
    pub partition_index: i32,
    /// Smallest log start among the replicas; -1 in an error.
    pub low_watermark: i64,
    /// 0 or the error.
    pub error_code: i16,
}

impl Request for DeleteRecordsRequest {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    type Response = DeleteRecordsResponse;
}
