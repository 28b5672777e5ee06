//! Which partitions a broker keeps: what makes its fencing cost its partitions and no more.

use std::collections::{BTreeMap, BTreeSet};

use freshet_types::{NodeId, TopicId, TopicPartition};

use super::image::MetadataImage;
use crate::record::Record;

/// Partitions by broker. Follows the image; only whoever decides needs it.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    by_node: BTreeMap<NodeId, BTreeSet<TopicPartition>>,
}

impl Holdings {
    /// What `node` keeps, topic by topic.
    pub(crate) fn of(&self, node: NodeId) -> impl Iterator<Item = TopicPartition> + '_ {
        self.by_node.get(&node).into_iter().flatten().copied()
    }

    /// How many replicas `node` keeps.
    pub(crate) fn count(&self, node: NodeId) -> usize {
        self.by_node.get(&node).map_or(0, BTreeSet::len)
    }

    /// Follows a record that `image` has not applied yet.
    pub(crate) fn follow(&mut self, image: &MetadataImage, record: &Record) {
        match record {
            Record::Partition { at, partition } => {
                let old = image.partition(*at).map(|p| p.replicas.as_slice());
                let old = old.unwrap_or_default();
                for gone in old.iter().filter(|n| !partition.replicas.contains(n)) {
                    self.take(*gone, *at);
                }
                for new in partition.replicas.iter().filter(|n| !old.contains(n)) {
                    self.by_node.entry(*new).or_default().insert(*at);
                }
            }
            Record::TopicDeleted { id, .. } => self.forget(image, *id),
            _ => {}
        }
    }

    fn forget(&mut self, image: &MetadataImage, topic: TopicId) {
        let Some(found) = image.topic_by_id(topic) else {
            return;
        };
        for (partition, state) in found.iter() {
            for node in &state.replicas {
                self.take(*node, TopicPartition { topic, partition });
            }
        }
    }

    fn take(&mut self, node: NodeId, at: TopicPartition) {
        if let Some(kept) = self.by_node.get_mut(&node) {
            kept.remove(&at);
            if kept.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }
}
