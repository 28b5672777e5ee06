//! The machine: requests in, records and replies out.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use freshet_settings::{Layers, MetadataSettings, Overrides, StaticSettings, TopicDefaults};
use freshet_types::{Decision, Machine, Now, Position, Published, Ticket, TopicName};

use crate::decide;
use crate::image::{ConfigOwner, MetadataImage, Topic};
use crate::record::{ConfigResource, Record};
use crate::request::{Reply, Request};

/// What the active controller decides by, beside the state: its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataOptions {
    /// What a topic gets when its creator says nothing.
    pub topics: TopicDefaults,
    /// The limits of the cluster.
    pub limits: MetadataSettings,
    /// Features and the highest level this version knows; the lowest is always 0.
    pub features: Vec<(&'static str, i16)>,
}

impl MetadataOptions {
    /// What file and command line say. None of it is dynamic.
    pub fn of(statics: Arc<StaticSettings>) -> Self {
        let layers = Layers::of(statics);
        Self {
            topics: layers.topic_defaults(),
            limits: layers.metadata(),
            features: Vec::new(),
        }
    }
}

/// The metadata of a cluster as a machine: topics, partitions, settings, brokers, producer ids.
#[derive(Debug)]
pub struct MetadataMachine {
    pub(crate) image: MetadataImage,
    pub(crate) options: MetadataOptions,
    /// Names that have '.' or '_', by what they are in metric names; others cannot collide.
    collisions: BTreeMap<String, TopicName>,
}

impl MetadataMachine {
    /// A cluster without anything.
    pub fn new(options: MetadataOptions) -> Self {
        Self {
            image: MetadataImage::default(),
            options,
            collisions: BTreeMap::new(),
        }
    }

    /// The topic whose name would collide with `name`.
    pub(crate) fn collision(&self, name: &TopicName) -> Option<&TopicName> {
        self.collisions.get(&name.collision_key())
    }

    /// The present state.
    pub fn image(&self) -> &MetadataImage {
        &self.image
    }
}

impl Machine for MetadataMachine {
    type Request = Request;
    type Reply = Reply;
    type Record = Record;
    type TimerKey = Infallible;

    fn decide(&mut self, _now: Now, ticket: Ticket, request: Request) -> Decision<Self> {
        let mut records = Vec::new();
        let reply = match request {
            Request::RegisterBroker(r) => {
                Reply::RegisterBroker(decide::register_broker(self, r, &mut records))
            }
            Request::CreateTopics(r) => {
                Reply::CreateTopics(decide::create_topics(self, r, &mut records))
            }
            Request::DeleteTopics(r) => {
                Reply::DeleteTopics(decide::delete_topics(self, r, &mut records))
            }
            Request::CreatePartitions(r) => {
                Reply::CreatePartitions(decide::create_partitions(self, r, &mut records))
            }
            Request::AlterConfigs(r) => {
                Reply::AlterConfigs(decide::alter_configs(self, r, &mut records))
            }
            Request::AllocateProducerIds(r) => {
                Reply::AllocateProducerIds(decide::allocate_producer_ids(self, &r, &mut records))
            }
            Request::UpdateFeatures(r) => {
                Reply::UpdateFeatures(decide::update_features(self, r, &mut records))
            }
        };
        Decision {
            records,
            ..Decision::reply(ticket, reply)
        }
    }

    fn fire(&mut self, _now: Now, timer: Infallible) -> Decision<Self> {
        match timer {}
    }

    fn apply(&mut self, record: &Record) {
        match record {
            Record::Topic { name, .. } if name.as_str().contains(['.', '_']) => {
                self.collisions.insert(name.collision_key(), name.clone());
            }
            Record::TopicDeleted { id } => {
                if let Some(topic) = self.image.topic_by_id(*id) {
                    self.collisions.remove(&topic.name.collision_key());
                }
            }
            _ => {}
        }
        self.image.apply(record);
    }

    fn loaded(&mut self, _now: Now) -> Decision<Self> {
        Decision::default()
    }

    fn snapshot(&self) -> Vec<Record> {
        self.image.records()
    }
}

impl Published for MetadataMachine {
    type Image = MetadataImage;

    fn publish(&self, position: Position) -> Arc<MetadataImage> {
        Arc::new(MetadataImage {
            position,
            ..self.image.clone()
        })
    }
}

