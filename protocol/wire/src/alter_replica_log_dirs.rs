//! AlterReplicaLogDirs (key 34): moves replicas between the log directories of one broker.
//!
//! The broker copies beside the replica that is in use and changes over when the copy has caught
//! up; the answer says only whether the move was taken on. DescribeLogDirs shows its progress.
//!
//! Source: KIP-113.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for moves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-2", flexible = "2+")]
pub struct AlterReplicaLogDirsRequest {
    /// What goes where, by directory.
    pub dirs: Vec<AlterReplicaLogDir>,
}

/// What goes to one directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDir {
    /// The directory's absolute path.
    pub path: String,
    /// The replicas by topic.
    pub topics: Vec<AlterReplicaLogDirTopic>,
}

/// What goes to one directory of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDirTopic {
    /// The topic.
    pub name: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Whether the moves were taken on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-2", flexible = "2+")]
pub struct AlterReplicaLogDirsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// The results by topic.
    pub results: Vec<AlterReplicaLogDirTopicResult>,
}

/// The results of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDirTopicResult {
    /// The topic.
    pub topic_name: String,
    /// The results by partition.
    pub partitions: Vec<AlterReplicaLogDirPartitionResult>,
}

/// The result of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterReplicaLogDirPartitionResult {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error.
    pub error_code: i16,
}

impl Request for AlterReplicaLogDirsRequest {
    const KEY: ApiKey = ApiKey::AlterReplicaLogDirs;
    type Response = AlterReplicaLogDirsResponse;
}
