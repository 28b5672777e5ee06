//! Trials of a cluster: named faults under load, each judged by the history checker.
//!
//! A trial gets a fresh cluster of three and a topic with three copies of each partition. Clients
//! write and read all the time while the trial breaks things. Then everything is healed, the work
//! must go on within [`RECOVERY`], all copies are read in full, and the checker judges.

mod beside;
mod clocks;
mod controllers;
mod damage;
mod disks;
mod failover;
mod groups;
mod judge;
mod kills;
mod lines;
mod members;
mod odd;
mod pauses;
mod positions;
mod probe;
mod racks;
mod resources;
mod rolls;
mod store;
mod tier;

use std::env;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bits::Bits;
use crate::broker::{Kind, freshet_command};
use crate::bucket::S3Server;
use crate::client::Client;
use crate::cluster::{Cluster, Node};
use crate::faults::note;
use crate::load::{Load, Plan, Writer};
pub use clocks::missing_for_clocks;
pub(crate) use clocks::{set_clock, with_clock};
pub(crate) use damage::flip;
pub use disks::{disk_keeps_what_was_flushed, missing_for_disks};
pub use failover::{Waits, failover};
use judge::close;
use members::Members;
use positions::Positions;
use probe::Found;
use tier::Cold;
pub use tier::{Ways, missing_for_tiered, tiered_name, ways};

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
    /// The same, and promises that Apache Kafka does not make.
    FreshetDisks,
    /// Brokers that are no controllers, and controllers that are no brokers.
    Controllers,
    /// Controllers that are told addresses, and not who the others are.
    Addresses,
    /// Brokers in racks of their own, from which consumers read.
    Racks,
    /// Brokers that are told that they are far from each other.
    Far,
    /// A bucket that breaks; random sequences of such may contain it.
    Store,
}

impl Needs {
    /// Whether it is about a bucket, so that it never runs without one.
    fn is_store(self) -> bool {
        self == Self::Store
    }
}

/// Every trial, in the order of what is cheap to know first.
pub fn trials() -> Vec<&'static Trial> {
    kinds().into_iter().flatten().collect()
}

/// The same by the kind of fault.
fn kinds() -> Vec<&'static [Trial]> {
    vec![
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
        controllers::TRIALS,
        racks::TRIALS,
        store::TRIALS,
    ]
}

/// What a trial works with.
pub struct Stage {
    /// The brokers.
    pub cluster: Cluster,
    /// The work that goes on; `None` once the trial has ended it.
    pub load: Load,
    positions: Positions,
    /// None once they are judged.
    members: Option<Members>,
    /// All chance comes from here.
    pub bits: Bits,
    /// What the trial found worth telling.
    pub notes: Vec<String>,
    /// How many records may be given up by their clients.
    pub may_give_up: bool,
    /// The bucket that has most records of the load, which are on no disk then.
    pub store: Option<S3Server>,
    /// What readers of cold records were told.
    found: Vec<Found>,
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
        // The old one may be there and answer nobody.
        let asked = self.cluster.others(old)[0];
        loop {
            let views = self.cluster.partitions_at(asked, TOPIC);
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

    /// Another than `old` leads each partition, as others see it, while `old` cannot be asked.
    pub fn others_lead(&mut self, old: i32) -> Result<()> {
        let asked = self.cluster.others(old)[0];
        let views = self.cluster.partitions_at(asked, TOPIC)?;
        let leaders: Vec<i32> = views.iter().map(|view| view.leader).collect();
        self.note(format!("while {old} was away, leaders were {leaders:?}"));
        let moved = leaders.iter().all(|leader| *leader >= 0 && *leader != old);
        // Kafka's sessions are longer than most faults here.
        ensure!(moved || self.cluster.kind() == Kind::Kafka, "{old} leads");
        Ok(())
    }

    /// Waits until all partitions go on, and until all replicas of the topic are in sync.
    pub fn recover(&mut self) -> Result<()> {
        self.load.await_progress(RECOVERY)?;
        self.cluster.await_whole(TOPIC, RECOVERY)
    }

    /// The bucket; trials that need one ask for it.
    pub fn store(&mut self) -> Result<&mut S3Server> {
        self.store.as_mut().context("this cluster has no bucket")
    }

    /// One more machine, see [`Cluster::spare`].
    pub fn spare(&self) -> Result<Node> {
        let mut node = self.cluster.spare()?;
        if let Some(store) = &self.store {
            tier::prepare(&mut node, store);
        }
        Ok(node)
    }

    /// Tells something when the trial is over.
    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// Undoes all that can be undone.
    fn heal(&mut self) -> Result<()> {
        if let Some(store) = &mut self.store {
            store.heal()?;
        }
        self.cluster.heal()
    }

    /// The load's topic.
    pub fn topic(&self) -> &'static str {
        TOPIC
    }
}

