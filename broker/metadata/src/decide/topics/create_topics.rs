//! CreateTopics, also of topics that there were before.

use std::collections::{BTreeMap, BTreeSet};

use freshet_settings::Overrides;
use freshet_types::{NodeId, PartitionId, TopicId, TopicName};

use super::room::Room;
use crate::decide::configs::{Kind, changed};
use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::{ConfigResource, Record};
use crate::replicas::{Crowds, Placement};
use crate::request::{
    ConfigChange, CreateTopics, CreatedTopic, NewTopic, RestoreTopics, RestoredTopic,
};
use crate::state::Partition;

pub(crate) fn create_topics(
    machine: &MetadataMachine,
    request: CreateTopics,
    records: &mut Vec<Record>,
) -> Vec<Outcome<CreatedTopic>> {
    let mut draft = Draft::of(machine, request.topics.iter());
    let create = |topic: &NewTopic| {
        let plan = draft.plan(topic)?;
        Ok(plan.carry_out(topic.id, request.validate_only, records))
    };
    request.topics.iter().map(create).collect()
}

/// The floors hold whatever becomes of the topics: they harm nobody.
pub(crate) fn restore_topics(
    machine: &MetadataMachine,
    request: &RestoreTopics,
    records: &mut Vec<Record>,
) -> Vec<Outcome<CreatedTopic>> {
    if !request.validate_only {
        if request.version > machine.image.version() {
            records.push(Record::Version(request.version));
        }
        if request.producer_id > machine.image.next_producer_id() {
            records.push(Record::NextProducerId(request.producer_id));
        }
    }
    let mut draft = Draft::of(machine, request.topics.iter().map(|it| &it.topic));
    let restore = |restored: &RestoredTopic| {
        let (topic, leader_epoch) = (&restored.topic, restored.leader_epoch);
        let refused = |reason| Err(MetadataError::Request { reason });
        if machine.image.is_deleted(topic.id) && machine.image.kept(topic.id).is_none() {
            let name = cut(&topic.name);
            return refused(format!(
                "topic {name:?} of this id has been deleted, with what it had in object storage"
            ));
        }
        if leader_epoch < 0 {
            return refused(format!("leader epoch {leader_epoch} is negative"));
        }
        let mut plan = draft.plan(topic)?;
        for partition in &mut plan.partitions {
            partition.leader_epoch = leader_epoch;
        }
        Ok(plan.carry_out(topic.id, request.validate_only, records))
    };
    request.topics.iter().map(restore).collect()
}

/// What the request has been granted so far.
struct Draft<'a> {
    machine: &'a MetadataMachine,
    /// Names that the request has more than once.
    twice: BTreeSet<&'a str>,
    /// Collision keys of the names granted.
    granted: BTreeMap<String, TopicName>,
    ids: BTreeSet<TopicId>,
    room: Room,
    crowds: Crowds<'a>,
}

impl<'a> Draft<'a> {
    fn of(machine: &'a MetadataMachine, topics: impl Iterator<Item = &'a NewTopic>) -> Self {
        let mut seen = BTreeSet::new();
        let names = topics.map(|topic| topic.name.as_str());
        Self {
            machine,
            twice: names.filter(|name| !seen.insert(*name)).collect(),
            granted: BTreeMap::new(),
            ids: BTreeSet::new(),
            room: Room::of(machine),
            crowds: Crowds::of(machine),
        }
    }

    fn plan(&mut self, topic: &NewTopic) -> Outcome<Plan> {
        if self.twice.contains(topic.name.as_str()) {
            let reason = format!("topic {:?} is named twice in the request", cut(&topic.name));
            return Err(MetadataError::Request { reason });
        }
        let name = TopicName::new(&topic.name)?;
        self.check_free(&name, topic.id)?;
        let configs = ConfigChange::Replace(topic.configs.clone());
        let layers = self.machine.layers().for_topic(&name);
        let configs = changed(&layers, Kind::NEW_TOPIC, &Overrides::new(), &configs)?;
        let partitions = self.partitions(topic)?;
        self.granted.insert(name.collision_key(), name.clone());
        self.ids.insert(topic.id);
        Ok(Plan {
            name,
            configs,
            partitions,
        })
    }

