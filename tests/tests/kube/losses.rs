//! What is lost, and comes back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freshet_tests::{PROGRESS, end_node, start_node};

use super::{Story, TOPIC, of, progress, say};

pub(super) fn volume(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.kill_pod("demo-main-1")?;
    progress(story)?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    cluster.lose_volume("demo-main-2")?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    cluster.in_sync()?;
    progress(story)
}

/// Its pod goes, under the eyes of the disruption budget; its volume is on that node, so it waits for it.
pub(super) fn drained(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let node = cluster.node_of_a_broker(&spared(story)?, 0)?;
    cluster.drain(&node)?;
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

/// Where clients and the S3 server are: nobody would bring these back.
fn spared(story: &Story) -> Result<String> {
    let guests = story.guests.as_ref();
    guests
        .context("nobody is there, see the tests before")?
        .0
        .node()
}

/// Its kubelet and its pods are killed in one moment.
pub(super) fn node(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let lost = cluster.node_of_a_broker(&spared(story)?, 0)?;
    let took = end_node(&cluster.ctl, &lost)?;
    say("a node that died is given up", took);
    progress(story)?;
    start_node(&cluster.ctl, &lost)?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    progress(story)
}

/// Its process does nothing, and clients get on without it.
pub(super) fn stopped(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.stop_broker("demo-main-1")?;
    progress(story)?;
    cluster.start_broker("demo-main-1")?;
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
