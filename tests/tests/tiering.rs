//! Closed segments in object storage: what a bucket holds is what readers find.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

#[path = "tiering/again.rs"]
mod again;
#[path = "tiering/bounds.rs"]
mod bounds;
#[path = "tiering/by_default.rs"]
mod by_default;
#[path = "tiering/kept.rs"]
mod kept;
#[path = "tiering/offsets.rs"]
mod offsets;
#[path = "tiering/strangers.rs"]
mod strangers;
#[path = "tiering/together.rs"]
mod together;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freshet_records::{Codec, NO_PRODUCER};
use freshet_tests::{
    Answer, Broker, Client, Cluster, Cold, Kind, Output, Peer, Place, Raw, Role, Suite, batch,
    enter, eventually, freshet_command, get, missing_for_all_clients, missing_for_buckets,
    missing_for_trials, now_ms, run,
};
use freshet_wire::MetadataRequest;
use freshet_wire::metadata::MetadataRequestTopic;
use serde_json::json;

const INVALID_CONFIG: i16 = 40;
const OUT_OF_RANGE: i16 = 1;
const STORAGE: i16 = 56;
const TOPIC_RESOURCE: i8 = 2;
const BROKER_RESOURCE: i8 = 4;
const PATIENCE: Duration = Duration::from_secs(30);
/// A batch; eight of them make a segment.
const BATCH_BYTES: usize = 128 << 10;

fn main() -> ExitCode {
    // Clusters have a network of their own.
    let alone = enter().or_else(missing_for_trials);
    let mut suite = Suite::default();
    suite.test("without_a_bucket_no_topic_tiers", kafka(), refused);
    suite.test("a_bucket_that_is_not_there_is_refused", kafka(), no_folder);
    suite.test(
        "without_its_bucket_no_broker_starts_that_has_what_tiers",
        kafka(),
        store_forgotten,
    );
    for (name, body) in ALONE {
        on_both(&mut suite, name, kafka(), body);
    }
    on_both(
        &mut suite,
        "kafkas_own_tool_is_told_where_tiers_begin_and_end",
        kafka().or_else(|| Client::Java.missing()),
        offsets::told_to_everybody,
    );
    // librdkafka writes, and Java reads or gives orders.
    let needed = [Client::Java, Client::Librdkafka];
    let peers = kafka().or_else(|| needed.into_iter().find_map(Client::missing));
    on_both(
        &mut suite,
        "records_that_are_away_are_deleted",
        peers,
        deleted,
    );
    // The cluster's readers below have files.
    suite.test(
        "records_that_are_away_are_read_by_everybody",
        kafka()
            .or_else(missing_for_all_clients)
            .or_else(missing_for_buckets),
        || away(&Place::server()?),
    );
    on_both(
        &mut suite,
        "whoever_leads_next_goes_on_where_the_bucket_ends",
        kafka().or_else(|| alone.clone()),
        taken_over,
    );
    on_both(
        &mut suite,
        "whoever_leads_next_knows_what_is_away",
        kafka().or_else(|| alone.clone()),
        known_by_the_next,
    );
    suite.run()
}

/// A test on what is empty at first.
type Alone = fn(&mut Place) -> Result<()>;

/// Those that need no client.
const ALONE: [(&str, Alone); 10] = [
    ("closed_segments_are_copied_as_they_are", copied),
    ("copying_is_watched_paused_and_resumed", commanded),
    ("metrics_have_kafkas_names_and_move", measured),
    ("what_bounds_hold_up_is_timed", bounds::timed),
    ("a_second_replay_is_read_from_the_disk_cache", cached),
    (
        "one_fetch_reads_several_partitions_that_are_away",
        together::fetched,
    ),
    ("deleted_topics_leave_what_they_say", kept::kept),
    ("a_whole_cluster_tiers_by_its_default", by_default::switched),
    (
        "what_is_switched_off_goes_and_comes_again_when_it_is_on",
        again::switched,
    ),
    (
        "the_bucket_of_another_cluster_is_refused",
        strangers::refused,
    ),
];

fn kafka() -> Option<String> {
    (Kind::from_env() == Kind::Kafka).then(|| "it has no bucket".to_owned())
}

