//! Produce (key 0): appends record batches.
//!
//! With `acks` 0 there is no response at all. Records stay a slice of the request's frame.
//!
//! Sources: KIP-98 (transactional id), KIP-467 (errors of single records), KIP-516 (topic ids, from
//! version 13 on), KIP-890 (version 12 adds partitions to the transaction), KIP-951 (new leaders).

use bytes::Bytes;
use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Appends batches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    /// The transactional id of the producer, if it has one.
    pub transactional_id: Option<String>,
    /// When to answer: 0 never, 1 once the leader has it, -1 once all in-sync replicas have it.
    pub acks: i16,
    /// Milliseconds to wait for the replicas.
    pub timeout_ms: i32,
    /// The batches by topic.
    pub topic_data: Vec<TopicProduceData>,
}

/// The batches for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicProduceData {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The batches by partition.
    pub partition_data: Vec<PartitionProduceData>,
}

/// The batch for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionProduceData {
    /// The partition.
    pub index: i32,
    /// One record batch.
    pub records: Option<Bytes>,
}

/// What became of the batches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    /// Results by topic.
    pub responses: Vec<TopicProduceResponse>,
    /// Milliseconds the client is muted because of a quota.
    #[field(ignorable)]
    pub throttle_time_ms: i32,
    /// Where the leaders named in the results can be reached.
    #[field(versions = "10+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// Results for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicProduceResponse {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub name: String,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// Results by partition.
    pub partition_responses: Vec<PartitionProduceResponse>,
}

/// The result for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionProduceResponse {
    /// The partition.
    pub index: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// Offset of the batch's first record.
    pub base_offset: i64,
    /// The time all records of the batch were given; -1 if they kept their own.
    #[field(default = -1, ignorable)]
    pub log_append_time_ms: i64,
    /// Where the log starts; -1 if unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// The records that made the batch fail.
    #[field(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    /// What is wrong with the batch as a whole.
    #[field(versions = "8+", ignorable)]
    pub error_message: Option<String>,
    /// The leader to turn to instead.
    #[field(versions = "10+", tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
}

/// A record that made its batch fail.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct BatchIndexAndErrorMessage {
    /// Its place in the batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it.
    pub batch_index_error_message: Option<String>,
}

/// A partition's leader.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1 if unknown.
    #[field(default = -1)]
    pub leader_id: i32,
    /// Its epoch; -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
}

/// Where a broker can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct NodeEndpoint {
    /// The broker.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

impl Request for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
}
