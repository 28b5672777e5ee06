//! Forgets offsets because somebody says so, or because their topics are gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::{PartitionId, TopicId};

use super::tombstone;
use crate::groups::api::{
    DeleteOffsets, ForgetTopics, GroupError, OffsetError, State, TopicOutcome,
};
use crate::groups::group::Group;
use crate::groups::turn::Turn;

/// Refused while members may be reading: for consumers per topic, for other kinds of members,
/// whose topics cannot be known, altogether.
pub(crate) fn delete(
    turn: &mut Turn,
    groups: &BTreeMap<Arc<str>, Group>,
    request: DeleteOffsets,
) -> Result<Vec<TopicOutcome>, GroupError> {
    if request.group.is_empty() {
        return Err(GroupError::InvalidGroupId);
    }
    let group = groups.get(&request.group).ok_or(GroupError::NotFound)?;
    if group.classic.state() != State::Empty && !group.classic.is_consumer() {
        return Err(GroupError::NotEmpty);
    }
    let one = |(topic, partitions): (Arc<str>, Vec<PartitionId>)| {
        let subscribed = group.classic.is_subscribed(&topic);
        for &partition in partitions.iter().filter(|_| !subscribed) {
            if group
                .offsets
                .topic(&topic)
                .is_some_and(|known| known.contains_key(&partition))
            {
                turn.record(tombstone(&request.group, &topic, partition));
            }
        }
        let result = if subscribed {
            Err(OffsetError::Subscribed)
        } else {
            Ok(())
        };
        let partitions = partitions
            .into_iter()
            .map(|partition| (partition, result))
            .collect();
        TopicOutcome {
            topic,
            topic_id: TopicId::ZERO,
            partitions,
        }
    };
    Ok(request.topics.into_iter().map(one).collect())
}

/// Forgets all offsets of a group.
pub(crate) fn forget_all(turn: &mut Turn, id: &Arc<str>, group: &Group) {
    for (topic, partition, _) in group.offsets.iter() {
        turn.record(tombstone(id, topic, partition));
    }
}

/// Offsets without a topic id are taken for those of the topic that is gone.
pub(crate) fn forget_topics(
    turn: &mut Turn,
    groups: &BTreeMap<Arc<str>, Group>,
    request: &ForgetTopics,
) -> usize {
    for (id, group) in groups {
        for gone in &request.topics {
            let Some(partitions) = group.offsets.topic(&gone.topic) else {
                continue;
            };
            for (&partition, value) in partitions {
                if value.topic_id.is_zero() || value.topic_id == gone.topic_id {
                    turn.record(tombstone(id, &gone.topic, partition));
                }
            }
        }
    }
    turn.records()
}
