//! All disks are lost, and the bucket is there: `freshet cluster restore`.
#![expect(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

#[path = "restore/clouds.rs"]
mod clouds;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use freshet_records::{Codec, NO_PRODUCER, Producer};
use freshet_tests::{
    Broker, Client, Cluster, Cold, Kind, Output, Place, Raw, Suite, batch, enter, eventually,
    freshet_command, missing_for_buckets, missing_for_trials, now_ms, run,
};
use freshet_wire::InitProducerIdRequest;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// A batch; eight of them make a segment.
const BATCH_BYTES: usize = 128 << 10;
const CLUSTER: &str = "cmVzdG9yZWQtY2x1c3Rlcg";
const NOT_LEADER: i16 = 6;
const DUPLICATE: i16 = 46;

fn main() -> ExitCode {
    // Clusters have a network of their own.
    let alone = enter().or_else(missing_for_trials);
    let mut suite = Suite::default();
    let kafka = || (Kind::from_env() == Kind::Kafka).then(|| "it has no bucket".to_owned());
    let peers = [Client::Java, Client::Librdkafka, Client::FranzGo];
    let missing = peers.into_iter().find_map(Client::missing);
    let missing = kafka().or(missing).or(alone.clone());
    suite.test(
        "a_partition_whose_only_disk_is_lost_goes_on_behind_its_folder",
        kafka().or_else(|| alone.clone()),
        || only_disk(&Place::folder()?),
    );
    suite.test(
        "a_partition_whose_only_disk_is_lost_goes_on_behind_its_bucket",
        kafka().or(alone).or_else(missing_for_buckets),
        || only_disk(&Place::server()?),
    );
    suite.test(
        "a_cluster_without_disks_comes_back_from_its_folder",
        missing.clone(),
        || drill(&Place::folder()?),
    );
    suite.test(
        "a_cluster_without_disks_comes_back_from_its_bucket",
        missing.or_else(missing_for_buckets),
        || drill(&Place::server()?),
    );
    for (name, provider) in clouds::BROKERS {
        let missing = kafka().or_else(|| provider.missing());
        suite.test(name, missing, move || clouds::comes_back(provider));
    }
    suite.test("what_is_in_the_way_of_a_restore_is_told", kafka(), refused);
    suite.test("a_bucket_is_verified_without_brokers", kafka(), verified);
    suite.run()
}

fn settings(url: String, cluster: &str) -> Vec<(&'static str, String)> {
    vec![
        ("freshet.cluster.id", cluster.to_owned()),
        ("remote.log.storage.system.enable", "true".to_owned()),
        ("remote.log.storage.url", url),
        ("remote.log.manager.task.interval.ms", "100".to_owned()),
        ("log.retention.check.interval.ms", "1000".to_owned()),
        ("freshet.remote.export.interval.ms", "300".to_owned()),
        // A few are enough here.
        (
            "rlmm.config.remote.log.metadata.topic.num.partitions",
            "4".to_owned(),
        ),
        ("offsets.topic.num.partitions", "5".to_owned()),
    ]
}

fn command(bootstrap: &str, arguments: &[&str]) -> Result<Output> {
    command_in(&[], bootstrap, arguments)
}

fn command_in(
    environment: &[(String, String)],
    bootstrap: &str,
    arguments: &[&str],
) -> Result<Output> {
    let mut command = Command::new(freshet_command());
    command.args(arguments);
    command.env("FRESHET_BOOTSTRAP", bootstrap);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    run(command, "", PATIENCE)
}

/// `freshet cluster restore`, as a program reads it.
fn restore(bootstrap: &str, place: &Place, more: &[&str]) -> Result<Value> {
    let url = place.url();
    let mut arguments = vec!["cluster", "restore", "--from", &url, "--output", "json"];
    arguments.extend(more);
    let told = command_in(&place.environment(), bootstrap, &arguments)?.success()?;
    serde_json::from_str(&told).with_context(|| told.clone())
}

/// What each topic's row says.
fn standings(told: &Value) -> Vec<(String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let rows = told["topics"].as_array().into_iter().flatten();
    rows.map(|row| (text(row, "topic"), text(row, "status")))
        .collect()
}

