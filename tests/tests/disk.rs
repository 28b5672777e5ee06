//! What the disk does to a broker: it fills up, one of several fails, and old things leave it.
//!
//! Small file systems of their own ([`Mount`]) make a disk that is full, a [`Disk`] one that fails; mounting
//! them needs root, and a test that may not mount counts as skipped.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use freshet_records::{Codec, NO_PRODUCER};
use freshet_tests::{
    Broker, Disk, Kind, Mount, Raw, Suite, batch, eventually, get, missing_for_disks, now_ms,
};
use freshet_wire::delete_topics::DeleteTopicState;
use freshet_wire::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use freshet_wire::offset_fetch::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use freshet_wire::{
    DeleteTopicsRequest, DescribeLogDirsRequest, FindCoordinatorRequest, OffsetCommitRequest,
    OffsetFetchRequest,
};
use tempfile::TempDir;

const STORAGE_ERROR: i16 = 56;
const MIB: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut suite = Suite::default();
    let kafka =
        (Kind::from_env() == Kind::Kafka).then(|| "this is about Freshet's disk".to_owned());
    let mountless = || kafka.clone().or_else(Mount::missing);
    suite.test(
        "a_full_disk_refuses_producers_and_serves_the_rest",
        mountless(),
        full_disk,
    );
    suite.test(
        "a_directory_that_is_full_refuses_alone_and_comes_back",
        mountless(),
        full_directory,
    );
    suite.test(
        "a_directory_that_fails_takes_only_its_partitions_along",
        kafka.clone().or_else(missing_for_disks),
        failing_directory,
    );
    suite.test("old_records_leave", kafka.clone(), retention);
    suite.test("old_offsets_of_a_quiet_group_leave", kafka, offsets_expire);
    suite.run()
}

fn one_batch(bytes: usize, timestamp: i64) -> Result<Bytes> {
    batch(Codec::None, NO_PRODUCER, &[(timestamp, &vec![7; bytes])])
}

/// Asks until it is so.
fn await_that(what: &str, limit: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    eventually(limit, || {
        ensure!(is_so()?, "{what}");
        Ok(())
    })
}

fn full_disk() -> Result<()> {
    let disk = Mount::new(96)?;
    let data = disk.data().display().to_string();
    let mut broker = Broker::start(&[
        ("log.dirs", &data),
        ("freshet.disk.reserve.bytes", "33554432"),
        ("log.segment.bytes", "4194304"),
    ])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    for topic in ["kept", "ballast"] {
        raw.create_topic(topic, &[("file.delete.delay.ms", "0")])?;
    }
    let record = one_batch(MIB / 2, now_ms())?;
    let mut acked = 0;
    let refused = loop {
        let topic = if acked % 2 == 0 { "kept" } else { "ballast" };
        let told = raw.produce(topic, record.clone())?;
        if told.error_code != 0 {
            break told;
        }
        acked += 1;
        ensure!(acked < 200, "96 MB took {acked} half megabytes");
    };
    ensure!(refused.error_code == STORAGE_ERROR, "{refused:?}");
    ensure!(
        acked > 80,
        "refused after {acked} half megabytes, 64 MB are above the reserve"
    );
    // All but producing goes on.
    let kept = i64::from((acked + 1) / 2);
    let read_all = |raw: &mut Raw| -> Result<()> {
        ensure!(raw.offset_at("kept", -1)? == (0, -1, kept), "the end moved");
        for offset in 0..kept {
            let told = raw.fetch("kept", offset, i32::try_from(MIB)?)?;
            let bytes = told.records.len();
            ensure!(
                told.error_code == 0 && bytes >= MIB / 2,
                "fetching {offset}"
            );
        }
        Ok(())
    };
    read_all(&mut raw)?;
    // A full disk is no reason not to start.
    ensure!(broker.stop()?.success(), "{}", broker.tail());
    broker.start_again().context("starting on a full disk")?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    read_all(&mut raw)?;
    // The clean stop gave back what was made ready behind the logs' ends.
    let mut more = 0;
    while raw.produce("kept", record.clone())?.error_code != STORAGE_ERROR {
        more += 1;
        ensure!(more <= 8, "there is room for {more} more after a restart");
    }
    // Room comes back with a topic that goes, and producers with it.
    let ballast = DeleteTopicState {
        name: Some("ballast".to_owned()),
        ..Default::default()
    };
    let delete = DeleteTopicsRequest {
        topics: vec![ballast],
        timeout_ms: 10_000,
        ..Default::default()
    };
    let told = raw.latest(&delete)?;
    ensure!(told.responses[0].error_code == 0, "{told:?}");
    await_that("room to produce again", PATIENCE, || {
        Ok(raw.produce("kept", record.clone())?.error_code == 0)
    })?;
    ensure!(raw.offset_at("kept", -1)?.2 == kept + more + 1);
    Ok(())
}

