//! DeleteTopics.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::TopicId;

use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::request::{DeleteTopics, DeletedTopic, TopicRef};
use crate::state::{KeptTopic, Topic};

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
        records.push(Record::TopicDeleted {
            id: topic.id,
            kept: kept(machine, &topic).map(Arc::new),
        });
        Ok(DeletedTopic {
            id: topic.id,
            name: topic.name.clone(),
        })
    };
    found.into_iter().map(delete).collect()
}

/// What is to be known of a topic whose objects stay. Who restores it need not know the default that it
/// tiered by.
fn kept(machine: &MetadataMachine, topic: &Topic) -> Option<KeptTopic> {
    const REMOTE: &str = "remote.storage.enable";
    let layers = machine.layers().for_topic(&topic.name);
    let tier = layers.topic_tier(&topic.configs);
    if tier.delete_with_topic || topic.name.is_internal() {
        return None;
    }
    let mut configs = topic.configs.as_ref().clone();
    if tier.enabled {
        configs.insert(REMOTE.to_owned(), "true".to_owned());
    }
    let copies = topic.partitions.first().map_or(1, |it| it.target().count());
    let epochs = topic.partitions.iter().map(|it| it.leader_epoch);
    Some(KeptTopic {
        name: topic.name.clone(),
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(copies).unwrap_or(i16::MAX),
        leader_epoch: epochs.max().unwrap_or(0),
        configs,
    })
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
