//! From records to an image, and back.

use std::sync::Arc;

use freshet_settings::Overrides;
use freshet_types::{TopicId, TopicPartition};

use super::image::{ConfigOwner, KeptTopic, MetadataImage, Topic};
use crate::record::{ConfigResource, Record};

/// Audit records that an image keeps; older ones are only in the log.
const UNCLEAN_KEPT: usize = 100;
/// Deleted topics that an image remembers, so that a broker which was away knows whose logs may go.
const DELETED_KEPT: usize = 10_000;

impl MetadataImage {
    /// Changes what the record says.
    pub(crate) fn apply(&mut self, record: &Record) {
        self.version += 1;
        match record {
            Record::Broker(broker) => {
                self.next_broker_epoch = self.next_broker_epoch.max(broker.epoch + 1);
                Arc::make_mut(&mut self.brokers).insert(broker.node, Arc::clone(broker));
            }
            Record::BrokerGone { node } => {
                Arc::make_mut(&mut self.brokers).remove(node);
            }
            Record::NextBrokerEpoch(next) => self.next_broker_epoch = *next,
            Record::Topic { id, name } => {
                self.revive(*id);
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
            Record::TopicDeleted { id, kept } => self.apply_deletion(*id, kept.as_ref()),
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
            Record::UncleanElection(election) => {
                let unclean = Arc::make_mut(&mut self.unclean);
                if unclean.len() == UNCLEAN_KEPT {
                    unclean.pop_front();
                }
                unclean.push_back(Arc::clone(election));
                self.unclean_applied += 1;
            }
            Record::Version(version) => self.version = *version,
        }
    }

    /// Only what was kept comes back, so only that is looked for.
    fn revive(&mut self, id: TopicId) {
        if self.kept.contains_key(&id) {
            Arc::make_mut(&mut self.kept).remove(&id);
            Arc::make_mut(&mut self.deleted).retain(|deleted| *deleted != id);
        }
    }

    fn apply_deletion(&mut self, id: TopicId, kept: Option<&Arc<KeptTopic>>) {
        let deleted = Arc::make_mut(&mut self.deleted);
        if deleted.len() == DELETED_KEPT
            && let Some(oldest) = deleted.pop_front()
            && self.kept.contains_key(&oldest)
        {
            Arc::make_mut(&mut self.kept).remove(&oldest);
        }
        deleted.push_back(id);
        if let Some(kept) = kept {
            Arc::make_mut(&mut self.kept).insert(id, Arc::clone(kept));
        }
        // In a snapshot only that is left of it.
        if let Some(topic) = self.topics.remove(&id) {
            self.names.remove(&topic.name);
            self.partitions -= topic.partitions.len();
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
    pub(crate) fn records(&self) -> Vec<Record> {
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
        let deleted = self.deleted.iter();
        records.extend(deleted.map(|id| Record::TopicDeleted {
            id: *id,
            kept: self.kept.get(id).cloned(),
        }));
        for topic in self.topics() {
            records.push(Record::Topic {
                id: topic.id,
                name: topic.name.clone(),
            });
            let whole = |(number, partition): (i32, &Arc<_>)| Record::Partition {
                at: TopicPartition {
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
        records.extend(self.unclean.iter().cloned().map(Record::UncleanElection));
        records.push(Record::Version(self.version));
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
