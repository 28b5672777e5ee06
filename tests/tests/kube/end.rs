//! What came of it, and how everything goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freshet_tests::{Client, KubeCluster, Kubectl, Load, PROGRESS, Plan, Writer, image_tag as tag};
use serde_json::{Value, json};

use super::{NAMESPACE, Story, TOPIC, of, say, spec};

/// A cluster of one broker becomes ready within this time.
const SOON: Duration = Duration::from_secs(60);

pub(super) fn judged(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let work = story
        .work
        .take()
        .context("nobody works, see the tests before")?;
    let (.., bucket) = story.guests.as_ref().context("there is no bucket")?;
    work.judged(&cluster, bucket)
}

pub(super) fn deleted_and_back(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let before = cluster.read(TOPIC)?.len();
    let id = |cluster: &KubeCluster| -> Result<String> {
        let object = cluster.ctl.get(&[&cluster.object()])?;
        Ok(object["status"]["clusterId"]
            .as_str()
            .context("it has no id")?
            .to_owned())
    };
    let first = id(&cluster)?;
    cluster.change(&json!({ "deletionProtection": true }))?;
    let refused = cluster.ctl.run(&["delete", &cluster.object()], "")?;
    ensure!(
        !refused.status.success() && refused.stderr.contains("is protected"),
        "{refused:?}"
    );
    cluster.change(&json!({ "deletionProtection": false }))?;
    cluster.ctl.ok(&["delete", &cluster.object()])?;
    let gone = || Ok(cluster.pods()?.is_empty().then_some(()));
    cluster
        .ctl
        .until("all pods are gone", Duration::from_secs(120), gone)?;
    // Its Topics go while it is away, and strand nothing.
    cluster
        .ctl
        .ok(&["delete", "topics.freshet.dev/wide", "--timeout=30s"])?;
    let again = KubeCluster::create(NAMESPACE, "demo", &spec(story, "3Gi")?, &tag())?;
    again.settled()?;
    ensure!(id(&again)? == first, "it is another cluster now");
    again.has_brokers(3)?;
    let after = again.read(TOPIC)?.len();
    ensure!(after == before, "{before} records became {after}");
    again.topic_ready(TOPIC)?;
    story.cluster = Some(Arc::new(again));
    Ok(())
}

/// There is none here, so the test gives the addresses, as a controller of load balancers does.
pub(super) fn load_balancers(_: &mut Story) -> Result<()> {
    let spec = json!({
        "replicas": 1,
        "pools": [{ "name": "main", "storage": { "size": "1Gi" } }],
        "listeners": [{ "name": "public", "port": 9094, "type": "LoadBalancer" }],
    });
    let cluster = KubeCluster::create(NAMESPACE, "lb", &spec, &tag())?;
    let waits = || {
        let (_, reason, message) = cluster.ctl.condition(&cluster.object(), "Reconciling")?;
        ensure!(reason == "AddressesComing", "{reason} {message}");
        Ok(Some(()))
    };
    cluster
        .ctl
        .until("it says what it waits for", SOON, waits)?;
    ensure!(
        cluster.pods()?.is_empty(),
        "a pod began without its address"
    );
    for (service, address) in [
        ("lb-public-bootstrap", "10.200.0.200"),
        ("lb-public-1", "10.200.0.201"),
    ] {
        let given = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": address }] } } });
        cluster.ctl.ok(&[
            "patch",
            "service",
            service,
            "--subresource=status",
            "--type=merge",
            "--patch",
            &given.to_string(),
        ])?;
    }
    say("a cluster of one behind load balancers", cluster.ready()?);
    let listeners = cluster.ctl.get(&[&cluster.object()])?["status"]["listeners"].clone();
    ensure!(
        listeners[0]["bootstrapServers"] == "10.200.0.200:9094",
        "{listeners}"
    );
    cluster.topic("calls", &json!({ "partitions": 1, "replicas": 1 }))?;
    cluster.topic_ready("calls")?;
    let plan = Plan {
        topic: "calls".to_owned(),
        partitions: 1,
        writers: vec![Writer {
            client: Client::Librdkafka,
            idempotent: true,
        }],
        readers: Vec::new(),
        rate: 100,
    };
    Load::start(plan, "10.200.0.200:9094")?.await_progress(PROGRESS)?;
    Ok(())
}

