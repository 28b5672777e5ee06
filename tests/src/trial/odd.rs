//! Odd cases: brokers that do not belong here, disks of yesterday, wishes that cannot be granted.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;

use super::{Needs, RECOVERY, Stage, Trial};
use crate::broker::Kind;
use crate::cluster::{Node, create_topic, delete_topic, read_copy, reassign};
use crate::process::run;
use crate::raw::{batch_of_keys, now_ms};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "a_second_broker_of_an_id_is_kept_out",
        rows: &[61],
        faults: duplicate_id,
        needs: Needs::Cluster,
    },
    Trial {
        name: "a_broker_of_another_cluster_is_kept_out",
        rows: &[19, 61],
        faults: foreign,
        needs: Needs::Cluster,
    },
    Trial {
        name: "an_old_disk_image_comes_back",
        rows: &[18],
        faults: old_image,
        needs: Needs::Cluster,
    },
    Trial {
        name: "an_old_disk_image_comes_back_after_all_were_killed",
        rows: &[18],
        faults: old_image_among_killed,
        needs: Needs::Cluster,
    },
    Trial {
        name: "without_a_quorum_leaders_go_on",
        rows: &[4, 27],
        faults: no_quorum,
        needs: Needs::Cluster,
    },
    Trial {
        name: "a_topic_is_deleted_while_a_broker_is_away",
        rows: &[],
        faults: deleted_meanwhile,
        needs: Needs::Cluster,
    },
    Trial {
        name: "a_topic_is_made_anew_while_a_broker_is_away",
        rows: &[],
        faults: made_anew_meanwhile,
        needs: Needs::Cluster,
    },
    Trial {
        name: "impossible_wishes_are_refused",
        rows: &[],
        faults: impossible,
        needs: Needs::Cluster,
    },
];

/// Who is kept out says why within two seconds of being up; a machine with much to do takes longer.
const REASON: Duration = Duration::from_secs(6);

/// Starts a broker that must be kept out, and looks for some time.
fn keep_out(stage: &mut Stage, mut intruder: Node, reason: &str) -> Result<()> {
    let before = stage.cluster.partitions(stage.topic())?;
    let members = stage.cluster.brokers()?.len();
    intruder.start()?;
    let host = intruder.address();
    let host = host.trim_end_matches(":9092");
    let started = Instant::now();
    let mut ended = None;
    let mut told = None;
    while started.elapsed() < Duration::from_secs(8) && ended.is_none() {
        stage.cluster.watch(Duration::from_millis(200))?;
        ended = intruder.ended()?;
        if told.is_none() && intruder.printed().contains(reason) {
            told = Some(started.elapsed());
        }
        let known = stage.cluster.brokers()?;
        let inside = known.iter().any(|member| member.host == host);
        ensure!(!inside && known.len() == members, "it is in: {known:?}");
    }
    let words = intruder.printed();
    let last = words.lines().next_back().unwrap_or_default();
    stage.note(format!(
        "the intruder named the cause after {told:.1?}, ended with {ended:?} and said: {last}"
    ));
    let in_time = told.is_some_and(|told| told < REASON) || stage.cluster.kind() == Kind::Kafka;
    ensure!(in_time, "it said why after {told:?}: {words}");
    if let Some(status) = ended {
        ensure!(
            !status.success(),
            "it was refused, and ended as if all were well"
        );
    }
    stage.load.await_progress(RECOVERY)?;
    let after = stage.cluster.partitions(stage.topic())?;
    for (before, after) in before.iter().zip(&after) {
        let same = (before.leader, before.epoch) == (after.leader, after.epoch);
        ensure!(same, "leadership moved: {before:?}, then {after:?}");
    }
    Ok(())
}

fn duplicate_id(stage: &mut Stage) -> Result<()> {
    let mut intruder = stage.spare()?;
    let (_, leader) = stage.some_leader()?;
    intruder.set("node.id", &leader.to_string());
    keep_out(stage, intruder, "another process has the number")
}

fn foreign(stage: &mut Stage) -> Result<()> {
    let mut intruder = stage.spare()?;
    intruder.be_no_controller();
    intruder.be_foreign();
    keep_out(stage, intruder, "belongs to cluster")
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    run(command, "", Duration::from_secs(30))?
        .success()
        .map(drop)
}

