//! AlterPartitionReassignments (key 45): starts and cancels moves of partitions between brokers.
//!
//! Sources: KIP-455, KIP-860 (forbidding another replication factor, from version 1 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for moves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsRequest {
    /// Milliseconds to wait until the moves are taken on.
    #[field(default = 60_000)]
    pub timeout_ms: i32,
    /// Whether a move may change the number of replicas.
    #[field(versions = "1+", default = true)]
    pub allow_replication_factor_change: bool,
    /// The moves by topic.
    pub topics: Vec<ReassignableTopic>,
}

/// The moves of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignableTopic {
    /// The topic.
    pub name: String,
    /// The moves by partition.
    pub partitions: Vec<ReassignablePartition>,
}

/// The move of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignablePartition {
    /// The partition.
    pub partition_index: i32,
    /// The brokers it shall be on, the preferred leader first; null cancels a move.
    pub replicas: Option<Vec<i32>>,
}

/// Whether the moves were taken on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// Whether a move was allowed to change the number of replicas.
    #[field(versions = "1+", default = true, ignorable)]
    pub allow_replication_factor_change: bool,
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// The results by topic.
    pub responses: Vec<ReassignableTopicResponse>,
}

/// The results of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignableTopicResponse {
    /// The topic.
    pub name: String,
    /// The results by partition.
    pub partitions: Vec<ReassignablePartitionResponse>,
}

/// The result of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReassignablePartitionResponse {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error, for example NO_REASSIGNMENT_IN_PROGRESS.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
}

impl Request for AlterPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
    type Response = AlterPartitionReassignmentsResponse;
}
