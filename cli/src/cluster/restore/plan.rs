//! What is to be done, and what is lost: decided from what was found, without asking anybody.

use std::collections::BTreeMap;

use freshet_client::{ConfigChange, Floors, NewTopic, Resource, RestoredTopic};
use freshet_tier::{ClusterExport, ExportedTopic, OwnedSettings, SettingsOwner};
use freshet_types::{LeaderEpoch, TopicId, TopicPartition};
use serde::Serialize;

use crate::tier::source::{Found, Held};

/// Elections that no export knows of, at most: clients have heard of the epochs that they began.
const UNKNOWN_EPOCHS: LeaderEpoch = 1_000;
/// Changes of the metadata that no export knows of, at most.
const UNKNOWN_VERSIONS: u64 = 1 << 32;
/// Producer ids that were given to somebody, and no export knows of, at most.
const UNKNOWN_PRODUCERS: i64 = 1_000_000_000;

/// The plan.
#[derive(Debug)]
pub(crate) struct Plan {
    /// By name.
    pub(crate) topics: Vec<PlannedTopic>,
    /// Whose settings become what.
    pub(crate) settings: Vec<(Resource, Vec<ConfigChange>)>,
    pub(crate) floors: Floors,
    /// What somebody should know before it is done.
    pub(crate) remarks: Vec<String>,
}

/// A topic of the plan.
#[derive(Debug)]
pub(crate) struct PlannedTopic {
    pub(crate) restored: RestoredTopic,
    pub(crate) standing: Standing,
    /// What is in object storage, by partition; `None` where nothing is.
    pub(crate) held: Vec<Option<Held>>,
}

/// How a topic stands in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    /// It is to be created.
    Missing,
    /// It was restored before.
    There,
    /// Another one has its name.
    Taken,
}

impl Plan {
    /// `present` are the topics of the cluster, `brokers` how many brokers it has.
    pub(crate) fn of(found: &Found, present: &BTreeMap<String, TopicId>, brokers: usize) -> Self {
        let mut remarks = found.damaged.clone();
        let most = i16::try_from(brokers).unwrap_or(i16::MAX).max(1);
        let mut fewer = 0;
        let mut planned = Vec::new();
        for topic in &found.cluster.topics {
            fewer += usize::from(topic.replication_factor > most);
            planned.push(plan_topic(topic, found, present, most));
        }
        planned.sort_by(|a, b| a.restored.topic.name.cmp(&b.restored.topic.name));
        if fewer > 0 {
            remarks.push(format!(
                "{fewer} of the topics had more replicas than there are brokers: each partition gets {most}"
            ));
        }
        let topics: &[String] = &found.unnamed;
        if !topics.is_empty() {
            remarks.push(format!(
                "no export names the topics {}: they were deleted, or are younger than the export; they \
                 stay in the bucket",
                topics.join(", ")
            ));
        }
        if !found.kept.is_empty() {
            remarks.push(format!(
                "deleted topics whose objects were kept: {}; --deleted NAME brings one back",
                found.kept.join(", ")
            ));
        }
        let settings = settings(&found.cluster, &mut remarks);
        Self {
            topics: planned,
            settings,
            floors: Floors {
                version: found.version.saturating_add(UNKNOWN_VERSIONS),
                producer_id: found
                    .cluster
                    .next_producer_id
                    .saturating_add(UNKNOWN_PRODUCERS),
            },
            remarks,
        }
    }

    /// Names that belong to other topics by now.
    pub(crate) fn taken(&self) -> Vec<&str> {
        let taken = self
            .topics
            .iter()
            .filter(|it| it.standing == Standing::Taken);
        taken.map(|it| it.restored.topic.name.as_str()).collect()
    }
}