/// Once with a folder, and once with a bucket of a real S3 server.
fn on_both(suite: &mut Suite, name: &str, missing: Option<String>, body: Alone) {
    suite.test(name, missing.clone(), move || body(&mut Place::folder()?));
    let missing = missing.or_else(missing_for_buckets);
    let name = format!("{name}_on_s3");
    suite.test(&name, missing, move || body(&mut Place::server()?));
}

/// What `freshet tier` prints of the one partition of `t`.
fn status(broker: &Broker) -> Result<serde_json::Value> {
    let told = tier(broker, &["status", "--partitions", "--output", "json"])?.success()?;
    let partitions: Vec<serde_json::Value> = serde_json::from_str(&told)?;
    ensure!(partitions.len() == 1, "{told}");
    Ok(partitions[0].clone())
}

fn tier(broker: &Broker, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(freshet_command());
    command.arg("tier").args(arguments);
    command.env("FRESHET_BOOTSTRAP", broker.bootstrap());
    run(command, "", PATIENCE)
}

fn commanded(place: &mut Place) -> Result<()> {
    let broker = broker(place)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("plain", &[])?;
    raw.create_topic("t", TIERED)?;
    let copied = |least: i64| {
        eventually(PATIENCE, || {
            let told = status(&broker)?;
            let end = told["tiered_end"].as_i64();
            ensure!(end.is_some_and(|end| end >= least), "{told}");
            Ok(told)
        })
    };
    let end = produce(&mut raw, "t", 24)?;
    let told = copied(end - 8)?;
    let expected = (Some("copies"), Some(0), Some(end));
    let found = (
        told["state"].as_str(),
        told["start"].as_i64(),
        told["end"].as_i64(),
    );
    ensure!(found == expected, "{told}");
    // What closed segments have is in the bucket; of the open one nothing is due.
    let known = |name: &str| {
        told[name]
            .as_u64()
            .with_context(|| format!("{name} of {told}"))
    };
    ensure!(
        known("objects")? >= 2 && known("lag_segments")? == 0,
        "{told}"
    );
    ensure!(known("object_bytes")? >= 2 << 20, "{told}");
    ensure!(
        known("disk_bytes")? == known("leader_disk_bytes")?,
        "{told}"
    );
    ensure!(
        told["lag_ms"].is_null() && told["last_error"].is_null(),
        "{told}"
    );
    // One that has no bucket is told apart from the one that has.
    let refused = tier(&broker, &["pause", "t", "plain"])?;
    ensure!(!refused.status.success(), "{}", refused.stdout);
    ensure!(
        refused.stdout.contains("plain does not use object storage"),
        "{}",
        refused.stdout
    );
    // What is under way is finished.
    std::thread::sleep(Duration::from_secs(1));
    let before = status(&broker)?;
    ensure!(before["state"] == "paused", "{before}");
    let end = produce(&mut raw, "t", 24)?;
    std::thread::sleep(Duration::from_secs(1));
    let after = status(&broker)?;
    ensure!(
        after["tiered_end"] == before["tiered_end"],
        "{before} {after}"
    );
    let waits = |name: &str| {
        after[name]
            .as_u64()
            .with_context(|| format!("{name} of {after}"))
    };
    ensure!(waits("lag_segments")? >= 2, "{after}");
    ensure!(waits("lag_bytes")? >= 2 << 20, "{after}");
    // Written a second ago, at least.
    ensure!((900..120_000).contains(&waits("lag_ms")?), "{after}");
    let topics = tier(&broker, &["status", "--output", "json"])?.success()?;
    let topics: serde_json::Value = serde_json::from_str(&topics)?;
    let topic = &topics[0];
    for name in [
        "topic",
        "state",
        "objects",
        "object_bytes",
        "disk_bytes",
        "lag_segments",
        "lag_bytes",
    ] {
        ensure!(topic[name] == after[name], "{name} of {topic}, {after}");
    }
    ensure!(
        topic["records"] == end && topic["partitions"] == 1,
        "{topic}"
    );
    let table = tier(&broker, &["status", "t"])?.success()?;
    ensure!(
        table.contains("OLDEST") && table.contains("paused"),
        "{table}"
    );
    let table = tier(&broker, &["status", "plain"])?.success()?;
    ensure!(table.contains("off"), "{table}");
    let strange = tier(&broker, &["status", "t", "strange"])?;
    ensure!(
        !strange.status.success() && strange.stdout.contains("failed"),
        "{}",
        strange.stdout
    );
    tier(&broker, &["resume", "t"])?.success()?;
    copied(end - 8)?;
    Ok(())
}

