//! A decision that touches brokers and their partitions, while it is being made: the image, and
//! over it what was decided already.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_settings::{Layers, Overrides};
use freshet_types::{NodeId, Now, TopicId, TopicPartition};

use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::replicas::{Changed, Election, Rules, Standing, Transition};
use crate::state::{Broker, DirectoryId, Partition, UncleanElection, slowness_counts};

pub(crate) struct Draft<'a> {
    pub(crate) machine: &'a MetadataMachine,
    now: Now,
    layers: Layers,
    topics: BTreeMap<TopicId, Overrides>,
    brokers: BTreeMap<NodeId, Arc<Broker>>,
    /// See [`slowness_counts`]; empty until it is asked for.
    by_speed: OnceCell<bool>,
    partitions: BTreeMap<TopicPartition, Arc<Partition>>,
    /// Of the topic asked for last: partitions come topic by topic.
    rules: Option<(TopicId, Rules)>,
    pub(crate) records: Vec<Record>,
}

impl<'a> Draft<'a> {
    pub(crate) fn of(machine: &'a MetadataMachine, now: Now) -> Self {
        Self {
            machine,
            now,
            layers: machine.layers(),
            topics: BTreeMap::new(),
            brokers: BTreeMap::new(),
            by_speed: OnceCell::new(),
            partitions: BTreeMap::new(),
            rules: None,
            records: Vec::new(),
        }
    }

    /// The same, under settings that are only now decided: of all brokers, and of topics.
    pub(crate) fn under(
        machine: &'a MetadataMachine,
        now: Now,
        layers: Layers,
        topics: BTreeMap<TopicId, Overrides>,
    ) -> Self {
        Self {
            layers,
            topics,
            ..Self::of(machine, now)
        }
    }

    /// Topics whose settings are only now decided.
    pub(crate) fn overridden(&self) -> impl Iterator<Item = TopicId> + '_ {
        self.topics.keys().copied()
    }

    /// A broker is, from now on, like this.
    pub(crate) fn put_broker(&mut self, broker: Broker) {
        let broker = Arc::new(broker);
        if self.machine.image.broker(broker.node) != Some(&broker) {
            self.records.push(Record::Broker(Arc::clone(&broker)));
        }
        self.brokers.insert(broker.node, broker);
        self.by_speed = OnceCell::new();
    }

    /// A broker, with what was decided here already.
    pub(crate) fn broker(&self, node: NodeId) -> Option<&Arc<Broker>> {
        let decided = self.brokers.get(&node);
        decided.or_else(|| self.machine.image.broker(node))
    }

    fn by_speed(&self) -> bool {
        *self.by_speed.get_or_init(|| {
            let all = self.machine.image.brokers();
            let decided =
                |broker: &'a Arc<Broker>| self.brokers.get(&broker.node).unwrap_or(broker);
            slowness_counts(all.map(decided))
        })
    }

    /// A partition, with what was decided here already.
    pub(crate) fn partition(&self, at: TopicPartition) -> Option<Arc<Partition>> {
        let decided = self.partitions.get(&at);
        decided
            .or_else(|| self.machine.image.partition(at))
            .cloned()
    }

    pub(crate) fn standing(&self, node: NodeId, directory: DirectoryId) -> Standing {
        match self.broker(node) {
            Some(broker) if broker.fenced || !broker.has_online(directory) => Standing::Away,
            None => Standing::Away,
            Some(broker) if broker.stopping => Standing::Stopping,
            Some(broker) if broker.is_impaired(directory, self.by_speed()) => Standing::Impaired,
            Some(_) => Standing::Active,
        }
    }

    pub(crate) fn rules(&mut self, topic: TopicId) -> Rules {
        if let Some((id, rules)) = self.rules
            && id == topic
        {
            return rules;
        }
        let decided = self.topics.get(&topic);
        let own = || self.machine.image.topic_by_id(topic).map(|t| &*t.configs);
        let none = Overrides::new();
        let rules = Rules::of(&self.layers, decided.or_else(own).unwrap_or(&none));
        self.rules = Some((topic, rules));
        rules
    }

    /// Takes one step with each partition. `step` says what happened; `None` leaves the partition
    /// alone.
    pub(crate) fn step_each(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        mut step: impl FnMut(&Partition, &mut Transition<'_>) -> Option<Election>,
    ) {
        for at in partitions {
            let Some(was) = self.partition(at) else {
                continue;
            };
            let mut transition = Transition::of(&was, self.rules(at.topic));
            if let Some(election) = step(&was, &mut transition)
                && let Some(changed) = self.finish(transition, election)
            {
                self.push(at, changed);
            }
        }
    }

    pub(crate) fn finish(&self, transition: Transition<'_>, election: Election) -> Option<Changed> {
        transition.finish(election, &|node, directory| self.standing(node, directory))
    }

    pub(crate) fn push(&mut self, at: TopicPartition, changed: Changed) {
        let Changed { partition, unclean } = changed;
        let audit = unclean
            .zip(partition.leader)
            .map(|(cause, leader)| UncleanElection {
                at,
                leader,
                leader_epoch: partition.leader_epoch,
                cause,
                time: self.now.wall,
            });
        let partition = Arc::new(partition);
        self.partitions.insert(at, Arc::clone(&partition));
        self.records.push(Record::Partition { at, partition });
        let audit = audit.map(|election| Record::UncleanElection(Arc::new(election)));
        self.records.extend(audit);
    }
}
