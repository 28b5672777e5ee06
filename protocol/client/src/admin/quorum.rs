//! The controllers: who votes, how far each is.

use freshet_types::{NodeId, Offset, Timestamp, TopicId};
use freshet_wire::describe_quorum::{PartitionData, ReplicaState, TopicData};
use freshet_wire::{
    AddRaftVoterRequest, AddRaftVoterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    RemoveRaftVoterRequest, RemoveRaftVoterResponse, add_raft_voter,
};

use super::{Admin, millis};
use crate::ClientError;

const METADATA_TOPIC: &str = "__cluster_metadata";

/// The metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// The active controller.
    pub leader: Option<NodeId>,
    /// Its term.
    pub epoch: i32,
    /// Below this offset everything is agreed.
    pub high_watermark: Offset,
    /// Those whose majority decides.
    pub voters: Vec<QuorumReplica>,
    /// Those who listen.
    pub observers: Vec<QuorumReplica>,
}

/// One of the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its node.
    pub node: NodeId,
    /// The id of its metadata directory; zero from a broker that does not tell.
    pub directory: TopicId,
    /// `host:port` of its listeners, as far as they are told.
    pub addresses: Vec<String>,
    /// Where its log ends; `None` when the asked one does not know.
    pub log_end: Option<Offset>,
    /// When it last was heard of.
    pub last_fetch: Option<Timestamp>,
    /// When it last had everything.
    pub last_caught_up: Option<Timestamp>,
}

/// A controller that shall vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVoter {
    /// Its node.
    pub node: NodeId,
    /// The id of its metadata directory.
    pub directory: TopicId,
    /// The name of its listener.
    pub listener: String,
    /// Where it listens.
    pub host: String,
    /// And at which port.
    pub port: u16,
}

impl Admin {
    /// The metadata quorum.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, ClientError> {
        let request = DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: METADATA_TOPIC.to_owned(),
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let refused = |r: &DescribeQuorumResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || "the quorum cannot be described".to_owned();
        ClientError::check(response.error_code, response.error_message.as_deref(), what)?;
        let nodes = response.nodes;
        let partitions = response.topics.into_iter().flat_map(|t| t.partitions);
        let Some(quorum) = partitions.into_iter().next() else {
            let missing = "the broker left the quorum out of its answer";
            return Err(ClientError::Invalid(missing.to_owned()));
        };
        ClientError::check(quorum.error_code, quorum.error_message.as_deref(), what)?;
        let replica = |state: &ReplicaState| {
            let listeners = nodes.iter().filter(|n| n.node_id == state.replica_id);
            let address =
                |l: &freshet_wire::describe_quorum::Listener| format!("{}:{}", l.host, l.port);
            let time = |ms: i64| (ms >= 0).then_some(Timestamp(ms));
            QuorumReplica {
                node: NodeId(state.replica_id),
                directory: TopicId(state.replica_directory_id),
                addresses: listeners
                    .flat_map(|n| n.listeners.iter().map(address))
                    .collect(),
                log_end: (state.log_end_offset >= 0).then_some(state.log_end_offset),
                last_fetch: time(state.last_fetch_timestamp),
                last_caught_up: time(state.last_caught_up_timestamp),
            }
        };
        Ok(QuorumDescription {
            leader: Some(NodeId(quorum.leader_id)).filter(|n| n.0 >= 0),
            epoch: quorum.leader_epoch,
            high_watermark: quorum.high_watermark,
            voters: quorum.current_voters.iter().map(replica).collect(),
            observers: quorum.observers.iter().map(replica).collect(),
        })
    }

    /// Makes a controller that follows the quorum one of its voters.
    pub async fn add_voter(&self, voter: &NewVoter) -> Result<(), ClientError> {
        let request = AddRaftVoterRequest {
            timeout_ms: millis(self.client.config().request_timeout),
            voter_id: voter.node.0,
            voter_directory_id: voter.directory.0,
            listeners: vec![add_raft_voter::Listener {
                name: voter.listener.clone(),
                host: voter.host.clone(),
                port: voter.port,
            }],
            ..AddRaftVoterRequest::default()
        };
        let refused = |r: &AddRaftVoterResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || format!("{} did not become a voter", voter.node);
        ClientError::check(response.error_code, response.error_message.as_deref(), what)
    }

    /// Takes a voter out of the quorum.
    pub async fn remove_voter(&self, node: NodeId, directory: TopicId) -> Result<(), ClientError> {
        let request = RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: node.0,
            voter_directory_id: directory.0,
        };
        let refused = |r: &RemoveRaftVoterResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || format!("{node} is a voter still");
        ClientError::check(response.error_code, response.error_message.as_deref(), what)
    }
}
