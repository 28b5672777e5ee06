//! Trials of a cluster: named faults under load, each judged by the history checker.
//!
//! A trial gets a fresh cluster of three and a topic with three copies of each partition. Clients
//! write and read all the time while the trial breaks things. Then everything is healed, the work
//! must go on within [`RECOVERY`], all copies are read in full, and the checker judges.

mod beside;
mod clocks;
mod damage;
mod disks;
mod failover;
mod groups;
mod kills;
mod lines;
mod odd;
mod pauses;
mod resources;
mod rolls;

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use freshet_records::{BatchHeader, Batches};

use crate::bits::Bits;
use crate::broker::{Kind, freshet_command};
use crate::client::Client;
use crate::cluster::{Cluster, disk_start, fetch_once, read_copy};
use crate::faults::note;
use crate::history::{Anomaly, History, Numbered, Read, Write, is_renumbering, renumbered};
use crate::load::{Load, Plan, Seen, Writer};
use crate::scenario::eventually;
pub use disks::{disk_keeps_what_was_flushed, missing_for_disks};
pub use failover::{Waits, failover};

/// Work must go on everywhere so long after everything is healed.
pub(crate) const RECOVERY: Duration = Duration::from_secs(30);
const TOPIC: &str = "trial";
const PARTITIONS: i32 = 4;
/// Records per second of each writer.
const RATE: u32 = 400;

/// One trial.
pub struct Trial {
    /// Its name; the test's too.
    pub name: &'static str,
    /// The rows of the table of faults that it belongs to.
    pub rows: &'static [u8],
    /// What it breaks, and what it looks at meanwhile.
    pub faults: fn(&mut Stage) -> Result<()>,
    /// Where it may run, and what it needs.
    pub needs: Needs,
}

/// What a trial needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing but a cluster; random sequences may contain it.
    Cluster,
    /// The same, and promises that Apache Kafka does not make.
    Freshet,
    /// Five brokers.
    Five,
    /// A library that gives a process another clock.
    Clock,
    /// Brokers with disks of their own; random sequences of such may contain it.
    Disks,
    /// The `freshet` command, and a cluster for itself.
    Command,
}

/// Every trial, in the order of what is cheap to know first.
pub fn trials() -> Vec<&'static Trial> {
    let all = [
        kills::TRIALS,
        pauses::TRIALS,
        lines::TRIALS,
        rolls::TRIALS,
        groups::TRIALS,
        disks::TRIALS,
        damage::TRIALS,
        clocks::TRIALS,
        resources::TRIALS,
        odd::TRIALS,
    ];
    all.into_iter().flatten().collect()
}

/// What a trial works with.
pub struct Stage {
    /// The brokers.
    pub cluster: Cluster,
    /// The work that goes on; `None` once the trial has ended it.
    pub load: Load,
    /// All chance comes from here.
    pub bits: Bits,
    /// What the trial found worth telling.
    pub notes: Vec<String>,
    /// How many records may be given up by their clients.
    pub may_give_up: bool,
    /// Whether most records of the load are in a bucket, and on no disk.
    pub tiered: bool,
}

impl Stage {
    /// A partition of the load's topic, picked by chance, and who leads it.
    pub fn some_leader(&mut self) -> Result<(i32, i32)> {
        let partition = self.bits.below(PARTITIONS as u64) as i32;
        let leader = self.cluster.leader(TOPIC, partition)?;
        Ok((partition, leader))
    }