fn plan_topic(
    topic: &ExportedTopic,
    found: &Found,
    present: &BTreeMap<String, TopicId>,
    most: i16,
) -> PlannedTopic {
    let at = |partition| TopicPartition {
        topic: topic.id,
        partition,
    };
    let numbers = (0..).take(topic.leader_epochs.len());
    let held: Vec<Option<Held>> = numbers
        .map(|partition| found.held.get(&at(partition)).copied())
        .collect();
    let written = held.iter().flatten().map(|held| held.leader_epoch);
    let epochs = topic.leader_epochs.iter().copied().chain(written);
    let configs = topic.configs.iter();
    PlannedTopic {
        restored: RestoredTopic {
            topic: NewTopic {
                name: topic.name.clone(),
                partitions: Some(i32::try_from(topic.leader_epochs.len()).unwrap_or(i32::MAX)),
                replication: Some(topic.replication_factor.clamp(1, most)),
                configs: configs
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect(),
            },
            id: topic.id,
            leader_epoch: epochs
                .max()
                .unwrap_or(0)
                .max(0)
                .saturating_add(UNKNOWN_EPOCHS),
        },
        standing: match present.get(&topic.name) {
            None => Standing::Missing,
            Some(id) if *id == topic.id => Standing::There,
            Some(_) => Standing::Taken,
        },
        held,
    }
}

/// Those of brokers are left: it is not sure that these are the same machines.
fn settings(
    cluster: &ClusterExport,
    remarks: &mut Vec<String>,
) -> Vec<(Resource, Vec<ConfigChange>)> {
    let mut settings = Vec::new();
    for OwnedSettings { owner, values } in &cluster.settings {
        let resource = match owner {
            SettingsOwner::Cluster => Resource::AllBrokers,
            SettingsOwner::Group(group) => Resource::Group(group.clone()),
            SettingsOwner::ClientMetrics(name) => Resource::ClientMetrics(name.clone()),
            SettingsOwner::Broker(node) => {
                let values: Vec<_> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
                remarks.push(format!(
                    "broker {node} had settings of its own, which are not restored: {}",
                    values.join(", ")
                ));
                continue;
            }
        };
        let changes = values
            .iter()
            .map(|(name, value)| ConfigChange::set(name, value));
        let changes: Vec<_> = changes.collect();
        if !changes.is_empty() {
            settings.push((resource, changes));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TopicId = TopicId([7; 16]);

    fn found() -> Found {
        let topic = ExportedTopic {
            name: "orders".to_owned(),
            id: ID,
            replication_factor: 3,
            leader_epochs: vec![4, 9],
            configs: BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]),
        };
        let held = Held {
            start: 0,
            end: 10,
            segments: 1,
            bytes: 100,
            leader_epoch: 12,
        };
        let at = TopicPartition {
            topic: ID,
            partition: 1,
        };
        let owned = |owner| OwnedSettings {
            owner,
            values: BTreeMap::from([("a".to_owned(), "1".to_owned())]),
        };
        Found {
            cluster: ClusterExport {
                version: 70,
                next_producer_id: 2_000,
                topics: vec![topic],
                settings: vec![
                    owned(SettingsOwner::Cluster),
                    owned(SettingsOwner::Broker(2)),
                ],
            },
            groups: Vec::new(),
            version: 75,
            held: BTreeMap::from([(at, held)]),
            unnamed: vec!["x".to_owned()],
            kept: vec!["old".to_owned()],
            damaged: Vec::new(),
        }
    }

    #[test]
    fn what_comes_back_is_above_all_that_was() {
        let plan = Plan::of(&found(), &BTreeMap::new(), 3);
        let [topic] = plan.topics.as_slice() else {
            panic!("{plan:?}");
        };
        assert_eq!(topic.standing, Standing::Missing);
        assert_eq!(topic.restored.id, ID);
        assert!(topic.restored.leader_epoch > 12, "{topic:?}");
        assert_eq!(topic.restored.topic.replication, Some(3));
        assert_eq!(topic.restored.topic.partitions, Some(2));
        assert!(topic.held[0].is_none() && topic.held[1].is_some());
        assert!(plan.floors.version > 75 && plan.floors.producer_id > 2_000);
        assert_eq!(
            plan.settings.len(),
            1,
            "those of broker 2 are told, not restored"
        );
        assert_eq!(plan.remarks.len(), 3, "{:?}", plan.remarks);
        assert!(plan.remarks[1].contains("old"), "{:?}", plan.remarks);
    }

    #[test]
    fn what_is_there_is_known_by_its_id() {
        let standing = |id| {
            let present = BTreeMap::from([("orders".to_owned(), id)]);
            let plan = Plan::of(&found(), &present, 1);
            assert_eq!(plan.topics[0].restored.topic.replication, Some(1));
            plan.topics[0].standing
        };
        assert_eq!(standing(ID), Standing::There);
        assert_eq!(standing(TopicId([8; 16])), Standing::Taken);
    }
}
