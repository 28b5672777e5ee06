//! The operator on a real Kubernetes: installed by Helm, asked by `kubectl`, under load of real clients.
//!
//! The tests are one story and run in their order; `cargo xtask test kube` raises the Kubernetes.
#![expect(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freshet_tests::{
    Client, KubeCluster, Kubectl, Load, Plan, PodSeen, Suite, Writer, missing_for_kube,
};
use serde_json::json;

const NAMESPACE: &str = "streams";
const TOPIC: &str = "orders";
const PARTITIONS: i32 = 6;
/// How long clients may see no progress while one pod restarts.
const PROGRESS: Duration = Duration::from_secs(60);

/// What the tests hand on to each other.
#[derive(Default)]
struct Story {
    cluster: Option<Arc<KubeCluster>>,
    load: Option<Load>,
}

type Pods = BTreeMap<String, PodSeen>;
type Shared = Arc<Mutex<Story>>;
type Chapter = fn(&mut Story) -> Result<()>;

/// In their order.
const CHAPTERS: &[(&str, Chapter)] = &[
    ("helm_installs_the_operator", install),
    ("a_cluster_of_three_becomes_ready", three_brokers),
    (
        "a_spec_that_cannot_be_carried_out_says_why_and_harms_nobody",
        bad_input,
    ),
    ("a_topic_becomes_ready", a_topic),
    ("what_is_as_it_was_asked_to_be_is_not_written", quiescence),
    (
        "a_setting_that_needs_no_restart_restarts_nobody",
        live_setting,
    ),
    ("an_image_is_rolled_out_and_back_again", rolled_back),
    (
        "an_operator_that_is_killed_goes_on_with_the_roll",
        killed_mid_roll,
    ),
    ("three_brokers_become_five_and_three_again", scale),
    (
        "a_pod_that_is_killed_and_a_volume_that_is_lost_come_back",
        lost_volume,
    ),
    ("a_node_is_drained_and_comes_back", drained),
    ("a_topic_that_was_changed_by_hand_is_put_right", drift),
    ("nothing_that_was_acknowledged_is_lost", judged),
    (
        "a_cluster_that_is_deleted_comes_back_with_its_records",
        deleted_and_back,
    ),
    ("what_was_installed_goes_away", uninstall),
];

fn main() -> ExitCode {
    let missing = missing_for_kube();
    let story = Shared::default();
    let mut suite = Suite::default();
    for (name, chapter) in CHAPTERS {
        let story = Arc::clone(&story);
        suite.test(name, missing.clone(), move || {
            chapter(&mut story.lock().unwrap_or_else(PoisonError::into_inner))
        });
    }
    suite.run()
}