    /// Waits until another than `old` leads each partition, and says how long that took.
    pub fn await_other_leader(&mut self, old: i32, limit: Duration) -> Result<Duration> {
        let from = Instant::now();
        loop {
            let views = self.cluster.partitions(TOPIC);
            let moved =
                |view: &crate::cluster::PartitionView| view.leader >= 0 && view.leader != old;
            if views.as_ref().is_ok_and(|views| views.iter().all(moved)) {
                return Ok(from.elapsed());
            }
            ensure!(
                from.elapsed() < limit,
                "{old} still leads after {limit:?}: {views:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until all partitions go on, and until all replicas of the topic are in sync.
    pub fn recover(&mut self) -> Result<()> {
        self.load.await_progress(RECOVERY)?;
        self.cluster.await_whole(TOPIC, RECOVERY)
    }

    /// Tells something when the trial is over.
    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// The load's topic.
    pub fn topic(&self) -> &'static str {
        TOPIC
    }
}

/// Trials of one random sequence.
const SEQUENCE: usize = 4;

/// Runs a random sequence of trials on one cluster: what and in which order is in the seed.
pub fn soak_sequence(seed: u64) -> Result<()> {
    let mut bits = Bits::new(seed);
    let disks = bits.below(3) == 0 && missing_for_disks().is_none();
    let fits = |trial: &&Trial| match trial.needs {
        _ if known(trial.name).is_some() => false,
        Needs::Cluster => true,
        Needs::Freshet => Kind::from_env() == Kind::Freshet,
        Needs::Disks => disks,
        Needs::Clock => clocks::library().is_some(),
        Needs::Five | Needs::Command => false,
    };
    let all: Vec<&Trial> = trials().into_iter().filter(fits).collect();
    let chosen: Vec<&Trial> = (0..SEQUENCE).map(|_| *bits.pick(&all)).collect();
    let names: Vec<&str> = chosen.iter().map(|trial| trial.name).collect();
    println!("{}", names.join(", "));
    run_sequence(&chosen, seed)
}

/// Runs a trial; on failure what the brokers left is kept, and the error says where.
pub fn run_trial(trial: &Trial, seed: u64) -> Result<()> {
    run_sequence(&[trial], seed)
}

/// The same, while closed segments leave the disks for a bucket as soon as they may.
pub fn run_tiered(trial: &Trial, seed: u64) -> Result<()> {
    run_kept(&[trial], seed, true).map(drop)
}

/// Runs trials one after the other on the same cluster under the same load.
pub fn run_sequence(trials: &[&Trial], seed: u64) -> Result<()> {
    let outcome = run_kept(trials, seed, false);
    for trial in trials {
        note(trial.name, seed, outcome.is_ok());
    }
    outcome
}

fn run_kept(trials: &[&Trial], seed: u64, tiered: bool) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("freshet-trial-")
        .tempdir()?;
    let started = Instant::now();
    let outcome = run_in(trials, seed, folder.path().to_owned(), tiered);
    match outcome {
        Ok(told) => {
            println!("seed {seed}, {:.1?}: {told}", started.elapsed());
            Ok(())
        }
        Err(why) => {
            let kept = folder.keep();
            // The runner tells failures at its very end; a long run is watched.
            eprintln!("seed {seed} FAILED, see {}: {why:#}", kept.display());
            Err(why.context(format!(
                "seed {seed} (FRESHET_SEED={seed} repeats it); what the brokers left is in {}",
                kept.display()
            )))
        }
    }
}

fn run_in(trials: &[&Trial], seed: u64, folder: PathBuf, tiered: bool) -> Result<String> {
    let disks = trials.iter().any(|trial| trial.needs == Needs::Disks);
    let five = trials.iter().any(|trial| trial.needs == Needs::Five);
    let brokers = if five { 5 } else { 3 };
    let mut cluster = Cluster::new(brokers, &folder, disks)?;
    if tiered {
        tier(&mut cluster, &folder.join("bucket"))?;
    }
    let outcome = cluster.start().and_then(|()| {
        let mut configs = vec![("retention.ms", "-1")];
        configs.extend(if tiered { TIERED } else { &[] });
        let size = (PARTITIONS, i16::try_from(brokers)?);
        cluster.create_topic_with(TOPIC, size, &configs)
    });
    if let Err(why) = outcome {
        let tails = cluster.tails();
        return Err(why.context(format!("starting the cluster\n{tails}\n")));
    }
    let mut bits = Bits::new(seed);
    let plan = plan(&mut bits);
    let load = Load::start(plan, &cluster.bootstrap())?;
    let mut stage = Stage {
        cluster,
        load,
        bits,
        notes: Vec::new(),
        may_give_up: false,
        tiered,
    };
    let outcome = play(&mut stage, trials);
    if let Err(why) = outcome {
        let tails = stage.cluster.tails();
        return Err(why.context(format!("the brokers' last words:\n{tails}\n")));
    }
    close(stage)
}

/// A second of records is a segment, and none stays on a disk.
const TIERED: &[(&str, &str)] = &[
    ("remote.storage.enable", "true"),
    ("local.retention.bytes", "0"),
    ("segment.ms", "1000"),
];

fn tier(cluster: &mut Cluster, bucket: &Path) -> Result<()> {
    std::fs::create_dir_all(bucket)?;
    let url = format!("file://{}", bucket.display());
    for id in cluster.ids() {
        let node = cluster.node(id);
        node.set("remote.log.storage.system.enable", "true");
        node.set("remote.log.storage.url", &url);
        node.set("remote.log.manager.task.interval.ms", "200");
        node.set("log.retention.check.interval.ms", "1000");
    }
    Ok(())
}

fn play(stage: &mut Stage, trials: &[&Trial]) -> Result<()> {
    stage
        .load
        .await_progress(RECOVERY)
        .context("before any fault")?;
    for trial in trials {
        (trial.faults)(stage).with_context(|| trial.name.to_owned())?;
        stage.cluster.heal().context("healing")?;
        let took = stage.load.await_progress(RECOVERY);
        let took = took.with_context(|| format!("after {} and healing", trial.name))?;
        stage.note(format!("goes on {took:.1?} after the healing"));
        stage.cluster.must_live()?;
    }
    stage
        .cluster
        .await_whole(TOPIC, RECOVERY)
        .context("after the healing")
}

/// Who writes and reads: chance mixes the libraries.
fn plan(bits: &mut Bits) -> Plan {
    let writer = |client, idempotent| Writer { client, idempotent };
    let mut writers = vec![
        writer(Client::Librdkafka, true),
        writer(Client::FranzGo, true),
    ];
    if bits.below(3) == 0 {
        writers[1] = writer(Client::FranzGo, false);
    } else if bits.below(3) == 0 {
        writers[1] = writer(Client::Java, true);
    }
    Plan {
        topic: TOPIC.into(),
        partitions: PARTITIONS,
        writers,
        readers: vec![*bits.pick(&[Client::FranzGo, Client::Librdkafka])],
        rate: RATE,
    }
}

/// Ends the load, reads everything from everybody and judges.
fn close(stage: Stage) -> Result<String> {
    let Stage {
        mut cluster,
        load,
        notes,
        may_give_up,
        tiered,
        ..
    } = stage;
    let outcome = judge(&cluster, load, may_give_up, tiered);
    let outcome = outcome.and_then(|told| cluster.must_live().map(|()| told));
    let outcome =
        outcome.and_then(|told| Ok(format!("{told}; at most {}", cluster.must_be_modest()?)));
    let told =
        outcome.with_context(|| format!("the brokers' last words:\n{}\n", cluster.tails()))?;
    Ok(notes
        .into_iter()
        .chain([told])
        .collect::<Vec<_>>()
        .join("; "))
}

fn judge(cluster: &Cluster, load: Load, may_give_up: bool, tiered: bool) -> Result<String> {
    let clients = load.clients();
    let mut seen = load.finish(|| read_topic(cluster))?;
    read_copies(cluster, &mut seen.history, tiered)?;
    if let Ok(path) = env::var("FRESHET_HISTORY") {
        std::fs::write(&path, format!("{:#?}", seen.history))?;
    }
    let mut anomalies = seen.history.check();
    let again = renumbered(&anomalies, |write| numbered(cluster, write, &clients));
    anomalies.retain(|anomaly| !is_renumbering(anomaly, &again));
    if let Some(first) = anomalies.first() {
        let mut all: Vec<String> = anomalies.iter().take(10).map(ToString::to_string).collect();
        all.extend(twice_written(cluster, &anomalies));
        bail!(
            "{} anomalies, the first is {first}:\n{}",
            anomalies.len(),
            all.join("\n")
        );
    }
    if let Some((number, why)) = seen.given_up.first().filter(|_| !may_give_up) {
        let count = seen.given_up.len();
        bail!("{count} records were given up, the first is {number}: {why}");
    }
    let told = summary(&seen);
    Ok(match again.len() {
        0 => told,
        count => format!("{told}; librdkafka gave itself another epoch: {count} are there again"),
    })
}

/// How what librdkafka wrote is numbered where it is; no other client of ours numbers anew what may be
/// stored.
fn numbered(cluster: &Cluster, write: &Write, clients: &[Client]) -> Option<Numbered> {
    let at = usize::try_from(write.writer() - 1).ok();
    let client = at.and_then(|at| clients.get(at));
    client.filter(|client| **client == Client::Librdkafka)?;
    let header = header_at(cluster, write.partition, write.offset).ok()?;
    Some(Numbered {
        producer: header.producer_id,
        epoch: header.producer_epoch,
    })
}

/// By whom what is there twice was written: a producer that gave itself another epoch has forgotten
/// what it was not told of; one that did not was let through by a broker.
fn twice_written(cluster: &Cluster, anomalies: &[Anomaly]) -> Vec<String> {
    let both = anomalies.iter().filter_map(|anomaly| match anomaly {
        Anomaly::Duplicate { first, second } => Some([first, second]),
        _ => None,
    });
    let told = |write: &Write| match header_at(cluster, write.partition, write.offset) {
        Ok(header) => format!(
            "{}-{} is of producer {} epoch {} sequence {}",
            write.partition,
            write.offset,
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        Err(error) => format!("{}-{}: {error:#}", write.partition, write.offset),
    };
    both.take(4).flatten().map(told).collect()
}

fn header_at(cluster: &Cluster, partition: i32, offset: i64) -> Result<BatchHeader> {
    let leader = cluster.leader(TOPIC, partition)?;
    let mut raw = cluster.connect(leader)?;
    let told = fetch_once(&mut raw, TOPIC, partition, offset)?;
    let mut batches = Batches::new(told.records.into_bytes());
    let batch = batches.next().context("nothing is there")??;
    Ok(*batch.header())
}

fn summary(seen: &Seen) -> String {
    let history = &seen.history;
    format!(
        "{} sent, {} acknowledged, {} given up, {} read from {} copies; ack p50 {:.1?} p99 {:.1?} max {:.1?}",
        history.sent.len(),
        history.acked.len(),
        seen.given_up.len(),
        history.last_read.len(),
        history.copies.len(),
        seen.percentile(0.5),
        seen.percentile(0.99),
        seen.took.last().copied().unwrap_or_default(),
    )
}

/// The whole topic, each partition from its leader.
fn read_topic(cluster: &Cluster) -> Result<Vec<Read>> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let leader = cluster.leader(TOPIC, partition)?;
        let copy = read_copy(&mut cluster.connect(leader)?, TOPIC, partition, (0, None))?;
        let (shown, _) = copy.with_context(|| format!("{leader} leads {partition} no more"))?;
        all.extend(shown);
    }
    Ok(all)
}

