//! One cluster under clients, and events from a seed until time is up.
//!
//! After each step the cluster must be as it was asked to be, the operator must have nothing more to write, and
//! clients must get on. Every few steps all that the clients were told is judged, and they begin again on new topics.

mod acts;
mod events;
mod keep;
mod nurse;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::events::{Dealer, Step, World};
use self::keep::Keeper;
use self::nurse::Nurse;
use super::{Guest, KubeCluster, Kubectl, PROGRESS, Work, image_tag};

const NAMESPACE: &str = "soak";
/// Steps before everything is judged.
const ROUND: usize = 8;
/// How long nothing may be written before that counts as the end of a change.
const STILL: Duration = Duration::from_secs(4);
/// A topic that hands meddle with.
const MEDDLED: &str = "meddled";
/// What its object says about it.
const KEPT_MS: &str = "86400000";
/// Topics that come and go.
const PASSING: usize = 12;
/// How long it may take until what was changed by hand is found: the operator looks every two minutes.
const FOUND: Duration = Duration::from_secs(180);

/// What all steps work on.
struct Soak {
    cluster: KubeCluster,
    clients: Guest,
    bucket: String,
    /// The node where clients and the bucket are, which nobody would bring back.
    spared: String,
    nurse: Nurse,
    work: Option<Work>,
    round: usize,
}

/// Lets events loose for some minutes.
pub fn kube_soak(time: Duration, seed: u64, kept: &Path) -> Result<()> {
    let keeper = Keeper::begin(&kept.join(seed.to_string()))?;
    let mut soak = Soak::begin().context("nothing has happened yet")?;
    let done = soak.run(time, seed);
    match &done {
        Ok(()) => keeper.forget(),
        Err(_) => keeper.keep(&soak.cluster.ctl),
    }
    done
}

impl Soak {
    fn begin() -> Result<Self> {
        let tag = image_tag();
        KubeCluster::install_operator(&tag, &[])?;
        let (_, spared) = KubeCluster::operator_pod()?;
        let image = format!("freshet.dev/broker:{tag}");
        let (_, bucket) = Guest::bucket(&spared, &image, &Kubectl::in_namespace(NAMESPACE)?)?;
        let clients = Guest::clients(&spared, &image)?;
        let spec = asked(&World::default(), &bucket);
        let cluster = KubeCluster::create(NAMESPACE, "demo", &spec, &tag)?;
        cluster.settled()?;
        cluster.topic(
            MEDDLED,
            &json!({ "partitions": 2, "replicas": 3, "config": { "retention.ms": 86_400_000 } }),
        )?;
        cluster.topic_ready(MEDDLED)?;
        let mut soak = Self {
            cluster,
            clients,
            bucket,
            spared,
            nurse: Nurse::begin(),
            work: None,
            round: 0,
        };
        soak.next_round()?;
        Ok(soak)
    }

    fn run(&mut self, time: Duration, seed: u64) -> Result<()> {
        let (began, mut dealer) = (Instant::now(), Dealer::new(seed));
        let mut steps = 0;
        // One at least.
        while steps == 0 || began.elapsed() < time {
            let step = dealer.deal();
            steps += 1;
            let at = began.elapsed().as_secs();
            println!("{steps:>4}  {:>3}:{:02}  {step}", at / 60, at % 60);
            let took = self
                .step(&step)
                .with_context(|| format!("step {steps}, {step}: {:?}", step.world))?;
            println!("                 {took}");
            if steps % ROUND == 0 {
                self.judge()?;
                self.next_round()?;
            }
        }
        self.judge()?;
        println!(
            "{steps} steps in {:.0?}: nothing lost, no client gave up",
            began.elapsed()
        );
        Ok(())
    }

    /// What happens, and all that must be true after it.
    fn step(&self, step: &Step) -> Result<String> {
        let began = Instant::now();
        let mut heals = Vec::new();
        for (at, event) in step.events.iter().enumerate() {
            if at > 0 {
                thread::sleep(Duration::from_millis(step.apart_ms));
            }
            let heal = self.strike(*event, &step.world)?;
            heals.push(heal);
        }
        for heal in heals {
            self.heal(heal, step.events.len() == 1)?;
        }
        let over = began.elapsed();
        self.settled(&step.world)?;
        for event in &step.events {
            self.came_true(*event, &step.world)?;
        }
        let ready = began.elapsed();
        let calm = self.cluster.quiet(STILL)?;
        self.work()?.progress(PROGRESS)?;
        Ok(format!(
            "over after {:.1} s, as asked for after {:.1} s, quiet {:.1} s later",
            over.as_secs_f64(),
            ready.as_secs_f64(),
            calm.as_secs_f64()
        ))
    }

