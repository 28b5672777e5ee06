//! What is lost, and comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freshet_tests::{KubeCluster, end_node, start_node};

use super::{PROGRESS, Story, TOPIC, of, progress, say};

pub(super) fn volume(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.ctl.ok(&[
        "delete",
        "pod",
        "demo-main-1",
        "--grace-period=0",
        "--force",
    ])?;
    progress(story)?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    let claim = || -> Result<String> {
        let claim = cluster.ctl.get(&["pvc/data-demo-main-2"])?;
        Ok(claim["metadata"]["uid"]
            .as_str()
            .context("a volume without an id")?
            .to_owned())
    };
    let before = claim()?;
    cluster
        .ctl
        .ok(&["delete", "pvc/data-demo-main-2", "--wait=false"])?;
    cluster.ctl.ok(&["delete", "pod", "demo-main-2"])?;
    let look = || Ok((claim()? != before).then_some(()));
    cluster.ctl.until("there is a new volume", PROGRESS, look)?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    let synced = || {
        let told = cluster.freshet(&["broker", "describe", "3", "--output", "json"])?;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        ensure!(
            told["out_of_sync"].as_array().is_some_and(Vec::is_empty),
            "{told}"
        );
        Ok(Some(()))
    };
    cluster
        .ctl
        .until("the new volume has everything", PROGRESS, synced)?;
    progress(story)
}

/// Its pod goes, under the eyes of the disruption budget; its volume is on that node, so it waits for it.
pub(super) fn drained(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let node = node_of_a_broker(&cluster)?;
    cluster.ctl.ok(&[
        "drain",
        &node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=100s",
    ])?;
    progress(story)?;
    let told = || {
        let (_, reason, message) = cluster.ctl.condition(&cluster.object(), "Reconciling")?;
        ensure!(reason == "PodsComing", "{reason} {message}");
        Ok(Some(()))
    };
    cluster
        .ctl
        .until("the cluster says that a pod is missing", PROGRESS, told)?;
    cluster.ctl.ok(&["uncordon", &node])?;
    cluster.settled()?;
    cluster.has_brokers(3)?;
    progress(story)
}

/// Not the one where clients and the S3 server are: nobody would bring these back.
fn node_of_a_broker(cluster: &KubeCluster) -> Result<String> {
    let spared = cluster.ctl.get(&["pod/bucket", "--namespace=guests"])?;
    let spared = spared["spec"]["nodeName"].as_str().unwrap_or_default();
    let pods = cluster.pods()?;
    let other = pods.values().find(|pod| pod.node != spared);
    Ok(other.context("all pods are on one node")?.node.clone())
}

/// Its kubelet and its pods are killed in one moment.
pub(super) fn node(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let lost = node_of_a_broker(&cluster)?;
    let took = end_node(&cluster.ctl, &lost)?;
    say("a node that died is given up", took);
    progress(story)?;
    start_node(&cluster.ctl, &lost)?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    progress(story)
}

pub(super) fn drift(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.freshet(&["topic", "alter", TOPIC, "--config", "retention.ms=1234567"])?;
    // A change of the object makes the operator look before its time.
    cluster.ctl.ok(&[
        "annotate",
        "--overwrite",
        &format!("topics.freshet.dev/{TOPIC}"),
        "example.com/look=now",
    ])?;
    let look = || {
        let told = cluster.freshet(&["topic", "describe", TOPIC, "--output", "json"])?;
        ensure!(
            !told.contains("1234567") && told.contains("86400000"),
            "{told}"
        );
        Ok(Some(()))
    };
    let (_, took) = cluster
        .ctl
        .until("the setting is put right", Duration::from_secs(30), look)?;
    say("a topic that was changed by hand is put right", took);
    Ok(())
}
