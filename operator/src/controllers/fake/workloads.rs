//! What Kubernetes' own controllers and kubelets do: garbage goes, StatefulSets have pods, pods start.
//! One step at a time; what takes a while takes a few steps.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::disks;
use super::merge::text;
use super::objects::{Key, Objects, is_going};

/// Steps from a pod's creation until it serves.
const READY_AFTER: u32 = 2;
/// Where all pods are.
pub(crate) const HOST_IP: &str = "10.1.0.1";
/// With it in its file a process does nothing.
const IDLE: &str = "freshet.idle.reason=";
/// What only one pod's file says, and a start changes.
const OWN: &[&str] = &[IDLE, "advertised.listeners="];
/// Minutes that a step takes.
const STEP_MINUTES: i64 = 3;
/// Kinds that others own.
const OWNED: &[&str] = &[
    "serviceaccounts",
    "services",
    "networkpolicies",
    "poddisruptionbudgets",
    "configmaps",
    "statefulsets",
    "podmonitors",
    "pods",
    "persistentvolumeclaims",
];

/// A pod whose container has started.
#[derive(Debug, Clone)]
pub(crate) struct Started {
    pub(crate) pod: String,
    pub(crate) uid: String,
    pub(crate) ip: String,
    /// Its file of settings.
    pub(crate) file: String,
    /// The UID of its volume.
    pub(crate) volume: String,
}

/// What controllers remember, and what they have done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workloads {
    /// Minutes since all began.
    minutes: i64,
    /// Steps since pods were made, by UID.
    ages: BTreeMap<String, u32>,
    addresses: u32,
    /// The files that pods were started with, by UID.
    files: BTreeMap<String, String>,
    /// Pods that the operator has deleted and that have not come back, with the UID they had.
    restarting: BTreeMap<String, String>,
    /// Whether two pods may be away because of deletions.
    two_may_go: bool,
    started: Vec<Started>,
    /// Pods that are not wanted any more.
    condemned: BTreeSet<String>,
    breaches: Vec<String>,
    /// What went because nobody owned it any more.
    collected: Vec<Key>,
}

impl Workloads {
    /// Containers that have started since this was asked last.
    pub(crate) fn started(&mut self) -> Vec<Started> {
        std::mem::take(&mut self.started)
    }

    pub(crate) fn let_two_go(&mut self, may: bool) {
        self.two_may_go = may;
    }