    fn work(&self) -> Result<&Work> {
        self.work.as_ref().context("nobody works")
    }

    /// Cluster and Topics are as they were asked to be, and every copy is complete.
    fn settled(&self, world: &World) -> Result<()> {
        self.cluster.settled()?;
        self.cluster.has_brokers(world.brokers())?;
        self.cluster.settled()?;
        let status = self.cluster.ctl.get(&[&self.cluster.object()])?["status"].clone();
        let voters = status["voters"].as_array().map_or(0, Vec::len);
        let due = if world.controller { 1 } else { 3 };
        ensure!(
            voters == due,
            "{voters} vote instead of {due}: {}",
            status["voters"]
        );
        let tag = image_tag();
        let due = if world.next {
            format!("{tag}-next")
        } else {
            tag
        };
        ensure!(
            status["version"] == due.as_str(),
            "not {due}: {}",
            status["version"]
        );
        self.cluster.in_sync()?;
        self.topics_are_ready()
    }

    fn topics_are_ready(&self) -> Result<()> {
        let ctl = &self.cluster.ctl;
        let look = || {
            let all = ctl.get(&["topics.freshet.dev"])?;
            for topic in all["items"].as_array().into_iter().flatten() {
                let conditions = topic["status"]["conditions"].as_array();
                let ready = conditions.into_iter().flatten().any(|condition| {
                    condition["type"] == "Ready"
                        && condition["status"] == "True"
                        && condition["observedGeneration"] == topic["metadata"]["generation"]
                });
                ensure!(ready, "{}: {}", topic["metadata"]["name"], topic["status"]);
            }
            Ok(Some(()))
        };
        ctl.until("all Topics are ready", FOUND, look)?;
        Ok(())
    }

    fn judge(&mut self) -> Result<()> {
        let work = self.work.take().context("nobody works")?;
        work.progress(PROGRESS)?;
        work.judged(&self.cluster, &self.bucket)
            .with_context(|| format!("round {}", self.round))
    }

    /// Clients begin again, on new topics; those of before go, records and all.
    fn next_round(&mut self) -> Result<()> {
        let names = |round: usize| [format!("orders-{round}"), format!("payments-{round}")];
        if self.round > 0 {
            let [stays, leaves] = names(self.round);
            let gone = [
                "delete",
                "topics.freshet.dev",
                &stays,
                &leaves,
                "--timeout=100s",
            ];
            self.cluster.ctl.ok(&gone)?;
        }
        self.round += 1;
        let [stays, leaves] = names(self.round);
        self.work = Some(Work::begin(&self.cluster, &self.clients, &stays, &leaves)?);
        Ok(())
    }
}

/// The spec of a world.
fn asked(world: &World, bucket: &str) -> Value {
    let mut spec = KubeCluster::usual_spec(bucket, &format!("{}Gi", world.gib));
    let tag = image_tag();
    let next = if world.next { "-next" } else { "" };
    spec["image"] = format!("freshet.dev/broker:{tag}{next}").into();
    spec["replicas"] = world.replicas.into();
    spec["balancing"] = json!({ "fillNewBrokers": true });
    spec["config"]["log.retention.ms"] = world.retention_ms.into();
    spec["config"]["num.partitions"] = world.partitions.into();
    let pool = |name: &str, role: &str| json!({ "name": name, "roles": [role], "replicas": 1, "storage": { "size": "1Gi" } });
    let pools = [
        (world.more, pool("more", "broker")),
        (world.controller, pool("votes", "controller")),
    ];
    if let Some(all) = spec["pools"].as_array_mut() {
        all.extend(
            pools
                .into_iter()
                .filter(|(there, _)| *there)
                .map(|(_, pool)| pool),
        );
    }
    spec
}
