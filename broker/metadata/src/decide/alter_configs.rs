//! AlterConfigs and IncrementalAlterConfigs.

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_settings::{Overrides, Scope};
use freshet_types::NodeId;

use super::configs::{Kind, changed};
use crate::error::{MetadataError, Outcome};
use crate::image::ConfigOwner;
use crate::machine::MetadataMachine;
use crate::record::{ConfigResource, Record};
use crate::request::{AlterConfigs, AlterResource, ConfigTarget};

pub(crate) fn alter_configs(
    machine: &MetadataMachine,
    request: AlterConfigs,
    records: &mut Vec<Record>,
) -> Vec<Outcome<()>> {
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
    request.resources.iter().map(alter).collect()
}

fn alter(machine: &MetadataMachine, resource: &AlterResource) -> Outcome<Vec<Record>> {
    let found = find(machine, &resource.target)?;
    let after = changed(found.kind, &found.present, &resource.change)?;
    Ok(difference(&found.resource, &found.present, &after))
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
