//! What clients do with a cluster while things happen to it, and what came of it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Guest, KubeCluster};
use crate::client::Client;
use crate::load::{Load, Plan, Seen, Writer};

/// How long clients may see no progress while one pod restarts.
pub const PROGRESS: Duration = Duration::from_secs(60);
/// Partitions of the topic that stays on the disks.
const PARTITIONS: i32 = 6;

/// Clients of other people at work on two topics.
pub struct Work {
    /// Its topic is written and read from outside of pods; it stays on the disks.
    outside: Load,
    /// Its topic is written and read by clients in pods; it leaves the disks.
    inside: Load,
}

impl Work {
    /// Asks for the topics, and begins.
    pub fn begin(
        cluster: &KubeCluster,
        clients: &Guest,
        stays: &str,
        leaves: &str,
    ) -> Result<Self> {
        let keeps = json!({ "retention.ms": 86_400_000 });
        cluster.topic(
            stays,
            &json!({ "partitions": PARTITIONS, "replicas": 3, "config": keeps }),
        )?;
        cluster.topic_ready(stays)?;
        let cold = json!({ "remote.storage.enable": true, "segment.ms": 2000, "local.retention.ms": 4000 });
        cluster.topic(
            leaves,
            &json!({ "partitions": 3, "replicas": 3, "config": cold }),
        )?;
        cluster.topic_ready(leaves)?;
        let outside = Load::start(plan(stays, PARTITIONS, 100), &cluster.bootstrap()?)?;
        let service = format!(
            "{}-internal-bootstrap.{}.svc:9092",
            cluster.name,
            cluster.ctl.namespace()
        );
        let inside = Load::start_by(plan(leaves, 3, 50), |client, role, options| {
            clients.peer(client, role, &service, options)
        })?;
        let work = Self { outside, inside };
        work.progress(PROGRESS)?;
        Ok(work)
    }

    /// All clients get on.
    pub fn progress(&self, limit: Duration) -> Result<()> {
        for load in [&self.outside, &self.inside] {
            load.await_progress(limit)
                .with_context(|| load.topic().to_owned())?;
        }
        Ok(())
    }

    /// Ends the clients: nothing that was acknowledged is lost, no client gave anything up, and what should have left
    /// the disks is whole in the bucket.
    pub fn judged(self, cluster: &KubeCluster, bucket: &str) -> Result<()> {
        let cold = self.inside.topic().to_owned();
        for mut load in [self.outside, self.inside] {
            let topic = load.topic().to_owned();
            judge(load.finish(|| cluster.read(&topic))?).with_context(|| topic)?;
        }
        are_cold(cluster, &cold, bucket)
    }
}

fn plan(topic: &str, partitions: i32, rate: u32) -> Plan {
    let writer = |client| Writer {
        client,
        idempotent: true,
    };
    Plan {
        topic: topic.to_owned(),
        partitions,
        writers: vec![writer(Client::Librdkafka), writer(Client::Java)],
        readers: vec![Client::FranzGo],
        rate,
    }
}

fn judge(seen: Seen) -> Result<()> {
    let anomalies = seen.history.check();
    ensure!(
        seen.history.acked.len() > 1000,
        "only {} records were acknowledged",
        seen.history.acked.len()
    );
    eprintln!(
        "{} sent, {} acknowledged, {} given up, {} read at the end; half within {:.1?}, the longest {:.1?}",
        seen.history.sent.len(),
        seen.history.acked.len(),
        seen.given_up.len(),
        seen.history.last_read.len(),
        seen.percentile(0.5),
        seen.percentile(1.0),
    );
    if let Some(first) = anomalies.first() {
        bail!("{} anomalies, the first is {first}", anomalies.len());
    }
    if let Some((number, why)) = seen.given_up.first() {
        bail!(
            "{} records were given up, the first is {number}: {why}",
            seen.given_up.len()
        );
    }
    Ok(())
}

/// What was read just now had left the disks, most of it, and is whole in the bucket.
fn are_cold(cluster: &KubeCluster, topic: &str, bucket: &str) -> Result<()> {
    let asked = ["tier", "status", topic, "--partitions", "--output", "json"];
    let told = cluster.freshet(&asked)?;
    let told: Vec<Value> = serde_json::from_str(&told)?;
    ensure!(told.len() == 3, "{told:?}");
    for partition in &told {
        let at = |name: &str| partition[name].as_i64().context("a partition nobody leads");
        ensure!(
            at("local_start")? > at("start")? && at("tiered_end")? > 0,
            "it is on the disks still: {partition}"
        );
    }
    let told = cluster.freshet(&[
        "tier", "verify", "--from", bucket, "--read", "--output", "json",
    ])?;
    let told: Value = serde_json::from_str(&told)?;
    ensure!(
        told["damaged"].as_array().is_some_and(Vec::is_empty),
        "{told}"
    );
    Ok(())
}
