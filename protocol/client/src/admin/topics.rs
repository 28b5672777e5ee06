//! Topics: create, widen, delete.

use freshet_types::{LeaderEpoch, NodeId, PartitionId, ProducerId, TopicId};
use freshet_wire::create_partitions::CreatePartitionsTopic;
use freshet_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreatableTopicResult};
use freshet_wire::delete_topics::DeleteTopicState;
use freshet_wire::describe_topic_partitions::TopicRequest;
use freshet_wire::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeTopicPartitionsRequest,
};

use super::{Admin, Outcomes, millis, only};
use crate::ClientError;

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Partitions; `None` for the broker's default.
    pub partitions: Option<i32>,
    /// Replicas of each partition; `None` for the broker's default.
    pub replication: Option<i16>,
    /// Settings that differ from the broker's.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with the broker's defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            partitions: None,
            replication: None,
            configs: Vec::new(),
        }
    }

    /// With this many partitions.
    #[must_use]
    pub fn partitions(mut self, count: i32) -> Self {
        self.partitions = Some(count);
        self
    }

    /// With a setting.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((name.into(), value.into()));
        self
    }
}

/// A topic that there was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredTopic {
    /// As it was.
    pub topic: NewTopic,
    /// The id that it had.
    pub id: TopicId,
    /// Its partitions begin in this epoch.
    pub leader_epoch: LeaderEpoch,
}

/// What a cluster must not do again that one before it has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floors {
    /// The version of its metadata is above this.
    pub version: u64,
    /// Producer ids below this are given to nobody.
    pub producer_id: ProducerId,
}

/// A topic that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id.
    pub id: TopicId,
    /// Partitions it has got; -1 if the broker does not tell.
    pub partitions: i32,
    /// Replicas it has got; -1 if the broker does not tell.
    pub replication: i16,
}

/// Who has what is acknowledged of a partition, beyond those in sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCopies {
    /// Which.
    pub partition: PartitionId,
    /// Replicas out of sync that still have everything (KIP-966).
    pub eligible: Vec<NodeId>,
    /// The last who were eligible, when nobody is.
    pub last_known_eligible: Vec<NodeId>,
}

impl Admin {
    /// Who is eligible to lead a topic's partitions though out of sync, partition by partition.
    pub async fn eligible_replicas(
        &self,
        topic: &str,
    ) -> Result<Vec<PartitionCopies>, ClientError> {
        let mut copies = Vec::new();
        let mut cursor = None;
        loop {
            let request = DescribeTopicPartitionsRequest {
                topics: vec![TopicRequest {
                    name: topic.to_owned(),
                }],
                cursor,
                ..DescribeTopicPartitionsRequest::default()
            };
            let mut response = self.client.call_any(&request).await?;
            let nodes = |ids: Option<Vec<i32>>| ids.into_iter().flatten().map(NodeId).collect();
            for told in response.topics.drain(..) {
                let what = || format!("topic {topic:?} cannot be described");
                ClientError::check(told.error_code, None, what)?;
                copies.extend(told.partitions.into_iter().map(|p| PartitionCopies {
                    partition: p.partition_index,
                    eligible: nodes(p.eligible_leader_replicas),
                    last_known_eligible: nodes(p.last_known_elr),
                }));
            }
            cursor = response.next_cursor;
            if cursor.is_none() {
                return Ok(copies);
            }
        }
    }