fn settings(place: &Place) -> [(&'static str, String); 4] {
    [
        ("remote.log.storage.system.enable", "true".to_owned()),
        ("remote.log.storage.url", place.url()),
        ("remote.log.manager.task.interval.ms", "100".to_owned()),
        ("log.retention.check.interval.ms", "1000".to_owned()),
    ]
}

/// A broker that tiers.
fn broker(place: &Place) -> Result<Broker> {
    broker_with(place, &[])
}

/// The same, with these settings more.
fn broker_with(place: &Place, more: &[(&str, &str)]) -> Result<Broker> {
    let set = settings(place);
    let set = set.iter().map(|(name, value)| (*name, value.as_str()));
    let set: Vec<_> = set.chain(more.iter().copied()).collect();
    Broker::start_in(&place.environment_here(), &set)
}

const TIERED: &[(&str, &str)] = &[
    ("remote.storage.enable", "true"),
    ("segment.bytes", "1048576"),
];

/// Produces so many batches; gives the log end.
fn produce(raw: &mut Raw, topic: &str, batches: usize) -> Result<i64> {
    let mut end = 0;
    for n in 0..batches {
        let value = vec![u8::try_from(n % 251)?; BATCH_BYTES];
        let records = batch(Codec::None, NO_PRODUCER, &[(now_ms(), &value)])?;
        let told = raw.produce(topic, records)?;
        ensure!(told.error_code == 0, "{told:?}");
        end = told.base_offset + 1;
    }
    Ok(end)
}

/// Segment objects by their first offset. An attempt that was given up may have left a second one.
fn segments(place: &Place) -> Result<BTreeMap<i64, Vec<Vec<u8>>>> {
    let mut segments: BTreeMap<i64, Vec<Vec<u8>>> = BTreeMap::new();
    for path in place.objects()? {
        let folder = path.parent().and_then(Path::file_name);
        if folder.is_none_or(|folder| folder != "segments") {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let start = name.and_then(|name| name.split_once('-'));
        let (start, _) = start.with_context(|| format!("{}", path.display()))?;
        let object = fs::read(&path)?;
        segments.entry(start.parse()?).or_default().push(object);
    }
    Ok(segments)
}

fn manifests(place: &Place) -> Result<usize> {
    let of_manifests = |path: &PathBuf| {
        let folder = path.parent().and_then(Path::file_name);
        folder.is_some_and(|folder| folder == "manifests")
    };
    let objects = place.objects()?;
    Ok(objects.iter().filter(|path| of_manifests(path)).count())
}

/// Waits until all is in the bucket but what may still be in the open segment, and holds every object
/// against what the broker serves.
fn await_copies(raw: &mut Raw, topic: &str, place: &Place, end: i64) -> Result<usize> {
    eventually(PATIENCE, || {
        let last = segments(place)?.last_key_value().map(|(start, _)| *start);
        let last = last.context("the bucket is empty")?;
        // The last object has seven or eight, and as many may be open.
        ensure!(last + 16 >= end, "copied to {last} of {end}");
        Ok(())
    })?;
    // The last one may be half there.
    std::thread::sleep(Duration::from_millis(500));
    let segments = segments(place)?;
    let starts: Vec<i64> = segments.keys().copied().collect();
    ensure!(starts[0] == 0, "{starts:?}");
    for pair in starts.windows(2) {
        let mut served = Vec::new();
        let mut next = pair[0];
        while next < pair[1] {
            let told = raw.fetch(topic, next, i32::try_from(BATCH_BYTES)?)?;
            ensure!(told.error_code == 0, "fetching {next}: {}", told.error_code);
            let records = told.records.into_bytes();
            // One record in each batch.
            let length = 12 + i32::from_be_bytes(records[8..12].try_into()?);
            served.extend_from_slice(&records[..usize::try_from(length)?]);
            next += 1;
        }
        let is_whole = |object: &Vec<u8>| object.starts_with(&served);
        ensure!(
            segments[&pair[0]].iter().any(is_whole),
            "{} to {} is not in the bucket as it is served",
            pair[0],
            pair[1]
        );
    }
    ensure!(manifests(place)? > 0, "no manifest is in the bucket");
    Ok(starts.len())
}

fn copied(place: &mut Place) -> Result<()> {
    let mut broker = broker(place)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("t", TIERED)?;
    raw.create_topic("local", &[("segment.bytes", "1048576")])?;
    produce(&mut raw, "local", 20)?;
    let end = produce(&mut raw, "t", 40)?;
    let before = await_copies(&mut raw, "t", place, end)?;
    ensure!(before >= 4, "{before} segments");
    // Another life goes on where this one ends.
    ensure!(broker.stop()?.success(), "{}", broker.tail());
    broker.start_again()?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let end = produce(&mut raw, "t", 24)?;
    let after = await_copies(&mut raw, "t", place, end)?;
    ensure!(after > before, "{after} segments, {before} before");
    // Nothing of the topic that does not tier is there, but for its name in the export.
    let mut topics = 0;
    for cluster in fs::read_dir(place.root().join("freshet"))? {
        for entry in fs::read_dir(cluster?.path())? {
            let name = entry?.file_name();
            topics += usize::from(name != "cluster" && name != "groups");
        }
    }
    ensure!(topics == 1, "{topics} topics are in the bucket");
    // It can be switched off while the broker runs.
    let told = raw.set_config((TOPIC_RESOURCE, "t"), "remote.log.copy.disable", "true")?;
    ensure!(told.0 == 0, "{told:?}");
    std::thread::sleep(Duration::from_millis(500));
    let files_before = place.objects()?.len();
    produce(&mut raw, "t", 24)?;
    std::thread::sleep(Duration::from_secs(1));
    let files_after = place.objects()?.len();
    ensure!(
        files_after == files_before,
        "{files_after} objects, {files_before} before"
    );
    Ok(())
}

/// Kafka's names, with the broker's own series and the topic's; each moves when what it tells of does.
fn measured(place: &mut Place) -> Result<()> {
    let broker = broker(place)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let topic = [TIERED, &[("local.retention.bytes", "0")]].concat();
    raw.create_topic("t", &topic)?;
    let kafkas = |name: &str| kafkas(&broker, name);
    eventually(PATIENCE, || {
        ensure!(
            kafkas("remotecopybytes_total")? == 0,
            "before anything is written"
        );
        Ok(())
    })?;
    let end = produce(&mut raw, "t", 40)?;
    let away = eventually(PATIENCE, || {
        let local = raw.offset_at("t", Raw::EARLIEST_LOCAL)?;
        ensure!(local.0 == 0 && local.2 + 16 >= end, "{local:?} of {end}");
        Ok(local.2)
    })?;
    let copied = eventually(PATIENCE, || {
        let size = kafkas("remotelogsizebytes")?;
        ensure!(size >= 3 << 20, "{size} bytes");
        let lag = kafkas("remotecopylagsegments")? + kafkas("remotecopylagbytes")?;
        ensure!(lag == 0, "{lag} is left");
        Ok(size)
    })?;
    ensure!(
        kafkas("remotecopybytes_total")? == copied,
        "{copied} bytes are there"
    );
    let objects = kafkas("remotecopyrequests_total")?;
    ensure!(
        objects >= 3 && kafkas("remotelogmetadatacount")? == objects,
        "{objects}"
    );
    ensure!(kafkas("remotecopyerrors_total")? == 0, "none failed");
    ensure!(kafkas("remotefetchrequests_total")? == 0, "nobody has read");
    replay(&mut raw, "t", away)?;
    let reads = kafkas("remotefetchrequests_total")?;
    let bytes = kafkas("remotefetchbytes_total")?;
    ensure!(
        reads >= 1 && bytes >= 1 << 20,
        "{reads} reads, {bytes} bytes"
    );
    ensure!(
        counted(&broker, "freshet_remote_read_requests_total")? == reads,
        "{reads}"
    );
    let answers = counted(&broker, "freshet_remote_fetch_seconds_count")?;
    let asked = counted(&broker, "freshet_remote_fetch_requests_total")?;
    ensure!(
        answers >= 1 && answers <= asked,
        "{answers} answers to {asked}"
    );
    ensure!(
        counted(&broker, "freshet_remote_reader_places")? == 16,
        "by default"
    );
    measured_while_away(&broker, &mut raw, place)
}

/// What Kafka has under this name: of the broker, and the same of its only topic.
fn kafkas(broker: &Broker, name: &str) -> Result<u64> {
    let name = format!("kafka_server_brokertopicmetrics_{name}");
    let of_topic = counted(broker, &format!("{name}{{topic=\"t\"}}"))?;
    let all = counted(broker, &format!("{name} "))?;
    ensure!(
        all == of_topic,
        "{name}: {all}, of the only topic {of_topic}"
    );
    Ok(all)
}

fn measured_while_away(broker: &Broker, raw: &mut Raw, place: &mut Place) -> Result<()> {
    let kafkas = |name: &str| kafkas(broker, name);
    place.hide(true)?;
    let end = produce(raw, "t", 24)?;
    eventually(PATIENCE, || {
        let failed = kafkas("remotecopyerrors_total")?;
        let lag = kafkas("remotecopylagbytes")?;
        ensure!(
            failed >= 1 && lag >= 1 << 20,
            "{failed} failed, {lag} bytes wait"
        );
        let told = status(broker)?;
        ensure!(
            told["state"] == "failing" && told["last_error"].is_string(),
            "{told}"
        );
        Ok(())
    })?;
    place.hide(false)?;
    eventually(PATIENCE, || {
        ensure!(kafkas("remotecopylagsegments")? == 0, "it catches up");
        let told = status(broker)?;
        let copied = told["tiered_end"].as_i64();
        ensure!(copied.is_some_and(|copied| copied + 8 >= end), "{told}");
        ensure!(
            told["state"] == "copies" && told["last_error_ms"].is_u64(),
            "{told}"
        );
        Ok(())
    })?;
    // What is deleted waits for an hour.
    ensure!(
        kafkas("remotedeletelagsegments")? <= kafkas("remotecopyerrors_total")?,
        "of failures"
    );
    let before = kafkas("remotedeletelagsegments")?;
    let told = raw.set_config((TOPIC_RESOURCE, "t"), "retention.bytes", "1")?;
    ensure!(told.0 == 0, "{told:?}");
    eventually(PATIENCE, || {
        let waits = kafkas("remotedeletelagsegments")?;
        ensure!(waits >= before + 3, "{waits} wait, {before} before");
        Ok(())
    })
}

/// What is read a second time, with memory for seven chunks, is on the disk.
fn cached(place: &mut Place) -> Result<()> {
    let cache = tempfile::tempdir()?;
    let folder = cache.path().join("chunks").display().to_string();
    let (memory, disk) = ((8 << 20).to_string(), (32 << 20).to_string());
    let caches = [
        ("freshet.remote.read.cache.bytes", memory.as_str()),
        ("freshet.remote.read.disk.cache.bytes", &disk),
        ("freshet.remote.read.disk.cache.dir", &folder),
    ];
    let broker = broker_with(place, &caches)?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let topic = [TIERED, &[("local.retention.bytes", "0")]].concat();
    raw.create_topic("t", &topic)?;
    let end = produce(&mut raw, "t", 120)?;
    // All that the bucket will have: what is read ahead of the last record is wanted by nobody, so it is
    // asked for at each replay.
    let away = eventually(PATIENCE, || {
        let told = status(&broker)?;
        ensure!(told["lag_segments"] == 0, "{told}");
        let (_, _, last) = raw.offset_at("t", Raw::LATEST_TIERED)?;
        let (code, _, local) = raw.offset_at("t", Raw::EARLIEST_LOCAL)?;
        let is_whole = code == 0 && local == last + 1 && local + 16 >= end;
        ensure!(is_whole, "{code}: {local}, behind {last}, of {end}");
        Ok(local)
    })?;
    let first = replay(&mut raw, "t", away)?;
    let so_far = || -> Result<[u64; 3]> {
        let asked = counted(&broker, "freshet_remote_fetch_requests_total")?;
        let late = counted(&broker, "freshet_remote_disk_cache_late_total")?;
        Ok([
            asked,
            late,
            counted(&broker, "freshet_remote_disk_cache_hits_total")?,
        ])
    };
    let again = eventually(PATIENCE, || {
        let before = so_far()?;
        let again = replay(&mut raw, "t", away)?;
        let after = so_far()?;
        let [asked, late, hits] = [0, 1, 2].map(|at| after[at] - before[at]);
        // A disk that others keep busy for a tenth of a second is not waited for, so the bucket is asked.
        let is_near = asked <= late && hits >= 5;
        ensure!(
            is_near,
            "the bucket was asked {asked} times: {late} were late, {hits} were not"
        );
        Ok(again)
    })?;
    ensure!(again == first, "another replay gives other records");
    let held = counted(&broker, "freshet_remote_disk_cache_bytes")?;
    ensure!(held >= 5 << 20, "{held} bytes are held there");
    let mut on_disk = 0;
    for entry in fs::read_dir(&folder)? {
        on_disk += entry?.metadata()?.len();
    }
    ensure!(on_disk <= 32 << 20, "{on_disk} bytes are on the disk");
    // Its memory is that of the moment.
    let memory = || counted(&broker, "freshet_remote_cache_bytes");
    let before = memory()?;
    ensure!(before > 6 << 20, "{before} bytes in memory");
    let size = (4 << 20).to_string();
    let all_brokers = (BROKER_RESOURCE, "");
    let told = raw.set_config(all_brokers, "freshet.remote.read.cache.bytes", &size)?;
    ensure!(told.0 == 0, "{told:?}");
    eventually(PATIENCE, || {
        let after = memory()?;
        ensure!(after < 5 << 20, "{after} bytes in memory, {before} before");
        Ok(())
    })
}

/// The batches below `end`, one record each.
fn replay(raw: &mut Raw, topic: &str, end: i64) -> Result<Vec<u8>> {
    replay_from(raw, topic, 0, end)
}

/// The same from `next` on.
fn replay_from(raw: &mut Raw, topic: &str, mut next: i64, end: i64) -> Result<Vec<u8>> {
    let mut served = Vec::new();
    while next < end {
        let told = raw.fetch(topic, next, i32::try_from(BATCH_BYTES)?)?;
        ensure!(told.error_code == 0, "fetching {next}: {}", told.error_code);
        let records = told.records.into_bytes();
        // What is on its way from the bucket is there for the next fetch.
        if records.is_empty() {
            continue;
        }
        let length = 12 + i32::from_be_bytes(records[8..12].try_into()?);
        served.extend_from_slice(&records[..usize::try_from(length)?]);
        next += 1;
    }
    Ok(served)
}

/// A number that the broker counts.
fn counted(broker: &Broker, name: &str) -> Result<u64> {
    let (_, page) = get(broker.http()?, "/metrics")?;
    let told = |line: &str| line.strip_prefix(name)?.trim().parse().ok();
    let found = page.lines().find_map(told);
    found.with_context(|| format!("{name} is not among the metrics"))
}

fn away(place: &Place) -> Result<()> {
    let mut broker = broker(place)?;
    let cold = Cold::make(broker.bootstrap(), "t")?;
    let cold = cold.write(broker.bootstrap(), || Raw::connect(broker.bootstrap()))?;
    cold.read_by_all(broker.bootstrap())?;
    cold.look_up(|| Raw::connect(broker.bootstrap()))?;
    // Another life knows where its past is, and nothing of it by itself.
    ensure!(broker.stop()?.success(), "{}", broker.tail());
    broker.start_again()?;
    cold.await_away(|| Raw::connect(broker.bootstrap()))?;
    cold.read_by(Client::Java, broker.bootstrap())?;
    cold.look_up(|| Raw::connect(broker.bootstrap()))
}

/// Each on what the one before has left: DeleteRecords, a bucket that is away, retention, switching off.
fn deleted(place: &mut Place) -> Result<()> {
    let broker = broker(place)?;
    let cold = Cold::make(broker.bootstrap(), "t")?;
    cold.write(broker.bootstrap(), || Raw::connect(broker.bootstrap()))?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    deleted_by_request(broker.bootstrap(), &mut raw)?;
    bucket_away(place, &mut raw)?;
    deleted_by_age(&mut raw)?;
    switched_off(&mut raw)
}

fn deleted_by_request(bootstrap: &str, raw: &mut Raw) -> Result<()> {
    let mut admin = Peer::start(Client::Java, Role::Admin, bootstrap, &[])?;
    let order = json!({"op": "delete_records", "topic": "t", "partition": 0, "before": 100});
    let told = admin.ask(&order)?;
    ensure!(
        matches!(&told, Answer::Reply(told) if told["low"] == 100),
        "{told:?}"
    );
    begins_at(raw, 100)
}

/// The log begins there: what is before is nowhere, and what is there can be read.
fn begins_at(raw: &mut Raw, start: i64) -> Result<()> {
    let told = raw.offset_at("t", Raw::EARLIEST)?;
    ensure!(told == (0, -1, start), "{told:?} instead of {start}");
    let before = raw.fetch("t", start - 1, 1000)?.error_code;
    ensure!(before == OUT_OF_RANGE, "{before} before {start}");
    eventually(PATIENCE, || {
        let told = raw.fetch("t", start, 1000)?;
        ensure!(
            told.error_code == 0 && !told.records.is_empty(),
            "error {}",
            told.error_code
        );
        Ok(())
    })
}

/// What is in no cache cannot be read, and nobody takes that for an end.
fn bucket_away(place: &mut Place, raw: &mut Raw) -> Result<()> {
    place.hide(true)?;
    eventually(PATIENCE, || {
        let codes: Vec<i16> = (100..900)
            .step_by(25)
            .map(|offset| Ok(raw.fetch("t", offset, 1000)?.error_code))
            .collect::<Result<_>>()?;
        let fine = codes.iter().all(|code| [0, STORAGE].contains(code));
        ensure!(fine && codes.contains(&STORAGE), "{codes:?}");
        Ok(())
    })?;
    place.hide(false)
}

/// Retention takes the older half of what is in the bucket, and nothing of the other one.
fn deleted_by_age(raw: &mut Raw) -> Result<()> {
    // By their own time the records are of two minutes, long ago.
    let (_, newest, _) = raw.offset_at("t", Raw::NEWEST)?;
    let age = (now_ms() - newest + 60_000).to_string();
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "t"), "retention.ms", &age)?;
    ensure!(code == 0, "{code}: {why}");
    eventually(PATIENCE, || {
        let ((_, _, start), (_, _, local)) = (
            raw.offset_at("t", Raw::EARLIEST)?,
            raw.offset_at("t", Raw::EARLIEST_LOCAL)?,
        );
        ensure!(
            300 < start && start < local,
            "it begins at {start}, the disk at {local}"
        );
        Ok(())
    })?;
    // From now on nothing more is due.
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "t"), "retention.ms", "-1")?;
    ensure!(code == 0, "{code}: {why}");
    eventually(PATIENCE, || {
        let (_, _, start) = raw.offset_at("t", Raw::EARLIEST)?;
        begins_at(raw, start)
    })
}