/// Topics of a broker by the directory that holds them.
fn by_directory(raw: &mut Raw, directory: &str) -> Result<Vec<String>> {
    let told = raw.latest(&DescribeLogDirsRequest { topics: None })?;
    let mut topics = Vec::new();
    for result in told.results {
        if result.log_dir == directory {
            topics.extend(result.topics.into_iter().map(|topic| topic.name));
        }
    }
    topics.sort();
    Ok(topics)
}

/// A broker with two directories, and three topics of one record in each.
struct TwoDirectories {
    broker: Broker,
    raw: Raw,
    sound: Vec<String>,
    other: Vec<String>,
    _sound: TempDir,
}

fn two_directories(other: &str) -> Result<TwoDirectories> {
    let folder = tempfile::tempdir()?;
    let sound = folder.path().join("data").display().to_string();
    let dirs = format!("{sound},{other}");
    let broker = Broker::start(&[("log.dirs", &dirs), ("freshet.disk.reserve.bytes", "0")])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    for i in 0..6 {
        raw.create_topic(&format!("t{i}"), &[])?;
    }
    let sound = by_directory(&mut raw, &sound)?;
    let other = by_directory(&mut raw, other)?;
    ensure!(sound.len() == 3 && other.len() == 3, "{sound:?} {other:?}");
    let record = one_batch(10_000, now_ms())?;
    for topic in sound.iter().chain(&other) {
        let told = raw.produce(topic, record.clone())?;
        ensure!(told.error_code == 0, "{topic}: {told:?}");
    }
    Ok(TwoDirectories {
        broker,
        raw,
        sound,
        other,
        _sound: folder,
    })
}

/// Those in the sound directory take 19 more, whatever becomes of the other one.
fn the_others_go_on(raw: &mut Raw, sound: &[String]) -> Result<()> {
    let big = one_batch(MIB / 2, now_ms())?;
    for topic in sound {
        for offset in 1..20 {
            let told = raw.produce(topic, big.clone())?;
            let (error, at) = (told.error_code, told.base_offset);
            ensure!((error, at) == (0, offset), "{topic}: {told:?}");
        }
    }
    Ok(())
}

fn full_directory() -> Result<()> {
    let disk = Mount::new(64)?;
    let mut dirs = two_directories(&disk.data().display().to_string())?;
    let raw = &mut dirs.raw;
    disk.fill()?;
    let big = one_batch(MIB / 2, now_ms())?;
    for topic in &dirs.other {
        for _ in 0..3 {
            let told = raw.produce(topic, big.clone())?;
            ensure!(told.error_code == STORAGE_ERROR, "{topic}: {told:?}");
        }
        let end = raw.offset_at(topic, -1)?.2;
        ensure!(end == 1, "{topic}: what was refused is there, up to {end}");
    }
    the_others_go_on(raw, &dirs.sound)?;
    disk.make_room()?;
    for topic in &dirs.other {
        await_that("room to produce again", PATIENCE, || {
            Ok(raw.produce(topic, big.clone())?.error_code == 0)
        })?;
        let told = raw.fetch(topic, 1, i32::try_from(MIB)?)?;
        ensure!(told.records.len() >= MIB / 2, "{topic}: {told:?}");
        ensure!(raw.offset_at(topic, -1)?.2 == 2, "{topic}");
    }
    let (status, body) = get(dirs.broker.http()?, "/readyz")?;
    ensure!(status == 200, "{status}: {body}");
    ensure!(dirs.broker.stop()?.success(), "{}", dirs.broker.tail());
    Ok(())
}

