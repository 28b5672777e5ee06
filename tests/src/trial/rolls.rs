//! Ends that are asked for.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Needs, RECOVERY, Stage, Trial};
use crate::broker::freshet_command;
use crate::cluster::{Node, PartitionView, reassign};
use crate::process::{Process, run};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "rolling_restart_fails_no_send",
        rows: &[63],
        faults: rolling,
        needs: Needs::Cluster,
    },
    Trial {
        name: "decommission_under_load",
        rows: &[],
        faults: decommission,
        needs: Needs::Command,
    },
    Trial {
        name: "a_controller_is_decommissioned_under_load",
        rows: &[],
        faults: decommission_controller,
        needs: Needs::Command,
    },
];

fn rolling(stage: &mut Stage) -> Result<()> {
    for id in stage.cluster.ids() {
        let status = stage.cluster.node(id).stop()?;
        // Apache Kafka ends by the signal itself: 143 is its clean exit.
        ensure!(
            matches!(status.code(), Some(0 | 143)),
            "SIGTERM gave {status}"
        );
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!(
            "without {id} all acknowledge {acked:.2?} after its end"
        ));
        stage.cluster.watch(Duration::from_millis(300))?;
        stage.cluster.node(id).start()?;
        stage.recover()?;
    }
    Ok(())
}

/// The `freshet` command against the whole cluster.
fn freshet(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(freshet_command());
    command.args(["--bootstrap", &stage.cluster.bootstrap()]);
    command.args(arguments);
    command
}

/// A fourth broker takes part of the work, is emptied and stays, takes part again, and leaves for good, by the
/// commands that do so.
fn decommission(stage: &mut Stage) -> Result<()> {
    let mut fourth = stage.spare()?;
    fourth.be_no_controller();
    take_part(stage, &mut fourth)?;
    drain(stage, fourth.id)?;
    take_back(stage, &mut fourth)?;
    grow_and_shrink(stage)?;
    give(stage, fourth.id)?;
    leave_for_good(stage, fourth)
}

/// What was planned goes to others, and nothing comes until it may.
fn drain(stage: &mut Stage, id: i32) -> Result<()> {
    let name = id.to_string();
    let told = |arguments: &[&str]| -> Result<Value> {
        let all = [&["broker", "drain", &name, "--output", "json"], arguments].concat();
        let told = run(freshet(stage, &all), "", RECOVERY)?.success()?;
        Ok(serde_json::from_str(&told)?)
    };
    let planned = told(&["--dry-run"])?;
    ensure!(kept(stage, id)? == [0, 1], "a dry run moved something");
    let moves = planned.as_array().map_or(0, Vec::len);
    let drained = told(&[])?;
    ensure!(
        moves >= 2 && drained["partitions"] == moves && drained["status"] == "drained",
        "{moves} moves were planned: {planned}, and then: {drained}"
    );
    let left = kept(stage, id)?;
    ensure!(left.is_empty(), "broker {id} still keeps {left:?}");
    stage.load.await_progress(RECOVERY)?;
    stage.cluster.create_topic("elsewhere", 8, 3)?;
    let elsewhere = stage.cluster.partitions("elsewhere")?;
    let is_there = elsewhere.iter().any(|view| view.replicas.contains(&id));
    ensure!(!is_there, "it was given new partitions: {elsewhere:?}");
    let uncordon = freshet(stage, &["broker", "uncordon", &name]);
    run(uncordon, "", RECOVERY)?.success().map(drop)
}