/// By accident nobody loses what is in the bucket; on purpose it is gone, and what the disk has is all
/// there is.
fn switched_off(raw: &mut Raw) -> Result<()> {
    let (_, _, before) = raw.offset_at("t", Raw::EARLIEST)?;
    let off = ("remote.storage.enable", "false");
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "t"), off.0, off.1)?;
    ensure!(code == INVALID_CONFIG, "{code}: {why}");
    ensure!(why.contains("remote.log.delete.on.disable"), "{why}");
    let (code, why) = raw.set_config(
        (TOPIC_RESOURCE, "t"),
        "remote.log.delete.on.disable",
        "true",
    )?;
    ensure!(code == 0, "{why}");
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "t"), off.0, off.1)?;
    ensure!(code == 0, "{why}");
    eventually(PATIENCE, || {
        let (earliest, local) = (
            raw.offset_at("t", Raw::EARLIEST)?,
            raw.offset_at("t", Raw::EARLIEST_LOCAL)?,
        );
        ensure!(
            earliest == local && earliest.2 > before,
            "{earliest:?}, {local:?}"
        );
        Ok(())
    })
}

fn refused() -> Result<()> {
    let broker = Broker::start(&[])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("t", &[])?;
    let (code, why) = raw.set_config((TOPIC_RESOURCE, "t"), "remote.storage.enable", "true")?;
    ensure!(code == INVALID_CONFIG, "{code}: {why}");
    ensure!(why.contains("remote.log.storage.url"), "{why}");
    Ok(())
}