fn failing_directory() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("freshet-disk-").tempdir()?;
    let disk = Disk::new(folder.path())?;
    let lost = disk.files().join("data").display().to_string();
    let mut dirs = two_directories(&lost)?;
    let raw = &mut dirs.raw;
    disk.fail_writes(true);
    let record = one_batch(10_000, now_ms())?;
    for topic in &dirs.other {
        let told = raw.produce(topic, record.clone())?;
        ensure!(told.error_code == STORAGE_ERROR, "{topic}: {told:?}");
    }
    the_others_go_on(raw, &dirs.sound)?;
    let (status, body) = get(dirs.broker.http()?, "/readyz")?;
    ensure!(
        body.contains(&lost),
        "{status}: a person sees which directory: {body}"
    );
    drop(dirs);
    Ok(())
}

fn retention() -> Result<()> {
    let broker = Broker::start(&[("log.retention.check.interval.ms", "200")])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let small = ("segment.bytes", "1048576");
    raw.create_topic("by_size", &[small, ("retention.bytes", "3145728")])?;
    raw.create_topic("by_time", &[small, ("retention.ms", "3600000")])?;
    let (old, fresh) = (now_ms() - 2 * 3_600_000, now_ms());
    for _ in 0..20 {
        ensure!(
            raw.produce("by_size", one_batch(MIB / 2, fresh)?)?
                .error_code
                == 0
        );
        ensure!(raw.produce("by_time", one_batch(MIB / 2, old)?)?.error_code == 0);
    }
    // By size: never below what is to be kept, and at most one segment above it.
    await_that("the start moves up by size", PATIENCE, || {
        Ok((12..=14).contains(&raw.offset_at("by_size", -2)?.2))
    })?;
    await_that("records two hours old are gone", PATIENCE, || {
        Ok(raw.offset_at("by_time", -2)?.2 == 20)
    })?;
    ensure!(raw.produce("by_time", one_batch(10, fresh)?)?.base_offset == 20);
    thread::sleep(Duration::from_secs(1));
    ensure!(raw.offset_at("by_time", -2)?.2 == 20 && raw.offset_at("by_time", -1)?.2 == 21);
    ensure!(raw.offset_at("by_size", -1)?.2 == 20);
    let gone = raw.fetch("by_size", 0, 1000)?;
    ensure!(gone.error_code == 1, "offset out of range: {gone:?}");
    Ok(())
}

fn offsets_expire() -> Result<()> {
    let mut broker = Broker::start(&[
        ("offsets.retention.minutes", "1"),
        ("offsets.retention.check.interval.ms", "500"),
        ("offsets.topic.num.partitions", "2"),
    ])?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic("t", &[])?;
    let find = FindCoordinatorRequest {
        coordinator_keys: vec!["g".to_owned()],
        ..Default::default()
    };
    await_that("a coordinator", PATIENCE, || {
        Ok(raw.call(4, &find)?.coordinators[0].error_code == 0)
    })?;
    let committed_at = Instant::now();
    await_that("a commit", PATIENCE, || commit(&mut raw, 42))?;
    ensure!(committed(&mut raw)? == 42);
    // A restart neither forgets it nor counts its time anew.
    thread::sleep(Duration::from_secs(20));
    ensure!(broker.stop()?.success());
    broker.start_again()?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    await_that("the group is loaded", PATIENCE, || {
        Ok(committed(&mut raw)? == 42)
    })?;
    let left = Duration::from_secs(56).saturating_sub(committed_at.elapsed());
    thread::sleep(left);
    ensure!(
        committed(&mut raw)? == 42,
        "gone before its minute was over"
    );
    await_that("the offset is gone", Duration::from_secs(20), || {
        Ok(committed(&mut raw)? == -1)
    })
}

/// Commits as a client without a group membership does.
fn commit(raw: &mut Raw, offset: i64) -> Result<bool> {
    let partition = OffsetCommitRequestPartition {
        committed_offset: offset,
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: "t".to_owned(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    Ok(raw.call(8, &request)?.topics[0].partitions[0].error_code == 0)
}

/// What is committed; -1 for nothing, -2 while it cannot be told.
fn committed(raw: &mut Raw) -> Result<i64> {
    let topic = OffsetFetchRequestTopics {
        name: "t".to_owned(),
        partition_indexes: vec![0],
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics: Some(vec![topic]),
        member_epoch: -1,
        ..Default::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![group],
        ..Default::default()
    };
    let told = raw.call(8, &request)?;
    let group = &told.groups[0];
    if group.error_code != 0 {
        return Ok(-2);
    }
    Ok(group.topics[0].partitions[0].committed_offset)
}
