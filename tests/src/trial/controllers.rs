//! Brokers that are no controllers, controllers that are no brokers, and those that find one another.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};
use crate::cluster::{Cluster, create_topic};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "controllers_that_are_no_brokers_are_killed",
        rows: &[1, 3, 4],
        faults: killed,
        needs: Needs::Controllers,
    },
    Trial {
        name: "controllers_that_were_told_addresses_are_killed",
        rows: &[1, 3, 4],
        faults: killed_who_know_addresses,
        needs: Needs::Addresses,
    },
];

/// What a controller says that lacks others, and what one says that decides.
const WAITS: &str = "waiting for controllers that do not answer";
const DECIDES: &str = "this controller is active";

/// Starts one of those that are to form a quorum. It must not be one of its own: the others would be
/// another.
pub(super) fn start_alone(cluster: &mut Cluster) -> Result<()> {
    cluster.start_these(&[1])?;
    eventually(RECOVERY, || {
        let words = cluster.node(1).printed();
        ensure!(
            words.contains(WAITS),
            "it does not say for whom it waits: {words}"
        );
        Ok(())
    })?;
    thread::sleep(Duration::from_secs(2));
    let words = cluster.node(1).printed();
    ensure!(
        !words.contains(DECIDES),
        "it is a quorum of its own: {words}"
    );
    Ok(())
}

/// First the active one, and then all, of which two come back before the third.
fn killed_who_know_addresses(stage: &mut Stage) -> Result<()> {
    let all: Vec<i32> = stage.cluster.ids().collect();
    ensure!(stage.cluster.voters()? == all, "not all of them vote");
    let active = stage.cluster.controller()?;
    let from = Instant::now();
    stage.cluster.node(active).kill()?;
    let next = another_decides(stage, active)?;
    stage.note(format!(
        "killed {active}: {next} decides after {:.2?}",
        from.elapsed()
    ));
    stage.cluster.node(active).start()?;
    stage.recover()?;
    changes(stage)?;
    for id in &all {
        stage.cluster.node(*id).kill()?;
    }
    let late = *stage.bits.pick(&all);
    let from = Instant::now();
    stage.cluster.start_these(&stage.cluster.others(late))?;
    stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "killed all: without {late} all acknowledge after {:.2?}",
        from.elapsed()
    ));
    stage.cluster.node(late).start()?;
    stage.recover()?;
    ensure!(stage.cluster.voters()? == all, "not all of them vote");
    changes(stage)
}

/// First the active controller, then a leader, then both at once, and all controllers in the end.
fn killed(stage: &mut Stage) -> Result<()> {
    let all = stage.cluster.controllers();
    for with_leader in [false, true] {
        let active = stage.cluster.controller()?;
        ensure!(all.contains(&active), "{active} is no controller");
        let (_, leader) = stage.some_leader()?;
        let from = Instant::now();
        stage.cluster.node(active).kill()?;
        if with_leader {
            stage.cluster.node(leader).kill()?;
            stage.await_other_leader(leader, RECOVERY)?;
        }
        let next = another_decides(stage, active)?;
        let decided = from.elapsed();
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!(
            "killed controller {active}{}: {next} decides after {decided:.2?}, all acknowledge {acked:.2?} later",
            if with_leader { format!(" and leader {leader}") } else { String::new() }
        ));
        changes(stage)?;
        stage.cluster.node(active).start()?;
        if with_leader {
            stage.cluster.node(leader).start()?;
        }
        stage.recover()?;
    }
    let (_, leader) = stage.some_leader()?;
    stage.cluster.node(leader).kill()?;
    let took = stage.await_other_leader(leader, RECOVERY)?;
    stage.note(format!("killed {leader}: others lead after {took:.2?}"));
    stage.cluster.node(leader).start()?;
    stage.recover()?;
    without_any(stage, &all)
}

/// Waits until another controller decides.
fn another_decides(stage: &Stage, old: i32) -> Result<i32> {
    eventually(RECOVERY, || {
        let next = stage.cluster.controller()?;
        ensure!(next != old, "{old} is still named");
        Ok(next)
    })
}

/// What only a controller can do.
fn changes(stage: &mut Stage) -> Result<()> {
    let name = format!("made-{}", stage.bits.below(1 << 32));
    stage.cluster.create_topic(&name, 1, 2)
}

/// Leaders go on without anybody who decides; what is decided afterwards is what all are told.
fn without_any(stage: &mut Stage, all: &[i32]) -> Result<()> {
    for id in all {
        stage.cluster.node(*id).kill()?;
    }
    let before = stage.cluster.partitions(stage.topic())?;
    stage.cluster.watch(Duration::from_secs(3))?;
    let acked = stage.load.await_progress(RECOVERY);
    let acked = acked.context("leaders must go on without controllers")?;
    let after = stage.cluster.partitions(stage.topic())?;
    for (before, after) in before.iter().zip(&after) {
        let same = (before.leader, before.epoch) == (after.leader, after.epoch);
        ensure!(same, "leadership moved: {before:?}, then {after:?}");
    }
    let id = *stage.bits.pick(&stage.cluster.ids().collect::<Vec<_>>());
    let made = stage
        .cluster
        .connect(id)
        .and_then(|mut raw| create_topic(&mut raw, "unmade", (1, 3), &[]));
    ensure!(
        !matches!(made, Ok(0)),
        "a topic was made without controllers"
    );
    let from = Instant::now();
    stage.cluster.start_these(all)?;
    stage.recover()?;
    changes(stage)?;
    stage.note(format!(
        "without controllers all acknowledge after {acked:.2?}; a topic is made {:.2?} after their start",
        from.elapsed()
    ));
    Ok(())
}
