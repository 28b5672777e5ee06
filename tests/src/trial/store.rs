//! A bucket that is away while brokers are.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "the_store_is_out_of_reach_while_brokers_are_killed",
        rows: &[1, 2, 56],
        faults: out_of_reach,
        needs: Needs::Store,
    },
    Trial {
        name: "the_store_is_killed_while_brokers_are",
        rows: &[1, 56, 57],
        faults: killed,
        needs: Needs::Store,
    },
];

/// Whoever was on its way to the bucket has arrived, or never will.
const SETTLED: Duration = Duration::from_millis(500);

/// Every packet from and to the bucket is lost. Leaders are killed, then everybody: who starts knows nothing
/// of the bucket but what it had written down.
fn out_of_reach(stage: &mut Stage) -> Result<()> {
    let port = stage.store()?.port();
    stage.cluster.network.block_port_outside(port)?;
    stage.cluster.watch(SETTLED)?;
    let before = stage.store()?.asked();
    let (_, leader) = stage.some_leader()?;
    stage.cluster.node(leader).kill()?;
    let took = stage.await_other_leader(leader, RECOVERY)?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "killed {leader} without a bucket: others lead after {took:.2?}, all acknowledge {acked:.2?} later"
    ));
    stage.cluster.node(leader).start()?;
    stage.recover()?;
    let all: Vec<i32> = stage.cluster.ids().collect();
    for id in &all {
        stage.cluster.node(*id).kill()?;
    }
    stage.cluster.start_these(&all)?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "killed all without a bucket: all acknowledge after {acked:.2?}"
    ));
    stage.recover()?;
    let asked = stage.store()?.asked() - before;
    ensure!(asked == 0, "the bucket was reached {asked} times");
    Ok(())
}

/// The bucket's server ends without a word in the middle of uploads, a leader does before or after it, and
/// they come back in another order.
fn killed(stage: &mut Stage) -> Result<()> {
    for _ in 0..2 {
        let (_, leader) = stage.some_leader()?;
        let first = stage.bits.below(2) == 0;
        if first {
            stage.store()?.kill()?;
            stage.cluster.watch(Duration::from_secs(1))?;
        }
        stage.cluster.node(leader).kill()?;
        if !first {
            stage.store()?.kill()?;
        }
        let took = stage.await_other_leader(leader, RECOVERY)?;
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!(
            "killed {leader} and the bucket's server: others lead after {took:.2?}, all acknowledge {acked:.2?} later"
        ));
        if stage.bits.below(2) == 0 {
            stage.store()?.heal()?;
        }
        stage.cluster.node(leader).start()?;
        stage.recover()?;
        stage.store()?.heal()?;
        stage.cluster.watch(Duration::from_secs(1))?;
    }
    Ok(())
}
