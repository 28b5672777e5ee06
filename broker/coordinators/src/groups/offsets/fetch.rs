//! Reads offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::TopicId;

use super::Offsets;
use crate::groups::OffsetValue;
use crate::groups::api::{Fetch, FetchTopic, FetchedTopic};
use crate::groups::group::Group;

/// A group that does not exist has committed nothing.
pub(crate) fn fetch(groups: &BTreeMap<Arc<str>, Group>, request: Fetch) -> Vec<FetchedTopic> {
    let offsets = groups.get(&request.group).map(|group| &group.offsets);
    match request.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| some(offsets, topic))
            .collect(),
        None => offsets.map(all).unwrap_or_default(),
    }
}

/// Of all groups that have committed something, in the order of their ids.
pub(crate) fn fetch_all(groups: &BTreeMap<Arc<str>, Group>) -> Vec<(Arc<str>, Vec<FetchedTopic>)> {
    let committed = groups.iter().filter(|(_, group)| !group.offsets.is_empty());
    committed
        .map(|(id, group)| (Arc::clone(id), all(&group.offsets)))
        .collect()
}

fn some(offsets: Option<&Offsets>, asked: FetchTopic) -> FetchedTopic {
    let committed = offsets.and_then(|offsets| offsets.topic(&asked.topic));
    let find = |partition| {
        let value = committed?.get(&partition)?;
        is_same_topic(value, asked.topic_id).then(|| value.clone())
    };
    FetchedTopic {
        partitions: asked.partitions.iter().map(|&p| (p, find(p))).collect(),
        topic: asked.topic,
        topic_id: asked.topic_id,
    }
}

fn is_same_topic(value: &OffsetValue, asked: TopicId) -> bool {
    value.topic_id.is_zero() || asked.is_zero() || value.topic_id == asked
}

fn all(offsets: &Offsets) -> Vec<FetchedTopic> {
    let show = |(topic, partitions): (&Arc<str>, &BTreeMap<i32, OffsetValue>)| FetchedTopic {
        topic: Arc::clone(topic),
        topic_id: partitions
            .values()
            .next_back()
            .map_or(TopicId::ZERO, |value| value.topic_id),
        partitions: partitions
            .iter()
            .map(|(&p, value)| (p, Some(value.clone())))
            .collect(),
    };
    offsets.topics.iter().map(show).collect()
}
