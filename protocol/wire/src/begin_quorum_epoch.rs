//! BeginQuorumEpoch (key 53): a new leader of the metadata quorum makes itself known to a voter.
//!
//! Sources: KIP-595, KIP-853 (directory ids and endpoints, from version 1 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Tells a voter who leads.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct BeginQuorumEpochRequest {
    /// The cluster the leader means, if it knows.
    pub cluster_id: Option<String>,
    /// The voter that is told; -1 if the leader does not say.
    #[field(versions = "1+", default = -1, ignorable)]
    pub voter_id: i32,
    /// The leaders by topic.
    pub topics: Vec<TopicData>,
    /// Where the leader can be reached, by listener.
    #[field(versions = "1+", ignorable)]
    pub leader_endpoints: Vec<LeaderEndpoint>,
}

/// The leaders of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic.
    pub topic_name: String,
    /// The leaders by partition.
    pub partitions: Vec<PartitionData>,
}

/// The leader of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
    /// The directory of the voter that is told; zero if the leader does not say.
    #[field(versions = "1+", ignorable)]
    pub voter_directory_id: [u8; 16],
    /// The leader, which is the sender.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
}

/// One listener of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct LeaderEndpoint {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
}

/// Whether the voter follows.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct BeginQuorumEpochResponse {
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The answers by topic.
    pub topics: Vec<TopicDataResponse>,
    /// Where the leaders named in the partitions can be reached; empty in version 0.
    #[field(versions = "1+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The answers for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicDataResponse {
    /// The topic.
    pub topic_name: String,
    /// The answers by partition.
    pub partitions: Vec<PartitionDataResponse>,
}

/// The answer for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionDataResponse {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The leader the voter knows; -1 if none.
    pub leader_id: i32,
    /// The largest epoch the voter knows.
    pub leader_epoch: i32,
}

/// Where a node can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct NodeEndpoint {
    /// The node.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
}

impl Request for BeginQuorumEpochRequest {
    const KEY: ApiKey = ApiKey::BeginQuorumEpoch;
    type Response = BeginQuorumEpochResponse;
}
