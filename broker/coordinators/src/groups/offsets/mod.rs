//! Committed offsets of one group, of any kind.

mod commit;
mod delete;
mod expire;
mod fetch;

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::PartitionId;

use super::{OffsetValue, Record};

pub(super) use commit::commit;
pub(super) use delete::{delete, forget_all, forget_topics};
pub(super) use expire::expire;
pub(super) use fetch::{fetch, fetch_all};

/// Offsets by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    topics: BTreeMap<Arc<str>, BTreeMap<PartitionId, OffsetValue>>,
}

impl Offsets {
    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Sets or forgets one.
    pub(crate) fn apply(
        &mut self,
        topic: &Arc<str>,
        partition: PartitionId,
        value: Option<&OffsetValue>,
    ) {
        if let Some(value) = value {
            let partitions = self.topics.entry(Arc::clone(topic)).or_default();
            partitions.insert(partition, value.clone());
        } else if let Some(partitions) = self.topics.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    fn topic(&self, topic: &str) -> Option<&BTreeMap<PartitionId, OffsetValue>> {
        self.topics.get(topic)
    }

    /// Each topic, partition and offset, in order.
    fn iter(&self) -> impl Iterator<Item = (&Arc<str>, PartitionId, &OffsetValue)> {
        let flat = |(topic, partitions)| (std::iter::repeat(topic), partitions);
        self.topics.iter().flat_map(move |entry| {
            let (topics, partitions): (_, &BTreeMap<_, _>) = flat(entry);
            topics
                .zip(partitions)
                .map(|(topic, (partition, value))| (topic, *partition, value))
        })
    }

    /// The records that rebuild these offsets.
    pub(crate) fn snapshot(&self, group: &Arc<str>) -> impl Iterator<Item = Record> {
        self.iter().map(|(topic, partition, value)| Record::Offset {
            group: Arc::clone(group),
            topic: Arc::clone(topic),
            partition,
            value: Some(value.clone()),
        })
    }
}

fn tombstone(group: &Arc<str>, topic: &Arc<str>, partition: PartitionId) -> Record {
    Record::Offset {
        group: Arc::clone(group),
        topic: Arc::clone(topic),
        partition,
        value: None,
    }
}
