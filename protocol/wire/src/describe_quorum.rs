//! DescribeQuorum (key 55): the leader, voters and observers of the metadata quorum.
//!
//! Sources: KIP-595, KIP-836 (times, from version 1 on), KIP-853 (directory ids, nodes and error
//! messages, from version 2 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks about the quorum.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    /// The topics of interest.
    pub topics: Vec<TopicData>,
}

/// A topic of interest.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// Its name.
    pub topic_name: String,
    /// Its partitions of interest.
    pub partitions: Vec<PartitionData>,
}

/// A partition of interest.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
}

/// The quorum.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The error in words.
    #[field(versions = "2+", ignorable)]
    pub error_message: Option<String>,
    /// The quorums by topic.
    pub topics: Vec<TopicDataResponse>,
    /// Where the replicas can be reached; empty below version 2.
    #[field(versions = "2+")]
    pub nodes: Vec<Node>,
}

/// The quorums of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicDataResponse {
    /// The topic.
    pub topic_name: String,
    /// The quorums by partition.
    pub partitions: Vec<PartitionDataResponse>,
}

/// The quorum of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionDataResponse {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    #[field(versions = "2+", ignorable)]
    pub error_message: Option<String>,
    /// The leader; -1 if unknown.
    pub leader_id: i32,
    /// The largest epoch known.
    pub leader_epoch: i32,
    /// The offset below which records are confirmed.
    pub high_watermark: i64,
    /// The replicas that vote.
    pub current_voters: Vec<ReplicaState>,
    /// The replicas that only read.
    pub observers: Vec<ReplicaState>,
}

/// How far a replica has got, as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaState {
    /// The replica.
    pub replica_id: i32,
    /// The directory it keeps its log in; zero below version 2.
    #[field(versions = "2+", ignorable)]
    pub replica_directory_id: [u8; 16],
    /// Where its log ends; -1 if unknown.
    pub log_end_offset: i64,
    /// When it last fetched, in milliseconds since 1970 on the leader's clock; -1 if unknown, and
    /// for the leader itself.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    /// When it last had all that the leader had, in milliseconds since 1970 on the leader's clock;
    /// -1 if unknown. For the leader itself: now.
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
}

/// A node that holds a replica.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Node {
    /// The node.
    pub node_id: i32,
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
}

/// One listener of a node.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
}

impl Request for DescribeQuorumRequest {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    type Response = DescribeQuorumResponse;
}
