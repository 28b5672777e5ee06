//! AlterConfigs and IncrementalAlterConfigs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_settings::{CordonedDirs, Layers, Overrides, Scope};
use freshet_types::{NodeId, Now, TopicId, TopicPartition};

use super::{Kind, changed};
use crate::decide::Draft;
use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::{ConfigResource, Record};
use crate::replicas::Election;
use crate::request::{AlterConfigs, AlterResource, ConfigTarget};
use crate::state::{Broker, ConfigOwner, Topic};

/// The setting that says when a replica out of sync is still known to have everything.
const MIN_INSYNC: &str = "min.insync.replicas";
/// The setting by which somebody leads who misses what was acknowledged.
const UNCLEAN: &str = "unclean.leader.election.enable";
/// Leaders and the controller must agree on these, or acknowledged records could be lost; or the past of a
/// topic, of which some leaders would know and some not.
const AGREED: &[&str] = &[MIN_INSYNC, "freshet.remote.storage.enable"];
/// The setting that keeps new replicas away from directories (KIP-1066).
const CORDONED_DIRS: &str = "cordoned.log.dirs";

pub(crate) fn alter_configs(
    machine: &MetadataMachine,
    now: Now,
    request: AlterConfigs,
    records: &mut Vec<Record>,
) -> Vec<Outcome<()>> {
    let first = records.len();
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for resource in &request.resources {
        if !seen.insert(&resource.target) {
            twice.insert(resource.target.clone());
        }
    }
    let alter = |resource: &AlterResource| {
        if twice.contains(&resource.target) {
            let reason = "each resource may be named once in a request".to_owned();
            return Err(MetadataError::Request { reason });
        }
        let changes = alter(machine, resource)?;
        if !request.validate_only {
            records.extend(changes);
        }
        Ok(())
    };
    let outcomes = request.resources.iter().map(alter).collect();
    let settled = settle_eligible(machine, now, &records[first..]);
    records.extend(settled);
    outcomes
}

/// Where fewer replicas in sync are enough from now on, leaders may go on without those who were
/// eligible: they are not any more, by the same decision. Where somebody unclean may lead from now on, somebody
/// does. Looks at all topics when the setting of the cluster changes.
fn settle_eligible(machine: &MetadataMachine, now: Now, changes: &[Record]) -> Vec<Record> {
    let mut layers = machine.layers();
    let mut topics: BTreeMap<TopicId, Overrides> = BTreeMap::new();
    let mut all = false;
    for record in changes {
        let Record::Config {
            resource,
            name,
            value,
        } = record
        else {
            continue;
        };
        if ![MIN_INSYNC, UNCLEAN].contains(&name.as_ref()) {
            continue;
        }
        let overrides = match resource {
            ConfigResource::Topic(id) => {
                let topic = machine.image.topic_by_id(*id);
                let present = topic.map(|t| Overrides::clone(&t.configs));
                topics.entry(*id).or_insert(present.unwrap_or_default())
            }
            ConfigResource::Cluster => {
                all = true;
                Arc::make_mut(&mut layers.cluster)
            }
            _ => continue,
        };
        match value {
            Some(value) => overrides.insert(name.clone(), value.clone()),
            None => overrides.remove(name),
        };
    }
    let mut draft = Draft::under(machine, now, layers, topics);
    let concerned: Vec<TopicPartition> = match all {
        true => machine.image.topics().flat_map(|t| partitions(t)).collect(),
        false => {
            let topics = draft
                .overridden()
                .filter_map(|id| machine.image.topic_by_id(id));
            topics.flat_map(|t| partitions(t)).collect()
        }
    };
    draft.step_each(concerned, |was, _| {
        let waits =
            was.leader.is_none() || !was.eligible.is_empty() || !was.last_known_eligible.is_empty();
        waits.then_some(Election::WhenNeeded)
    });
    draft.records
}

fn partitions(topic: &Topic) -> impl Iterator<Item = TopicPartition> + '_ {
    let at = |partition| TopicPartition {
        topic: topic.id,
        partition,
    };
    topic.iter().map(move |(partition, _)| at(partition))
}

