//! Where the replicas of a broker go that shall be empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::NodeId;

use super::image::{Broker, MetadataImage, Partition};
use crate::request::{PartitionName, Reassignment};

/// How a broker gets rid of its replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainPlan {
    /// What to ask for with [`crate::Reassign`]. May be long: ask for some at a time.
    pub moves: Vec<Reassignment>,
    /// Partitions for which no other broker is there.
    pub stuck: Vec<PartitionName>,
}

impl MetadataImage {
    /// A plan that leaves `node` without replicas: each goes to a broker of the rack that the
    /// partition uses least, and there to the one that keeps fewest. Replicas that are on their way
    /// out already are left alone. Looks at all partitions. Cordon the broker first, or new
    /// replicas come while old ones go.
    pub fn drain_plan(&self, node: NodeId) -> DrainPlan {
        let mut plan = DrainPlan::default();
        let mut loads = self.loads();
        for topic in self.topics() {
            for (number, state) in topic.iter() {
                if !state.target().any(|n| n == node) {
                    continue;
                }
                let partition = PartitionName {
                    topic: topic.name.to_string(),
                    partition: number,
                };
                let Some(heir) = self.heir(node, state, &loads) else {
                    plan.stuck.push(partition);
                    continue;
                };
                *loads.entry(heir).or_default() += 1;
                let goal = state.target().map(|n| if n == node { heir } else { n });
                plan.moves.push(Reassignment {
                    partition,
                    replicas: Some(goal.collect()),
                });
            }
        }
        plan
    }

    /// How many replicas each broker keeps.
    fn loads(&self) -> BTreeMap<NodeId, usize> {
        let mut loads = BTreeMap::new();
        let partitions = self.topics().flat_map(|topic| &topic.partitions);
        for node in partitions.flat_map(|partition| &partition.replicas) {
            *loads.entry(*node).or_default() += 1;
        }
        loads
    }

    fn heir(
        &self,
        node: NodeId,
        partition: &Partition,
        loads: &BTreeMap<NodeId, usize>,
    ) -> Option<NodeId> {
        let stay = partition.target().filter(|n| *n != node);
        let racks: Vec<_> = stay
            .filter_map(|n| self.broker(n))
            .map(|broker| &broker.rack)
            .collect();
        let free = |b: &&Arc<Broker>| {
            b.is_active() && b.takes_replicas() && !partition.target().any(|n| n == b.node)
        };
        let cost = |b: &&Arc<Broker>| {
            let crowd = racks.iter().filter(|rack| ***rack == b.rack).count();
            (crowd, loads.get(&b.node).copied().unwrap_or(0), b.node)
        };
        self.brokers().filter(free).min_by_key(cost).map(|b| b.node)
    }
}
