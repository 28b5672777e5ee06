//! DeleteTopics.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::TopicId;

use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::request::{DeleteTopics, DeletedTopic, TopicRef};
use crate::state::Topic;

pub(crate) fn delete_topics(
    machine: &MetadataMachine,
    request: DeleteTopics,
    records: &mut Vec<Record>,
) -> Vec<Outcome<DeletedTopic>> {
    let found: Vec<_> = request
        .topics
        .iter()
        .map(|topic| find(machine, topic))
        .collect();
    let mut named: BTreeMap<TopicId, usize> = BTreeMap::new();
    for topic in found.iter().flatten() {
        *named.entry(topic.id).or_default() += 1;
    }
    let delete = |topic: Outcome<Arc<Topic>>| {
        let topic = topic?;
        if named.get(&topic.id).is_some_and(|times| *times > 1) {
            let reason = format!("topic {} is named twice in the request", topic.name);
            return Err(MetadataError::Request { reason });
        }
        records.push(Record::TopicDeleted { id: topic.id });
        Ok(DeletedTopic {
            id: topic.id,
            name: topic.name.clone(),
        })
    };
    found.into_iter().map(delete).collect()
}

fn find(machine: &MetadataMachine, topic: &TopicRef) -> Outcome<Arc<Topic>> {
    if !machine.options.topics.delete_enabled {
        return Err(MetadataError::DeletionDisabled);
    }
    match topic {
        TopicRef::Name(name) => {
            machine
                .image
                .topic(name)
                .cloned()
                .ok_or_else(|| MetadataError::UnknownTopic {
                    name: name.chars().take(300).collect(),
                })
        }
        TopicRef::Id(id) => machine
            .image
            .topic_by_id(*id)
            .cloned()
            .ok_or(MetadataError::UnknownTopicId { id: *id }),
    }
}
