//! Stores offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::TopicId;

use crate::groups::api::{
    Commit, CommitTopic, GroupError, OffsetError, PartitionCommit, TopicOutcome,
};
use crate::groups::group::Group;
use crate::groups::turn::Turn;
use crate::groups::{OffsetValue, Record};

/// Longest text that fits into every stored version of an offset.
const METADATA_BYTES_MAX: usize = i16::MAX as usize;

pub(crate) fn commit(
    turn: &mut Turn,
    groups: &mut BTreeMap<Arc<str>, Group>,
    request: Commit,
) -> Result<Vec<TopicOutcome>, GroupError> {
    check(turn, groups, &request)?;
    let outcome = |topic: &CommitTopic| TopicOutcome {
        topic: Arc::clone(&topic.topic),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| (partition.partition, check_metadata(turn, partition)))
            .collect(),
    };
    let outcomes: Vec<TopicOutcome> = request.topics.iter().map(outcome).collect();
    for (topic, outcome) in request.topics.into_iter().zip(&outcomes) {
        for (partition, (_, result)) in topic.partitions.into_iter().zip(&outcome.partitions) {
            if result.is_ok() {
                let at = (&request.group, &topic.topic, topic.topic_id);
                let value = Stored {
                    partition,
                    expires_at: request.expires_at,
                };
                store(turn, at, value);
            }
        }
    }
    Ok(outcomes)
}

fn check(
    turn: &mut Turn,
    groups: &mut BTreeMap<Arc<str>, Group>,
    request: &Commit,
) -> Result<(), GroupError> {
    let count = groups.len();
    match groups.get_mut(&request.group) {
        Some(group) => group.classic.check_commit(
            turn,
            &request.member_id,
            request.instance_id.as_deref(),
            request.generation,
        ),
        // A consumer without a group protocol makes its group by committing.
        None if request.generation >= 0 => Err(GroupError::NotFound),
        None if count >= turn.limits.groups => Err(GroupError::Busy),
        None => Ok(()),
    }
}

/// Kafka counts Java's characters, which are UTF-16 units.
fn check_metadata(turn: &Turn, partition: &PartitionCommit) -> Result<(), OffsetError> {
    let text = &*partition.metadata;
    let limit = turn.limits.offset_metadata;
    let fits = text.len() <= limit || text.encode_utf16().count() <= limit;
    if fits && text.len() <= METADATA_BYTES_MAX {
        Ok(())
    } else {
        Err(OffsetError::MetadataTooLarge)
    }
}

struct Stored {
    partition: PartitionCommit,
    expires_at: Option<freshet_types::Timestamp>,
}

fn store(turn: &mut Turn, at: (&Arc<str>, &Arc<str>, TopicId), stored: Stored) {
    let (group, topic, topic_id) = at;
    let Stored {
        partition,
        expires_at,
    } = stored;
    // The stored form with a time of expiry is from before leader epochs and topic ids. What is in
    // memory must be what comes back from the log.
    let is_modern = expires_at.is_none();
    let value = OffsetValue {
        offset: partition.offset,
        leader_epoch: if is_modern {
            partition.leader_epoch
        } else {
            -1
        },
        metadata: partition.metadata,
        committed_at: turn.now.wall,
        expires_at,
        topic_id: if is_modern { topic_id } else { TopicId::ZERO },
    };
    turn.record(Record::Offset {
        group: Arc::clone(group),
        topic: Arc::clone(topic),
        partition: partition.partition,
        value: Some(value),
    });
}