/// A move to a broker that is away, and that somebody thinks better of.
fn take_back(stage: &mut Stage, away: &mut Node) -> Result<()> {
    away.stop()?;
    let before = kept_by(stage, 2)?;
    let (to, at) = (format!("{},1,2", away.id), format!("{}:2", stage.topic()));
    let told = |arguments: &[&str]| {
        let all = [&["topic", "reassign"], arguments].concat();
        run(freshet(stage, &all), "", RECOVERY)?.success()
    };
    told(&[&at, "--to", &to])?;
    let listed = told(&["--list", "--output", "json"])?;
    ensure!(listed.contains(r#""partition": 2"#), "no move in {listed}");
    told(&[&at, "--cancel"])?;
    let listed: Value = serde_json::from_str(&told(&["--list", "--output", "json"])?)?;
    ensure!(listed == serde_json::json!([]), "still under way: {listed}");
    let after = kept_by(stage, 2)?;
    ensure!(after == before, "{before:?} kept it, and now {after:?}");
    away.start()?;
    stage.cluster.await_brokers(4)
}

/// A topic of one copy gets two more, and one less.
fn grow_and_shrink(stage: &mut Stage) -> Result<()> {
    const TOPIC: &str = "grows";
    stage.cluster.create_topic(TOPIC, 2, 1)?;
    for copies in [3, 2] {
        let factor = copies.to_string();
        let alter = ["topic", "alter", TOPIC, "--replication-factor", &factor];
        run(freshet(stage, &alter), "", RECOVERY)?.success()?;
        eventually(RECOVERY, || {
            let views = stage.cluster.partitions(TOPIC)?;
            let has =
                |view: &PartitionView| [view.replicas.len(), view.in_sync.len()] == [copies; 2];
            ensure!(
                views.iter().all(has),
                "not {copies} copies of each: {views:?}"
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// The same with one that is a controller as well: first it votes, then it does no more.
fn decommission_controller(stage: &mut Stage) -> Result<()> {
    let mut fourth = stage.spare()?;
    fourth.join_at_run_time();
    vote_unasked(stage, &mut fourth)?;
    take_part(stage, &mut fourth)?;
    let id = fourth.id.to_string();
    let directory = controller(stage, fourth.id)?.1;
    let address = fourth.address().replace(":9092", ":9093");
    let add = freshet(stage, &["quorum", "add-voter", &id, &directory, &address]);
    run(add, "", RECOVERY)?.success()?;
    ensure!(
        controller(stage, fourth.id)?.0 != "observer",
        "it does not vote"
    );
    stage.load.await_progress(RECOVERY)?;
    let early = freshet(stage, &["broker", "decommission", &id]);
    let early = run(early, "", RECOVERY)?;
    ensure!(
        !early.status.success() && early.stderr.contains("remove-voter"),
        "a voter was let go: {early:?}"
    );
    let remove = freshet(stage, &["quorum", "remove-voter", &id, &directory]);
    run(remove, "", RECOVERY)?.success()?;
    leave_for_good(stage, fourth)
}

/// Where the settings say so nobody needs to ask a controller to vote; one that is away is let go.
fn vote_unasked(stage: &mut Stage, fourth: &mut Node) -> Result<()> {
    const AUTO_JOIN: &str = "controller.quorum.auto.join.enable";
    fourth.set(AUTO_JOIN, "true");
    fourth.start()?;
    let directory = eventually(RECOVERY, || {
        let (role, directory) = controller(stage, fourth.id)?;
        ensure!(role != "observer", "it does not vote");
        Ok(directory)
    })?;
    fourth.stop()?;
    fourth.set(AUTO_JOIN, "false");
    let id = fourth.id.to_string();
    let remove = freshet(stage, &["quorum", "remove-voter", &id, &directory]);
    run(remove, "", RECOVERY)?.success().map(drop)
}

/// What a controller is in the quorum, and the id of its directory.
fn controller(stage: &Stage, id: i32) -> Result<(String, String)> {
    eventually(RECOVERY, || {
        let describe = freshet(stage, &["quorum", "describe", "--output", "json"]);
        let told = run(describe, "", RECOVERY)?.success()?;
        let told: Value = serde_json::from_str(&told)?;
        let all = told["replicas"].as_array().context("replicas")?;
        let found = all.iter().find(|replica| replica["node"] == id);
        let found = found.with_context(|| format!("{id} is not in {told}"))?;
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        Ok((text("role"), text("directory")))
    })
}

/// A fourth broker gets two of the partitions.
fn take_part(stage: &mut Stage, fourth: &mut Node) -> Result<()> {
    fourth.start()?;
    stage.cluster.await_brokers(4)?;
    give(stage, fourth.id)
}

/// A broker gets two of the partitions.
fn give(stage: &mut Stage, id: i32) -> Result<()> {
    let topic = stage.topic();
    for (partition, replicas) in [(0, [id, 1, 2]), (1, [2, id, 3])] {
        // The controller hears from the broker itself that it is cordoned no more.
        eventually(RECOVERY, || {
            let ask = |raw: &mut _| reassign(raw, topic, partition, &replicas);
            let told = stage.cluster.ask(ask)?;
            ensure!(
                told == 0,
                "moving {topic}-{partition} to {replicas:?}: error {told}"
            );
            Ok(())
        })?;
    }
    stage.cluster.await_whole(topic, RECOVERY)?;
    ensure!(kept(stage, id)? == [0, 1], "broker {id} took nothing");
    Ok(())
}

/// The brokers that keep a partition. A move that is taken back leaves them in another order, as with Kafka.
fn kept_by(stage: &Stage, partition: i32) -> Result<BTreeSet<i32>> {
    let views = stage.cluster.partitions(stage.topic())?;
    let found = views.into_iter().find(|view| view.index == partition);
    Ok(BTreeSet::from_iter(
        found.context("no such partition")?.replicas,
    ))
}

/// The partitions that a broker keeps.
fn kept(stage: &Stage, id: i32) -> Result<Vec<i32>> {
    let views = stage.cluster.partitions(stage.topic())?;
    let kept = views.iter().filter(|view| view.replicas.contains(&id));
    Ok(kept.map(|view| view.index).collect())
}

fn leave_for_good(stage: &mut Stage, mut fourth: Node) -> Result<()> {
    let id = fourth.id;
    let command = freshet(stage, &["broker", "decommission", &id.to_string()]);
    let log = stage.cluster.folder().join("decommission.log");
    let mut command = Process::start(command, &log)?;
    eventually(RECOVERY, || {
        let left = kept(stage, id)?;
        ensure!(
            left.is_empty(),
            "broker {id} still keeps {left:?}; {}",
            command.tail()
        );
        Ok(())
    })?;
    stage.load.await_progress(RECOVERY)?;
    fourth.stop()?;
    let status = command.wait(RECOVERY)?;
    ensure!(status.success(), "{status}: {}", command.tail());
    stage.cluster.await_brokers(3)?;
    stage.recover()
}
