//! A Cluster, its Kubernetes, its brokers and its operator.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_api::Cluster;
use freshet_client::WallClock;
use freshet_types::Timestamp;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::super::look;
use super::super::names::{DRAINING, STOPPED};
use super::brokers::{Kafka, Way};
use super::{CLUSTER_KEY, NAMESPACE, THE_POD};
use crate::context::{Context, ContextParts};
use crate::controllers::fake::{Dice, Faults, Key, Kube, add_node, merge_patch, text};
use crate::failure::Failure;

/// Looks until all is calm; whoever needs more goes in circles.
const MOST_LOOKS: usize = 120;
/// When all begins: 2026-01-01, as the objects say.
const BEGIN_MS: i64 = 1_767_225_600_000;

pub(super) struct World {
    pub(super) kube: Kube,
    pub(super) kafka: Arc<Kafka>,
    pub(super) faults: Arc<Faults>,
    operator: Arc<Context>,
    /// The Cluster as the operator saw it last.
    seen: Option<Arc<Value>>,
}

/// What became of a look.
#[derive(Debug)]
pub(super) enum Looked {
    Ended(Result<Action, Failure>),
    /// The operator died.
    Died,
    /// There is no Cluster.
    Nothing,
}

impl World {
    /// With a Cluster of so many pods that nobody has looked at.
    pub(super) fn new(replicas: i32) -> Self {
        let kube = Kube::default();
        kube.forget_kind("podmonitors");
        let world = Self::of(kube, Arc::default());
        let cluster = json!({
            "apiVersion": "freshet.dev/v1", "kind": "Cluster",
            "metadata": {
                "name": "demo", "namespace": NAMESPACE,
                "uid": "00112233-4455-6677-8899-aabbccddeeff",
            },
            "spec": {
                "replicas": replicas,
                "image": "freshet.dev/broker:1",
                "pools": [{ "name": "main", "storage": { "size": "1Gi", "onDeletion": "Delete" } }],
                "listeners": [
                    { "name": "internal", "port": 9092 },
                    { "name": "outside", "port": 9094, "type": "NodePort" },
                ],
            },
        });
        world
            .kube
            .objects(|all| all.put(&CLUSTER_KEY.key(), cluster));
        world
    }

    /// The same on volumes that are on nodes: one node for each, and one more.
    pub(super) async fn on_local_volumes(replicas: i32, copies: usize) -> Self {
        let world = Self::new(replicas);
        world.kube.objects(|all| {
            (0..=replicas).for_each(|at| add_node(all, &format!("node-{at}")));
        });
        world.settle(copies).await
    }

    /// With one of three stopped on purpose.
    pub(super) async fn stopped() -> Self {
        let mut world = Self::settled(3, 3).await;
        world.stop(THE_POD, Some("a test"));
        world.converge().await;
        world
    }

    /// Somebody asks for a stop of a pod's broker, or for its end.
    pub(super) fn stop(&self, pod: &str, why: Option<&str>) {
        let marks = json!({ "metadata": { "annotations": { STOPPED: why } } });
        self.by_hand("persistentvolumeclaims", &format!("data-{pod}"), &marks);
    }

    /// The node of a pod's volume is gone, and with it the pod.
    pub(super) fn lose_node(&self, node: &str, pod: &str) {
        self.kube.objects(|all| {
            all.remove(&Key::new("nodes", "", node));
            all.remove(&Key::new("pods", NAMESPACE, pod));
        });
    }

    /// With a Cluster that is as it shall be, and topics of so many copies.
    pub(super) async fn settled(replicas: i32, copies: usize) -> Self {
        Self::new(replicas).settle(copies).await
    }

    async fn settle(self, copies: usize) -> Self {
        let mut world = self;
        world.converge().await;
        world.kafka.make_topic(6, copies);
        world.kafka.make_topic(2, 1);
        world.converge().await;
        world
    }

    fn of(kube: Kube, kafka: Arc<Kafka>) -> Self {
        let faults = Arc::default();
        Self {
            operator: operator(&kube, &kafka, &faults),
            kube,
            kafka,
            faults,
            seen: None,
        }
    }

    /// Another world that is the same until now.
    pub(super) fn fork(&self) -> Self {
        Self::of(self.kube.fork(), self.kafka.fork())
    }

    /// Somebody changes the Cluster's spec.
    pub(super) fn change(&self, patch: &Value) {
        let changed = |cluster: &mut Value| merge_patch(&mut cluster["spec"], patch);
        self.kube
            .objects(|all| assert!(all.edit(&CLUSTER_KEY.key(), changed)));
    }

