//! From what people wrote to what can be carried out. Afterwards nobody reads the spec.

use std::collections::BTreeMap;

use freshet_api::{
    AtOnce, Cluster, ConfigMap, Listener, ListenerType, MaintenanceWindow, Monitoring, Pool,
    PoolTemplate, Role, Storage, Tiering, VolumeRetention,
};
use freshet_settings::{Scope, Setting, StaticSettingsBuilder, Update};
use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::ResourceExt;

use super::names::{Names, RESTART};

/// What a cluster shall be like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) names: Names,
    pub(crate) uid: String,
    pub(crate) pools: Vec<WantedPool>,
    pub(crate) listeners: Vec<Listener>,
    /// Settings that count from the next start on.
    pub(crate) statics: BTreeMap<&'static str, String>,
    /// Settings that brokers change while they run.
    pub(crate) live: BTreeMap<&'static str, String>,
    pub(crate) tiering: Option<Tiering>,
    pub(crate) image: String,
    /// The level that the metadata shall have; without it that stays where it is.
    pub(crate) metadata_version: Option<i16>,
    pub(crate) image_pull_policy: Option<String>,
    pub(crate) image_pull_secrets: Vec<String>,
    pub(crate) cluster_id: Option<String>,
    pub(crate) windows: Vec<MaintenanceWindow>,
    /// Which pods restart at the same time.
    pub(crate) at_once: AtOnce,
    /// Whether new brokers get their share of partitions.
    pub(crate) fill_new_brokers: bool,
    pub(crate) monitoring: Option<Monitoring>,
    /// Whether there is a NetworkPolicy, and where the operator that it lets in is.
    pub(crate) network_policy: bool,
    pub(crate) operator_namespace: String,
    /// Who wants all pods restarted changes this word.
    pub(crate) restart: Option<String>,
    /// The pool that `spec.replicas` is for.
    pub(crate) scaled: Option<String>,
}

/// Pods that are alike.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WantedPool {
    pub(crate) name: String,
    pub(crate) broker: bool,
    pub(crate) controller: bool,
    pub(crate) replicas: i32,
    pub(crate) storage: Storage,
    pub(crate) resources: Option<ResourceRequirements>,
    pub(crate) template: PoolTemplate,
}

impl Wanted {
    /// The Secret by which brokers reach object storage.
    pub(crate) fn credentials(&self) -> Option<&str> {
        let secret = self.tiering.as_ref()?.credentials.as_ref()?;
        Some(&secret.name)
    }

    /// Whether volumes go with the cluster.
    pub(crate) fn volumes_go(pool: &WantedPool) -> bool {
        pool.storage.on_deletion == VolumeRetention::Delete
    }
}

/// What the operator says where the spec does not.
#[derive(Debug, Clone)]
pub(crate) struct Defaults<'a> {
    pub(crate) image: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) operator_namespace: &'a str,
}

/// Why a spec cannot be carried out: a sentence for each thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) Vec<String>);

/// Settings that the operator writes itself, and what to use instead.
const OURS: &[(&str, &str)] = &[
    ("node.id", "the operator numbers brokers"),
    ("broker.id", "the operator numbers brokers"),
    ("process.roles", "use spec.pools[].roles"),
    ("listeners", "use spec.listeners"),
    (
        "advertised.listeners",
        "use spec.listeners[].advertisedHost",
    ),
    ("listener.security.protocol.map", "use spec.listeners"),
    (
        "inter.broker.listener.name",
        "brokers have a listener of their own",
    ),
    (
        "controller.listener.names",
        "controllers have a listener of their own",
    ),
    ("controller.quorum.voters", "the operator forms the quorum"),
    (
        "controller.quorum.bootstrap.servers",
        "the operator forms the quorum",
    ),
    (
        "controller.quorum.auto.join.enable",
        "the operator forms the quorum",
    ),
    ("freshet.cluster.id", "use spec.clusterId"),
    ("log.dirs", "use spec.pools[].storage"),
    ("log.dir", "use spec.pools[].storage"),
    ("metadata.log.dir", "use spec.pools[].storage"),
    (
        "http.listener",
        "health and metrics are always served, on port 9644",
    ),
    (
        "freshet.idle.reason",
        "put the annotation freshet.dev/stopped on the claim of one broker",
    ),
    ("broker.rack", "it is the zone of the pod's node"),
    ("remote.log.storage.system.enable", "use spec.tiering"),
    ("remote.log.storage.url", "use spec.tiering"),
    (
        "cordoned.log.dirs",
        "use `freshet broker cordon`: it is one broker's, not the cluster's",
    ),
];

