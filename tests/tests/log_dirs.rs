//! Several log directories: replicas move between them, and one that cannot be read costs only what
//! is in it.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use freshet_records::{Codec, NO_PRODUCER};
use freshet_tests::{Broker, Client, Kind, Raw, Suite, Tools, batch, eventually, get, now_ms};
use freshet_wire::alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use freshet_wire::describe_log_dirs::DescribeLogDirsPartition;
use freshet_wire::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest};
use tempfile::TempDir;

const STORAGE_ERROR: i16 = 56;
const LOG_DIR_NOT_FOUND: i16 = 57;
const UNKNOWN_TOPIC: i16 = 3;
const INVALID_CONFIG: i16 = 40;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut suite = Suite::default();
    let kafka =
        (Kind::from_env() == Kind::Kafka).then(|| "this is about Freshet's folders".to_owned());
    suite.test(
        "a_replica_moves_to_another_directory_while_it_is_written",
        kafka.clone(),
        moves,
    );
    suite.test(
        "a_move_that_a_kill_cuts_short_goes_on",
        kafka.clone(),
        cut_short,
    );
    suite.test(
        "a_directory_that_cannot_be_read_at_the_start_costs_only_what_is_in_it",
        kafka.clone(),
        unreadable,
    );
    suite.test(
        "only_directories_that_are_there_can_be_cordoned",
        kafka.clone(),
        cordons,
    );
    suite.test(
        "kafka_reassign_partitions_moves_a_replica_between_directories",
        kafka.or_else(|| Client::Java.missing()),
        kafkas_tool,
    );
    suite.run()
}

/// A broker with two directories, and where they are.
struct Home {
    broker: Broker,
    raw: Raw,
    dirs: [String; 2],
    folder: TempDir,
}

impl Home {
    fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("freshet-dirs-").tempdir()?;
        let dirs = ["a", "b"].map(|name| folder.path().join(name).display().to_string());
        let both = dirs.join(",");
        let broker = Broker::start(&[("log.dirs", &both), ("freshet.disk.reserve.bytes", "0")])?;
        let raw = Raw::connect(broker.bootstrap())?;
        Ok(Self {
            broker,
            raw,
            dirs,
            folder,
        })
    }

    /// With so many records in the topic `t`.
    fn filled(count: i64) -> Result<Self> {
        let mut home = Self::start()?;
        home.raw.create_topic("t", &[])?;
        for offset in 0..count {
            ensure!(home.produce("t")? == offset);
        }
        Ok(home)
    }

    fn start_again(&mut self) -> Result<()> {
        self.broker.start_again()?;
        self.raw = Raw::connect(self.broker.bootstrap())?;
        Ok(())
    }

    /// What a topic's one partition has in a directory; `None` in the first place for one that is
    /// offline.
    fn held(&mut self, dir: &str, topic: &str) -> Result<Option<Vec<DescribeLogDirsPartition>>> {
        let told = self.raw.latest(&DescribeLogDirsRequest { topics: None })?;
        let result = told.results.into_iter().find(|it| it.log_dir == dir);
        let result = result.context("every directory is told")?;
        if result.error_code != 0 {
            ensure!(result.error_code == STORAGE_ERROR, "{result:?}");
            return Ok(None);
        }
        let held = result.topics.into_iter().filter(|it| it.name == topic);
        Ok(Some(held.flat_map(|it| it.partitions).collect()))
    }

    /// The directory that a topic is in, and the other one.
    fn home_of(&mut self, topic: &str) -> Result<(String, String)> {
        let [a, b] = self.dirs.clone();
        let in_a = self.held(&a, topic)?.unwrap_or_default();
        let in_a = in_a.iter().any(|it| !it.is_future_key);
        Ok(if in_a { (a, b) } else { (b, a) })
    }

    fn move_to(&mut self, dir: &str, topic: &str) -> Result<i16> {
        let request = AlterReplicaLogDirsRequest {
            dirs: vec![AlterReplicaLogDir {
                path: dir.to_owned(),
                topics: vec![AlterReplicaLogDirTopic {
                    name: topic.to_owned(),
                    partitions: vec![0],
                }],
            }],
        };
        let told = self.raw.latest(&request)?;
        Ok(told.results[0].partitions[0].error_code)
    }

    fn await_home(&mut self, dir: &str, topic: &str) -> Result<()> {
        eventually(PATIENCE, || {
            let (home, other) = self.home_of(topic)?;
            let left = self.held(&other, topic)?.unwrap_or_default();
            ensure!(
                home == dir && left.is_empty(),
                "{topic} is in {home}: {left:?}"
            );
            Ok(())
        })
    }

    /// Changes a setting of the broker.
    fn set(&mut self, name: &str, value: &str) -> Result<(i16, String)> {
        self.raw.set_config((Raw::BROKER, "1"), name, value)
    }

    fn produce(&mut self, topic: &str) -> Result<i64> {
        let told = self.raw.produce(topic, record(100_000)?)?;
        ensure!(told.error_code == 0, "{told:?}");
        Ok(told.base_offset)
    }

    fn end(&mut self, topic: &str) -> Result<i64> {
        Ok(self.raw.offset_at(topic, -1)?.2)
    }
}