    pub(super) fn cluster(&self) -> Option<Arc<Value>> {
        self.kube.objects(|all| all.get(&CLUSTER_KEY.key()))
    }

    /// One look at the Cluster as it is.
    pub(super) async fn look(&mut self) -> Looked {
        self.seen = self.cluster();
        self.look_again().await
    }

    /// One look at the Cluster as the operator saw it last, which it may be no more.
    pub(super) async fn look_again(&mut self) -> Looked {
        let Some(seen) = self.seen.clone() else {
            return Looked::Nothing;
        };
        let looked = tokio::select! {
            biased;
            ended = look(Arc::clone(&self.operator), read(&seen)) => Looked::Ended(ended),
            () = self.faults.died() => Looked::Died,
        };
        if matches!(looked, Looked::Died) {
            self.operator = operator(&self.kube, &self.kafka, &self.faults);
        }
        looked
    }

    /// Two operators look at the same time. Their Lease keeps them apart, so what they have seen at two moments
    /// may have them restart two pods; all else holds.
    pub(super) async fn look_twice(&mut self) {
        self.seen = self.cluster();
        let Some(seen) = self.seen.clone() else {
            return;
        };
        let other = operator(&self.kube, &self.kafka, &self.faults);
        self.kube.workloads(|all, _| all.let_two_go(true));
        let both = futures_util::future::join(
            look(Arc::clone(&self.operator), read(&seen)),
            look(other, read(&seen)),
        );
        tokio::select! {
            biased;
            _ = both => {}
            () = self.faults.died() => {}
        }
        self.kube.workloads(|all, _| all.let_two_go(false));
    }

    /// Everybody else does one step.
    pub(super) fn step(&self) {
        step(&self.kube, &self.kafka);
    }

    /// Looks and steps until nothing changes any more. Then nothing is written any more.
    pub(super) async fn converge(&mut self) {
        let mut calm = 0;
        for _ in 0..MOST_LOOKS {
            self.kube.writes();
            self.kafka.writes();
            let looked = self.look().await;
            let mut writes = self.kube.writes();
            writes.extend(self.kafka.writes());
            let before = self.kube.objects(|all| all.version());
            self.step();
            if writes.is_empty() {
                // Whoever waits sees what comes of it.
                self.step();
                self.step();
            }
            let moved = before != self.kube.objects(|all| all.version());
            let ended = !matches!(looked, Looked::Ended(Err(_)) | Looked::Died);
            calm = if ended && writes.is_empty() && !moved {
                calm + 1
            } else {
                0
            };
            if calm == 2 {
                return;
            }
        }
        let looked = self.look().await;
        panic!(
            "it goes in circles: {looked:?}, {:?}, {:#?}",
            self.kube.writes(),
            self.cluster().map(|cluster| cluster["status"].clone())
        );
    }

    /// How much was changed until now, here and there.
    pub(super) fn written(&self) -> (u64, usize) {
        let version = self.kube.objects(|all| all.version());
        (version, self.kafka.0.lock().writes.len())
    }

    /// What the operator did and must never do.
    pub(super) fn breaches(&self) -> Vec<String> {
        let mut all = self
            .kube
            .workloads(|workloads, _| workloads.breaches().to_vec());
        all.extend(self.kafka.0.lock().breaches.iter().cloned());
        all
    }

    /// Everything there is, without what differs from one run to the next: versions, identities, times
    /// and addresses.
    pub(super) fn all(&self) -> BTreeMap<String, Value> {
        let mut all: BTreeMap<_, _> = self.kube.objects(|objects| {
            let objects = objects.all();
            objects
                .map(|(key, value)| (format!("{} {}", key.plural, key.name), plain(value)))
                .collect()
        });
        let kafka = self.kafka.0.lock();
        let brokers = json!({
            "brokers": kafka.registered, "settings": kafka.settings, "voters": kafka.voters,
        });
        all.insert("kafka".to_owned(), brokers);
        all
    }

    /// Pods, and which they are.
    pub(super) fn pods(&self) -> BTreeMap<String, String> {
        let uid = |pod: &Value| text(&pod["metadata"]["uid"]).to_owned();
        let pods = self.kube.objects(|all| all.of_kind("pods", 0));
        let pods = pods.into_iter();
        pods.map(|(key, pod)| (key.name, uid(&pod))).collect()
    }

    /// Pods and volumes that have gone with their owner.
    pub(super) fn collected(&self) -> Vec<String> {
        let all = self.kube.workloads(|all, _| all.collected().to_vec());
        let lost = all
            .into_iter()
            .filter(|key| ["pods", "persistentvolumeclaims"].contains(&key.plural.as_str()));
        lost.map(|key| key.name).collect()
    }