/// Produces with a producer that is known by its numbers, or with none (-1); gives the bytes of its last batch, and where
/// the log ends.
fn produce(connect: impl Fn() -> Result<Raw>, producer: i64, batches: i32) -> Result<(Bytes, i64)> {
    let mut raw = connect()?;
    let (mut last, mut end) = (Bytes::new(), 0);
    for n in 0..batches {
        let value = vec![u8::try_from(n % 251)?; BATCH_BYTES];
        let numbered = match producer {
            -1 => NO_PRODUCER,
            id => Producer {
                id,
                epoch: 0,
                base_sequence: n,
            },
        };
        last = batch(Codec::None, numbered, &[(now_ms(), &value)])?;
        // A young leader may not have looked into the bucket yet, and another one may lead soon.
        let told = eventually(PATIENCE, || {
            let told = raw.produce("t", last.clone())?;
            if told.error_code == NOT_LEADER {
                raw = connect()?;
            }
            ensure!(told.error_code != NOT_LEADER, "{told:?}");
            Ok(told)
        })?;
        ensure!(told.error_code == 0, "{told:?}");
        end = told.base_offset + 1;
    }
    Ok((last, end))
}

fn new_producer(raw: &mut Raw) -> Result<i64> {
    let request = InitProducerIdRequest {
        transaction_timeout_ms: 60_000,
        ..InitProducerIdRequest::default()
    };
    // Ids come from the controller, which a young broker may not have heard yet.
    eventually(PATIENCE, || {
        let told = raw.latest(&request)?;
        ensure!(told.error_code == 0, "{told:?}");
        Ok(told.producer_id)
    })
}

/// The batches of `t`, one record each, from the log start to `end`.
fn batches(raw: &mut Raw, end: i64) -> Result<Vec<Bytes>> {
    let mut all = Vec::new();
    for offset in 0..end {
        let records = eventually(PATIENCE, || {
            let told = raw.fetch("t", offset, i32::try_from(BATCH_BYTES)?)?;
            ensure!(
                told.error_code == 0,
                "fetching {offset}: {}",
                told.error_code
            );
            let records = told.records.into_bytes();
            ensure!(records.len() > 12, "nothing at {offset} yet");
            Ok(records)
        })?;
        let length = 12 + usize::try_from(i32::from_be_bytes(records[8..12].try_into()?))?;
        all.push(records.slice(..length));
    }
    Ok(all)
}

struct Before {
    cold: Cold,
    batches: Vec<Bytes>,
    producer: i64,
    tiered: i64,
    settings: Vec<Value>,
}

/// What somebody has set, of topics and of all brokers.
fn all_set(bootstrap: &str) -> Result<Vec<Value>> {
    let resources = ["topic:cold", "topic:t", "topic:plain", "brokers"];
    let told = resources.map(|resource| {
        let asked = ["config", "describe", resource, "--output", "json"];
        let told = command(bootstrap, &asked)?.success()?;
        serde_json::from_str(&told).with_context(|| told.clone())
    });
    told.into_iter().collect()
}

/// Three brokers that tier.
fn cluster(folder: &Path, place: &Place) -> Result<Cluster> {
    let mut cluster = Cluster::new(3, folder, false)?;
    let environment = place.environment();
    let pairs = environment.iter().map(|(name, value)| (&**name, &**value));
    let environment: Vec<_> = pairs.collect();
    for id in cluster.ids() {
        let node = cluster.node(id);
        for (name, value) in settings(place.url(), CLUSTER) {
            node.set(name, &value);
        }
        node.set_environment(&environment);
    }
    Ok(cluster)
}

fn drill(place: &Place) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = cluster(folder.path(), place)?;
    cluster.start()?;
    let before = live(&cluster, place)?;
    for id in cluster.ids() {
        cluster.node(id).kill()?;
    }
    for id in cluster.ids() {
        cluster.node(id).lose_disk()?;
    }
    cluster.start()?;
    let bootstrap = cluster.bootstrap();
    let planned = restore(&bootstrap, place, &["--dry-run"])?;
    let expected = ["cold", "plain", "t"].map(|topic| (topic.to_owned(), "missing".to_owned()));
    ensure!(standings(&planned) == expected, "{planned}");
    ensure!(planned["positions"]["stored"] == 2, "{planned}");
    let told = restore(&bootstrap, place, &["--watch", "1s"])?;
    let expected = expected.map(|(topic, _)| (topic, "restored".to_owned()));
    ensure!(standings(&told) == expected, "{told}");
    compare(&cluster, &before, &told)?;
    // It may be said again, and takes nobody back.
    let moved = [
        "group",
        "reset-offsets",
        "behind",
        "--topic",
        "t",
        "--to",
        "5",
    ];
    command(&bootstrap, &moved)?.success()?;
    let told = restore(&bootstrap, place, &[])?;
    let expected = expected.map(|(topic, _)| (topic, "there".to_owned()));
    ensure!(standings(&told) == expected, "{told}");
    ensure!(position(&bootstrap, "behind")? == 5, "{told}");
    // What comes now is exported as well, so it can happen again.
    eventually(PATIENCE, || {
        let told = restore(&bootstrap, place, &["--dry-run"])?;
        ensure!(told["positions"]["stored"] == 2, "{told}");
        Ok(())
    })
}

