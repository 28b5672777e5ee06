//! Who keeps and leads partitions: moves and elections.

use std::collections::BTreeMap;

use freshet_types::NodeId;
use freshet_wire::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use freshet_wire::elect_leaders::{PREFERRED, TopicPartitions, UNCLEAN};
use freshet_wire::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest,
    ElectLeadersResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

use super::{Admin, Outcomes, TopicPartition, millis};
use crate::ClientError;

/// Who shall keep a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// Which.
    pub partition: TopicPartition,
    /// The brokers that shall keep it, the preferred leader first; `None` takes back a move that is
    /// under way.
    pub replicas: Option<Vec<NodeId>>,
}

/// A move that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OngoingMove {
    /// Of which partition.
    pub partition: TopicPartition,
    /// Those who keep it now, those who come and those who go.
    pub replicas: Vec<NodeId>,
    /// Those who come.
    pub adding: Vec<NodeId>,
    /// Those who go.
    pub removing: Vec<NodeId>,
}

/// Which leader is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The first of the replicas, if it is in sync.
    Preferred,
    /// Anybody who is there, where nobody leads; what only others had is lost.
    Unclean,
}

impl Admin {
    /// Begins and takes back moves of partitions. An outcome says that the move is under way, not
    /// that it is done: [`Self::list_reassignments`] tells.
    pub async fn reassign(
        &self,
        changes: &[Reassignment],
    ) -> Result<Outcomes<TopicPartition, ()>, ClientError> {
        let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
        for change in changes {
            let (topic, partition_index) = &change.partition;
            let replicas = change.replicas.as_ref();
            topics
                .entry(topic)
                .or_default()
                .push(ReassignablePartition {
                    partition_index: *partition_index,
                    replicas: replicas.map(|all| all.iter().map(|node| node.0).collect()),
                });
        }
        let topic = |(name, partitions): (&str, _)| ReassignableTopic {
            name: name.to_owned(),
            partitions,
        };
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: millis(self.client.config().request_timeout),
            topics: topics.into_iter().map(topic).collect(),
            ..AlterPartitionReassignmentsRequest::default()
        };
        let refused = |r: &AlterPartitionReassignmentsResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || "partitions were not reassigned".to_owned();
        ClientError::check(response.error_code, response.error_message.as_deref(), what)?;
        let mut outcomes = Vec::new();
        for topic in response.responses {
            for p in topic.partitions {
                let partition = (topic.name.clone(), p.partition_index);
                let what = || format!("{} was not reassigned", shown(&partition));
                let outcome = ClientError::check(p.error_code, p.error_message.as_deref(), what);
                outcomes.push((partition, outcome));
            }
        }
        Ok(outcomes)
    }

    /// All moves that are under way, by topic and partition.
    pub async fn list_reassignments(&self) -> Result<Vec<OngoingMove>, ClientError> {
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: millis(self.client.config().request_timeout),
            topics: None,
        };
        let refused = |r: &ListPartitionReassignmentsResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || "moves of partitions cannot be listed".to_owned();
        ClientError::check(response.error_code, response.error_message.as_deref(), what)?;
        let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
        let mut moves = Vec::new();
        for topic in response.topics {
            moves.extend(topic.partitions.into_iter().map(|p| OngoingMove {
                partition: (topic.name.clone(), p.partition_index),
                replicas: nodes(p.replicas),
                adding: nodes(p.adding_replicas),
                removing: nodes(p.removing_replicas),
            }));
        }
        moves.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(moves)
    }

    /// Elects leaders of these partitions, or of all that need it. Asked for all, only those where
    /// there was an election, or should have been, are answered.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Outcomes<TopicPartition, ()>, ClientError> {
        let request = ElectLeadersRequest {
            election_type: match election {
                Election::Preferred => PREFERRED,
                Election::Unclean => UNCLEAN,
            },
            topic_partitions: partitions.map(by_topic),
            timeout_ms: millis(self.client.config().request_timeout),
        };
        let refused = |r: &ElectLeadersResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || "leaders were not elected".to_owned();
        ClientError::check(response.error_code, None, what)?;
        let mut outcomes = Vec::new();
        for topic in response.replica_election_results {
            for p in topic.partition_result {
                let partition = (topic.topic.clone(), p.partition_id);
                let what = || format!("no leader of {} was elected", shown(&partition));
                let outcome = ClientError::check(p.error_code, p.error_message.as_deref(), what);
                outcomes.push((partition, outcome));
            }
        }
        Ok(outcomes)
    }
}

fn by_topic(partitions: &[TopicPartition]) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    let topic = |(topic, partitions): (&str, _)| TopicPartitions {
        topic: topic.to_owned(),
        partitions,
    };
    topics.into_iter().map(topic).collect()
}

fn shown((topic, partition): &TopicPartition) -> String {
    format!("{topic}-{partition}")
}
