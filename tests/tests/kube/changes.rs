//! What people change.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freshet_tests::{KubeCluster, PodSeen};
use serde_json::json;

use super::{PROGRESS, Pods, Story, main_pool, of, progress, say, tag};

pub(super) fn live_setting(story: &mut Story) -> Result<()> {
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
pub(super) fn rolled_back(story: &mut Story) -> Result<()> {
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
    progress(story)
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
pub(super) fn killed_mid_roll(story: &mut Story) -> Result<()> {
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
    progress(story)
}

/// New brokers take over their share, and give it back before they leave.
pub(super) fn scale(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    cluster.change(&json!({ "balancing": { "fillNewBrokers": true } }))?;
    let began = Instant::now();
    cluster
        .ctl
        .ok(&["scale", &cluster.object(), "--replicas=5"])?;
    cluster.has_brokers(5)?;
    cluster.settled()?;
    say("three brokers become five", began.elapsed());
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
    progress(story)
}

/// Brokers that vote for nothing, and keep something meanwhile.
pub(super) fn another_pool(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let more =
        json!({ "name": "more", "roles": ["broker"], "replicas": 1, "storage": { "size": "1Gi" } });
    cluster.change(&json!({ "pools": [main_pool("2Gi"), more] }))?;
    cluster.has_brokers(4)?;
    cluster.settled()?;
    cluster.topic("wide", &json!({ "partitions": 8, "replicas": 3 }))?;
    cluster.topic_ready("wide")?;
    let began = Instant::now();
    cluster.change(&json!({ "pools": [main_pool("2Gi")] }))?;
    cluster.has_brokers(3)?;
    cluster.settled()?;
    say("a pool of one broker goes", began.elapsed());
    let sets = cluster.ctl.get(&["statefulsets"])?;
    ensure!(
        sets["items"].as_array().is_some_and(|sets| sets.len() == 1),
        "{sets}"
    );
    let claims = cluster.ctl.get(&["pvc/data-demo-more-0"])?;
    ensure!(
        claims["status"]["phase"] == "Bound",
        "its volume went: {claims}"
    );
    progress(story)
}

pub(super) fn volumes_grow(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let before = cluster.pods()?;
    cluster.change(&json!({ "pools": [main_pool("3Gi")] }))?;
    let look = || {
        for ordinal in 0..3 {
            let claim = cluster
                .ctl
                .get(&[&format!("pvc/data-demo-main-{ordinal}")])?;
            ensure!(claim["status"]["capacity"]["storage"] == "3Gi", "{claim}");
        }
        let set = cluster.ctl.get(&["statefulset/demo-main"])?;
        let template = &set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"];
        ensure!(template["storage"] == "3Gi", "{template}");
        Ok(Some(()))
    };
    let (_, took) = cluster.ctl.until("volumes are larger", PROGRESS, look)?;
    say("volumes grow", took);
    cluster.settled()?;
    ensure!(cluster.pods()? == before, "somebody was restarted");
    Ok(())
}