/// Topics of all kinds, groups, and all of it in the bucket but what is in open segments.
fn live(cluster: &Cluster, place: &Place) -> Result<Before> {
    let bootstrap = cluster.bootstrap();
    let cold = Cold::make(&bootstrap, "cold")?;
    cluster.await_whole("cold", PATIENCE)?;
    let cold = cold.write(&bootstrap, || cluster.connect(cluster.leader("cold", 0)?))?;
    let tiered = [
        ("remote.storage.enable", "true"),
        ("segment.bytes", "1048576"),
    ];
    cluster.create_topic_with("t", (1, 3), &tiered)?;
    cluster.create_topic_with("plain", (2, 3), &[("retention.ms", "86400000")])?;
    let set = ["config", "set", "brokers", "message.max.bytes=1234567"];
    command(&bootstrap, &set)?.success()?;
    cluster.await_whole("t", PATIENCE)?;
    let connect = || cluster.connect(cluster.leader("t", 0)?);
    let producer = new_producer(&mut connect()?)?;
    let (_, end) = produce(connect, producer, 44)?;
    for (group, to) in [("behind", "3"), ("ahead", "latest")] {
        let reset = [
            "group",
            "reset-offsets",
            group,
            "--topic",
            "t",
            "--to",
            to,
            "--create",
        ];
        command(&bootstrap, &reset)?.success()?;
    }
    let tiered = eventually(PATIENCE, || {
        let (code, _, last) = connect()?.offset_at("t", Raw::LATEST_TIERED)?;
        ensure!(code == 0 && last + 16 >= end, "tiered to {last} of {end}");
        Ok(last + 1)
    })?;
    let batches = batches(&mut connect()?, end)?;
    // It says what it would do of a cluster that lives as well.
    eventually(PATIENCE, || {
        let told = restore(&bootstrap, place, &["--dry-run"])?;
        ensure!(standings(&told).len() == 3, "{told}");
        ensure!(told["positions"]["stored"] == 2, "{told}");
        Ok(())
    })?;
    Ok(Before {
        cold,
        batches,
        producer,
        tiered,
        settings: all_set(&bootstrap)?,
    })
}

fn compare(cluster: &Cluster, before: &Before, told: &Value) -> Result<()> {
    let bootstrap = cluster.bootstrap();
    let mut raw = cluster.connect(cluster.leader("t", 0)?)?;
    let (code, _, start) = raw.offset_at("t", Raw::EARLIEST)?;
    ensure!((code, start) == (0, 0), "it begins at {start}: {code}");
    let (_, _, end) = raw.offset_at("t", Raw::LATEST)?;
    ensure!(
        end >= before.tiered,
        "it ends at {end}, {} were copied",
        before.tiered
    );
    let after = batches(&mut raw, end)?;
    ensure!(
        after[..] == before.batches[..after.len()],
        "other records came back"
    );
    // All clients read what came back, and only that.
    let mut ends = Vec::new();
    for partition in cluster.partitions("cold")? {
        let mut raw = cluster.connect(cluster.leader("cold", partition.index)?)?;
        let (code, _, end) = raw.offset_of(("cold", partition.index), Raw::LATEST)?;
        ensure!(
            code == 0 && end > 0,
            "cold-{}: {code}, {end}",
            partition.index
        );
        ends.push(end);
    }
    for reader in [Client::Java, Client::Librdkafka, Client::FranzGo] {
        let read = before.cold.read_below(reader, &bootstrap, &ends)?;
        ensure!(read > 1_000, "only {read} records came back");
    }
    // Positions are where they were, or where the records end.
    ensure!(position(&bootstrap, "behind")? == 3, "{told}");
    ensure!(position(&bootstrap, "ahead")? == end, "{told}");
    let lost = i64::try_from(before.batches.len())? - end;
    ensure!(told["positions"]["lost_records"] == lost, "{told}");
    let settings = all_set(&bootstrap)?;
    ensure!(
        settings == before.settings,
        "settings were {:?}, and are {settings:?}: {told}",
        before.settings
    );
    writes_go_on(cluster, before, end)
}

