//! DescribeCluster (key 60): the cluster and its nodes.
//!
//! Sources: KIP-700, KIP-919 (controller endpoints), KIP-1073 (fenced brokers). Tags from 10000 on are our own
//! (KIP-482).

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::metadata::OPERATIONS_OMITTED;
use crate::{ApiKey, Request};

/// Asks for the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    /// Whether to tell what the asker may do with the cluster.
    pub include_cluster_authorized_operations: bool,
    /// Which nodes: 1 brokers, 2 controllers.
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// Whether to list fenced brokers too.
    #[field(versions = "2+")]
    pub include_fenced_brokers: bool,
    /// Ours: whether to list the latest unclean elections.
    #[field(tag = 10000, ignorable)]
    pub include_unclean_elections: bool,
}

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// Which nodes are listed: 1 brokers, 2 controllers.
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    /// The cluster's id.
    pub cluster_id: String,
    /// A node that takes requests for the controller; -1 if unknown.
    #[field(default = -1)]
    pub controller_id: i32,
    /// The nodes.
    pub brokers: Vec<DescribeClusterBroker>,
    /// Bits of what the asker may do with the cluster.
    #[field(default = OPERATIONS_OMITTED)]
    pub cluster_authorized_operations: i32,
    /// Ours: the latest elections that may have lost acknowledged records, the oldest first.
    #[field(tag = 10000, ignorable)]
    pub unclean_elections: Vec<DescribeClusterUncleanElection>,
}

/// An election that may have lost acknowledged records.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeClusterUncleanElection {
    /// The topic's name; null when it is deleted, or when the asker may not know it.
    pub topic: Option<String>,
    /// Its id.
    pub topic_id: TopicId,
    /// Which of its partitions.
    pub partition_index: i32,
    /// Who was elected.
    pub leader_id: i32,
    /// Since which epoch it leads.
    pub leader_epoch: i32,
    /// Why: 0 by a setting of the topic, 1 because somebody asked for it, 2 since the last one that was clean
    /// came back.
    pub cause: i8,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeClusterBroker {
    /// Its id.
    pub broker_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// Whether it is fenced: registered, but not alive.
    #[field(versions = "2+")]
    pub is_fenced: bool,
}

impl Request for DescribeClusterRequest {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    type Response = DescribeClusterResponse;
}