fn record(bytes: usize) -> Result<Bytes> {
    batch(Codec::None, NO_PRODUCER, &[(now_ms(), &vec![7; bytes])])
}

fn moves() -> Result<()> {
    let mut home = Home::filled(50)?;
    let (from, to) = home.home_of("t")?;
    ensure!(home.move_to("/no/such", "t")? == LOG_DIR_NOT_FOUND);
    ensure!(home.move_to(&to, "nobody")? == UNKNOWN_TOPIC);
    ensure!(home.move_to(&from, "t")? == 0, "it is there");
    // So slow that it is seen on its way, and called off.
    let rate = "replica.alter.log.dirs.io.max.bytes.per.second";
    ensure!(home.set(rate, "1")?.0 == 0);
    ensure!(home.move_to(&to, "t")? == 0);
    let copies = home.held(&to, "t")?.context("online")?;
    ensure!(copies.len() == 1 && copies[0].is_future_key, "{copies:?}");
    ensure!(copies[0].offset_lag > 0, "{copies:?}");
    ensure!(home.move_to(&from, "t")? == 0);
    ensure!(home.held(&to, "t")? == Some(Vec::new()), "called off");
    ensure!(home.set(rate, "100000000")?.0 == 0);
    ensure!(home.move_to(&to, "t")? == 0);
    for offset in 50..100 {
        ensure!(home.produce("t")? == offset, "written while it moves");
    }
    home.await_home(&to, "t")?;
    ensure!(home.produce("t")? == 100);
    ensure!(home.end("t")? == 101 && home.raw.fetch("t", 0, 1000)?.error_code == 0);
    home.broker.kill()?;
    home.start_again()?;
    home.await_home(&to, "t")?;
    ensure!(home.end("t")? == 101 && home.produce("t")? == 101);
    let left = fs::read_dir(&from)?.filter_map(Result::ok);
    let left: Vec<_> = left.map(|it| it.file_name()).collect();
    ensure!(!left.iter().any(|name| name == "t-0"), "{left:?}");
    Ok(())
}

fn cut_short() -> Result<()> {
    let mut home = Home::filled(30)?;
    let (from, to) = home.home_of("t")?;
    let rate = "replica.alter.log.dirs.io.max.bytes.per.second";
    ensure!(home.set(rate, "1")?.0 == 0);
    ensure!(home.move_to(&to, "t")? == 0);
    home.broker.kill()?;
    home.start_again()?;
    eventually(PATIENCE, || {
        let copies = home.held(&to, "t")?.unwrap_or_default();
        ensure!(copies.len() == 1 && copies[0].is_future_key, "{copies:?}");
        Ok(())
    })?;
    ensure!(home.home_of("t")?.0 == from && home.end("t")? == 30);
    ensure!(home.set(rate, "100000000")?.0 == 0);
    home.await_home(&to, "t")?;
    ensure!(home.end("t")? == 30 && home.produce("t")? == 30);
    Ok(())
}

