//! Metadata (key 3): brokers, topics, and who leads which partition.
//!
//! Sources: KIP-4 (auto-creation flag), KIP-320 (leader epochs), KIP-430 (authorized operations),
//! KIP-516 (topic ids), KIP-700 (cluster operations moved to DescribeCluster).

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Authorized operations that were not asked for.
pub const OPERATIONS_OMITTED: i32 = i32::MIN;

/// Asks for brokers and topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-13", flexible = "9+")]
pub struct MetadataRequest {
    /// The topics; `None` means all. In version 0 an empty list means all.
    #[field(nullable = "1+")]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    /// Whether topics that do not exist may be created.
    #[field(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    /// Whether to tell what the asker may do with the cluster.
    #[field(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    /// Whether to tell what the asker may do with each topic.
    #[field(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

/// A topic asked for by name or, from version 12 on, by id.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataRequestTopic {
    /// Its id; zero when asked by name.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Its name; `None` when asked by id.
    #[field(nullable = "10+")]
    pub name: Option<String>,
}

/// Brokers and topics.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-13", flexible = "9+")]
pub struct MetadataResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// The brokers that are alive.
    pub brokers: Vec<MetadataResponseBroker>,
    /// The cluster's id.
    #[field(versions = "2+", ignorable)]
    pub cluster_id: Option<String>,
    /// A broker that takes requests for the controller; -1 if unknown.
    #[field(versions = "1+", default = -1, ignorable)]
    pub controller_id: i32,
    /// The topics.
    pub topics: Vec<MetadataResponseTopic>,
    /// Bits of what the asker may do with the cluster.
    #[field(versions = "8-10", default = OPERATIONS_OMITTED)]
    pub cluster_authorized_operations: i32,
    /// 0 or the error of the whole request.
    #[field(versions = "13+", ignorable)]
    pub error_code: i16,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponseBroker {
    /// Its id.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// Its rack, if it has one.
    #[field(versions = "1+", ignorable)]
    pub rack: Option<String>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponseTopic {
    /// 0 or the error.
    pub error_code: i16,
    /// Its name; `None` when it was asked for by an unknown id.
    #[field(nullable = "12+")]
    pub name: Option<String>,
    /// Its id; zero when it was asked for by an unknown name.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Whether it belongs to the broker.
    #[field(versions = "1+", ignorable)]
    pub is_internal: bool,
    /// Its partitions.
    pub partitions: Vec<MetadataResponsePartition>,
    /// Bits of what the asker may do with the topic.
    #[field(versions = "8+", default = OPERATIONS_OMITTED)]
    pub topic_authorized_operations: i32,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MetadataResponsePartition {
    /// 0 or the error.
    pub error_code: i16,
    /// Its index.
    pub partition_index: i32,
    /// The broker that leads it; -1 if there is none.
    pub leader_id: i32,
    /// The leader's epoch; -1 if unknown.
    #[field(versions = "7+", default = -1, ignorable)]
    pub leader_epoch: i32,
    /// The brokers that hold it.
    pub replica_nodes: Vec<i32>,
    /// Those of them that are in sync.
    pub isr_nodes: Vec<i32>,
    /// Those of them that are offline.
    #[field(versions = "5+", ignorable)]
    pub offline_replicas: Vec<i32>,
}

impl Request for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response = MetadataResponse;
}