/// The tag of the images that were loaded.
fn tag() -> String {
    env::var("FRESHET_KUBE_TAG").unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

fn of(story: &Story) -> Result<Arc<KubeCluster>> {
    story
        .cluster
        .clone()
        .context("there is no cluster, see the tests before")
}

fn load(story: &Story) -> Result<&Load> {
    story
        .load
        .as_ref()
        .context("there is no load, see the tests before")
}

fn say(what: &str, took: Duration) {
    eprintln!("{what}: {:.1} s", took.as_secs_f64());
}

fn install(_: &mut Story) -> Result<()> {
    let began = Instant::now();
    KubeCluster::install_operator(&tag())?;
    say("helm install --wait", began.elapsed());
    Ok(())
}

fn three_brokers(story: &mut Story) -> Result<()> {
    let cluster = KubeCluster::create(NAMESPACE, "demo", 3, &tag())?;
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

fn bad_input(story: &mut Story) -> Result<()> {
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

fn a_topic(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.topic(TOPIC, &json!({ "partitions": PARTITIONS, "replicas": 3, "config": { "retention.ms": 86_400_000 } }))?;
    say("a topic, from apply to Ready", cluster.topic_ready(TOPIC)?);
    let writer = |client| Writer {
        client,
        idempotent: true,
    };
    let plan = Plan {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        writers: vec![writer(Client::Librdkafka), writer(Client::Java)],
        readers: vec![Client::FranzGo],
        rate: 100,
    };
    let load = Load::start(plan, &cluster.bootstrap()?)?;
    load.await_progress(PROGRESS)?;
    story.load = Some(load);
    Ok(())
}

fn quiescence(story: &mut Story) -> Result<()> {
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

fn live_setting(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let before = cluster.pods()?;
    cluster.change(&json!({ "config": { "log.retention.ms": 7_200_000 } }))?;
    let told = || {
        let all = cluster.freshet(&["config", "describe", "brokers", "--output", "json"])?;
        ensure!(all.contains("7200000"), "{all}");
        Ok(Some(()))
    };
    cluster
        .ctl
        .until("the setting is there", Duration::from_secs(30), told)?;
    cluster.settled()?;
    ensure!(cluster.pods()? == before, "somebody was restarted");
    Ok(())
}

/// Another image under way, and the first one again before it is everywhere.
fn rolled_back(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let before = cluster.pods()?;
    let image = |tag: &str| json!({ "image": format!("freshet.dev/broker:{tag}") });
    let began = Instant::now();
    cluster.change(&image(&format!("{}-next", tag())))?;
    let look = || Ok((restarted(&cluster, &before)? > 0).then_some(()));
    cluster
        .ctl
        .until("the first pod has the new image", PROGRESS, look)?;
    cluster.change(&image(&tag()))?;
    cluster.settled()?;
    say("an image half way out and back again", began.elapsed());
    let after = restarted(&cluster, &before)?;
    ensure!(
        after < before.len(),
        "{after} pods were restarted, although most had the right image"
    );
    let version = cluster.ctl.get(&[&cluster.object()])?["status"]["version"].clone();
    ensure!(version == tag().as_str(), "{version}");
    load(story)?.await_progress(PROGRESS)?;
    Ok(())
}

/// How many pods are others than before, or away.
fn restarted(cluster: &KubeCluster, before: &Pods) -> Result<usize> {
    let now = cluster.pods()?;
    let other =
        |(name, pod): &(&String, &PodSeen)| now.get(*name).is_none_or(|now| now.uid != pod.uid);
    Ok(before.iter().filter(other).count())
}

/// Waits until every pod is another one; says how many were away at one time, at most.
fn rolled(cluster: &KubeCluster, before: &Pods) -> Result<usize> {
    let mut worst = 0;
    let look = || {
        let now = cluster.pods()?;
        worst = worst.max(
            before.len()
                - now
                    .values()
                    .filter(|pod| pod.ready)
                    .count()
                    .min(before.len()),
        );
        let old = now
            .iter()
            .filter(|(name, pod)| before.get(*name).is_some_and(|b| b.uid == pod.uid))
            .count();
        ensure!(
            old == 0 && now.values().all(|pod| pod.ready),
            "{old} are old"
        );
        Ok(Some(()))
    };
    let (_, took) = cluster
        .ctl
        .until("all pods are new", Duration::from_secs(240), look)?;
    say("a roll of all pods under load", took);
    cluster.settled()?;
    Ok(worst)
}

/// A setting that needs a restart; the operator dies when the first pod goes.
fn killed_mid_roll(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let before = cluster.pods()?;
    cluster.change(&json!({ "config": { "num.partitions": 3 } }))?;
    let look = || Ok(Some(restarted(&cluster, &before)?).filter(|count| *count > 0));
    let (new, _) = cluster.ctl.until("the first pod goes", PROGRESS, look)?;
    KubeCluster::kill_operator()?;
    ensure!(
        new < before.len(),
        "the roll was over before the operator was killed"
    );
    let worst = rolled(&cluster, &before)?;
    ensure!(worst <= 1, "{worst} pods were away at one time");
    load(story)?.await_progress(PROGRESS)?;
    Ok(())
}

fn scale(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let began = Instant::now();
    cluster
        .ctl
        .ok(&["scale", &cluster.object(), "--replicas=5"])?;
    cluster.has_brokers(5)?;
    cluster.settled()?;
    say("three brokers become five", began.elapsed());
    // Something that the new ones keep: what leaves with them must not be lost.
    cluster.topic("spread", &json!({ "partitions": 10, "replicas": 3 }))?;
    cluster.topic_ready("spread")?;
    let keeps = |id: i64| -> Result<u64> {
        let brokers = cluster.brokers()?;
        let found = brokers
            .iter()
            .find(|b| b["id"] == id)
            .context("the broker is not there")?;
        found["replicas"]
            .as_u64()
            .context("a broker without a number of replicas")
    };
    ensure!(
        keeps(4)? > 0 && keeps(5)? > 0,
        "the new brokers keep nothing"
    );
    let began = Instant::now();
    cluster
        .ctl
        .ok(&["scale", &cluster.object(), "--replicas=3"])?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    say("five brokers become three", began.elapsed());
    ensure!(cluster.pods()?.len() == 3, "{:?}", cluster.pods()?);
    load(story)?.await_progress(PROGRESS)?;
    Ok(())
}

fn lost_volume(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.ctl.ok(&[
        "delete",
        "pod",
        "demo-main-1",
        "--grace-period=0",
        "--force",
    ])?;
    load(story)?.await_progress(PROGRESS)?;
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
    load(story)?.await_progress(PROGRESS)?;
    Ok(())
}

/// Its pod goes, under the eyes of the disruption budget; its volume is on that node, so it waits for it.
fn drained(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let node = cluster.pods()?["demo-main-1"].node.clone();
    cluster.ctl.ok(&[
        "drain",
        &node,
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--force",
        "--timeout=100s",
    ])?;
    load(story)?.await_progress(PROGRESS)?;
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
    load(story)?.await_progress(PROGRESS)?;
    Ok(())
}

fn drift(story: &mut Story) -> Result<()> {
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

fn judged(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let load = story
        .load
        .take()
        .context("there is no load, see the tests before")?;
    let seen = load.finish(|| cluster.read(TOPIC))?;
    let anomalies = seen.history.check();
    ensure!(
        seen.history.acked.len() > 1000,
        "only {} records were acknowledged",
        seen.history.acked.len()
    );
    eprintln!(
        "{} sent, {} acknowledged, {} read at the end; half within {:.1?}, the longest {:.1?}",
        seen.history.sent.len(),
        seen.history.acked.len(),
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

fn deleted_and_back(story: &mut Story) -> Result<()> {
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
        .ok(&["delete", "topics.freshet.dev/spread", "--timeout=30s"])?;
    let again = KubeCluster::create(NAMESPACE, "demo", 3, &tag())?;
    again.settled()?;
    ensure!(id(&again)? == first, "it is another cluster now");
    again.has_brokers(3)?;
    let after = again.read(TOPIC)?.len();
    ensure!(after == before, "{before} records became {after}");
    again.topic_ready(TOPIC)?;
    story.cluster = Some(Arc::new(again));
    Ok(())
}

fn uninstall(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let ctl = Kubectl::in_namespace(NAMESPACE)?;
    ctl.ok(&["delete", "topics.freshet.dev", "--all", "--timeout=60s"])?;
    ctl.ok(&["delete", &cluster.object(), "--timeout=60s"])?;
    KubeCluster::uninstall_operator()?;
    let kept = ctl.get(&["customresourcedefinitions/clusters.freshet.dev"]);
    ensure!(
        kept.is_ok(),
        "the definitions went with the chart, and with them all objects"
    );
    ctl.ok(&["delete", "namespace", NAMESPACE, "--timeout=120s"])?;
    Ok(())
}
