//! Where new replicas go.
//!
//! Brokers stand in a ring in which racks alternate. A partition takes consecutive brokers of the
//! ring, the next partition starts one further. Where the ring is entered depends on how many
//! partitions there are already, so that many small topics spread as well as one large one; and no
//! randomness is needed, so the same request on the same state gives the same records.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::NodeId;

use crate::error::{MetadataError, Outcome};
use crate::image::{Broker, DirectoryId, MetadataImage, Partition};

pub(crate) struct Placement<'a> {
    image: &'a MetadataImage,
    ring: Vec<&'a Arc<Broker>>,
    start: usize,
}

impl<'a> Placement<'a> {
    /// `partitions`: how many there are already.
    pub(crate) fn of(image: &'a MetadataImage, partitions: usize) -> Self {
        Self {
            image,
            ring: ring(image),
            start: partitions,
        }
    }

    /// Chooses replicas for new partitions.
    pub(crate) fn choose(&self, count: usize, factor: i16) -> Outcome<Vec<Partition>> {
        let factor = usize::try_from(factor).unwrap_or(0);
        if factor > self.ring.len() {
            let reason = format!(
                "replication factor {factor} cannot be reached: {} brokers are there",
                self.ring.len()
            );
            return Err(MetadataError::ReplicationFactor { reason });
        }
        let replicas = |partition: usize| {
            (0..factor)
                .map(|i| self.ring[(self.start + partition + i) % self.ring.len()].node)
                .collect::<Vec<_>>()
        };
        Ok((0..count)
            .map(|p| self.partition(replicas(p), self.start + p))
            .collect())
    }

    /// A partition whose replicas somebody else chose.
    pub(crate) fn explicit(&self, replicas: Vec<NodeId>) -> Outcome<Partition> {
        let fail = |reason: String| Err(MetadataError::Assignment { reason });
        if replicas.is_empty() {
            return fail("a partition needs at least one replica".to_owned());
        }
        for (i, node) in replicas.iter().enumerate() {
            if self.image.broker(*node).is_none() {
                return fail(format!("broker {node} is not registered"));
            }
            if replicas[..i].contains(node) {
                return fail(format!("broker {node} is assigned twice to one partition"));
            }
        }
        if !replicas
            .iter()
            .any(|node| self.ring.iter().any(|broker| broker.node == *node))
        {
            return fail("all brokers of one partition are fenced".to_owned());
        }
        Ok(self.partition(replicas, self.start))
    }

    /// A new partition: everybody who is not fenced is in sync, the first of them leads.
    fn partition(&self, replicas: Vec<NodeId>, number: usize) -> Partition {
        let broker = |node: &NodeId| self.image.broker(*node);
        let isr: Vec<NodeId> = replicas
            .iter()
            .copied()
            .filter(|n| broker(n).is_some_and(|b| !b.fenced))
            .collect();
        let directory = |node: &NodeId| match broker(node).map(|b| b.directories.as_slice()) {
            None | Some([]) => DirectoryId::UNASSIGNED,
            Some(directories) => directories[number % directories.len()],
        };
        Partition {
            directories: replicas.iter().map(directory).collect(),
            leader: isr.first().copied(),
            isr,
            replicas,
            eligible: Vec::new(),
            last_known_eligible: Vec::new(),
            adding: Vec::new(),
            removing: Vec::new(),
            leader_epoch: 0,
            partition_epoch: 0,
        }
    }
}

/// Brokers that take work, one of each rack in turn.
fn ring(image: &MetadataImage) -> Vec<&Arc<Broker>> {
    let mut racks: BTreeMap<Option<&str>, Vec<&Arc<Broker>>> = BTreeMap::new();
    for broker in image.brokers().filter(|broker| !broker.fenced) {
        racks
            .entry(broker.rack.as_deref())
            .or_default()
            .push(broker);
    }
    let longest = racks.values().map(Vec::len).max().unwrap_or(0);
    let turn = |i: usize| racks.values().filter_map(move |rack| rack.get(i).copied());
    (0..longest).flat_map(turn).collect()
}