/// Producers are known, ids are not given again, and what is new comes behind what came back.
fn writes_go_on(cluster: &Cluster, before: &Before, end: i64) -> Result<()> {
    let mut raw = cluster.connect(cluster.leader("t", 0)?)?;
    let known = usize::try_from(end - 1)?;
    let again = raw.produce("t", before.batches[known].clone())?;
    let is_known =
        again.error_code == DUPLICATE || (again.error_code == 0 && again.base_offset == end - 1);
    ensure!(
        is_known,
        "a batch that came back was stored again: {again:?}"
    );
    let producer = new_producer(&mut raw)?;
    ensure!(producer > before.producer, "{producer} was given again");
    let numbered = Producer {
        id: producer,
        epoch: 0,
        base_sequence: 0,
    };
    let records = batch(Codec::None, numbered, &[(now_ms(), b"new")])?;
    let told = eventually(PATIENCE, || {
        let told = raw.produce("t", records.clone())?;
        ensure!(told.error_code != NOT_LEADER, "{told:?}");
        Ok(told)
    })?;
    ensure!((told.error_code, told.base_offset) == (0, end), "{told:?}");
    let plain = cluster.partitions("plain")?;
    ensure!(plain.len() == 2, "{plain:?}");
    Ok(())
}

/// Where a group is in `t`.
fn position(bootstrap: &str, group: &str) -> Result<i64> {
    let told = command(bootstrap, &["group", "describe", group, "--output", "json"])?.success()?;
    let told: Value = serde_json::from_str(&told)?;
    let rows = told["partitions"]
        .as_array()
        .with_context(|| told.to_string())?;
    let row = rows.iter().find(|row| row["topic"] == "t");
    let position = row.and_then(|row| row["offset"].as_i64());
    position.with_context(|| told.to_string())
}

/// One copy, and its broker comes back with an empty disk.
fn only_disk(place: &Place) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = cluster(folder.path(), place)?;
    cluster.start()?;
    let tiered = [
        ("remote.storage.enable", "true"),
        ("segment.bytes", "1048576"),
    ];
    cluster.create_topic_with("t", (1, 1), &tiered)?;
    cluster.await_whole("t", PATIENCE)?;
    let leader = cluster.leader("t", 0)?;
    let (_, end) = produce(|| cluster.connect(leader), -1, 44)?;
    let mut raw = cluster.connect(leader)?;
    let copied = eventually(PATIENCE, || {
        let (code, _, last) = raw.offset_at("t", Raw::LATEST_TIERED)?;
        ensure!(code == 0 && last + 16 >= end, "tiered to {last} of {end}");
        Ok(last + 1)
    })?;
    let before = batches(&mut raw, copied)?;
    cluster.node(leader).kill()?;
    cluster.node(leader).lose_disk()?;
    cluster.node(leader).start()?;
    // What was not copied is gone, and only a person may say that this is so.
    let elect = ["topic", "elect", "t", "--unclean", "--accept-loss"];
    let bootstrap = cluster.bootstrap();
    eventually(PATIENCE, || {
        command(&bootstrap, &elect)?.success()?;
        cluster.leader("t", 0)
    })?;
    let (_, end) = produce(
        || eventually(PATIENCE, || cluster.connect(cluster.leader("t", 0)?)),
        -1,
        1,
    )?;
    ensure!(
        end == copied + 1,
        "{copied} were copied, and the next is {end}"
    );
    let after = batches(&mut cluster.connect(leader)?, copied)?;
    ensure!(after == before, "other records came back");
    Ok(())
}