/// Every broker's copy of the topic, where brokers serve what they do not lead. Where they have not
/// all of it on their disks, what they have.
fn read_copies(cluster: &Cluster, history: &mut History, tiered: bool) -> Result<()> {
    for id in cluster.ids() {
        let mut raw = cluster.connect(id)?;
        let mut copy = Some(Vec::new());
        for partition in 0..PARTITIONS {
            let mine = history
                .last_read
                .iter()
                .filter(|read| read.partition == partition);
            let end = mine.map(|read| read.offset + 1).max();
            // It may begin later from one moment to the next.
            let (start, told) = eventually(RECOVERY, || {
                let start = match end {
                    Some(end) if tiered => disk_start(&mut raw, TOPIC, partition, end)?,
                    _ => 0,
                };
                if start > 0 {
                    starts_in_the_bucket(cluster, partition, start)?;
                }
                let told = read_copy(&mut raw, TOPIC, partition, (start, end))?;
                Ok((start, told))
            })
            .with_context(|| format!("the copy of broker {id}"))?;
            history.starts.insert((id, partition), start);
            match (told, &mut copy) {
                (Some((shown, _)), Some(copy)) => copy.extend(shown),
                _ => copy = None,
            }
        }
        history.copies.extend(copy.map(|copy| (id, copy)));
    }
    let left = history.starts.values().filter(|start| **start > 0).count();
    ensure!(left > 0 || !tiered, "no record has left any disk");
    let copies = history.copies.len();
    if copies < 3 && cluster.kind() == Kind::Kafka {
        bail!("Kafka's followers serve their copies, but not these: {copies}");
    }
    Ok(())
}