/// Takes an image of a leader's disk after a clean stop, and lets the work go on for a while.
fn take_image(stage: &mut Stage) -> Result<i32> {
    let (_, leader) = stage.some_leader()?;
    let node = stage.cluster.node(leader);
    node.stop()?;
    copy_folder(node.logs(), &node.logs().with_extension("image"))?;
    node.start()?;
    stage.recover()?;
    stage.cluster.watch(Duration::from_secs(1))?;
    Ok(leader)
}

fn bring_image_back(stage: &mut Stage, id: i32) -> Result<()> {
    let node = stage.cluster.node(id);
    copy_folder(&node.logs().with_extension("image"), node.logs())
}

fn old_image(stage: &mut Stage) -> Result<()> {
    let id = take_image(stage)?;
    stage.cluster.node(id).kill()?;
    bring_image_back(stage, id)?;
    stage.cluster.node(id).start()?;
    stage.load.await_progress(RECOVERY)?;
    stage.recover()
}

fn old_image_among_killed(stage: &mut Stage) -> Result<()> {
    let id = take_image(stage)?;
    let all: Vec<i32> = stage.cluster.ids().collect();
    for each in &all {
        stage.cluster.node(*each).kill()?;
    }
    bring_image_back(stage, id)?;
    // The old one is there first.
    stage.cluster.node(id).start()?;
    stage.cluster.watch(Duration::from_millis(500))?;
    stage.cluster.start_these(&stage.cluster.others(id))?;
    stage.load.await_progress(RECOVERY)?;
    stage.recover()
}

/// Controllers do not hear each other, and no broker hears a controller but its own.
fn no_quorum(stage: &mut Stage) -> Result<()> {
    let advised = |stage: &mut Stage| {
        let ids: Vec<i32> = stage.cluster.ids().collect();
        let printed = ids.iter().map(|id| stage.cluster.node(*id).printed());
        printed
            .map(|text| text.matches(ADVICE).count())
            .sum::<usize>()
    };
    let before = advised(stage);
    stage.cluster.network.block_port(9093)?;
    stage.cluster.watch(Duration::from_secs(4))?;
    let acked = stage.load.await_progress(RECOVERY);
    let acked = acked.context("leaders must go on without a quorum")?;
    stage.note(format!(
        "without a quorum all acknowledge after {acked:.2?}"
    ));
    if stage.cluster.kind() == Kind::Kafka {
        // It keeps such a request for longer than a client waits.
        stage.cluster.network.heal()?;
        return stage.recover();
    }
    let from = Instant::now();
    let id = *stage.bits.pick(&stage.cluster.ids().collect::<Vec<_>>());
    let mut raw = stage.cluster.connect(id)?;
    let name = format!("unquorate-{}", stage.bits.below(1 << 32));
    let code = create_topic(&mut raw, &name, (1, 3), &[])?;
    let took = from.elapsed();
    stage.note(format!(
        "creating a topic gave error {code} after {took:.2?}"
    ));
    ensure!(
        RETRIABLE.contains(&code),
        "error {code} does not say: try again"
    );
    let told = advised(stage) - before;
    ensure!(told > 0, "no log says what to do about the quorum");
    stage.cluster.network.heal()?;
    stage.cluster.create_topic("quorate", 1, 3)?;
    stage.recover()
}

/// What a broker says that has heard no controller for seconds.
const ADVICE: &str = "until they are a majority (`freshet quorum describe`)";

/// The codes that a client's admin functions may try again after: timeout, not the controller,
/// leader or coordinator not available, network, not enough replicas.
const RETRIABLE: &[i16] = &[7, 41, 5, 15, 13, 19, 56];

/// A topic with some records, whose numbers begin at `first`.
fn make_topic(stage: &Stage, topic: &str, first: u64) -> Result<()> {
    stage.cluster.create_topic(topic, 1, 3)?;
    let records = batch_of_keys(now_ms(), first..first + 10)?;
    produce(stage, topic, &records).map(drop)
}