impl MetadataImage {
    fn apply(&mut self, record: &Record) {
        match record {
            Record::Broker(broker) => {
                self.next_broker_epoch = self.next_broker_epoch.max(broker.epoch + 1);
                Arc::make_mut(&mut self.brokers).insert(broker.node, Arc::clone(broker));
            }
            Record::NextBrokerEpoch(next) => self.next_broker_epoch = *next,
            Record::Topic { id, name } => {
                let topic = Topic {
                    id: *id,
                    name: name.clone(),
                    partitions: Vec::new(),
                    configs: Arc::default(),
                };
                self.topics.insert(*id, Arc::new(topic));
                self.names.insert(name.clone(), *id);
            }
            Record::Partition { at, partition } => {
                let Some(topic) = self.topics.get_mut(&at.topic) else {
                    return;
                };
                let slots = &mut Arc::make_mut(topic).partitions;
                let number = usize::try_from(at.partition).unwrap_or(usize::MAX);
                if number == slots.len() {
                    slots.push(Arc::clone(partition));
                    self.partitions += 1;
                } else if let Some(slot) = slots.get_mut(number) {
                    *slot = Arc::clone(partition);
                }
            }
            Record::TopicDeleted { id } => {
                let Some(topic) = self.topics.remove(id) else {
                    return;
                };
                self.names.remove(&topic.name);
                self.partitions -= topic.partitions.len();
            }
            Record::Config {
                resource,
                name,
                value,
            } => {
                self.apply_config(resource, name, value.as_deref());
            }
            Record::NextProducerId(next) => self.next_producer_id = *next,
            Record::Feature { name, level: 0 } => {
                Arc::make_mut(&mut self.features).remove(name);
            }
            Record::Feature { name, level } => {
                Arc::make_mut(&mut self.features).insert(name.clone(), *level);
            }
        }
    }

    fn apply_config(&mut self, resource: &ConfigResource, name: &str, value: Option<&str>) {
        let owner = match resource {
            ConfigResource::Topic(id) => {
                if let Some(topic) = self.topics.get_mut(id) {
                    put(
                        Arc::make_mut(&mut Arc::make_mut(topic).configs),
                        name,
                        value,
                    );
                }
                return;
            }
            ConfigResource::Broker(node) => ConfigOwner::Broker(*node),
            ConfigResource::Cluster => ConfigOwner::Cluster,
            ConfigResource::Group(group) => ConfigOwner::Group(group.clone()),
            ConfigResource::ClientMetrics(name) => ConfigOwner::ClientMetrics(name.clone()),
        };
        let all = Arc::make_mut(&mut self.configs);
        let overrides = all.entry(owner.clone()).or_default();
        put(Arc::make_mut(overrides), name, value);
        if overrides.is_empty() {
            all.remove(&owner);
        }
    }

    /// The records that rebuild this image from nothing.
    fn records(&self) -> Vec<Record> {
        let mut records = vec![
            Record::NextBrokerEpoch(self.next_broker_epoch),
            Record::NextProducerId(self.next_producer_id),
        ];
        records.extend(self.features.iter().map(|(name, level)| Record::Feature {
            name: name.clone(),
            level: *level,
        }));
        records.extend(self.brokers.values().cloned().map(Record::Broker));
        for (owner, overrides) in self.configs.iter() {
            let resource = match owner.clone() {
                ConfigOwner::Cluster => ConfigResource::Cluster,
                ConfigOwner::Broker(node) => ConfigResource::Broker(node),
                ConfigOwner::Group(group) => ConfigResource::Group(group),
                ConfigOwner::ClientMetrics(name) => ConfigResource::ClientMetrics(name),
            };
            records.extend(config_records(&resource, overrides));
        }
        for topic in self.topics() {
            records.push(Record::Topic {
                id: topic.id,
                name: topic.name.clone(),
            });
            let whole = |(number, partition): (i32, &Arc<_>)| Record::Partition {
                at: freshet_types::TopicPartition {
                    topic: topic.id,
                    partition: number,
                },
                partition: Arc::clone(partition),
            };
            records.extend(topic.iter().map(whole));
            records.extend(config_records(
                &ConfigResource::Topic(topic.id),
                &topic.configs,
            ));
        }
        records
    }
}

fn put(overrides: &mut Overrides, name: &str, value: Option<&str>) {
    match value {
        Some(value) => overrides.insert(name.to_owned(), value.to_owned()),
        None => overrides.remove(name),
    };
}

fn config_records<'a>(
    resource: &'a ConfigResource,
    overrides: &'a Overrides,
) -> impl Iterator<Item = Record> + 'a {
    overrides.iter().map(|(name, value)| Record::Config {
        resource: resource.clone(),
        name: name.clone(),
        value: Some(value.clone()),
    })
}
