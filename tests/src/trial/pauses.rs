//! Processes that stand still and go on as if nothing had been.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};
use crate::broker::Kind;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "pause_half_a_second_fences_nobody",
        rows: &[22],
        faults: short,
        needs: Needs::Cluster,
    },
    Trial {
        name: "pause_a_leader_five_seconds",
        rows: &[22],
        faults: leader,
        needs: Needs::Cluster,
    },
    Trial {
        name: "pause_the_active_controller",
        rows: &[23],
        faults: controller,
        needs: Needs::Cluster,
    },
];

fn short(stage: &mut Stage) -> Result<()> {
    let all: Vec<i32> = stage.cluster.ids().collect();
    let before = stage.cluster.partitions(stage.topic())?;
    for id in all.iter().chain(&all) {
        stage.cluster.node(*id).pause()?;
        stage.cluster.watch(Duration::from_millis(500))?;
        stage.cluster.node(*id).resume()?;
        stage.cluster.watch(Duration::from_millis(300))?;
    }
    stage.load.await_progress(RECOVERY)?;
    let after = stage.cluster.partitions(stage.topic())?;
    for (before, after) in before.iter().zip(&after) {
        let same = (before.leader, before.epoch) == (after.leader, after.epoch);
        ensure!(same, "leadership moved: {before:?}, then {after:?}");
    }
    Ok(())
}

fn leader(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    stage.cluster.node(leader).pause()?;
    // Nobody may ask the one who stands still, and whoever looks must not wait for it.
    let limit = Duration::from_secs(if stage.cluster.kind() == Kind::Kafka {
        15
    } else {
        5
    });
    stage.cluster.watch(limit)?;
    stage.cluster.node(leader).resume()?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "{leader} slept {limit:.0?}: all acknowledge {acked:.2?} after its waking"
    ));
    stage.recover()?;
    if stage.cluster.kind() == Kind::Freshet {
        told(stage, leader, "broker fenced")?;
        told(stage, leader, "broker unfenced")?;
    }
    Ok(())
}

/// The controller that decides tells who is out of service, and why.
fn told(stage: &mut Stage, broker: i32, what: &str) -> Result<()> {
    let about = |line: &str| line.contains(what) && line.contains(&format!("broker={broker}"));
    let all: Vec<i32> = stage.cluster.ids().collect();
    let mut printed = all.into_iter().map(|id| stage.cluster.node(id).printed());
    let found = printed.any(|text| text.lines().any(about));
    ensure!(found, "nobody is told: {what} {broker}");
    Ok(())
}

fn controller(stage: &mut Stage) -> Result<()> {
    let active = stage.cluster.controller()?;
    stage.cluster.node(active).pause()?;
    stage.cluster.watch(Duration::from_secs(6))?;
    stage.cluster.node(active).resume()?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "controller {active} slept: all acknowledge {acked:.2?} after its waking"
    ));
    stage.recover()
}