fn unreadable() -> Result<()> {
    let mut home = Home::start()?;
    for topic in ["t0", "t1"] {
        home.raw.create_topic(topic, &[])?;
        ensure!(home.produce(topic)? == 0);
    }
    let first = home.home_of("t0")?.0 == home.dirs[0];
    // The first directory has the metadata log.
    let (here, there) = if first { ("t0", "t1") } else { ("t1", "t0") };
    ensure!(home.home_of(here)?.0 != home.home_of(there)?.0);
    let lost = home.dirs[1].clone();
    let aside = home.folder.path().join("aside");
    ensure!(home.broker.stop()?.success());
    fs::rename(&lost, &aside)?;
    fs::write(&lost, "no directory")?;
    home.start_again()?;
    ensure!(home.held(&lost, there)?.is_none(), "it is told as offline");
    let (_, page) = get(home.broker.http()?, "/metrics")?;
    for (dir, offline) in [(&home.dirs[0], 0), (&lost, 1)] {
        let line = format!("freshet_log_directory_offline{{directory=\"{dir}\"}} {offline}\n");
        ensure!(page.contains(&line), "{line} is missing in {page}");
    }
    ensure!(home.produce(here)? == 1, "the rest is served");
    let refused = home.raw.produce(there, record(10)?)?;
    ensure!(refused.error_code != 0, "{refused:?}");
    ensure!(home.move_to(&lost, here)? == STORAGE_ERROR);
    home.raw.create_topic("new", &[])?;
    ensure!(home.produce("new")? == 0, "new ones go to what is left");
    ensure!(home.broker.tail().contains("starting without it"));
    ensure!(home.broker.stop()?.success());
    // It comes back with all that it had.
    fs::remove_file(&lost)?;
    fs::rename(&aside, &lost)?;
    home.start_again()?;
    ensure!(home.produce(there)? == 1 && home.produce(here)? == 2);
    ensure!(home.broker.stop()?.success());
    // Without the metadata there is no start.
    fs::rename(&home.dirs[0], &aside)?;
    fs::write(&home.dirs[0], "no directory")?;
    let refused = format!("{:#}", home.start_again().err().context("it started")?);
    ensure!(refused.contains("let it be a folder"), "{refused}");
    Ok(())
}

fn cordons() -> Result<()> {
    let mut home = Home::start()?;
    let name = "cordoned.log.dirs";
    let (code, why) = home.set(name, "/no/such")?;
    ensure!(code == INVALID_CONFIG && why.contains("/no/such"), "{why}");
    let second = home.dirs[1].clone();
    ensure!(home.set(name, &second)?.0 == 0);
    ensure!(home.set(name, "*")?.0 == 0);
    let refused = Broker::start(&[(name, "/no/such")])
        .err()
        .context("it started")?;
    let refused = format!("{refused:#}");
    ensure!(refused.contains("/no/such is none of them"), "{refused}");
    Ok(())
}

fn kafkas_tool() -> Result<()> {
    let mut home = Home::filled(30)?;
    let (_, to) = home.home_of("t")?;
    let plan = serde_json::json!({
        "version": 1,
        "partitions": [{"topic": "t", "partition": 0, "replicas": [1], "log_dirs": [to]}],
    });
    let path = home.folder.path().join("plan.json");
    fs::write(&path, plan.to_string())?;
    let path = path.display().to_string();
    let tools = Tools::new(home.broker.bootstrap());
    let run = |more: &[&str]| {
        let arguments = [&["--reassignment-json-file", &path][..], more].concat();
        tools.run("kafka-reassign-partitions", &arguments)
    };
    let throttle = [
        "--execute",
        "--replica-alter-log-dirs-throttle",
        "100000000",
    ];
    let told = run(&throttle)?;
    ensure!(
        told.contains("Successfully started moving log directory"),
        "{told}"
    );
    home.await_home(&to, "t")?;
    let told = run(&["--verify"])?;
    ensure!(
        told.contains("Reassignment of replica t-0") && told.contains("completed"),
        "{told}"
    );
    ensure!(home.produce("t")? == 30 && home.end("t")? == 31);
    Ok(())
}
