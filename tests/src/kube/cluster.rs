//! One Freshet cluster on Kubernetes: asked for as people do, looked at as people do.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::ctl::{Kubectl, json as manifest};
use crate::client::Client;
use crate::history::Read;
use crate::line::Line;
use crate::load::read;
use crate::peer::{Peer, Role};

/// How long all pods of a cluster may take to be ready; the bar is 20 s, on a quiet machine.
const READY: Duration = Duration::from_secs(120);
/// How long a change of all pods may take.
const ROLL: Duration = Duration::from_secs(240);
/// How long the whole topic may take to be read.
const READ: Duration = Duration::from_secs(90);

/// A cluster that the operator runs.
pub struct KubeCluster {
    /// `kubectl` in its namespace.
    pub ctl: Kubectl,
    /// Its name.
    pub name: String,
}

/// A pod, as far as tests look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSeen {
    /// Another pod of the same name has another one.
    pub uid: String,
    /// Whether it serves.
    pub ready: bool,
    /// Its node.
    pub node: String,
}

impl KubeCluster {
    /// Asks for a cluster of an image that was loaded before.
    pub fn create(namespace: &str, name: &str, spec: &Value, tag: &str) -> Result<Self> {
        let cluster = Self {
            ctl: Kubectl::in_namespace(namespace)?,
            name: name.to_owned(),
        };
        let mut spec = spec.clone();
        spec["image"] = format!("freshet.dev/broker:{tag}").into();
        spec["imagePullPolicy"] = "Never".into();
        cluster.ctl.apply(&manifest(&json!({
            "apiVersion": "freshet.dev/v1", "kind": "Cluster",
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        })))?;
        Ok(cluster)
    }

    /// A cluster of three as tests ask for it: reached from outside, and with a bucket.
    pub fn usual_spec(bucket: &str, size: &str) -> Value {
        json!({
            "replicas": 3,
            "pools": [Self::main_pool(size)],
            "listeners": [
                { "name": "internal", "port": 9092 },
                { "name": "outside", "port": 9094, "type": "NodePort" },
            ],
            "tiering": { "url": bucket, "credentials": { "name": "bucket" } },
            "config": {
                "remote.log.manager.task.interval.ms": 1000,
                "log.retention.check.interval.ms": 1000,
            },
        })
    }

    /// Its pool of brokers and controllers.
    pub fn main_pool(size: &str) -> Value {
        json!({ "name": "main", "storage": { "size": size, "lostNode": { "afterMinutes": 1 } } })
    }

    /// Changes the spec.
    pub fn change(&self, spec: &Value) -> Result<()> {
        self.ctl.patch(&self.object(), &json!({ "spec": spec }))
    }

    /// As `kubectl` names it.
    pub fn object(&self) -> String {
        format!("clusters.freshet.dev/{}", self.name)
    }

    /// Waits until it is ready, and nothing is under way any more; says how long that took.
    pub fn settled(&self) -> Result<Duration> {
        let look = || {
            let ready = self.ctl.condition(&self.object(), "Ready")?;
            let going = self.ctl.condition(&self.object(), "Reconciling")?;
            ensure!(
                ready.0 == "True" && going.0 == "False",
                "{ready:?} {going:?}"
            );
            Ok(Some(()))
        };
        let (_, took) = self
            .ctl
            .until("the cluster is as it was asked to be", ROLL, look)?;
        Ok(took)
    }

    /// Waits until it serves for the first time.
    pub fn ready(&self) -> Result<Duration> {
        let look = || {
            let ready = self.ctl.condition(&self.object(), "Ready")?;
            ensure!(ready.0 == "True", "{ready:?}");
            Ok(Some(()))
        };
        Ok(self.ctl.until("the cluster is ready", READY, look)?.1)
    }