/// Reads a spec; all that is wrong with it is told at once.
pub(crate) fn validate(cluster: &Cluster, defaults: &Defaults<'_>) -> Result<Wanted, Refused> {
    let spec = &cluster.spec;
    let mut refused = Vec::new();
    let pools: Vec<_> = spec
        .pools
        .iter()
        .map(|pool| wanted_pool(pool, spec.replicas, &mut refused))
        .collect();
    let listeners = listeners(&spec.listeners, &mut refused);
    let brokers = pools.iter().filter(|p| p.broker).map(|p| p.replicas).sum();
    let (statics, live) = settings(&spec.config, brokers, &mut refused);
    let metadata_version = level(spec.metadata_version.as_deref(), &mut refused);
    if !refused.is_empty() {
        return Err(Refused(refused));
    }
    Ok(Wanted {
        names: Names {
            cluster: cluster.name_any(),
            namespace: cluster.namespace().unwrap_or_default(),
            domain: defaults.domain.to_owned(),
        },
        uid: cluster.uid().unwrap_or_default(),
        pools,
        listeners,
        statics,
        live,
        tiering: spec.tiering.clone(),
        image: spec
            .image
            .clone()
            .unwrap_or_else(|| defaults.image.to_owned()),
        metadata_version,
        image_pull_policy: spec.image_pull_policy.clone(),
        image_pull_secrets: spec
            .image_pull_secrets
            .iter()
            .map(|s| s.name.clone())
            .collect(),
        cluster_id: spec.cluster_id.clone(),
        windows: spec.maintenance_windows.clone(),
        at_once: spec.rolling.as_ref().map_or(AtOnce::Pod, |r| r.at_once),
        fill_new_brokers: spec.balancing.as_ref().is_some_and(|b| b.fill_new_brokers),
        monitoring: spec.monitoring.clone(),
        network_policy: spec.network_policy,
        operator_namespace: defaults.operator_namespace.to_owned(),
        restart: cluster.annotations().get(RESTART).cloned(),
        scaled: spec
            .pools
            .iter()
            .find(|p| p.replicas.is_none())
            .map(|p| p.name.clone()),
    })
}

fn wanted_pool(pool: &Pool, shared: Option<i32>, refused: &mut Vec<String>) -> WantedPool {
    let has = |role| pool.roles.is_empty() || pool.roles.contains(&role);
    let replicas = pool.replicas.or(shared).unwrap_or(0);
    if replicas < 1 {
        // The schema says so too; an object may be older than the schema.
        refused.push(format!(
            "pool {} has no pods: it needs one at least",
            pool.name
        ));
    }
    WantedPool {
        name: pool.name.clone(),
        broker: has(Role::Broker),
        controller: has(Role::Controller),
        replicas,
        storage: pool.storage.clone(),
        resources: pool.resources.clone(),
        template: pool.template.clone().unwrap_or_default(),
    }
}

fn level(given: Option<&str>, refused: &mut Vec<String>) -> Option<i16> {
    let given = given?;
    let level = given.parse().ok().filter(|level| *level > 0);
    if level.is_none() {
        refused.push(format!(
            "metadataVersion {given:?} is no level: give a number, as in `freshet feature list`"
        ));
    }
    level
}

/// Without any there is one for the same Kubernetes.
fn listeners(given: &[Listener], refused: &mut Vec<String>) -> Vec<Listener> {
    if given.is_empty() {
        return vec![Listener {
            name: "internal".to_owned(),
            kind: ListenerType::Internal,
            port: 9092,
            advertised_host: None,
            advertised_port_base: None,
            node_port: None,
            annotations: BTreeMap::new(),
        }];
    }
    let mut ports = BTreeMap::new();
    for listener in given {
        if let Some(other) = ports.insert(listener.port, &listener.name) {
            refused.push(format!(
                "listeners {other} and {} have the same port {}",
                listener.name, listener.port
            ));
        }
    }
    given.to_vec()
}

type Settings = BTreeMap<&'static str, String>;

