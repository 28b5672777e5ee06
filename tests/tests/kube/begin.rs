//! The operator is there, a cluster comes up, clients begin.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freshet_tests::{Guest, KubeCluster, Kubectl, Work, image_tag as tag};
use serde_json::json;

use super::{COLD, NAMESPACE, Story, TOPIC, of, say, spec};

pub(super) fn install(_: &mut Story) -> Result<()> {
    let began = Instant::now();
    KubeCluster::install_operator(&tag(), &[])?;
    say("helm install --wait", began.elapsed());
    KubeCluster::test_operator()
}

/// An S3 server and clients, where no node is taken away later.
pub(super) fn guests(story: &mut Story) -> Result<()> {
    let node = KubeCluster::operator_pod()?.1;
    let image = format!("freshet.dev/broker:{}", tag());
    let (bucket, url) = Guest::bucket(&node, &image, &Kubectl::in_namespace(NAMESPACE)?)?;
    story.guests = Some((Guest::clients(&node, &image)?, bucket, url));
    Ok(())
}

pub(super) fn three_brokers(story: &mut Story) -> Result<()> {
    let cluster = KubeCluster::create(NAMESPACE, "demo", &spec(story, "2Gi")?, &tag())?;
    say("from apply to Ready", cluster.ready()?);
    say("and until nothing is under way", cluster.settled()?);
    let nodes: BTreeSet<_> = cluster.pods()?.into_values().map(|pod| pod.node).collect();
    let there = cluster.ctl.get(&["nodes"])?["items"]
        .as_array()
        .map_or(0, Vec::len);
    ensure!(nodes.len() == there.min(3), "pods do not spread: {nodes:?}");
    cluster.has_brokers(3)?;
    story.cluster = Some(Arc::new(cluster));
    Ok(())
}

pub(super) fn bad_input(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let bad = |spec: serde_json::Value| {
        json!({ "apiVersion": "freshet.dev/v1", "kind": "Cluster", "metadata": { "name": "bad" }, "spec": spec }).to_string()
    };
    let pool = |name: &str| json!({ "name": name, "storage": { "size": "1Gi" } });
    let said = cluster.ctl.refused(&bad(
        json!({ "replicas": 3, "pools": [pool("a"), pool("b")] }),
    ))?;
    ensure!(said.contains("spec.replicas is for the one pool"), "{said}");
    let said = cluster
        .ctl
        .refused(&bad(json!({ "replicas": 0, "pools": [pool("a")] })))?;
    ensure!(said.contains("spec.replicas"), "{said}");
    let said = cluster.ctl.refused(&bad(
        json!({ "replicas": 1, "pools": [pool("a")], "listner": [] }),
    ))?;
    ensure!(
        said.contains("listner"),
        "unknown fields are refused: {said}"
    );
    cluster.ctl.apply(&bad(
        json!({ "replicas": 1, "pools": [pool("a")], "config": { "num.partition": 3 } }),
    ))?;
    let look = || {
        let (status, reason, message) =
            cluster.ctl.condition("clusters.freshet.dev/bad", "Valid")?;
        ensure!(
            status == "False" && reason == "InvalidSpec" && message.contains("num.partitions"),
            "{status} {reason} {message}"
        );
        Ok(Some(()))
    };
    cluster
        .ctl
        .until("the refusal is told", Duration::from_secs(20), look)?;
    let events = cluster
        .ctl
        .ok(&["get", "events", "--field-selector=involvedObject.name=bad"])?;
    ensure!(events.contains("NotCarriedOut"), "{events}");
    ensure!(
        cluster.ctl.condition(&cluster.object(), "Ready")?.0 == "True",
        "the other one suffers"
    );
    cluster.ctl.ok(&["delete", "clusters.freshet.dev/bad"])?;
    Ok(())
}

/// One for clients of pods, and one for those outside.
pub(super) fn topics(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let (clients, ..) = story.guests.as_ref().context("nobody is there to write")?;
    let began = Instant::now();
    story.work = Some(Work::begin(&cluster, clients, TOPIC, COLD)?);
    say("two topics, and all clients at work", began.elapsed());
    Ok(())
}

/// A topic of a cluster that is known by its address only comes and goes like any other.
pub(super) fn external(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let address = format!("{}-internal-bootstrap.{NAMESPACE}.svc:9092", cluster.name);
    cluster.ctl.apply(
        &json!({
            "apiVersion": "freshet.dev/v1", "kind": "Topic", "metadata": { "name": "elsewhere" },
            "spec": {
                "external": { "bootstrapServers": [address] },
                "partitions": 2, "replicas": 3, "deletionPolicy": "Delete",
            },
        })
        .to_string(),
    )?;
    cluster.topic_ready("elsewhere")?;
    let is_there = || -> Result<bool> {
        let all = cluster.freshet(&["topic", "list", "--output", "json"])?;
        Ok(all.contains("\"elsewhere\""))
    };
    ensure!(is_there()?, "it is said to be ready, and is not there");
    cluster
        .ctl
        .ok(&["delete", "topics.freshet.dev/elsewhere", "--timeout=60s"])?;
    ensure!(!is_there()?, "the object went, and its topic did not");
    Ok(())
}

pub(super) fn quiescence(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.settled()?;
    thread::sleep(Duration::from_secs(3));
    let before = KubeCluster::operator_writes()?;
    // A label of somebody else's makes the operator look again, more than once.
    for round in 0..3 {
        cluster.ctl.ok(&[
            "annotate",
            "--overwrite",
            &cluster.object(),
            &format!("example.com/round={round}"),
        ])?;
        thread::sleep(Duration::from_secs(2));
    }
    let after = KubeCluster::operator_writes()?;
    ensure!(
        before > 0.0 && (after - before).abs() < 0.5,
        "{before} writes became {after}"
    );
    Ok(())
}