/// As a timestamp to ListOffsets.
const LATEST_TIERED: i64 = -5;

/// What a disk lacks is in the bucket: without that a copy that lost all it had would begin at its end,
/// and miss nothing.
fn starts_in_the_bucket(cluster: &Cluster, partition: i32, start: i64) -> Result<()> {
    let mut leader = cluster.connect(cluster.leader(TOPIC, partition)?)?;
    let (code, _, tiered) = leader.offset_of((TOPIC, partition), LATEST_TIERED)?;
    ensure!(code == 0, "ListOffsets {LATEST_TIERED}: error {code}");
    ensure!(
        start <= tiered + 1,
        "{TOPIC}-{partition} begins at {start}, and what is before is in the bucket up to {tiered} only"
    );
    Ok(())
}

/// The seed that the environment asks for, else one from the clock.
pub fn seed() -> u64 {
    let asked = env::var("FRESHET_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| crate::raw::now_ms().unsigned_abs())
}

/// Trials that Freshet is known to fail, and why: they count as skipped, never as passed.
/// `FRESHET_KNOWN=1` runs them all the same.
const KNOWN: &[(&str, &str)] = &[];

/// What a trial is known to fail of.
pub(crate) fn known(trial: &str) -> Option<&'static str> {
    let found = KNOWN.iter().find(|(name, _)| *name == trial);
    found.map(|(_, why)| *why)
}