    /// An object of the cluster's namespace.
    pub(super) fn object(&self, plural: &str, name: &str) -> Option<Arc<Value>> {
        self.kube
            .objects(|all| all.get(&Key::new(plural, NAMESPACE, name)))
    }

    /// Somebody changes an object by hand.
    pub(super) fn by_hand(&self, plural: &str, name: &str, patch: &Value) {
        let change = |value: &mut Value| merge_patch(value, patch);
        let key = Key::new(plural, NAMESPACE, name);
        self.kube
            .objects(|all| assert!(all.edit(&key, change), "{name}"));
    }

    /// Lets others act between requests: steps, topics that are made, and hands that change or delete.
    pub(super) fn let_others_act(&self) {
        let (kube, kafka) = (self.kube.clone(), Arc::clone(&self.kafka));
        let held = |state: &super::brokers::State| {
            let copies = state.partitions.iter().map(|held| held.replicas.len());
            copies.max().unwrap_or(3)
        };
        let copies = held(&kafka.0.lock());
        self.faults.meanwhile(move |dice| match dice.below(4) {
            0 | 1 => step(&kube, &kafka),
            2 => kafka.make_topic(1, copies),
            _ => meddle(&kube, dice),
        });
    }
}

/// Everybody but the operator does one step.
pub(super) fn step(kube: &Kube, kafka: &Kafka) {
    kube.workloads(|workloads, objects| workloads.step(objects));
    kafka.step(kube);
}

/// Somebody changes or deletes an object that would lose nothing.
fn meddle(kube: &Kube, dice: &mut Dice) {
    let plural = ["services", "poddisruptionbudgets", "configmaps"][dice.below(3)];
    let (deletes, at) = (dice.percent(30), dice.below(8));
    kube.objects(|all| {
        let keys: Vec<_> = all.of_kind(plural, 0).into_keys().collect();
        let Some(key) = keys.get(at % keys.len().max(1)) else {
            return;
        };
        if deletes {
            return all.delete(key, None);
        }
        let patch = match plural {
            "services" => json!({ "spec": { "selector": { "freshet.dev/cluster": "x" } } }),
            "configmaps" => json!({ "metadata": { "labels": { "app.kubernetes.io/name": "x" } } }),
            _ => json!({ "spec": { "maxUnavailable": 5 } }),
        };
        all.edit(key, |value| merge_patch(value, &patch));
    });
}

fn operator(kube: &Kube, kafka: &Arc<Kafka>, faults: &Arc<Faults>) -> Arc<Context> {
    let way = Way {
        kafka: Arc::clone(kafka),
        kube: kube.clone(),
        faults: Arc::clone(faults),
    };
    let parts = ContextParts {
        client: kube.client_through(faults),
        identity: "test".to_owned(),
        broker_image: "freshet.dev/broker:1".to_owned(),
        domain: "cluster.local".to_owned(),
        own_namespace: "operator".to_owned(),
    };
    let kube = kube.clone();
    let clock = WallClock::new(move || {
        let minutes = kube.workloads(|all, _| all.minutes());
        Timestamp(BEGIN_MS + minutes * 60_000)
    });
    Context::with_door(parts, Arc::new(way), clock)
}

fn read(cluster: &Value) -> Cluster {
    serde_json::from_value(cluster.clone()).expect("a Cluster")
}

fn plain(value: &Value) -> Value {
    let mut plain = value.clone();
    if plain["kind"] == "PersistentVolumeClaim" {
        // Whether a StatefulSet takes volumes of pods that leave depends on when it is made again.
        plain["metadata"]["ownerReferences"] = Value::Null;
        // So does whether those grow before their brokers are gone; else they grow when these come back.
        if plain["metadata"]["annotations"][DRAINING].is_string() {
            plain["spec"]["resources"] = Value::Null;
        }
    }
    let metadata = plain["metadata"].as_object_mut().expect("metadata");
    for name in ["resourceVersion", "uid", "generation", "creationTimestamp"] {
        metadata.remove(name);
    }
    let owners = metadata.get_mut("ownerReferences");
    for owner in owners.and_then(Value::as_array_mut).into_iter().flatten() {
        owner["uid"] = Value::Null;
    }
    if let Some(status) = plain["status"].as_object_mut() {
        status.remove("observedGeneration");
        status.remove("podIP");
        let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten() {
            condition["lastTransitionTime"] = Value::Null;
            condition["observedGeneration"] = Value::Null;
        }
    }
    plain
}