fn alter(machine: &MetadataMachine, resource: &AlterResource) -> Outcome<Vec<Record>> {
    let found = find(machine, &resource.target)?;
    let layers = match &found.resource {
        ConfigResource::Topic(id) => of_topic(machine, *id),
        _ => machine.layers(),
    };
    let mut after = changed(&layers, found.kind, &found.present, &resource.change)?;
    if matches!(found.resource, ConfigResource::Broker(_)) {
        AGREED.iter().try_for_each(|name| {
            if after.get(*name) == found.present.get(*name) {
                return Ok(());
            }
            let reason = format!("{name} can only be set for topics and for all brokers at once");
            Err(MetadataError::Request { reason })
        })?;
    }
    if found.resource == ConfigResource::Cluster {
        let kept = layers.default_to_keep(&after);
        after.extend(kept.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let default = Layers {
            cluster: Arc::new(after.clone()),
            ..layers.clone()
        };
        let topics = machine.image.topics();
        let topics = topics.filter(|topic| !topic.name.is_internal());
        layers.check_default(&default, topics.map(|t| (&t.name, &*t.configs)))?;
        layers.check_local_retention(&default)?;
    }
    if let ConfigResource::Broker(_) = found.resource {
        let of = |overrides: &Overrides| Layers {
            broker: Arc::new(overrides.clone()),
            ..layers.clone()
        };
        of(&found.present).check_local_retention(&of(&after))?;
    }
    let mut records = difference(&found.resource, &found.present, &after);
    if let ConfigTarget::Broker(node) = resource.target {
        records.extend(cordoned(machine, node, &found.present, &after));
    }
    Ok(records)
}

/// Settings as they hold for a topic that is there.
fn of_topic(machine: &MetadataMachine, id: TopicId) -> Layers {
    let layers = machine.layers();
    match machine.image.topic_by_id(id) {
        Some(topic) => layers.for_topic(&topic.name),
        None => layers,
    }
}

/// A broker whose directories are all cordoned is cordoned itself, by the same decision: it may be
/// away, and could not say so. Single directories are the broker's to tell; nobody else knows their
/// ids.
fn cordoned(
    machine: &MetadataMachine,
    node: NodeId,
    before: &Overrides,
    after: &Overrides,
) -> Option<Record> {
    let all = |overrides: &Overrides| {
        let text = overrides.get(CORDONED_DIRS);
        text.is_some_and(|text| CordonedDirs::parse(text).all)
    };
    if all(before) == all(after) {
        return None;
    }
    let broker = machine.image.broker(node)?;
    (broker.cordoned != all(after)).then(|| {
        Record::Broker(Arc::new(Broker {
            cordoned: all(after),
            ..Broker::clone(broker)
        }))
    })
}

struct Found {
    kind: Kind,
    resource: ConfigResource,
    present: Arc<Overrides>,
}

fn find(machine: &MetadataMachine, target: &ConfigTarget) -> Outcome<Found> {
    let image = &machine.image;
    let plain = |scope, resource, owner: &ConfigOwner| Found {
        kind: Kind {
            scope,
            all_brokers: *owner == ConfigOwner::Cluster,
            is_new: false,
        },
        resource,
        present: image.configs(owner),
    };
    match target {
        ConfigTarget::Topic(name) => {
            let topic = image
                .topic(name)
                .ok_or_else(|| MetadataError::UnknownTopic {
                    name: name.chars().take(300).collect(),
                })?;
            Ok(Found {
                kind: Kind::TOPIC,
                resource: ConfigResource::Topic(topic.id),
                present: Arc::clone(&topic.configs),
            })
        }
        ConfigTarget::Broker(node) => {
            let node: NodeId = *node;
            image
                .broker(node)
                .ok_or(MetadataError::UnknownBroker { node })?;
            Ok(plain(
                Scope::Broker,
                ConfigResource::Broker(node),
                &ConfigOwner::Broker(node),
            ))
        }
        ConfigTarget::Cluster => Ok(plain(
            Scope::Broker,
            ConfigResource::Cluster,
            &ConfigOwner::Cluster,
        )),
        ConfigTarget::Group(name) => {
            named("a group", name)?;
            let owner = ConfigOwner::Group(name.clone());
            Ok(plain(
                Scope::Group,
                ConfigResource::Group(name.clone()),
                &owner,
            ))
        }
        ConfigTarget::ClientMetrics(name) => {
            named("a client metrics subscription", name)?;
            let owner = ConfigOwner::ClientMetrics(name.clone());
            let resource = ConfigResource::ClientMetrics(name.clone());
            Ok(plain(Scope::ClientMetrics, resource, &owner))
        }
    }
}

/// Longest name of a resource, in bytes.
const NAME_MAX_BYTES: usize = 32_767;

fn named(what: &str, name: &str) -> Outcome<()> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        let reason = format!("{what} needs a name of 1 to {NAME_MAX_BYTES} bytes");
        return Err(MetadataError::Request { reason });
    }
    Ok(())
}

/// Only what changes becomes a record.
fn difference(resource: &ConfigResource, before: &Overrides, after: &Overrides) -> Vec<Record> {
    let record = |name: &String, value: Option<&String>| Record::Config {
        resource: resource.clone(),
        name: name.clone(),
        value: value.cloned(),
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(value));
    gone.map(|name| record(name, None))
        .chain(set.map(|(name, value)| record(name, Some(value))))
        .collect()
}
