//! How each event is made to happen, how it ends, and what must be true then.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::events::{Class, Event, Kind, World};
use super::{FOUND, KEPT_MS, MEDDLED, PASSING, PROGRESS, Soak, asked};
use crate::kube::guest::{end_node, start_node};
use crate::kube::{KubeCluster, image_tag};

/// How long the operator is away.
const NO_OPERATOR: Duration = Duration::from_secs(60);
/// How long the API server is.
const NO_API: Duration = Duration::from_secs(30);
/// Clients do not notice that it is: they get on within this time, again and again.
const UNNOTICED: Duration = Duration::from_secs(15);

/// What has to be undone.
pub(super) enum Heal {
    /// Nothing; but clients get on meanwhile.
    Loss,
    Nothing,
    Node(String),
    /// A node that was struck off, the pod that was there, and the id of its volume.
    Gone {
        node: String,
        pod: String,
        volume: String,
    },
    /// A pod whose broker is stopped.
    Stopped(String),
    Drained(String),
    Operator(Instant),
    Api {
        since: Instant,
        limit: Duration,
    },
}

impl Soak {
    /// Lets it happen.
    pub(super) fn strike(&self, event: Event, world: &World) -> Result<Heal> {
        let cluster = &self.cluster;
        let pod = |count: usize| format!("demo-main-{}", event.which % count.max(1) as u64);
        match event.kind {
            Kind::PodDies => cluster.kill_pod(&pod(3))?,
            Kind::ProcessDies => cluster.process(&pod(3))?.kill()?,
            Kind::ControllerDies => cluster.process("demo-votes-0")?.kill()?,
            Kind::VolumeLost => cluster.lose_volume(&pod(3))?,
            Kind::NodeDrained => {
                let node = cluster.node_of_a_broker(&self.spared, event.which)?;
                cluster.drain(&node)?;
                return Ok(Heal::Drained(node));
            }
            Kind::NodeDies => {
                let node = cluster.node_of_a_broker(&self.spared, event.which)?;
                end_node(&cluster.ctl, &node)?;
                return Ok(Heal::Node(node));
            }
            Kind::NodeGone => return self.node_gone(event),
            Kind::BrokerStopped => {
                cluster.stop_broker(&pod(3))?;
                return Ok(Heal::Stopped(pod(3)));
            }
            Kind::OperatorDies => KubeCluster::kill_operator()?,
            Kind::OperatorAway => {
                KubeCluster::dismiss_operator()?;
                let since = Instant::now();
                cluster.process(&pod(3))?.kill()?;
                return Ok(Heal::Operator(since));
            }
            Kind::ApiAway => return self.api_away(event),
            Kind::ImageTurnedBack => self.half_way(world)?,
            Kind::TopicAltered => {
                let config = [
                    "topic",
                    "alter",
                    MEDDLED,
                    "--config",
                    "retention.ms=1234567",
                ];
                cluster.freshet(&config)?;
                self.look_again(MEDDLED)?;
            }
            Kind::TopicDeleted => {
                cluster.freshet(&["topic", "delete", MEDDLED, "--yes"])?;
                self.look_again(MEDDLED)?;
            }
            Kind::TopicsCome => self.topics_come()?,
            Kind::TopicsGo => {
                let names: Vec<_> = passing().map(|(name, _)| name).collect();
                let mut words = vec!["delete", "topics.freshet.dev", "--wait=false"];
                words.extend(names.iter().map(String::as_str));
                cluster.ctl.ok(&words)?;
            }
            Kind::BadCluster => cluster.ctl.apply(&bad())?,
            Kind::LiveSetting
            | Kind::RestartSetting
            | Kind::OtherImage
            | Kind::Grow
            | Kind::Shrink
            | Kind::PoolComes
            | Kind::PoolGoes
            | Kind::ControllerComes
            | Kind::ControllerGoes
            | Kind::VolumesGrow => cluster.change(&asked(world, &self.bucket))?,
        }
        Ok(match event.kind.class() {
            Class::Loss | Class::Operator => Heal::Loss,
            _ => Heal::Nothing,
        })
    }

    fn node_gone(&self, event: Event) -> Result<Heal> {
        let (node, pod) = self.cluster.node_of_one_broker(&self.spared, event.which)?;
        let volume = self.cluster.volume(&pod)?;
        end_node(&self.cluster.ctl, &node)?;
        self.cluster.ctl.ok(&["delete", "node", &node])?;
        Ok(Heal::Gone { node, pod, volume })
    }

    fn api_away(&self, event: Event) -> Result<Heal> {
        let which = event.which % 6;
        let doomed = match which {
            0..=2 => Some(self.cluster.process(&format!("demo-main-{which}"))?),
            _ => None,
        };
        self.nurse.end_api()?;
        let since = Instant::now();
        let limit = if doomed.is_some() {
            PROGRESS
        } else {
            UNNOTICED
        };
        if let Some(doomed) = doomed {
            doomed.kill()?;
        }
        Ok(Heal::Api { since, limit })
    }

