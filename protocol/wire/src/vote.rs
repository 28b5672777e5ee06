//! Vote (key 52): asks a voter of the metadata quorum for its vote.
//!
//! Sources: KIP-595, KIP-853 (directory ids and endpoints, from version 1 on), KIP-996 (pre-vote,
//! from version 2 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for votes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct VoteRequest {
    /// The cluster the asker means, if it knows.
    pub cluster_id: Option<String>,
    /// The voter that is asked; -1 if the asker does not say.
    #[field(versions = "1+", default = -1, ignorable)]
    pub voter_id: i32,
    /// The elections by topic.
    pub topics: Vec<TopicData>,
}

/// The elections of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic.
    pub topic_name: String,
    /// The elections by partition.
    pub partitions: Vec<PartitionData>,
}

/// The election in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
    /// The asker's epoch: the one it stands for, or in a pre-vote the one it is in.
    pub replica_epoch: i32,
    /// The asker.
    pub replica_id: i32,
    /// The directory the asker keeps its log in; zero if it does not say.
    #[field(versions = "1+", ignorable)]
    pub replica_directory_id: [u8; 16],
    /// The directory of the voter that is asked; zero if the asker does not say.
    #[field(versions = "1+", ignorable)]
    pub voter_directory_id: [u8; 16],
    /// The epoch of the last record in the asker's log.
    pub last_offset_epoch: i32,
    /// Where the asker's log ends.
    pub last_offset: i64,
    /// Whether the asker only wants to know if it would win. Never sent to a voter that would take
    /// it for a vote.
    #[field(versions = "2+")]
    pub pre_vote: bool,
}

/// The votes.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct VoteResponse {
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The votes by topic.
    pub topics: Vec<TopicDataResponse>,
    /// Where the leaders named in the partitions can be reached; empty in version 0.
    #[field(versions = "1+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The votes in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicDataResponse {
    /// The topic.
    pub topic_name: String,
    /// The votes by partition.
    pub partitions: Vec<PartitionDataResponse>,
}

/// The vote in one partition.
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
    /// Whether the asker has the vote.
    pub vote_granted: bool,
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

impl Request for VoteRequest {
    const KEY: ApiKey = ApiKey::Vote;
    type Response = VoteResponse;
}

#[cfg(test)]
mod tests {
    use freshet_codec::{EncodeError, Writer};

    use super::*;

    #[test]
    fn a_pre_vote_is_never_written_as_a_vote() {
        let partition = PartitionData {
            pre_vote: true,
            ..Default::default()
        };
        let topic = TopicData {
            partitions: vec![partition],
            ..Default::default()
        };
        let request = VoteRequest {
            topics: vec![topic],
            ..Default::default()
        };
        for version in 0..2 {
            let refused = request.encode(&mut Writer::new(), version);
            assert!(matches!(refused, Err(EncodeError::Field { .. })));
        }
        assert_eq!(request.encode(&mut Writer::new(), 2), Ok(()));
    }
}