fn no_folder() -> Result<()> {
    let mut place = Place::folder()?;
    if let Place::Folder(folder) = &mut place {
        fs::remove_dir(folder.path())?;
    }
    let why = match broker(&place) {
        Ok(_) => anyhow::bail!("it started without its bucket"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(why.contains("there is no such folder"), "{why}");
    Ok(())
}

fn store_forgotten() -> Result<()> {
    let enable = "remote.log.storage.system.enable";
    let place = Place::folder()?;
    let mut broker = broker(&place)?;
    Raw::connect(broker.bootstrap())?.create_topic("orders", TIERED)?;
    ensure!(broker.stop()?.success(), "{}", broker.tail());
    broker.set(enable, "false");
    let why = match broker.start_again() {
        Ok(()) => anyhow::bail!("it started without its bucket"),
        Err(error) => format!("{error:#}"),
    };
    for said in ["(orders)", "remote.log.storage.system.enable=true"] {
        ensure!(why.contains(said), "{said} is not in {why}");
    }
    broker.set(enable, "true");
    broker.start_again()
}

fn taken_over(place: &mut Place) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = cluster(folder.path(), place)?;
    cluster.start()?;
    cluster.create_topic_with("t", (1, 3), TIERED)?;
    let mut lengths = Vec::new();
    for _ in 0..3 {
        cluster.await_whole("t", PATIENCE)?;
        let leader = cluster.leader("t", 0)?;
        let mut raw = cluster.connect(leader)?;
        let end = produce(&mut raw, "t", 20)?;
        lengths.push(await_copies(&mut raw, "t", place, end)?);
        manifests_are_safe(&mut raw)?;
        cluster.node(leader).kill()?;
        eventually(PATIENCE, || {
            let next = cluster.leader("t", 0)?;
            ensure!(next != leader, "{leader} still leads");
            Ok(())
        })?;
        cluster.node(leader).start()?;
    }
    ensure!(lengths.is_sorted_by(|a, b| a < b), "{lengths:?} segments");
    Ok(())
}

/// By default three brokers have each manifest, and two must have stored a change (`rlmm.config.*`).
fn manifests_are_safe(raw: &mut Raw) -> Result<()> {
    let topic = "__remote_log_metadata";
    let told = raw.latest(&MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(topic.to_owned()),
            ..Default::default()
        }]),
        ..Default::default()
    })?;
    let partitions = told.topics.into_iter().flat_map(|it| it.partitions);
    let replicas: Vec<usize> = partitions.map(|it| it.replica_nodes.len()).collect();
    ensure!(replicas == [3; 50], "{replicas:?}");
    let in_sync = by_default::value(raw, topic, "min.insync.replicas")?;
    ensure!(in_sync == "2", "{in_sync}");
    Ok(())
}