/// Settings apart: those for the file, and those that brokers change while they run.
fn settings(given: &ConfigMap, brokers: i32, refused: &mut Vec<String>) -> (Settings, Settings) {
    let mut statics = Settings::new();
    let mut live = Settings::new();
    for (name, value) in given {
        let value = value.text();
        if let Some((_, instead)) = OURS.iter().find(|(ours, _)| ours == name) {
            refused.push(format!("config.{name} is not yours to set: {instead}"));
            continue;
        }
        // The broker's own parser judges: an unknown name comes back with the nearest one.
        let judged = StaticSettingsBuilder::default().set(&format!("{name}={value}"));
        let setting = match (judged, Setting::find(Scope::Broker, name)) {
            (Err(error), _) => {
                refused.push(format!("config.{name}: {error}"));
                continue;
            }
            // A family of names that means nothing here; brokers say so in their log.
            (Ok(_), None) => continue,
            (Ok(_), Some(setting)) => setting,
        };
        match setting.update {
            Update::ClusterWide | Update::PerBroker => {
                live.insert(setting.name, value.into_owned())
            }
            Update::ReadOnly => statics.insert(setting.name, value.into_owned()),
        };
    }
    copies(&mut statics, &mut live, brokers);
    (statics, live)
}

/// Three copies of which two count, where there are brokers enough.
fn copies(statics: &mut Settings, live: &mut Settings, brokers: i32) {
    let copies = brokers.clamp(1, 3).to_string();
    for name in [
        "default.replication.factor",
        "offsets.topic.replication.factor",
    ] {
        statics.entry(name).or_insert_with(|| copies.clone());
    }
    let in_sync = if brokers >= 3 { "2" } else { "1" };
    live.entry("min.insync.replicas")
        .or_insert_with(|| in_sync.to_owned());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn validated(spec: Value) -> Result<Wanted, Refused> {
        let mut whole =
            json!({ "replicas": 3, "pools": [{ "name": "main", "storage": { "size": "1Gi" } }] });
        for (name, value) in spec.as_object().expect("fields") {
            whole[name] = value.clone();
        }
        let cluster: Cluster = serde_json::from_value(json!({
            "apiVersion": "freshet.dev/v1", "kind": "Cluster", "metadata": { "name": "a" }, "spec": whole,
        }))
        .expect("a Cluster");
        validate(
            &cluster,
            &Defaults {
                image: "i",
                domain: "d",
                operator_namespace: "o",
            },
        )
    }

    fn refused(spec: Value) -> String {
        validated(spec).expect_err("it is refused").0.join("\n")
    }

    #[test]
    fn settings_are_judged_by_the_brokers_own_table() {
        let said = refused(
            json!({ "config": { "num.partition": 3, "log.retention.ms": "soon", "node.id": 4 } }),
        );
        assert!(
            said.contains("num.partitions"),
            "the nearest name is told: {said}"
        );
        assert!(said.contains("log.retention.ms"), "{said}");
        assert!(
            said.contains("config.node.id is not yours to set"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 3, "all that is wrong at once: {said}");
    }

    #[test]
    fn settings_that_brokers_change_while_they_run_are_no_reason_to_restart() {
        let wanted =
            validated(json!({ "config": { "log.retention.ms": 1000, "num.partitions": 4 } }))
                .expect("sound");
        assert_eq!(
            wanted.live.get("log.retention.ms").map(String::as_str),
            Some("1000")
        );
        assert_eq!(
            wanted.statics.get("num.partitions").map(String::as_str),
            Some("4")
        );
    }

    #[test]
    fn three_brokers_keep_three_copies_and_whoever_knows_better_is_heard() {
        let told = |spec| {
            let wanted = validated(spec).expect("sound");
            (
                wanted.statics["default.replication.factor"].clone(),
                wanted.live["min.insync.replicas"].clone(),
            )
        };
        assert_eq!(told(json!({})), ("3".to_owned(), "2".to_owned()));
        assert_eq!(
            told(json!({ "replicas": 1 })),
            ("1".to_owned(), "1".to_owned())
        );
        let own =
            json!({ "config": { "default.replication.factor": 2, "min.insync.replicas": 1 } });
        assert_eq!(told(own), ("2".to_owned(), "1".to_owned()));
    }

    #[test]
    fn a_metadata_version_is_a_number() {
        let level = |spec| validated(spec).expect("sound").metadata_version;
        assert_eq!(level(json!({})), None);
        assert_eq!(level(json!({ "metadataVersion": "2" })), Some(2));
        for bad in ["4.1-IV0", "0", "-1", "99999", ""] {
            let said = refused(json!({ "metadataVersion": bad }));
            assert!(said.contains("is no level"), "{said}");
        }
    }

    #[test]
    fn two_listeners_have_two_ports() {
        let said = refused(
            json!({ "listeners": [{ "name": "a", "port": 9092 }, { "name": "b", "port": 9092 }] }),
        );
        assert!(said.contains("a and b"), "{said}");
    }
}