/// Trials of one random sequence.
const SEQUENCE: usize = 4;

/// Runs a random sequence of trials on one cluster: what and in which order is in the seed, and whether
/// most records are in a bucket meanwhile.
pub fn soak_sequence(seed: u64) -> Result<()> {
    let mut bits = Bits::new(seed);
    let disks = bits.below(3) == 0 && missing_for_disks().is_none();
    let tiered = bits.below(2) == 0 && missing_for_tiered().is_none();
    let fits = |trial: &&Trial| match trial.needs {
        _ if known(trial.name).is_some() => false,
        Needs::Cluster => true,
        Needs::Freshet => Kind::from_env() == Kind::Freshet,
        Needs::Disks => disks,
        Needs::FreshetDisks => disks && Kind::from_env() == Kind::Freshet,
        Needs::Store => tiered,
        Needs::Clock => missing_for_clocks().is_none(),
        Needs::Five | Needs::Command | Needs::Controllers => false,
        Needs::Addresses | Needs::Racks | Needs::Far => false,
    };
    let all: Vec<&Trial> = trials().into_iter().filter(fits).collect();
    let chosen: Vec<&Trial> = (0..SEQUENCE).map(|_| *bits.pick(&all)).collect();
    let names: Vec<&str> = chosen.iter().map(|trial| trial.name).collect();
    let how = if tiered { "tiered" } else { "on disks" };
    println!("{how}: {}", names.join(", "));
    run_sequence(&chosen, seed, tiered)
}

/// Runs a trial; on failure what the brokers left is kept, and the error says where.
pub fn run_trial(trial: &Trial, seed: u64) -> Result<()> {
    run_sequence(&[trial], seed, false)
}

/// The same, while closed segments leave the disks for a bucket as soon as they may.
pub fn run_tiered(trial: &Trial, seed: u64) -> Result<()> {
    run_sequence(&[trial], seed, true)
}

