//! Brokers that end without a word.

use std::time::Duration;

use anyhow::Result;

use super::{Needs, RECOVERY, Stage, Trial};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "kill_leaders_in_a_loop",
        rows: &[1],
        faults: leaders,
        needs: Needs::Cluster,
    },
    Trial {
        name: "kill_the_active_controller",
        rows: &[3],
        faults: controller,
        needs: Needs::Cluster,
    },
    Trial {
        name: "kill_all_at_once",
        rows: &[2],
        faults: everybody,
        needs: Needs::Cluster,
    },
    Trial {
        name: "restart_storm",
        rows: &[1, 33],
        faults: storm,
        needs: Needs::Cluster,
    },
];

fn leaders(stage: &mut Stage) -> Result<()> {
    for _ in 0..3 {
        let (_, leader) = stage.some_leader()?;
        stage.cluster.node(leader).kill()?;
        let took = stage.await_other_leader(leader, RECOVERY)?;
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!(
            "killed {leader}: others lead after {took:.2?}, all acknowledge {acked:.2?} later"
        ));
        stage.cluster.node(leader).start()?;
        stage.recover()?;
    }
    Ok(())
}

fn controller(stage: &mut Stage) -> Result<()> {
    for _ in 0..2 {
        let active = stage.cluster.controller()?;
        stage.cluster.node(active).kill()?;
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!(
            "killed controller {active}: all acknowledge after {acked:.2?}"
        ));
        stage.cluster.node(active).start()?;
        stage.recover()?;
    }
    Ok(())
}

fn everybody(stage: &mut Stage) -> Result<()> {
    let all: Vec<i32> = stage.cluster.ids().collect();
    for id in &all {
        stage.cluster.node(*id).kill()?;
    }
    stage.cluster.start_these(&all)?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!("killed all: all acknowledge after {acked:.2?}"));
    stage.recover()
}

/// Somebody is killed every second or so, and comes back half a second later, ready or not.
fn storm(stage: &mut Stage) -> Result<()> {
    let all: Vec<i32> = stage.cluster.ids().collect();
    for _ in 0..6 {
        let id = *stage.bits.pick(&all);
        stage.cluster.node(id).kill()?;
        let down = Duration::from_millis(100 + stage.bits.below(800));
        stage.cluster.watch(down)?;
        stage.cluster.node(id).start()?;
        let up = Duration::from_millis(stage.bits.below(1000));
        stage.cluster.watch(up)?;
    }
    stage.recover()
}