    /// Pods that were deleted for good since this was asked last.
    pub(crate) fn condemned(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.condemned)
    }

    /// What has ever gone because nobody owned it any more.
    pub(crate) fn collected(&self) -> &[Key] {
        &self.collected
    }

    /// What the operator must never do and did.
    pub(crate) fn breaches(&self) -> &[String] {
        &self.breaches
    }

    /// Minutes since all began.
    pub(crate) fn minutes(&self) -> i64 {
        self.minutes
    }

    /// Somebody deletes an object by a request. What was on a volume is for the brokers to know.
    pub(super) fn note_deletion(&mut self, key: &Key, objects: &Objects) {
        match key.plural.as_str() {
            "persistentvolumeclaims" if disks::is_lost(objects, key) => {}
            "persistentvolumeclaims" => self.breaches.push(format!("{} was deleted", key.name)),
            "pods" => {
                let back = |name: &String, uid: &String| {
                    let pod = objects.get(&Key::new("pods", &key.namespace, name));
                    pod.is_some_and(|pod| {
                        is_settled(&pod) && text(&pod["metadata"]["uid"]) != uid.as_str()
                    })
                };
                self.restarting.retain(|name, uid| !back(name, uid));
                let mut others = self.restarting.keys().filter(|name| **name != key.name);
                if let Some(other) = others.next().filter(|_| !self.two_may_go) {
                    self.breaches
                        .push(format!("{} goes while {other} is away", key.name));
                }
                let pod = objects.get(key).expect("it is there");
                let has_reason = is_unscheduled(&pod) || self.is_outdated(objects, key, &pod);
                if is_newest(objects, &pod, key) && !has_reason {
                    self.breaches
                        .push(format!("{} goes and is as it shall be", key.name));
                }
                let uid = text(&pod["metadata"]["uid"]).to_owned();
                if !is_going(&pod) {
                    self.restarting.insert(key.name.clone(), uid);
                }
            }
            _ => {}
        }
    }

    /// Whether a pod's own file says something else now than when it started.
    fn is_outdated(&self, objects: &Objects, key: &Key, pod: &Value) -> bool {
        let started = self.files.get(text(&pod["metadata"]["uid"]));
        let own = |file: &str| {
            let lines = file
                .lines()
                .filter(|line| OWN.iter().any(|own| line.starts_with(own)));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        started.map(|file| own(file)) != file_of(objects, key, pod).map(|file| own(&file))
    }

    /// One step of all of them.
    pub(crate) fn step(&mut self, objects: &mut Objects) {
        self.minutes += STEP_MINUTES;
        self.collect(objects);
        disks::release(objects);
        for (key, _) in objects.of_kind("statefulsets", 0) {
            self.tend(objects, &key);
        }
        for (key, pod) in objects.of_kind("pods", 0) {
            self.run(objects, &key, &pod);
        }
    }

    /// Takes away what has no owner any more; what its owner lets go of stays without one.
    fn collect(&mut self, objects: &mut Objects) {
        let orphaning: Vec<_> = objects
            .all()
            .filter(|(_, value)| is_going(value))
            .filter(|(_, value)| {
                let held = value["metadata"]["finalizers"].as_array();
                held.is_some_and(|held| held.iter().any(|held| held == "orphan"))
            })
            .map(|(key, value)| (key.clone(), value["metadata"]["uid"].clone()))
            .collect();
        for (key, uid) in orphaning {
            for owned in owned(objects) {
                objects.edit(&owned, |value| {
                    let owners = value["metadata"]["ownerReferences"].as_array_mut();
                    owners
                        .into_iter()
                        .for_each(|owners| owners.retain(|o| o["uid"] != uid));
                });
            }
            objects.remove(&key);
        }
        let there: BTreeSet<_> = objects
            .all()
            .map(|(_, value)| text(&value["metadata"]["uid"]).to_owned())
            .collect();
        for key in owned(objects) {
            let Some(value) = objects.get(&key) else {
                continue;
            };
            let owners = value["metadata"]["ownerReferences"].as_array();
            let owners = owners.filter(|owners| !owners.is_empty());
            let Some(owners) = owners.filter(|_| !is_going(&value)) else {
                continue;
            };
            if !owners.iter().any(|o| there.contains(text(&o["uid"]))) {
                if key.plural == "pods" {
                    self.restarting.remove(&key.name);
                    self.condemned.insert(key.name.clone());
                }
                objects.delete(&key, None);
                self.collected.push(key);
            }
        }
    }

    /// Gives a StatefulSet its pods (`Parallel`, `OnDelete`), and its pods their volumes.
    fn tend(&mut self, objects: &mut Objects, key: &Key) {
        let Some(set) = objects.get(key).filter(|set| !is_going(set)) else {
            return;
        };
        let replicas = set["spec"]["replicas"].as_i64().unwrap_or(1);
        let revision = format!("{}-{:x}", key.name, sum(&set["spec"]["template"]));
        let (mut count, mut ready) = (0, 0);
        for (pod, value) in pods_of(objects, key) {
            adopt(objects, &pod, &owner(&set));
            let wanted = ordinal(&pod.name, &key.name).is_some_and(|ordinal| ordinal < replicas);
            if !wanted && !is_going(&value) {
                self.restarting.remove(&pod.name);
                self.condemned.insert(pod.name.clone());
                objects.delete(&pod, None);
            }
            count += 1;
            ready += i64::from(is_ready(&value));
        }
        let policy = &set["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"];
        for ordinal in 0..replicas {
            let pod = format!("{}-{ordinal}", key.name);
            let pod = Key::new("pods", &key.namespace, &pod);
            let claim = claim_of(&pod);
            if objects.get(&claim).is_none() {
                let mut made = new_claim(&set, &claim);
                disks::bind(objects, &claim, &mut made);
                objects.put(&claim, made);
            }
            if policy == "Delete" {
                adopt(objects, &claim, &owner(&set));
            }
            if objects.get(&pod).is_none() {
                let made = objects.put(&pod, new_pod(&set, &pod, &revision));
                self.ages
                    .insert(text(&made["metadata"]["uid"]).to_owned(), 0);
                count += 1;
            }
        }
        let status = json!({
            "observedGeneration": set["metadata"]["generation"],
            "replicas": count,
            "readyReplicas": ready,
            "updateRevision": revision,
        });
        objects.edit(key, |set| set["status"] = status);
    }

    /// What a kubelet does with a pod.
    fn run(&mut self, objects: &mut Objects, key: &Key, pod: &Value) {
        let uid = text(&pod["metadata"]["uid"]).to_owned();
        let age = self.ages.entry(uid.clone()).or_insert(0);
        if is_going(pod) {
            // The first step stops it.
            self.ages.remove(&uid);
            self.files.remove(&uid);
            return objects.remove(key);
        }
        let claim = claim_of(key);
        if disks::is_lost(objects, &claim) {
            let waits = json!({ "conditions": [{
                "type": "PodScheduled", "status": "False", "message": "no node has its volume",
            }] });
            objects.edit(key, |pod| pod["status"] = waits);
            return;
        }
        *age += 1;
        let age = *age;
        let file = file_of(objects, key, pod);
        let Some(file) = file.filter(|_| !is_settled(pod)) else {
            return;
        };
        let is_new = pod["status"]["podIP"].is_null();
        if is_new {
            self.addresses += 1;
            let ip = format!("10.0.{}.{}", self.addresses / 256, self.addresses % 256);
            self.files.insert(uid.clone(), file.clone());
            let volume = objects.get(&claim).expect("a pod has its volume");
            self.started.push(Started {
                pod: key.name.clone(),
                uid,
                ip: ip.clone(),
                file,
                volume: text(&volume["metadata"]["uid"]).to_owned(),
            });
            objects.edit(key, |pod| {
                pod["status"] = json!({ "podIP": ip, "hostIP": HOST_IP });
            });
        } else if age > READY_AFTER {
            let is_idle = self.files.get(&uid).is_some_and(|file| file.contains(IDLE));
            let ready =
                json!([{ "type": "Ready", "status": if is_idle { "False" } else { "True" } }]);
            let started = json!([{
                "name": "broker", "image": "i", "imageID": "", "restartCount": 0,
                "started": true, "ready": !is_idle,
            }]);
            objects.edit(key, |pod| {
                pod["status"]["conditions"] = ready;
                pod["status"]["containerStatuses"] = started;
            });
        }
    }
}