/// With its Clusters and Topics, some of which want their topic deleted first.
pub(super) fn namespace(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.topic(
        "brief",
        &json!({ "partitions": 1, "replicas": 3, "deletionPolicy": "Delete" }),
    )?;
    cluster.topic_ready("brief")?;
    cluster
        .ctl
        .ok(&["delete", "namespace", NAMESPACE, "--timeout=120s"])?;
    Ok(())
}

/// A Topic that waits for the deletion of its topic does not hold its namespace when nobody is there to delete.
pub(super) fn uninstall(_: &mut Story) -> Result<()> {
    let ctl = Kubectl::in_namespace("leftovers")?;
    let spec =
        json!({ "replicas": 1, "pools": [{ "name": "main", "storage": { "size": "1Gi" } }] });
    let cluster = KubeCluster::create("leftovers", "last", &spec, &tag())?;
    cluster.ready()?;
    let doomed = json!({ "partitions": 1, "replicas": 1, "deletionPolicy": "Delete" });
    cluster.topic("held", &doomed)?;
    cluster.topic_ready("held")?;
    let held = ctl.get(&["topics.freshet.dev/held"])?["metadata"]["finalizers"].clone();
    ensure!(held[0] == "freshet.dev/topic", "nothing holds it: {held}");
    KubeCluster::uninstall_operator()?;
    ctl.ok(&["delete", "namespace", "leftovers", "--timeout=120s"])?;
    let jobs = ctl.get(&["jobs", "--namespace=freshet-system"])?;
    ensure!(
        jobs["items"].as_array().is_some_and(Vec::is_empty),
        "{jobs}"
    );
    let kept = ctl.get(&["customresourcedefinitions/clusters.freshet.dev"]);
    ensure!(
        kept.is_ok(),
        "the definitions went with the chart, and with them all objects"
    );
    Ok(())
}

/// Without any right beyond one namespace: a cluster comes, grows with its quorum, shrinks and goes.
pub(super) fn one_namespace(_: &mut Story) -> Result<()> {
    const TEAM: &str = "team";
    let ctl = Kubectl::in_namespace(TEAM)?;
    KubeCluster::install_operator(&tag(), &["watchNamespaces={team}"])?;
    let pool = |size: &str| json!([{ "name": "main", "storage": { "size": size } }]);
    let spec = json!({ "replicas": 1, "pools": pool("1Gi") });
    let cluster = KubeCluster::create(TEAM, "own", &spec, &tag())?;
    cluster.settled()?;
    cluster.topic(
        "own",
        &json!({ "partitions": 1, "replicas": 1, "deletionPolicy": "Delete" }),
    )?;
    cluster.topic_ready("own")?;
    let vote = |ids: &Value| -> Result<()> {
        let voters = cluster.ctl.get(&[&cluster.object()])?["status"]["voters"].clone();
        ensure!(voters == *ids, "{voters} vote");
        Ok(())
    };
    let began = Instant::now();
    cluster.change(&json!({ "replicas": 3, "pools": pool("2Gi") }))?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    say(
        "one broker becomes three, all of which vote",
        began.elapsed(),
    );
    vote(&json!([1, 2, 3]))?;
    let began = Instant::now();
    cluster.change(&json!({ "replicas": 1, "config": { "num.partitions": 2 } }))?;
    cluster.has_brokers(1)?;
    cluster.settled()?;
    say("three brokers become one", began.elapsed());
    vote(&json!([1]))?;
    ctl.ok(&["delete", "topics.freshet.dev/own", "--timeout=60s"])?;
    ctl.ok(&["delete", &cluster.object(), "--timeout=60s"])?;
    ctl.ok(&["delete", "namespace", TEAM, "--timeout=120s"])?;
    KubeCluster::uninstall_operator()
}