/// Whether what is known to fail is tried all the same.
fn tries_what_is_known() -> bool {
    env::var_os("FRESHET_KNOWN").is_some()
}

/// Why this trial cannot run here, although others can.
pub fn missing_for(trial: &Trial) -> Option<String> {
    if let Some(why) = known(trial.name).filter(|_| !tries_what_is_known()) {
        return Some(format!("known to fail: {why}"));
    }
    let is_kafka = Kind::from_env() == Kind::Kafka;
    match trial.needs {
        Needs::Cluster | Needs::Five => None,
        Needs::Disks => missing_for_disks(),
        Needs::Freshet => is_kafka.then(|| "Kafka promises less".into()),
        Needs::Clock if is_kafka => Some("Java keeps its own clock".into()),
        Needs::Clock => {
            let missing =
                || "no libfaketime on this machine (apt-get install libfaketime)".to_owned();
            clocks::library().is_none().then(missing)
        }
        Needs::Command if is_kafka => Some("this is about the freshet command".into()),
        Needs::Command => {
            let command = freshet_command();
            (!command.exists()).then(|| format!("there is no command at {}", command.display()))
        }
    }
}

/// Why trials cannot run here.
pub fn missing() -> Option<String> {
    let needed = [Client::FranzGo, Client::Librdkafka, Client::Java];
    needed.into_iter().find_map(Client::missing)
}
