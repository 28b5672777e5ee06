//! What a stop of brokers would risk, and what one still owes after a start. Rolling restarts ask
//! here first.

use std::collections::BTreeSet;

use freshet_settings::Layers;
use freshet_types::{NodeId, TopicPartition};

use super::image::{MetadataImage, Partition};
use crate::replicas::Rules;

/// What happens to a partition when brokers stop; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// Nobody else has everything acknowledged: while they are away nobody can lead, and if their
    /// disks are lost so are the records.
    LastCopy,
    /// Others have everything, but none of them is up: nobody can lead.
    Offline,
    /// Fewer replicas in sync than `min.insync.replicas`: `acks=all` is refused.
    BelowMinInsync,
}

/// One partition that a stop of brokers puts at risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRisk {
    /// Which.
    pub at: TopicPartition,
    /// What would happen.
    pub risk: Risk,
    /// It would be so as well if one of them stopped alone, with every replica in sync: there are too
    /// few of them, and neither waiting nor stopping one by one mends that.
    pub lasting: bool,
}

/// What a stop of one broker risks of a partition whose replicas are all in sync.
fn at_best(copies: usize, rules: &Rules) -> Option<Risk> {
    let others = copies.saturating_sub(1);
    if others == 0 {
        return Some(Risk::LastCopy);
    }
    (others < rules.min_insync(copies)).then_some(Risk::BelowMinInsync)
}

impl MetadataImage {
    /// What it would risk now if all of these stopped at the same time, partition by partition;
    /// empty when they may. What each alone would risk does not add up to it. Looks at all
    /// partitions. `layers` are the settings of the cluster, for `min.insync.replicas`.
    pub fn stop_risks(&self, stopping: &BTreeSet<NodeId>, layers: &Layers) -> Vec<StopRisk> {
        let mut risks = Vec::new();
        for topic in self.topics() {
            let rules = Rules::of(layers, &topic.configs);
            for (partition, state) in topic.iter() {
                let at = TopicPartition {
                    topic: topic.id,
                    partition,
                };
                let risk = self.stop_risk(stopping, state, &rules);
                let at_best = at_best(state.replicas.len(), &rules);
                risks.extend(risk.map(|risk| StopRisk {
                    at,
                    risk,
                    lasting: at_best == Some(risk),
                }));
            }
        }
        risks
    }

    fn stop_risk(
        &self,
        stopping: &BTreeSet<NodeId>,
        partition: &Partition,
        rules: &Rules,
    ) -> Option<Risk> {
        let stops = |node: &NodeId| stopping.contains(node);
        if !partition.clean().any(|clean| stops(&clean)) {
            return None;
        }
        let mut others = partition.clean().filter(|clean| !stops(clean)).peekable();
        if others.peek().is_none() {
            return Some(Risk::LastCopy);
        }
        let up = |n: NodeId| self.broker(n).is_some_and(|broker| broker.is_active());
        if !others.any(up) {
            return Some(Risk::Offline);
        }
        let in_sync = partition.isr.iter().filter(|n| !stops(n) && up(**n));
        (in_sync.count() < rules.min_insync(partition.replicas.len()))
            .then_some(Risk::BelowMinInsync)
    }

    /// Partitions that `node` keeps and is not in sync with: what it held back by its absence. Those that
    /// are left out for its disk are not: no waiting brings them back. Looks at all partitions.
    pub fn lagging(&self, node: NodeId) -> Vec<TopicPartition> {
        let behind = |p: &Partition| {
            let is_out = p.replicas.contains(&node) && !p.isr.contains(&node);
            is_out && !self.is_impaired(p, node)
        };
        let of = |topic: &std::sync::Arc<super::image::Topic>| {
            let id = topic.id;
            let numbers = topic.iter().filter(|(_, p)| behind(p)).map(|(n, _)| n);
            numbers
                .map(move |partition| TopicPartition {
                    topic: id,
                    partition,
                })
                .collect::<Vec<_>>()
        };
        self.topics().flat_map(of).collect()
    }
}
