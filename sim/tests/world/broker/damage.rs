//! A copy that is found damaged: the controller writes it off, and it begins anew once enough others
//! are in sync, in the same process.

use std::sync::Arc;

use freshet_metadata::{
    AssignDirectories, AssignedPartition, DirectoryId, MetadataImage, Partition,
};
use freshet_types::TopicPartition;

use super::For;
use super::replica::topic_rules;
use crate::network::Host;
use crate::world::{World, node_id};

impl World {
    /// Some reader finds it.
    pub(crate) fn damage(&mut self, host: Host, at: TopicPartition) {
        if self.replica(host, at).is_some() && !self.nodes[host].disk.has_failed {
            self.note(|| format!("*** the copy of {at} on {host} is damaged"));
            self.process(host).damaged.insert(at);
            self.tell_damage(host);
        }
    }

    /// Again and again: the controller refuses while nobody else could lead.
    pub(super) fn tell_damage(&mut self, host: Host) {
        let Some(broker_epoch) = self.process(host).course.epoch() else {
            return;
        };
        let image = Arc::clone(self.agreed.image(self.nodes[host].seat.committed));
        let lost = |at: &TopicPartition| {
            let assigned = image.partition(*at)?.directory(node_id(host))?;
            (assigned != DirectoryId::LOST).then_some(AssignedPartition {
                at: *at,
                directory: DirectoryId::LOST,
                whole: false,
            })
        };
        let replicas: Vec<_> = self.process(host).damaged.iter().filter_map(lost).collect();
        if !replicas.is_empty() {
            let request = AssignDirectories {
                node: node_id(host),
                broker_epoch,
                replicas,
            };
            self.ask(host, For::Places, request.into(), 3_000);
        }
    }

    pub(super) fn is_written_off(
        &mut self,
        host: Host,
        at: TopicPartition,
        state: &Partition,
    ) -> bool {
        let is_lost = state.directory(node_id(host)) == Some(DirectoryId::LOST);
        let process = self.process(host);
        if !is_lost {
            process.renewed.remove(&at);
        }
        is_lost && !process.renewed.contains(&at)
    }

    /// It leads nobody and follows nobody; and is removed if nobody needs what it has.
    pub(super) fn renew(
        &mut self,
        host: Host,
        at: TopicPartition,
        state: &Arc<Partition>,
        image: &MetadataImage,
    ) {
        let me = node_id(host);
        self.step_aside(host, at);
        self.process(host).replicas.remove(&at);
        let enough = topic_rules(image, at).0.min(state.replicas.len()).max(1);
        let is_led = state.leader.is_some_and(|leader| leader != me);
        let is_clean = state.clean().any(|node| node == me);
        if !is_led || is_clean || state.isr.len() < enough {
            return;
        }
        self.note(|| format!("{host} begins its copy of {at} anew"));
        self.nodes[host].disk.logs.remove(&at);
        self.nodes[host].disk.committed.remove(&at);
        self.witness.forget(host, at);
        let process = self.process(host);
        process.damaged.remove(&at);
        process.renewed.insert(at);
        self.take_place(host, at, state, image);
    }
}
