//! Which partitions a broker keeps: what makes its fencing cost its partitions and no more. And how many
//! lie in each of its directories: what makes the choice of one cost none of them.

use std::collections::{BTreeMap, BTreeSet};

use freshet_types::{NodeId, TopicId, TopicPartition};

use super::image::{DirectoryId, MetadataImage, Partition};
use crate::record::Record;

/// Partitions by broker. Follows the image; only whoever decides needs it.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    by_node: BTreeMap<NodeId, BTreeSet<TopicPartition>>,
    by_directory: BTreeMap<(NodeId, DirectoryId), usize>,
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

    /// How many of them lie in `directory`.
    pub(crate) fn count_in(&self, node: NodeId, directory: DirectoryId) -> usize {
        let count = self.by_directory.get(&(node, directory));
        count.copied().unwrap_or(0)
    }

    /// Follows a record that `image` has not applied yet.
    pub(crate) fn follow(&mut self, image: &MetadataImage, record: &Record) {
        match record {
            Record::Partition { at, partition } => {
                let was = image.partition(*at);
                self.leave_directories(was.map(|was| &**was));
                for place in places(partition) {
                    *self.by_directory.entry(place).or_default() += 1;
                }
                let old = was.map(|p| p.replicas.as_slice()).unwrap_or_default();
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
            self.leave_directories(Some(state));
            for node in &state.replicas {
                self.take(*node, TopicPartition { topic, partition });
            }
        }
    }

    fn leave_directories(&mut self, was: Option<&Partition>) {
        for place in was.into_iter().flat_map(places) {
            if let Some(count) = self.by_directory.get_mut(&place) {
                *count -= 1;
                if *count == 0 {
                    self.by_directory.remove(&place);
                }
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

fn places(partition: &Partition) -> impl Iterator<Item = (NodeId, DirectoryId)> + '_ {
    let replicas = partition.replicas.iter().copied();
    replicas.zip(partition.directories.iter().copied())
}