fn verified() -> Result<()> {
    let bucket = Place::folder()?;
    let url = bucket.url();
    let set = settings(url.clone(), CLUSTER);
    let set: Vec<_> = set
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let mut broker = Broker::start(&set)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let tiered = [
        ("remote.storage.enable", "true"),
        ("segment.bytes", "1048576"),
    ];
    raw.create_topic("t", &tiered)?;
    let (_, end) = produce(|| Raw::connect(broker.bootstrap()), -1, 30)?;
    eventually(PATIENCE, || {
        let (code, _, last) = raw.offset_at("t", Raw::LATEST_TIERED)?;
        ensure!(code == 0 && last + 16 >= end, "tiered to {last} of {end}");
        Ok(())
    })?;
    std::thread::sleep(Duration::from_secs(1));
    broker.kill()?;
    let verify = |more: &[&str]| -> Result<(bool, Value)> {
        let mut arguments = vec!["tier", "verify", "--from", url.as_str(), "--output", "json"];
        arguments.extend(more);
        // Nobody is there.
        let told = command("127.0.0.1:1", &arguments)?;
        let value = serde_json::from_str(&told.stdout);
        Ok((
            told.status.success(),
            value.with_context(|| told.stderr.clone())?,
        ))
    };
    let (sound, told) = verify(&["--read"])?;
    ensure!(
        sound && told["topics"][0]["offsets"].as_i64() >= Some(end - 16),
        "{told}"
    );
    ensure!(told["topics"][0]["segments"].as_i64() >= Some(2), "{told}");
    let segments = bucket.root().join("freshet").join(CLUSTER);
    let topic = told["topics"][0]["id"].as_str().context("an id")?;
    let segments = segments.join(topic).join("0/segments");
    let mut names: Vec<_> = fs::read_dir(segments)?
        .map(|it| Ok(it?.path()))
        .collect::<Result<_>>()?;
    names.sort();
    let mut bytes = fs::read(&names[0])?;
    bytes[5000] ^= 1;
    fs::write(&names[0], bytes)?;
    // Its end is as it was; what is in it is not.
    let (sound, told) = verify(&[])?;
    ensure!(sound, "{told}");
    let (sound, told) = verify(&["--read"])?;
    ensure!(!sound && told["damaged"][0]["start"] == 0, "{told}");
    fs::remove_file(&names[1])?;
    let (sound, told) = verify(&[])?;
    let why = told["damaged"][0]["why"].as_str().unwrap_or_default();
    ensure!(!sound && why.contains("is not there"), "{told}");
    Ok(())
}

fn refused() -> Result<()> {
    let place = Place::folder()?;
    let url = place.url();
    let start = |cluster: &str| {
        let mut set = settings(place.url(), cluster);
        // One is in the other's bucket, and says that this is meant.
        let shared = ("freshet.remote.storage.shared", "true".to_owned());
        set.extend((cluster != CLUSTER).then_some(shared));
        let set: Vec<_> = set
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        Broker::start(&set)
    };
    let refusal = |broker: &Broker, more: &[&str]| -> Result<String> {
        let mut arguments = vec!["cluster", "restore", "--from", url.as_str()];
        arguments.extend(more);
        let told = command(broker.bootstrap(), &arguments)?;
        ensure!(!told.status.success(), "{}", told.stdout);
        Ok(told.stderr)
    };
    let first = start(CLUSTER)?;
    Raw::connect(first.bootstrap())?.create_topic("t", &[])?;
    eventually(PATIENCE, || {
        let told = restore(first.bootstrap(), &place, &["--dry-run"])?;
        ensure!(standings(&told).len() == 1, "{told}");
        Ok(())
    })?;
    // Who looks into a bucket is told the same.
    let planned = ["tier", "restore-plan", "--from", &url, "--output", "json"];
    let planned = command(first.bootstrap(), &planned)?.success()?;
    let planned: Value = serde_json::from_str(&planned).with_context(|| planned.clone())?;
    let told = restore(first.bootstrap(), &place, &["--dry-run"])?;
    ensure!(planned == told, "{planned}, and not {told}");
    // Another cluster's bucket.
    let stranger = start("c3RyYW5nZS1jbHVzdGVyLQ")?;
    let why = refusal(&stranger, &[])?;
    ensure!(
        why.contains(CLUSTER) && why.contains("freshet.cluster.id"),
        "{why}"
    );
    // A cluster that is alive.
    let second = start(CLUSTER)?;
    let mut raw = Raw::connect(first.bootstrap())?;
    let alive = std::thread::spawn(move || -> Result<()> {
        std::thread::sleep(Duration::from_millis(1500));
        raw.create_topic("another", &[])
    });
    let why = refusal(&second, &["--watch", "4s"])?;
    ensure!(why.contains("is alive"), "{why}");
    alive.join().expect("it does not panic")?;
    drop(first);
    // Somebody was faster.
    Raw::connect(second.bootstrap())?.create_topic("t", &[])?;
    let why = refusal(&second, &["--dry-run"])?;
    ensure!(why.contains("other topics of the same name: t"), "{why}");
    // No bucket at all.
    let missing = command(
        second.bootstrap(),
        &["cluster", "restore", "--from", "file:///nowhere/at/all"],
    )?;
    ensure!(
        missing.stderr.contains("there is no such folder"),
        "{}",
        missing.stderr
    );
    Ok(())
}