/// Three brokers that tier.
fn cluster(folder: &Path, place: &Place) -> Result<Cluster> {
    let mut cluster = Cluster::new(3, folder, false)?;
    for id in cluster.ids() {
        for (name, value) in settings(place) {
            cluster.node(id).set(name, &value);
        }
        cluster.node(id).set_store(place.environment());
    }
    Ok(cluster)
}

/// Leaders come and go, and one of them has missed all that was written: it begins where the others'
/// disks do, and serves all the same.
fn known_by_the_next(place: &mut Place) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = cluster(folder.path(), place)?;
    for id in cluster.ids() {
        let often = "leader.imbalance.check.interval.seconds";
        cluster.node(id).set(often, "1");
    }
    cluster.start()?;
    let cold = Cold::make(&cluster.bootstrap(), "t")?;
    cluster.await_whole("t", PATIENCE)?;
    let late = cluster.leader("t", 0)?;
    ensure!(cluster.node(late).stop()?.success(), "{late} does not stop");
    let bootstrap = cluster.bootstrap();
    let cold = cold.write(&bootstrap, || cluster.connect(cluster.leader("t", 0)?))?;
    cluster.node(late).start()?;
    // It was the first of the replicas, so it leads again once it is in sync.
    eventually(PATIENCE, || {
        let leader = cluster.leader("t", 0)?;
        ensure!(leader == late, "{leader} leads, not {late}");
        Ok(())
    })?;
    for reader in [Client::Java, Client::Librdkafka, Client::FranzGo] {
        cluster.await_whole("t", PATIENCE)?;
        let bootstrap = cluster.bootstrap();
        cold.await_away(|| cluster.connect(cluster.leader("t", 0)?))?;
        cold.read_by(reader, &bootstrap)?;
        cold.look_up(|| cluster.connect(cluster.leader("t", 0)?))?;
        let leader = cluster.depose("t")?;
        cold.await_away(|| cluster.connect(cluster.leader("t", 0)?))?;
        cold.look_up(|| cluster.connect(cluster.leader("t", 0)?))?;
        cluster.node(leader).start()?;
    }
    Ok(())
}