    fn check_free(&self, name: &TopicName, id: TopicId) -> Outcome<()> {
        if self.machine.image.topic(name.as_str()).is_some() {
            return Err(MetadataError::TopicExists {
                name: name.to_string(),
            });
        }
        let granted = self.granted.get(&name.collision_key());
        if let Some(existing) = granted.or(self.machine.collision(name)) {
            return Err(MetadataError::Collision {
                name: name.to_string(),
                existing: existing.to_string(),
            });
        }
        if id.is_zero() || self.ids.contains(&id) || self.machine.image.topic_by_id(id).is_some() {
            let reason = format!("topic {name} needs an id of its own");
            return Err(MetadataError::Request { reason });
        }
        Ok(())
    }

    fn partitions(&mut self, topic: &NewTopic) -> Outcome<Vec<Partition>> {
        let placement = Placement::of(&self.machine.image, self.room.partitions());
        if topic.assignments.is_empty() {
            let (count, factor) = self.counts(topic)?;
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            self.room.take(self.machine, 1, count, count)?;
            return placement.choose(&mut self.crowds, count, factor);
        }
        if topic.partitions != -1 || topic.replication_factor != -1 {
            let reason = format!(
                "topic {} has explicit assignments: partitions and replication factor must be -1",
                topic.name
            );
            return Err(MetadataError::Request { reason });
        }
        let replicas = in_order(&topic.assignments)?;
        self.room
            .take(self.machine, 1, replicas.len(), replicas.len())?;
        replicas
            .into_iter()
            .map(|replicas| placement.explicit(&mut self.crowds, replicas))
            .collect()
    }

    fn counts(&self, topic: &NewTopic) -> Outcome<(i32, i16)> {
        let defaults = &self.machine.options.topics;
        let count = match topic.partitions {
            -1 => defaults.partitions,
            count if count > 0 => count,
            count => {
                let reason = format!(
                    "a topic cannot have {count} partitions: at least 1, or -1 for the default"
                );
                return Err(MetadataError::Partitions { reason });
            }
        };
        let factor = match topic.replication_factor {
            -1 => self.machine.layers().topic_defaults().replication_factor,
            factor if factor > 0 => factor,
            factor => {
                let reason = format!(
                    "replication factor {factor} is illegal: at least 1, or -1 for the default"
                );
                return Err(MetadataError::ReplicationFactor { reason });
            }
        };
        Ok((count, factor))
    }
}

/// Explicit assignments by partition number, which must be 0, 1, 2, …
fn in_order(assignments: &[(PartitionId, Vec<NodeId>)]) -> Outcome<Vec<Vec<NodeId>>> {
    let sorted: BTreeMap<_, _> = assignments
        .iter()
        .map(|(number, nodes)| (*number, nodes))
        .collect();
    let dense = sorted
        .keys()
        .copied()
        .eq(0..i32::try_from(assignments.len()).unwrap_or(i32::MAX));
    let same_factor = sorted
        .values()
        .all(|nodes| nodes.len() == assignments[0].1.len());
    let reason = match (dense, same_factor) {
        (true, true) => return Ok(sorted.into_values().cloned().collect()),
        (false, _) => "assigned partitions must be numbered 0, 1, 2, … without gaps and repeats",
        (true, false) => "all partitions must be assigned the same number of replicas",
    };
    Err(MetadataError::Assignment {
        reason: reason.to_owned(),
    })
}

/// A topic as it will be.
struct Plan {
    name: TopicName,
    configs: Overrides,
    partitions: Vec<Partition>,
}

impl Plan {
    /// The id is zero in the answer when nothing was created.
    fn carry_out(self, id: TopicId, is_dry: bool, records: &mut Vec<Record>) -> CreatedTopic {
        if is_dry {
            return self.answer(TopicId::ZERO);
        }
        self.push_records(id, records);
        self.answer(id)
    }

    fn push_records(&self, id: TopicId, records: &mut Vec<Record>) {
        records.push(Record::Topic {
            id,
            name: self.name.clone(),
        });
        let numbered = (0..).zip(self.partitions.iter().cloned());
        records.extend(numbered.map(|(number, p)| Record::partition(id, number, p)));
        records.extend(self.configs.iter().map(|(name, value)| Record::Config {
            resource: ConfigResource::Topic(id),
            name: name.clone(),
            value: Some(value.clone()),
        }));
    }

    fn answer(self, id: TopicId) -> CreatedTopic {
        let factor = self.partitions.first().map_or(0, |p| p.replicas.len());
        CreatedTopic {
            id,
            name: self.name,
            partitions: i32::try_from(self.partitions.len()).unwrap_or(i32::MAX),
            replication_factor: i16::try_from(factor).unwrap_or(i16::MAX),
            configs: self.configs,
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}
