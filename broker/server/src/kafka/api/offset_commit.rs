//! OffsetCommit (8): stores how far a group has read.

use std::sync::Arc;

use freshet_coordinators::groups::api::{
    Commit, CommitTopic, GroupError, PartitionCommit, TopicOutcome,
};
use freshet_metadata::{MetadataImage, Topic};
use freshet_types::Timestamp;
use freshet_wire::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
};
use freshet_wire::{ErrorCode, OffsetCommitRequest, OffsetCommitResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;

/// First version that names topics by their ids.
const TOPIC_IDS_FROM: i16 = 10;
/// First version whose clients understand that a group is not there.
const NOT_FOUND_FROM: i16 = 9;

/// Commits what can be committed; partitions that do not exist are refused one by one.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let image = context.image();
    let mut topics = Vec::new();
    let mut commits = Vec::new();
    // For each commit, where its outcome goes: topic and partition in the response.
    let mut places = Vec::new();
    for (at, asked) in request.topics.into_iter().enumerate() {
        let found = find(&image, call, &asked);
        let (response, commit, known) = split(asked, found);
        if !commit.partitions.is_empty() {
            commits.push(commit);
            places.push((at, known));
        }
        topics.push(response);
    }
    if !commits.is_empty() {
        let commit = Commit {
            group: request.group_id.into(),
            member_id: request.member_id.into(),
            instance_id: request.group_instance_id.map(Into::into),
            generation: request.generation_id_or_member_epoch,
            expires_at: expires_at(context, request.retention_time_ms),
            topics: commits,
        };
        let group = Arc::clone(&commit.group);
        let answer = coordinator::ask(context, &group, commit).await;
        let outcomes = answer.and_then(|result| result.map_err(|error| refusal(call, error)));
        for (nth, (at, known)) in places.into_iter().enumerate() {
            let outcome = outcomes
                .as_ref()
                .map(|outcomes| &outcomes[nth])
                .map_err(|code| *code);
            fill(&mut topics[at], &known, outcome);
        }
    }
    for partition in topics.iter().flat_map(|topic| &topic.partitions) {
        let code = ErrorCode::from_code(partition.error_code);
        if let Some(code) = code.filter(|code| code.is_error()) {
            context.metrics.error(code);
        }
    }
    OffsetCommitResponse {
        topics,
        ..OffsetCommitResponse::default()
    }
}

/// The topic that is meant, or the code for all its partitions.
fn find<'a>(
    image: &'a MetadataImage,
    call: &Call,
    asked: &OffsetCommitRequestTopic,
) -> Result<&'a Arc<Topic>, ErrorCode> {
    if call.version >= TOPIC_IDS_FROM {
        image
            .topic_by_id(asked.topic_id)
            .ok_or(ErrorCode::UnknownTopicId)
    } else {
        image
            .topic(&asked.name)
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}

/// A response topic with codes for what does not exist, what is to be committed, and the places of
/// that in the response.
fn split(
    asked: OffsetCommitRequestTopic,
    found: Result<&Arc<Topic>, ErrorCode>,
) -> (OffsetCommitResponseTopic, CommitTopic, Vec<usize>) {
    let mut response = OffsetCommitResponseTopic {
        name: asked.name,
        topic_id: asked.topic_id,
        partitions: Vec::with_capacity(asked.partitions.len()),
    };
    let (topic, topic_id) = match found {
        Ok(topic) => (topic.name.as_str(), topic.id),
        Err(_) => ("", asked.topic_id),
    };
    let mut commit = CommitTopic {
        topic: topic.into(),
        topic_id,
        partitions: Vec::new(),
    };
    let mut known = Vec::new();
    for (at, partition) in asked.partitions.into_iter().enumerate() {
        let index = partition.partition_index;
        let exists = found.map(|topic| topic.partition(index).is_some());
        let code = match exists {
            Ok(true) => ErrorCode::None,
            Ok(false) => ErrorCode::UnknownTopicOrPartition,
            Err(code) => code,
        };
        if code == ErrorCode::None {
            known.push(at);
            commit.partitions.push(domain(partition));
        }
        response.partitions.push(OffsetCommitResponsePartition {
            partition_index: index,
            error_code: code.code(),
        });
    }
    (response, commit, known)
}

