//! What people change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freshet_tests::{KubeCluster, PROGRESS, PodSeen, image_tag as tag};
use serde_json::{Value, json};

use super::{Pods, Story, TOPIC, of, progress, say};

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

/// Waits until every pod is another one; says who was away at the same time, each time somebody looked.
fn rolled(cluster: &KubeCluster, before: &Pods) -> Result<BTreeSet<BTreeSet<String>>> {
    let mut away = BTreeSet::new();
    let look = || {
        let now = cluster.pods()?;
        let serves = |name: &&String| now.get(*name).is_some_and(|pod| pod.ready);
        away.insert(
            before
                .keys()
                .filter(|name| !serves(name))
                .cloned()
                .collect(),
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
    Ok(away)
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
    let away = rolled(&cluster, &before)?;
    ensure!(
        away.iter().all(|together| together.len() <= 1),
        "pods were away at the same time: {away:?}"
    );
    progress(story)
}

/// New brokers take over their share.
pub(super) fn grown(story: &mut Story) -> Result<()> {
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
    Ok(())
}

/// Five brokers in three racks: copies are spread over them, and those of one restart together.
pub(super) fn racks(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let before = cluster.pods()?;
    let zones = zones(&cluster)?;
    let zone = |pod: &str| before.get(pod).and_then(|pod| zones.get(&pod.node));
    let mut racks = BTreeMap::new();
    for broker in cluster.brokers()? {
        let address = broker["address"].as_str().unwrap_or_default();
        let pod = address.split('.').next().unwrap_or_default();
        let rack = broker["rack"].as_str().map(str::to_owned);
        ensure!(
            rack.is_some() && rack.as_ref() == zone(pod),
            "{pod} is in {:?}: {broker}",
            zone(pod)
        );
        racks.insert(broker["id"].as_i64(), rack);
    }
    let told = cluster.freshet(&["topic", "describe", TOPIC, "--output", "json"])?;
    let told: Value = serde_json::from_str(&told)?;
    for partition in told[0]["partitions"].as_array().context("no partitions")? {
        let copies = partition["replicas"].as_array().into_iter().flatten();
        let spread: BTreeSet<_> = copies.map(|id| racks.get(&id.as_i64())).collect();
        ensure!(spread.len() == 3, "{partition} is not in all of {racks:?}");
    }
    cluster
        .change(&json!({ "rolling": { "atOnce": "Rack" }, "config": { "num.partitions": 4 } }))?;
    let away = rolled(&cluster, &before)?;
    let in_one = |pods: &BTreeSet<String>| {
        let zones: BTreeSet<_> = pods.iter().map(|pod| zone(pod)).collect();
        zones.len() <= 1
    };
    ensure!(
        away.iter().all(in_one),
        "pods of two racks were away at the same time: {away:?}"
    );
    ensure!(
        away.iter().any(|together| together.len() > 1),
        "no two pods restarted together: {away:?}"
    );
    cluster.change(&json!({ "rolling": null }))?;
    progress(story)
}

/// The zone of each node.
fn zones(cluster: &KubeCluster) -> Result<BTreeMap<String, String>> {
    let nodes = cluster.ctl.get(&["nodes"])?;
    let nodes = nodes["items"].as_array().into_iter().flatten();
    let zones = nodes.filter_map(|node| {
        let named = &node["metadata"];
        let zone = named["labels"]["topology.kubernetes.io/zone"].as_str()?;
        Some((named["name"].as_str()?.to_owned(), zone.to_owned()))
    });
    Ok(zones.collect())
}

/// They give back what they keep before they leave.
pub(super) fn shrunk(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
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
    cluster.change(&json!({ "pools": [KubeCluster::main_pool("2Gi"), more] }))?;
    cluster.has_brokers(4)?;
    cluster.settled()?;
    cluster.topic("wide", &json!({ "partitions": 8, "replicas": 3 }))?;
    cluster.topic_ready("wide")?;
    let began = Instant::now();
    cluster.change(&json!({ "pools": [KubeCluster::main_pool("2Gi")] }))?;
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
    cluster.change(&json!({ "pools": [KubeCluster::main_pool("3Gi")] }))?;
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

/// The level that brokers know is set; another one is refused with those that can be, and nothing else suffers.
pub(super) fn level(story: &mut Story) -> Result<()> {
    let cluster = of(story)?;
    let before = cluster.pods()?;
    let told = cluster.freshet(&["feature", "list", "--output", "json"])?;
    let told: Value = serde_json::from_str(&told)?;
    let all = told.as_array().into_iter().flatten();
    let mut found = all.filter(|feature| feature["name"] == "freshet.metadata.version");
    let known = found.next().and_then(|feature| feature["max"].as_i64());
    let known = known.context("brokers do not tell what they can")?;
    cluster.change(&json!({ "metadataVersion": known.to_string() }))?;
    cluster.settled()?;
    let used = || -> Result<Value> {
        let object = cluster.ctl.get(&[&cluster.object()])?;
        Ok(object["status"]["metadataVersion"].clone())
    };
    ensure!(used()? == known.to_string().as_str(), "{}", used()?);
    let beyond = (known + 1).to_string();
    cluster.change(&json!({ "metadataVersion": beyond }))?;
    let refused = || {
        let (_, reason, message) = cluster.ctl.condition(&cluster.object(), "Valid")?;
        ensure!(
            reason == "MetadataVersionNotSupported" && message.contains(&format!("to {known}")),
            "{reason} {message}"
        );
        Ok(Some(()))
    };
    cluster
        .ctl
        .until("the refusal is told", Duration::from_secs(30), refused)?;
    progress(story)?;
    ensure!(used()? == known.to_string().as_str(), "{}", used()?);
    cluster.change(&json!({ "metadataVersion": null }))?;
    cluster.settled()?;
    ensure!(cluster.pods()? == before, "somebody was restarted");
    Ok(())
}