    /// Creates topics, or only checks whether they could be.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Outcomes<String, CreatedTopic>, ClientError> {
        self.create(CreateTopicsRequest {
            topics: topics.iter().map(creatable).collect(),
            validate_only,
            ..CreateTopicsRequest::default()
        })
        .await
    }

    /// Creates topics that a cluster had whose disks are lost, or only checks whether they could be. A
    /// cluster that is not Freshet does not understand it: the ids that it answers are others.
    pub async fn restore_topics(
        &self,
        topics: &[RestoredTopic],
        floors: Floors,
        validate_only: bool,
    ) -> Result<Outcomes<String, CreatedTopic>, ClientError> {
        let as_it_was = |restored: &RestoredTopic| CreatableTopic {
            restored_id: restored.id,
            restored_epoch: restored.leader_epoch,
            ..creatable(&restored.topic)
        };
        self.create(CreateTopicsRequest {
            topics: topics.iter().map(as_it_was).collect(),
            validate_only,
            restored_version: i64::try_from(floors.version).unwrap_or(i64::MAX),
            restored_producer_id: floors.producer_id,
            ..CreateTopicsRequest::default()
        })
        .await
    }

    async fn create(
        &self,
        mut request: CreateTopicsRequest,
    ) -> Result<Outcomes<String, CreatedTopic>, ClientError> {
        request.timeout_ms = millis(self.client.config().request_timeout);
        let refused =
            |r: &freshet_wire::CreateTopicsResponse| r.topics.first().map_or(0, |t| t.error_code);
        let response = self.client.call_controller(&request, refused).await?;
        Ok(response.topics.into_iter().map(created).collect())
    }

    /// Creates one topic.
    pub async fn create_topic(&self, topic: &NewTopic) -> Result<CreatedTopic, ClientError> {
        only(
            self.create_topics(std::slice::from_ref(topic), false)
                .await?,
            &topic.name,
        )
    }

    /// Deletes topics by name.
    pub async fn delete_topics(
        &self,
        names: &[String],
    ) -> Result<Outcomes<String, ()>, ClientError> {
        let state = |name: &String| DeleteTopicState {
            name: Some(name.clone()),
            ..DeleteTopicState::default()
        };
        let request = DeleteTopicsRequest {
            topics: names.iter().map(state).collect(),
            timeout_ms: millis(self.client.config().request_timeout),
            ..DeleteTopicsRequest::default()
        };
        let refused = |r: &freshet_wire::DeleteTopicsResponse| {
            r.responses.first().map_or(0, |t| t.error_code)
        };
        let response = self.client.call_controller(&request, refused).await?;
        let outcome = |t: freshet_wire::delete_topics::DeletableTopicResult| {
            let name = t.name.unwrap_or_else(|| t.topic_id.to_string());
            let what = || format!("topic {name:?} was not deleted");
            let outcome = ClientError::check(t.error_code, t.error_message.as_deref(), what);
            (name, outcome)
        };
        Ok(response.responses.into_iter().map(outcome).collect())
    }

    /// Gives a topic `count` partitions in total; it must have fewer now.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<(), ClientError> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic {
                name: topic.to_owned(),
                count,
                assignments: None,
            }],
            timeout_ms: millis(self.client.config().request_timeout),
            validate_only: false,
        };
        let refused = |r: &freshet_wire::CreatePartitionsResponse| {
            r.results.first().map_or(0, |t| t.error_code)
        };
        let response = self.client.call_controller(&request, refused).await?;
        let outcome = |t: freshet_wire::create_partitions::CreatePartitionsTopicResult| {
            let what = || format!("topic {:?} was not widened", t.name);
            let outcome = ClientError::check(t.error_code, t.error_message.as_deref(), what);
            (t.name.clone(), outcome)
        };
        only(response.results.into_iter().map(outcome).collect(), topic)
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let config = |(name, value): &(String, String)| CreatableTopicConfig {
        name: name.clone(),
        value: Some(value.clone()),
    };
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication.unwrap_or(-1),
        configs: topic.configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    }
}

fn created(topic: CreatableTopicResult) -> (String, Result<CreatedTopic, ClientError>) {
    let what = || format!("topic {:?} was not created", topic.name);
    let outcome =
        ClientError::check(topic.error_code, topic.error_message.as_deref(), what).map(|()| {
            CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replication: topic.replication_factor,
            }
        });
    (topic.name, outcome)
}
