//! Thousands of Topics: how soon they are ready, and what they cost when nothing happens.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

use super::pid::Pid;
use super::{KubeCluster, Kubectl, image_tag};

const NAMESPACE: &str = "scale";
/// Topics that lie there while the operator is watched.
const IDLE: usize = 1000;
/// How long it is.
const WATCHED: Duration = Duration::from_secs(60);
/// Topics that are asked for at once.
const MANY: usize = 5000;
/// A `kubectl` creates one after the other, so several are at it.
const HANDS: usize = 8;
/// The longest wait for all of them; the bar is far below.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long nothing may be written before the operator counts as idle.
const STILL: Duration = Duration::from_secs(10);

/// Something measured, and what it may be.
struct Row {
    what: &'static str,
    measured: f64,
    bar: f64,
    unit: &'static str,
}

/// Measures, prints a table, and fails where a bar is missed. The numbers mean something with a release build of the
/// operator on a quiet machine.
pub fn kube_scale() -> Result<()> {
    let tag = image_tag();
    KubeCluster::install_operator(&tag, &[])?;
    let spec = json!({ "replicas": 3, "pools": [KubeCluster::main_pool("2Gi")] });
    let cluster = KubeCluster::create(NAMESPACE, "wide", &spec, &tag)?;
    cluster.settled()?;
    let mut rows = Vec::new();
    all_ready(&cluster, "idle", IDLE)?;
    rows.extend(idle(&cluster)?);
    gone(&cluster, IDLE)?;
    let (whole, between, asking) = all_ready(&cluster, "many", MANY)?;
    let seconds = |what, measured: Duration, bar| Row {
        what,
        measured: measured.as_secs_f64(),
        bar,
        unit: "s",
    };
    rows.push(seconds(
        "5,000 Topics, from the first one's creation to the last one's Ready",
        between,
        60.0,
    ));
    rows.push(seconds(
        "the same by the clock, with what kubectl needs to ask",
        whole,
        f64::INFINITY,
    ));
    rows.push(seconds("of which kubectl asked", asking, f64::INFINITY));
    rows.push(seconds(
        "5,000 Topics deleted",
        gone(&cluster, MANY)?,
        f64::INFINITY,
    ));
    cluster
        .ctl
        .ok(&["delete", "namespace", NAMESPACE, "--timeout=110s"])?;
    print(&rows)
}

/// Asks for so many Topics and waits for all; the whole time, the time from the first creation to the last Ready as
/// Kubernetes notes it, and the time that asking took.
fn all_ready(
    cluster: &KubeCluster,
    prefix: &str,
    count: usize,
) -> Result<(Duration, Duration, Duration)> {
    let began = Instant::now();
    thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS)
            .map(|hand| scope.spawn(move || ask(cluster, prefix, (hand..count).step_by(HANDS))))
            .collect();
        hands.into_iter().try_for_each(|hand| {
            let done = hand.join().map_err(|_| anyhow!("a hand panicked"));
            done.and_then(|done| done)
        })
    })?;
    let asking = began.elapsed();
    loop {
        let (ready, times) = seen(&cluster.ctl)?;
        if ready == count {
            let (first, last) = times.context("Topics without times")?;
            let between = Duration::from_secs(u64::try_from(last - first)?);
            return Ok((began.elapsed(), between, asking));
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{ready} of {count} Topics are ready after {PATIENCE:?}\n{}",
            crate::process::tail(&cluster.ctl.picture())
        );
        thread::sleep(Duration::from_millis(500));
    }
}

/// Creates some of them by one call.
fn ask(cluster: &KubeCluster, prefix: &str, numbers: impl Iterator<Item = usize>) -> Result<()> {
    let all: Vec<Value> = numbers
        .map(|number| {
            json!({
                "apiVersion": "freshet.dev/v1", "kind": "Topic",
                "metadata": { "name": format!("{prefix}-{number}") },
                "spec": { "clusterRef": { "name": cluster.name }, "partitions": 1, "replicas": 1 },
            })
        })
        .collect();
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
    let created = cluster
        .ctl
        .run(&["create", "-f", "-", "-o", "name"], &list.to_string())?;
    created.success().context("creating Topics").map(drop)
}

