//! A whole cluster tiers: by the brokers' default, without a word of any topic.

use freshet_wire::describe_configs::DescribeConfigsResource;
use freshet_wire::{DescribeConfigsRequest, ErrorCode};

use super::*;

const TIERS: &str = "freshet.remote.storage.enable";
const REMOTE: &str = "remote.storage.enable";
const SMALL: &[(&str, &str)] = &[("segment.bytes", "1048576")];
/// All brokers.
const CLUSTER: (i8, &str) = (BROKER_RESOURCE, "");

/// What holds for a topic by Kafka's numbers of sources: 1 topic, 3 all brokers, 5 default.
fn described(raw: &mut Raw, topic: &str) -> Result<(String, i8, Vec<String>)> {
    described_as(raw, topic, REMOTE)
}

/// What holds for a topic.
pub(super) fn value(raw: &mut Raw, topic: &str, name: &str) -> Result<String> {
    Ok(described_as(raw, topic, name)?.0)
}

fn described_as(raw: &mut Raw, topic: &str, name: &str) -> Result<(String, i8, Vec<String>)> {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: topic.to_owned(),
        configuration_keys: Some(vec![name.to_owned()]),
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource],
        include_synonyms: true,
        include_documentation: false,
    };
    let mut told = raw.latest(&request)?;
    let result = told.results.pop().context("one topic")?;
    let config = result.configs.into_iter().next();
    let config = config.with_context(|| format!("{topic}: {:?}", result.error_message))?;
    let synonyms = config.synonyms.into_iter().map(|it| it.name);
    let value = config.value.unwrap_or_default();
    Ok((value, config.config_source, synonyms.collect()))
}

/// Where each topic that tiers ends in the bucket.
fn tiered(broker: &Broker) -> Result<BTreeMap<String, i64>> {
    let told = tier(broker, &["status", "--partitions", "--output", "json"])?.success()?;
    let rows: Vec<serde_json::Value> = serde_json::from_str(&told)?;
    let row = |row: &serde_json::Value| {
        let name = row["topic"].as_str().context("a name")?;
        Ok((name.to_owned(), row["tiered_end"].as_i64().unwrap_or(-1)))
    };
    rows.iter().map(row).collect()
}

/// Waits until these and no others are in the bucket, behind an offset.
fn await_tiered(broker: &Broker, topics: &[&str], least: i64) -> Result<()> {
    eventually(PATIENCE, || {
        let tiered = tiered(broker)?;
        let names: Vec<_> = tiered.keys().map(String::as_str).collect();
        ensure!(names == topics, "{tiered:?}");
        ensure!(tiered.values().all(|end| *end >= least), "{tiered:?}");
        Ok(())
    })
}

fn must(told: (i16, String)) -> Result<()> {
    ensure!(told.0 == 0, "{told:?}");
    Ok(())
}

fn must_not(told: (i16, String), code: i16, words: &[&str]) -> Result<()> {
    let is_said = words.iter().all(|word| told.1.contains(word));
    ensure!(told.0 == code && is_said, "{told:?}, {words:?}");
    Ok(())
}

pub(super) fn switched(place: &mut Place) -> Result<()> {
    let mut broker = broker(place)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("before", SMALL)?;
    raw.create_topic("never", &[SMALL, &[(REMOTE, "false")]].concat())?;
    let end = produce(&mut raw, "before", 24)?;
    produce(&mut raw, "never", 24)?;
    await_tiered(&broker, &[], 0)?;
    must(raw.set_config(CLUSTER, TIERS, "true")?)?;
    raw.create_topic("later", SMALL)?;
    produce(&mut raw, "later", 24)?;
    await_tiered(&broker, &["before", "later"], end - 8)?;
    let by_default = vec![TIERS.to_owned(), TIERS.to_owned()];
    let told = described(&mut raw, "before")?;
    ensure!(told == ("true".to_owned(), 3, by_default), "{told:?}");
    let told = described(&mut raw, "never")?;
    ensure!((told.0.as_str(), told.1) == ("false", 1), "{told:?}");
    let told = described(&mut raw, "__remote_log_metadata")?;
    ensure!(told == ("false".to_owned(), 5, Vec::new()), "{told:?}");
    // For one broker it means nothing.
    let one = raw.set_config((BROKER_RESOURCE, "1"), TIERS, "false")?;
    ensure!(one.0 != 0, "{one:?}");
    off_and_on(&broker, &mut raw, end)?;
    // It holds in the next life, too.
    ensure!(broker.stop()?.success(), "{}", broker.tail());
    broker.start_again()?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let told = described(&mut raw, "before")?;
    ensure!((told.0.as_str(), told.1) == ("true", 3), "{told:?}");
    drop(broker);
    in_a_file(place)
}

fn off_and_on(broker: &Broker, raw: &mut Raw, end: i64) -> Result<()> {
    let may_go = ("remote.log.delete.on.disable", "true");
    let refused = raw.set_config(CLUSTER, TIERS, "false")?;
    must_not(refused, INVALID_CONFIG, &[may_go.0, "before", "1 of 2"])?;
    let refused = raw.set_config((TOPIC_RESOURCE, "before"), REMOTE, "false")?;
    must_not(refused, INVALID_CONFIG, &[may_go.0])?;
    must(raw.set_config((TOPIC_RESOURCE, "before"), may_go.0, may_go.1)?)?;
    let refused = raw.set_config(CLUSTER, TIERS, "false")?;
    must_not(refused, INVALID_CONFIG, &["later", "1 of 1"])?;
    // One stays by its own word.
    must(raw.set_config((TOPIC_RESOURCE, "later"), REMOTE, "true")?)?;
    must(raw.set_config(CLUSTER, TIERS, "false")?)?;
    await_tiered(broker, &["later"], end - 8)?;
    let (_, _, start) = raw.offset_at("before", Raw::EARLIEST)?;
    ensure!(start == 0, "the disk has all of it, and begins at {start}");
    must(raw.set_config(CLUSTER, TIERS, "true")?)?;
    let end = produce(raw, "before", 24)?;
    eventually(PATIENCE, || {
        let tiered = tiered(broker)?;
        let now = tiered.get("before").copied().unwrap_or(-1);
        ensure!(now + 8 >= end, "{tiered:?}, behind {end}");
        Ok(())
    })
}

/// A file that says so becomes a setting of the cluster, and that is asked before it goes.
fn in_a_file(place: &Place) -> Result<()> {
    // Another cluster was there before.
    let set = [(TIERS, "true"), ("freshet.remote.storage.shared", "true")];
    let broker = broker_with(place, &set)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("t", SMALL)?;
    let end = produce(&mut raw, "t", 24)?;
    await_tiered(&broker, &["t"], end - 8)?;
    let told = described(&mut raw, "t")?;
    ensure!((told.0.as_str(), told.1) == ("true", 3), "{told:?}");
    let refused = raw.set_config(CLUSTER, TIERS, "false")?;
    must_not(refused, ErrorCode::InvalidConfig.into(), &["topic t "])
}