/// Produces to partition 0 and gives the first offset.
fn produce(stage: &Stage, topic: &str, records: &Bytes) -> Result<i64> {
    eventually(RECOVERY, || {
        let leader = stage.cluster.leader(topic, 0)?;
        let told = stage
            .cluster
            .connect(leader)?
            .produce(topic, records.clone())?;
        ensure!(told.error_code == 0, "producing: {told:?}");
        Ok(told.base_offset)
    })
}

fn delete(stage: &Stage, topic: &str) -> Result<()> {
    eventually(Duration::from_secs(20), || {
        let code = stage.cluster.ask(|raw| delete_topic(raw, topic))?;
        ensure!(code == 0, "deleting: error {code}");
        Ok(())
    })
}

/// Kills somebody who is not the controller, so that the rest is about the topic.
fn kill_a_follower(stage: &mut Stage) -> Result<i32> {
    let active = stage.cluster.controller()?;
    let id = *stage.bits.pick(&stage.cluster.others(active));
    stage.cluster.node(id).kill()?;
    stage.load.await_progress(RECOVERY)?;
    Ok(id)
}

fn deleted_meanwhile(stage: &mut Stage) -> Result<()> {
    make_topic(stage, "short-lived", 0)?;
    let away = kill_a_follower(stage)?;
    delete(stage, "short-lived")?;
    stage.cluster.node(away).start()?;
    stage.recover()?;
    let logs = stage.cluster.node(away).logs().to_owned();
    // What was agreed is reason enough; its absence from the metadata would be none.
    eventually(RECOVERY, || {
        let left = folders_of(&logs, "short-lived-0")?;
        ensure!(left.is_empty(), "still on disk: {left:?}");
        Ok(())
    })
}

/// Folders below `logs` that belong to a partition, in Kafka's and in our naming.
fn folders_of(logs: &Path, partition: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![logs.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(partition) {
                found.push(name);
            } else if entry.path().is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(found)
}

fn made_anew_meanwhile(stage: &mut Stage) -> Result<()> {
    make_topic(stage, "again", 0)?;
    let away = kill_a_follower(stage)?;
    delete(stage, "again")?;
    eventually(Duration::from_secs(20), || {
        let configs = [("min.insync.replicas", "2")];
        // Two brokers are alive; the third replica is asked for by hand once it is back.
        let made = stage
            .cluster
            .ask(|raw| create_topic(raw, "again", (1, 2), &configs))?;
        ensure!(made == 0, "making it anew: error {made}");
        Ok(())
    })?;
    let first = produce(stage, "again", &batch_of_keys(now_ms(), 100..110)?)?;
    ensure!(first == 0, "the new topic begins at {first}");
    stage.cluster.node(away).start()?;
    stage.recover()?;
    let replicas: Vec<i32> = stage.cluster.ids().collect();
    eventually(RECOVERY, || {
        let code = stage
            .cluster
            .ask(|raw| reassign(raw, "again", 0, &replicas))?;
        ensure!(code == 0, "reassigning: error {code}");
        Ok(())
    })?;
    eventually(RECOVERY, || {
        let views = stage.cluster.partitions("again")?;
        ensure!(views[0].in_sync.len() == 3, "{views:?}");
        Ok(())
    })?;
    let copy = read_copy(&mut stage.cluster.connect(away)?, "again", 0, (0, Some(10)))?;
    let (shown, _) = copy.with_context(|| format!("broker {away} does not serve its copy"))?;
    let values: Vec<u64> = shown.iter().map(|read| read.value).collect();
    ensure!(
        values == (100..110).collect::<Vec<_>>(),
        "broker {away} has {values:?}"
    );
    Ok(())
}

fn impossible(stage: &mut Stage) -> Result<()> {
    const INVALID_REPLICATION_FACTOR: i16 = 38;
    const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
    let topic = stage.topic();
    let too_many = stage
        .cluster
        .ask(|raw| create_topic(raw, "too-many", (1, 4), &[]))?;
    ensure!(
        too_many == INVALID_REPLICATION_FACTOR,
        "four replicas: error {too_many}"
    );
    for replicas in [&[1, 2, 99][..], &[-1, 2], &[1, 1], &[]] {
        let told = stage.cluster.ask(|raw| reassign(raw, topic, 0, replicas))?;
        if told != INVALID_REPLICA_ASSIGNMENT {
            bail!("replicas {replicas:?}: error {told}");
        }
    }
    stage.recover()
}
