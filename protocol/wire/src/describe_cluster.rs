//! DescribeCluster (key 60): the cluster and its nodes.
//!
//! Sources: KIP-700, KIP-919 (controller endpoints), KIP-1073 (fenced brokers).

use freshet_codec::Message;

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