    /// The other image, until the first pod has it.
    fn half_way(&self, world: &World) -> Result<()> {
        let other = World {
            next: !world.next,
            ..*world
        };
        let before = self.cluster.pods()?;
        self.cluster.change(&asked(&other, &self.bucket))?;
        let look = || {
            let now = self.cluster.pods()?;
            let same =
                |name: &String, uid: &String| now.get(name).is_some_and(|pod| pod.uid == *uid);
            Ok(before
                .iter()
                .any(|(name, pod)| !same(name, &pod.uid))
                .then_some(()))
        };
        // A second blow at the same time may hold it up.
        self.cluster.ctl.until("the first pod goes", FOUND, look)?;
        self.cluster.change(&asked(world, &self.bucket))
    }

    fn topics_come(&self) -> Result<()> {
        for (name, policy) in passing() {
            let spec = json!({ "partitions": 2, "replicas": 3, "deletionPolicy": policy });
            self.cluster.topic(&name, &spec)?;
        }
        Ok(())
    }

    /// A change of the object makes the operator look before its time.
    fn look_again(&self, topic: &str) -> Result<()> {
        let topic = format!("topics.freshet.dev/{topic}");
        let now = format!("example.com/look={}", crate::raw::now_ms());
        self.cluster
            .ctl
            .ok(&["annotate", "--overwrite", &topic, &now])?;
        Ok(())
    }

    /// Brings back what is away; clients get on before, if nothing else happens.
    pub(super) fn heal(&self, heal: Heal, is_alone: bool) -> Result<()> {
        let get_on = || match is_alone {
            true => self.work()?.progress(PROGRESS).context("while it is away"),
            false => Ok(()),
        };
        match heal {
            Heal::Nothing => Ok(()),
            Heal::Loss => get_on(),
            Heal::Node(name) => {
                get_on()?;
                start_node(&self.cluster.ctl, &name)
            }
            Heal::Gone { node, pod, volume } => {
                get_on()?;
                self.cluster.new_volume(&pod, &volume)?;
                self.cluster.has_brokers(3)?;
                start_node(&self.cluster.ctl, &node)
            }
            Heal::Stopped(pod) => {
                get_on()?;
                self.cluster.start_broker(&pod)
            }
            Heal::Drained(name) => {
                get_on()?;
                self.cluster.ctl.ok(&["uncordon", &name]).map(drop)
            }
            Heal::Operator(since) => {
                get_on()?;
                thread::sleep(NO_OPERATOR.saturating_sub(since.elapsed()));
                KubeCluster::recall_operator()
            }
            Heal::Api { since, limit } => {
                let mut noticed = Ok(());
                while noticed.is_ok() && since.elapsed() < NO_API {
                    thread::sleep(Duration::from_secs(2));
                    noticed = self.work()?.progress(limit).context("without API server");
                }
                // Without it nothing could be asked about a failure.
                self.nurse.start_api()?;
                noticed
            }
        }
    }

    /// What is true when everything has come to rest.
    pub(super) fn came_true(&self, event: Event, world: &World) -> Result<()> {
        let cluster = &self.cluster;
        match event.kind {
            Kind::TopicAltered | Kind::TopicDeleted => {
                let look = || {
                    let told =
                        cluster.freshet(&["topic", "describe", MEDDLED, "--output", "json"])?;
                    ensure!(
                        told.contains(KEPT_MS) && !told.contains("1234567"),
                        "{told}"
                    );
                    Ok(Some(()))
                };
                cluster.ctl.until("the topic is put right", FOUND, look)?;
            }
            Kind::TopicsGo => {
                let look = || {
                    let told = cluster.freshet(&["topic", "list", "--output", "json"])?;
                    for (name, policy) in passing() {
                        let (there, stays) =
                            (told.contains(&format!("\"{name}\"")), policy == "Retain");
                        ensure!(there == stays, "{name} ({policy}): {told}");
                    }
                    let left = cluster.ctl.get(&["topics.freshet.dev"])?.to_string();
                    ensure!(!left.contains("passing-"), "objects are left: {left}");
                    Ok(Some(()))
                };
                cluster.ctl.until("Topics are gone", FOUND, look)?;
            }
            Kind::LiveSetting | Kind::RestartSetting => {
                let wanted = world.retention_ms.to_string();
                let told =
                    cluster.freshet(&["config", "describe", "brokers", "--output", "json"])?;
                ensure!(told.contains(&wanted), "no {wanted}: {told}");
            }
            Kind::BadCluster => {
                let look = || {
                    let (status, reason, message) =
                        cluster.ctl.condition("clusters.freshet.dev/bad", "Valid")?;
                    ensure!(
                        status == "False" && reason == "InvalidSpec",
                        "{reason} {message}"
                    );
                    Ok(Some(()))
                };
                cluster.ctl.until("the refusal is told", FOUND, look)?;
                cluster
                    .ctl
                    .ok(&["delete", "clusters.freshet.dev/bad", "--timeout=60s"])?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Topics that come and go, and what their objects leave behind.
fn passing() -> impl Iterator<Item = (String, &'static str)> {
    (0..PASSING).map(|at| {
        let policy = if at % 2 == 0 { "Delete" } else { "Retain" };
        (format!("passing-{at}"), policy)
    })
}

/// A Cluster with a setting that no broker knows.
fn bad() -> String {
    json!({
        "apiVersion": "freshet.dev/v1", "kind": "Cluster", "metadata": { "name": "bad" },
        "spec": {
            "replicas": 1,
            "image": format!("freshet.dev/broker:{}", image_tag()),
            "pools": [{ "name": "a", "storage": { "size": "1Gi" } }],
            "config": { "num.partition": 3 },
        },
    })
    .to_string()
}
