//! The operator is there, a cluster comes up, clients begin.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freshet_tests::{Client, Guest, KubeCluster, Kubectl, Load, Plan, Writer};
use serde_json::json;

use super::{COLD, NAMESPACE, PARTITIONS, Story, TOPIC, of, progress, say, spec, tag};

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
    cluster.topic(TOPIC, &json!({ "partitions": PARTITIONS, "replicas": 3, "config": { "retention.ms": 86_400_000 } }))?;
    say("a topic, from apply to Ready", cluster.topic_ready(TOPIC)?);
    let leaves =
        json!({ "remote.storage.enable": true, "segment.ms": 2000, "local.retention.ms": 4000 });
    cluster.topic(
        COLD,
        &json!({ "partitions": 3, "replicas": 3, "config": leaves }),
    )?;
    cluster.topic_ready(COLD)?;
    let plan = |topic: &str, partitions, rate| {
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
    };
    let outside = Load::start(plan(TOPIC, PARTITIONS, 100), &cluster.bootstrap()?)?;
    story.loads.push(outside);
    let (clients, ..) = story.guests.as_ref().context("nobody is there to write")?;
    let service = format!("{}-internal-bootstrap.{NAMESPACE}.svc:9092", cluster.name);
    let inside = Load::start_by(plan(COLD, 3, 50), |client, role, options| {
        clients.peer(client, role, &service, options)
    })?;
    story.loads.push(inside);
    progress(story)
}

pub(super) fn quiescence(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.settled()?;
    let writes = || -> Result<f64> {
        let all = KubeCluster::operator_metrics()?;
        ensure!(!all.is_empty(), "the operator counts nothing");
        Ok(all
            .iter()
            .filter(|(name, _)| name.starts_with("freshet_operator_writes_total"))
            .map(|(_, n)| n)
            .sum())
    };
    thread::sleep(Duration::from_secs(3));
    let before = writes()?;
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
    let after = writes()?;
    ensure!(
        before > 0.0 && (after - before).abs() < 0.5,
        "{before} writes became {after}"
    );
    Ok(())
}