fn domain(partition: OffsetCommitRequestPartition) -> PartitionCommit {
    PartitionCommit {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.unwrap_or_default().into(),
    }
}

fn fill(
    topic: &mut OffsetCommitResponseTopic,
    known: &[usize],
    outcome: Result<&TopicOutcome, ErrorCode>,
) {
    for (nth, &at) in known.iter().enumerate() {
        let code = match outcome {
            Ok(outcome) => match outcome.partitions[nth].1 {
                Ok(()) => ErrorCode::None,
                Err(error) => error.code(),
            },
            Err(code) => code,
        };
        topic.partitions[at].error_code = code.code();
    }
}

/// Old clients know a group that is gone as one whose generation has passed.
fn refusal(call: &Call, error: GroupError) -> ErrorCode {
    match error {
        GroupError::NotFound if call.version < NOT_FOUND_FROM => ErrorCode::IllegalGeneration,
        error => error.code(),
    }
}

/// Versions 2 to 4 may ask for a retention of their own.
fn expires_at(context: &Context, retention_ms: i64) -> Option<Timestamp> {
    let now = context.clock.now().wall.0;
    (retention_ms >= 0).then(|| Timestamp(now.saturating_add(retention_ms)))
}

#[cfg(test)]
mod tests {
    use freshet_coordinators::groups::api::OffsetError;
    use freshet_metadata::Partition;
    use freshet_types::{TopicId, TopicName};

    use super::*;

    fn topic(partitions: usize) -> Arc<Topic> {
        let partition = Arc::new(Partition {
            replicas: vec![],
            directories: vec![],
            isr: vec![],
            eligible: vec![],
            last_known_eligible: vec![],
            adding: vec![],
            removing: vec![],
            leader: None,
            leader_epoch: 0,
            partition_epoch: 0,
        });
        Arc::new(Topic {
            id: TopicId([7; 16]),
            name: TopicName::new("t").expect("legal"),
            partitions: (0..partitions).map(|_| Arc::clone(&partition)).collect(),
            configs: Arc::default(),
        })
    }

    fn asked(partitions: &[i32]) -> OffsetCommitRequestTopic {
        let partition = |&partition_index: &i32| OffsetCommitRequestPartition {
            partition_index,
            ..OffsetCommitRequestPartition::default()
        };
        OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: partitions.iter().map(partition).collect(),
            ..OffsetCommitRequestTopic::default()
        }
    }

    fn codes(topic: &OffsetCommitResponseTopic) -> Vec<(i32, i16)> {
        let pair = |p: &OffsetCommitResponsePartition| (p.partition_index, p.error_code);
        topic.partitions.iter().map(pair).collect()
    }

    #[test]
    fn each_outcome_goes_to_the_partition_it_belongs_to() {
        let (mut response, commit, known) = split(asked(&[9, 0, -1, 1]), Ok(&topic(2)));
        let committed: Vec<i32> = commit.partitions.iter().map(|p| p.partition).collect();
        assert_eq!((committed, commit.topic_id), (vec![0, 1], TopicId([7; 16])));
        let outcome = TopicOutcome {
            topic: "t".into(),
            topic_id: commit.topic_id,
            partitions: vec![(0, Err(OffsetError::MetadataTooLarge)), (1, Ok(()))],
        };
        fill(&mut response, &known, Ok(&outcome));
        assert_eq!(codes(&response), [(9, 3), (0, 12), (-1, 3), (1, 0)]);
        fill(&mut response, &known, Err(ErrorCode::NotCoordinator));
        assert_eq!(codes(&response), [(9, 3), (0, 16), (-1, 3), (1, 16)]);
    }

    #[test]
    fn an_unknown_topic_is_refused_with_all_its_partitions() {
        let (response, commit, known) = split(asked(&[0, 1]), Err(ErrorCode::UnknownTopicId));
        assert_eq!(codes(&response), [(0, 100), (1, 100)]);
        assert!(commit.partitions.is_empty() && known.is_empty());
    }
}