    /// Where clients outside of pods begin.
    pub fn bootstrap(&self) -> Result<String> {
        let service = self
            .ctl
            .get(&[&format!("service/{}-outside-bootstrap", self.name)])?;
        let port = service["spec"]["ports"][0]["nodePort"]
            .as_u64()
            .context("the Service has no port")?;
        let nodes = self.ctl.get(&["nodes"])?;
        let addresses = nodes["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|node| {
                let all = node["status"]["addresses"].as_array()?;
                let address =
                    all.iter().find(|a| a["type"] == "InternalIP")?["address"].as_str()?;
                Some(format!("{address}:{port}"))
            });
        Ok(addresses.collect::<Vec<_>>().join(","))
    }

    /// Its pods by name.
    pub fn pods(&self) -> Result<BTreeMap<String, PodSeen>> {
        let selector = format!("--selector=freshet.dev/cluster={}", self.name);
        let pods = self.ctl.get(&["pods", &selector])?;
        let seen = pods["items"].as_array().into_iter().flatten().map(|pod| {
            let conditions = pod["status"]["conditions"].as_array();
            let ready = conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let seen = PodSeen {
                uid: text(&pod["metadata"]["uid"]),
                ready: ready && pod["metadata"]["deletionTimestamp"].is_null(),
                node: text(&pod["spec"]["nodeName"]),
            };
            (text(&pod["metadata"]["name"]), seen)
        });
        Ok(seen.collect())
    }

    /// A pod that serves.
    pub fn some_pod(&self) -> Result<String> {
        let ready = self.pods()?.into_iter().find(|(_, pod)| pod.ready);
        Ok(ready.context("no pod is ready")?.0)
    }

    /// Runs `freshet` in a pod.
    pub fn freshet(&self, arguments: &[&str]) -> Result<String> {
        let pod = self.some_pod()?;
        let mut all = vec![
            "exec",
            &pod,
            "--container=broker",
            "--",
            "/usr/local/bin/freshet",
        ];
        let bootstrap = format!("{pod}.{}-brokers:9091", self.name);
        all.extend(["--bootstrap", &bootstrap]);
        all.extend(arguments);
        self.ctl.ok(&all)
    }

    /// Brokers that the cluster knows.
    pub fn brokers(&self) -> Result<Vec<Value>> {
        let told = self.freshet(&["broker", "list", "--output", "json"])?;
        Ok(serde_json::from_str(&told)?)
    }

    /// Waits until every broker that the cluster knows is well, and there are as many as that.
    pub fn has_brokers(&self, count: usize) -> Result<()> {
        let look = || {
            let brokers = self.brokers()?;
            let well = brokers.iter().filter(|b| b["status"] == "ok").count();
            ensure!(brokers.len() == count && well == count, "{brokers:?}");
            Ok(Some(()))
        };
        self.ctl
            .until(&format!("there are {count} brokers"), ROLL, look)?;
        Ok(())
    }

    /// Asks for a topic by an object of its own.
    pub fn topic(&self, name: &str, spec: &Value) -> Result<()> {
        let mut spec = spec.clone();
        spec["clusterRef"] = json!({ "name": self.name });
        self.ctl.apply(&manifest(&json!({
            "apiVersion": "freshet.dev/v1", "kind": "Topic",
            "metadata": { "name": name, "namespace": self.ctl.namespace() },
            "spec": spec,
        })))
    }

    /// Waits until a topic is as it was asked to be.
    pub fn topic_ready(&self, name: &str) -> Result<Duration> {
        let look = || {
            let ready = self
                .ctl
                .condition(&format!("topics.freshet.dev/{name}"), "Ready")?;
            ensure!(ready.0 == "True", "{ready:?}");
            Ok(Some(()))
        };
        Ok(self
            .ctl
            .until(&format!("topic {name} is ready"), READY, look)?
            .1)
    }

    /// All records of a topic, as a client is shown them.
    pub fn read(&self, topic: &str) -> Result<Vec<Read>> {
        let options = [("topic", topic)];
        let mut reader = Peer::start(Client::FranzGo, Role::Fetch, &self.bootstrap()?, &options)?;
        let lines = reader.finish(READ)?;
        let records = lines.iter().filter_map(|line| match line {
            Line::Record(record) => Some(read(record)),
            _ => None,
        });
        records.collect()
    }
}
