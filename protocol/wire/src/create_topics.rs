//! CreateTopics (key 19).
//!
//! Sources: KIP-464 (broker's defaults), KIP-525 (configs in the reply), KIP-599 (throttling),
//! KIP-516 (topic ids in the reply). Tags from 10000 on are our own (KIP-482): a cluster that is restored
//! asks for topics as they were, and whoever does not know the tags creates others.

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Topics to create.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsRequest {
    /// The topics.
    pub topics: Vec<CreatableTopic>,
    /// Milliseconds to wait until the topics are known everywhere.
    #[field(default = 60000)]
    pub timeout_ms: i32,
    /// Whether to check without creating.
    pub validate_only: bool,
    /// Ours: the version of the metadata is above this from now on; -1 asks for nothing.
    #[field(versions = "5+", tag = 10000, default = -1, ignorable)]
    pub restored_version: i64,
    /// Ours: producer ids below this are taken; -1 asks for nothing.
    #[field(versions = "5+", tag = 10001, default = -1, ignorable)]
    pub restored_producer_id: i64,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopic {
    /// Its name.
    pub name: String,
    /// Partitions; -1 with `assignments`, or for the broker's default (version 4 and later).
    pub num_partitions: i32,
    /// Replicas of each partition; -1 with `assignments`, or for the broker's default (version 4
    /// and later).
    pub replication_factor: i16,
    /// Replicas by hand; empty lets the controller place them.
    pub assignments: Vec<CreatableReplicaAssignment>,
    /// Settings that differ from the broker's.
    pub configs: Vec<CreatableTopicConfig>,
    /// Ours: the id that it had; zero for a new one.
    #[field(versions = "5+", tag = 10000)]
    pub restored_id: TopicId,
    /// Ours: the leader epoch that its partitions begin in.
    #[field(versions = "5+", tag = 10001)]
    pub restored_epoch: i32,
}

/// Replicas of one partition, by hand.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableReplicaAssignment {
    /// The partition.
    pub partition_index: i32,
    /// Brokers, preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicConfig {
    /// Its name.
    pub name: String,
    /// Its value; null stands for the default.
    pub value: Option<String>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// Outcome by topic.
    pub topics: Vec<CreatableTopicResult>,
}

/// The outcome for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicResult {
    /// Its name.
    pub name: String,
    /// Its new id.
    #[field(versions = "7+", ignorable)]
    pub topic_id: TopicId,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// Why `configs` is missing, or 0.
    #[field(versions = "5+", tag = 0, ignorable)]
    pub topic_config_error_code: i16,
    /// Partitions it has got.
    #[field(versions = "5+", default = -1, ignorable)]
    pub num_partitions: i32,
    /// Replicas it has got.
    #[field(versions = "5+", default = -1, ignorable)]
    pub replication_factor: i16,
    /// All its settings; null when the asker may not see them.
    #[field(versions = "5+", ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

/// One setting of a created topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatableTopicConfigs {
    /// Its name.
    pub name: String,
    /// Its value; null when it is sensitive or has none.
    pub value: Option<String>,
    /// Whether it can be changed.
    pub read_only: bool,
    /// Where the value comes from, as in DescribeConfigs.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
}

impl Request for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Response = CreateTopicsResponse;
}
