//! DescribeTopicPartitions (key 75): topics in detail, page by page.
//!
//! Source: KIP-966 (eligible leader replicas).

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::metadata::OPERATIONS_OMITTED;
use crate::{ApiKey, Request};

/// Asks for topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsRequest {
    /// The topics; all if empty.
    pub topics: Vec<TopicRequest>,
    /// Partitions in the response, at most.
    #[field(default = 2000)]
    pub response_partition_limit: i32,
    /// Where to go on.
    pub cursor: Option<Cursor>,
}

/// A topic asked for.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicRequest {
    /// Its name.
    pub name: String,
}

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Cursor {
    /// Its first topic.
    pub topic_name: String,
    /// The first partition of that topic.
    pub partition_index: i32,
}

/// One page of topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTopicPartitionsResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(ignorable)]
    pub throttle_time_ms: i32,
    /// The topics.
    pub topics: Vec<DescribeTopicPartitionsResponseTopic>,
    /// Where the next page starts, if there is one.
    pub next_cursor: Option<Cursor>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeTopicPartitionsResponseTopic {
    /// 0 or the error.
    pub error_code: i16,
    /// Its name.
    pub name: Option<String>,
    /// Its id.
    #[field(ignorable)]
    pub topic_id: TopicId,
    /// Whether it belongs to the broker.
    #[field(ignorable)]
    pub is_internal: bool,
    /// Its partitions, those of this page.
    pub partitions: Vec<DescribeTopicPartitionsResponsePartition>,
    /// Bits of what the asker may do with the topic.
    #[field(default = OPERATIONS_OMITTED)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeTopicPartitionsResponsePartition {
    /// 0 or the error.
    pub error_code: i16,
    /// Its index.
    pub partition_index: i32,
    /// The broker that leads it; -1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; -1 if unknown.
    #[field(default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The brokers that hold it.
    pub replica_nodes: Vec<i32>,
    /// Those of them that are in sync.
    pub isr_nodes: Vec<i32>,
    /// Those out of sync that still hold all confirmed records, if this is kept.
    pub eligible_leader_replicas: Option<Vec<i32>>,
    /// The last of them that were known, if this is kept.
    pub last_known_elr: Option<Vec<i32>>,
    /// Those that are offline.
    #[field(ignorable)]
    pub offline_replicas: Vec<i32>,
}

impl Request for DescribeTopicPartitionsRequest {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Response = DescribeTopicPartitionsResponse;
}