/// How many Topics are ready, and when the first was created and the last became ready, in seconds.
fn seen(ctl: &Kubectl) -> Result<(usize, Option<(i64, i64)>)> {
    let path = "jsonpath={range .items[*]}{.metadata.creationTimestamp}{\" \"}\
                {.status.conditions[?(@.type=='Ready')].status}{\" \"}\
                {.status.conditions[?(@.type=='Ready')].lastTransitionTime}{\"\\n\"}{end}";
    let told = ctl.ok(&["get", "topics.freshet.dev", "-o", path])?;
    let mut times: BTreeMap<i64, i64> = BTreeMap::new();
    let mut ready = 0;
    for line in told.lines() {
        if let [created, "True", since] = line.split(' ').collect::<Vec<_>>()[..] {
            ready += 1;
            let last = times.entry(seconds(created)?).or_default();
            *last = seconds(since)?.max(*last);
        }
    }
    let first = times.keys().next().copied();
    Ok((ready, first.zip(times.values().max().copied())))
}

/// Seconds of the day of a time such as `2026-01-31T23:59:58Z`; a measurement over midnight is one to repeat.
fn seconds(time: &str) -> Result<i64> {
    let clock = time.split_once('T').context("no time")?.1;
    let parts: Vec<i64> = clock
        .trim_end_matches('Z')
        .split(':')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    match parts[..] {
        [hours, minutes, seconds] => Ok((hours * 60 + minutes) * 60 + seconds),
        _ => bail!("{time} is no time"),
    }
}

/// What the operator does while nothing happens.
fn idle(cluster: &KubeCluster) -> Result<[Row; 3]> {
    cluster.quiet(STILL)?;
    let ctl = Kubectl::in_namespace("freshet-system")?;
    let pods = ctl.get(&["pods", "--selector=app.kubernetes.io/name=freshet-operator"])?;
    let pod = pods["items"][0]["metadata"]["name"].as_str();
    let pid = Pid::in_pod(
        &ctl,
        pod.context("the operator is away")?,
        "freshet-operator",
    )?;
    let (busy, writes, began) = (pid.busy()?, KubeCluster::operator_writes()?, Instant::now());
    thread::sleep(WATCHED);
    let share = (pid.busy()? - busy) / began.elapsed().as_secs_f64() * 100.0;
    let row = |what, measured, bar, unit| Row {
        what,
        measured,
        bar,
        unit,
    };
    Ok([
        row("1,000 Topics, idle: processor", share, 0.5, "%"),
        row("1,000 Topics, idle: memory", pid.resident()?, 50.0, "MiB"),
        row(
            "1,000 Topics, idle: writes to the API server",
            KubeCluster::operator_writes()? - writes,
            0.0,
            "",
        ),
    ])
}

/// Deletes all Topics and waits until they are gone.
fn gone(cluster: &KubeCluster, count: usize) -> Result<Duration> {
    let began = Instant::now();
    cluster
        .ctl
        .ok(&["delete", "topics.freshet.dev", "--all", "--wait=false"])?;
    loop {
        let left = cluster
            .ctl
            .ok(&["get", "topics.freshet.dev", "-o", "name"])?;
        if left.is_empty() {
            return Ok(began.elapsed());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "{} of {count} Topics are left after {PATIENCE:?}",
            left.lines().count()
        );
        thread::sleep(Duration::from_millis(500));
    }
}

fn print(rows: &[Row]) -> Result<()> {
    println!("| what | measured | bar |\n|---|---|---|");
    for row in rows {
        let bar = match row.bar.is_finite() {
            true => format!("{} {}", row.bar, row.unit),
            false => String::new(),
        };
        println!(
            "| {} | {:.2} {} | {bar} |",
            row.what, row.measured, row.unit
        );
    }
    let missed: Vec<_> = rows.iter().filter(|row| row.measured > row.bar).collect();
    ensure!(
        missed.is_empty(),
        "{} of the bars were missed; is the operator a release build, and the machine quiet?",
        missed.len()
    );
    Ok(())
}
