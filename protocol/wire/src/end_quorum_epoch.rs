//! EndQuorumEpoch (key 54): the leader of the metadata quorum resigns, and says who should follow,
//! so that nobody waits for a timeout.
//!
//! Sources: KIP-595, KIP-853 (directory ids and endpoints, from version 1 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Tells a voter that the leader goes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct EndQuorumEpochRequest {
    /// The cluster the leader means, if it knows.
    pub cluster_id: Option<String>,
    /// What ends, by topic.
    pub topics: Vec<TopicData>,
    /// Where the leader can be reached, by listener.
    #[field(versions = "1+", ignorable)]
    pub leader_endpoints: Vec<LeaderEndpoint>,
}

/// What ends in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic.
    pub topic_name: String,
    /// What ends, by partition.
    pub partitions: Vec<PartitionData>,
}

/// What ends in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
    /// The leader that resigns, which is the sender.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
    /// Who should stand for election, the best first.
    #[field(versions = "0", ignorable)]
    pub preferred_successors: Vec<i32>,
    /// Who should stand for election, the best first.
    #[field(versions = "1+", ignorable)]
    pub preferred_candidates: Vec<ReplicaInfo>,
}

/// A voter that should stand for election.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaInfo {
    /// The voter.
    pub candidate_id: i32,
    /// The directory it keeps its log in.
    pub candidate_directory_id: [u8; 16],
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

/// Whether the voter has taken it in.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct EndQuorumEpochResponse {
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

impl Request for EndQuorumEpochRequest {
    const KEY: ApiKey = ApiKey::EndQuorumEpoch;
    type Response = EndQuorumEpochResponse;
}