/// The volume of a pod.
fn claim_of(pod: &Key) -> Key {
    let name = format!("data-{}", pod.name);
    Key::new("persistentvolumeclaims", &pod.namespace, &name)
}

/// A pod's file as it is now.
fn file_of(objects: &Objects, key: &Key, pod: &Value) -> Option<String> {
    let files = text(&pod["spec"]["volumes"][0]["configMap"]["name"]);
    let files = objects.get(&Key::new("configmaps", &key.namespace, files))?;
    let name = format!("{}.properties", key.name);
    Some(files["data"][&name].as_str()?.to_owned())
}

/// Whether a pod serves, or does nothing as it shall.
fn is_settled(pod: &Value) -> bool {
    !is_going(pod) && pod["status"]["containerStatuses"][0]["started"] == true
}

fn is_unscheduled(pod: &Value) -> bool {
    pod["status"]["conditions"][0]["type"] == "PodScheduled"
}

/// Whether a pod serves.
pub(super) fn is_ready(pod: &Value) -> bool {
    !is_going(pod) && pod["status"]["conditions"][0]["status"] == "True"
}

/// Whether a pod is as its StatefulSet says.
fn is_newest(objects: &Objects, pod: &Value, key: &Key) -> bool {
    let owner = text(&pod["metadata"]["ownerReferences"][0]["name"]);
    let set = objects.get(&Key::new("statefulsets", &key.namespace, owner));
    let revision = &pod["metadata"]["labels"]["controller-revision-hash"];
    set.is_some_and(|set| set["status"]["updateRevision"] == *revision)
}

fn owned(objects: &Objects) -> Vec<Key> {
    let keys = objects.all().map(|(key, _)| key);
    keys.filter(|key| OWNED.contains(&key.plural.as_str()))
        .cloned()
        .collect()
}

fn ordinal(pod: &str, set: &str) -> Option<i64> {
    pod.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}

fn sum(value: &Value) -> u32 {
    value.to_string().bytes().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

fn pods_of(objects: &Objects, set: &Key) -> Vec<(Key, std::sync::Arc<Value>)> {
    let pods = objects.of_kind("pods", 0).into_iter();
    pods.filter(|(pod, _)| {
        pod.namespace == set.namespace && ordinal(&pod.name, &set.name).is_some()
    })
    .collect()
}

fn owner(set: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "controller": true,
        "name": set["metadata"]["name"], "uid": set["metadata"]["uid"],
    })
}

/// Makes the owner the owner of what has none.
fn adopt(objects: &mut Objects, key: &Key, owner: &Value) {
    objects.edit(key, |value| {
        let owners = value["metadata"]["ownerReferences"].as_array();
        if owners.is_none_or(Vec::is_empty) {
            value["metadata"]["ownerReferences"] = json!([owner]);
        }
    });
}

fn new_claim(set: &Value, key: &Key) -> Value {
    let template = &set["spec"]["volumeClaimTemplates"][0];
    let mut labels = template["metadata"]["labels"].clone();
    super::merge_patch(&mut labels, &set["spec"]["selector"]["matchLabels"]);
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": key.name, "namespace": key.namespace, "labels": labels },
        "spec": template["spec"],
    })
}

/// A pod with as much of its template as somebody reads.
fn new_pod(set: &Value, key: &Key, revision: &str) -> Value {
    let template = &set["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels["controller-revision-hash"] = revision.into();
    labels["statefulset.kubernetes.io/pod-name"] = key.name.clone().into();
    let container = &template["spec"]["containers"][0];
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": key.name, "namespace": key.namespace, "labels": labels,
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": [owner(set)],
        },
        "spec": {
            "containers": [{ "name": container["name"], "image": container["image"] }],
            "volumes": template["spec"]["volumes"],
        },
        "status": { "phase": "Pending" },
    })
}
