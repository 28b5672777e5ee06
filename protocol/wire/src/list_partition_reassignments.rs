//! ListPartitionReassignments (key 46): lists the moves of partitions that are under way.
//!
//! Source: KIP-455.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for moves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsRequest {
    /// Milliseconds to wait for the answer.
    #[field(default = 60_000)]
    pub timeout_ms: i32,
    /// The topics of interest; null means all of them.
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
}

/// A topic of interest.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListPartitionReassignmentsTopics {
    /// Its name.
    pub name: String,
    /// Its partitions of interest.
    pub partition_indexes: Vec<i32>,
}

/// The moves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// The moves by topic.
    pub topics: Vec<OngoingTopicReassignment>,
}

/// The moves of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OngoingTopicReassignment {
    /// The topic.
    pub name: String,
    /// The moves by partition.
    pub partitions: Vec<OngoingPartitionReassignment>,
}

/// The move of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OngoingPartitionReassignment {
    /// The partition.
    pub partition_index: i32,
    /// The brokers that hold it now, those that come and those that go.
    pub replicas: Vec<i32>,
    /// Those that come.
    pub adding_replicas: Vec<i32>,
    /// Those that go.
    pub removing_replicas: Vec<i32>,
}

impl Request for ListPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    type Response = ListPartitionReassignmentsResponse;
}