/// Runs trials one after the other on the same cluster under the same load.
fn run_sequence(trials: &[&Trial], seed: u64, tiered: bool) -> Result<()> {
    let outcome = run_kept(trials, seed, tiered);
    for trial in trials {
        let name = match tiered {
            true => tiered_name(trial),
            false => trial.name.to_owned(),
        };
        note(&name, seed, outcome.is_ok());
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
    let store = tiered.then(S3Server::start).transpose()?;
    let mut cluster = cluster_for(trials, &folder, store.as_ref())?;
    let brokers = cluster.ids().count();
    let alone = match trials.iter().any(|trial| trial.needs == Needs::Addresses) {
        true => controllers::start_alone(&mut cluster),
        false => Ok(()),
    };
    let outcome = alone.and_then(|()| cluster.start()).and_then(|()| {
        let mut configs = vec![("retention.ms", "-1")];
        configs.extend(if tiered { tier::CONFIGS } else { &[] });
        let size = (PARTITIONS, i16::try_from(brokers)?);
        cluster.create_topic_with(TOPIC, size, &configs)
    });
    if let Err(why) = outcome {
        let tails = cluster.tails();
        return Err(why.context(format!("starting the cluster\n{tails}\n")));
    }
    let names: String = trials.iter().map(|trial| trial.name).collect();
    let mut bits = Bits::of(seed, &names);
    let plan = plan(&mut bits);
    let load = Load::start(plan, &cluster.bootstrap())?;
    let positions = Positions::start(&cluster);
    let members = Some(Members::start(&cluster, &mut bits)?);
    let mut stage = Stage {
        cluster,
        load,
        positions,
        members,
        bits,
        notes: Vec::new(),
        may_give_up: false,
        store,
        found: Vec::new(),
    };
    let outcome = play(&mut stage, trials).and_then(|()| close(&mut stage));
    outcome.with_context(|| format!("the brokers' last words:\n{}\n", stage.cluster.tails()))
}

/// What these trials need, not started.
fn cluster_for(trials: &[&Trial], folder: &Path, store: Option<&S3Server>) -> Result<Cluster> {
    let need = |needs| trials.iter().any(|trial| trial.needs == needs);
    let brokers = if need(Needs::Five) { 5 } else { 3 };
    let disks = need(Needs::Disks) || need(Needs::FreshetDisks);
    let mut cluster = match need(Needs::Controllers) {
        true => Cluster::apart(brokers, 3, folder)?,
        false => Cluster::new(brokers, folder, disks)?,
    };
    if need(Needs::Addresses) {
        cluster
            .ids()
            .for_each(|id| cluster.node(id).join_at_run_time());
    }
    if need(Needs::Racks) {
        cluster
            .ids()
            .for_each(|id| racks::prepare(cluster.node(id)));
    }
    if need(Needs::Far) {
        cluster
            .ids()
            .for_each(|id| lines::prepare(cluster.node(id)));
    }
    if let Some(store) = store {
        for id in cluster.ids().chain(cluster.controllers()) {
            tier::prepare(cluster.node(id), store);
        }
    }
    Ok(cluster)
}

fn play(stage: &mut Stage, trials: &[&Trial]) -> Result<()> {
    stage
        .load
        .await_progress(RECOVERY)
        .context("before any fault")?;
    for trial in trials {
        let cold = match stage.store {
            Some(_) => Some(Cold::begin(
                &stage.cluster,
                &mut stage.load,
                &mut stage.bits,
            )?),
            None => None,
        };
        (trial.faults)(stage).with_context(|| trial.name.to_owned())?;
        stage.heal().context("healing")?;
        let took = stage.load.await_progress(RECOVERY);
        let took = took.with_context(|| format!("after {} and healing", trial.name))?;
        stage.note(format!("goes on {took:.1?} after the healing"));
        stage.cluster.must_live()?;
        if let Some(cold) = cold {
            let found = cold.end(&stage.cluster, stage.load.acked());
            let mut found =
                found.with_context(|| format!("what is cold, during {}", trial.name))?;
            found.stays_hot = trial.needs.is_store();
            stage.found.push(found);
        }
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
        readers: vec![*bits.pick(&[Client::FranzGo, Client::Librdkafka, Client::Java])],
        rate: RATE,
    }
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
        Needs::Cluster | Needs::Five | Needs::Controllers | Needs::Racks => None,
        Needs::Addresses if is_kafka => Some("Kafka's voters are formatted with its disks".into()),
        Needs::Addresses => None,
        Needs::FreshetDisks if is_kafka => Some("Kafka promises less".into()),
        Needs::Disks | Needs::FreshetDisks => missing_for_disks(),
        Needs::Store => missing_for_tiered(),
        Needs::Freshet => is_kafka.then(|| "Kafka promises less".into()),
        Needs::Far => is_kafka.then(|| "Kafka's quorum is told in other words".into()),
        Needs::Clock if is_kafka => Some("Java keeps its own clock".into()),
        Needs::Clock => missing_for_clocks(),
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
