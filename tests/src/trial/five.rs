//! Five brokers that see each other in part: no two majorities are the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "a_bridge_between_two_pairs",
        rows: &[29],
        faults: bridge,
        needs: Needs::Five,
    },
    Trial {
        name: "a_ring_of_five",
        rows: &[29],
        faults: ring,
        needs: Needs::Five,
    },
];

const CUT: Duration = Duration::from_secs(6);

/// One broker sees all, two and two see each other and that one.
fn bridge(stage: &mut Stage) -> Result<()> {
    let middle = *stage.bits.pick(&[1, 2, 3, 4, 5]);
    let others = stage.cluster.others(middle);
    for left in &others[..2] {
        stage.cluster.network.part(*left, &others[2..])?;
    }
    live_apart(stage, &format!("{middle} is the bridge"))
}

/// Everybody sees two neighbours; with itself that is a majority, each time another one.
fn ring(stage: &mut Stage) -> Result<()> {
    for left in 1..=5 {
        for right in left + 1..=5 {
            let far = ![1, 4].contains(&(right - left));
            if far {
                stage.cluster.network.part(left, &[right])?;
            }
        }
    }
    live_apart(stage, "a ring")
}

/// Looks at what all brokers believe: two leaders of one epoch must never be.
fn live_apart(stage: &mut Stage, what: &str) -> Result<()> {
    let mut leaders: BTreeMap<(i32, i32), i32> = BTreeMap::new();
    let started = Instant::now();
    while started.elapsed() < CUT {
        for id in stage.cluster.ids() {
            let topic = stage.topic();
            let Ok(views) = stage.cluster.partitions_at(id, topic) else {
                continue;
            };
            for view in views.iter().filter(|view| view.leader >= 0) {
                let first = *leaders
                    .entry((view.index, view.epoch))
                    .or_insert(view.leader);
                ensure!(
                    first == view.leader,
                    "{first} and {} lead {} in epoch {}",
                    view.leader,
                    view.index,
                    view.epoch
                );
            }
        }
        stage.cluster.watch(Duration::from_millis(200))?;
    }
    let elections = leaders.len();
    let acked = stage.load.await_progress(Duration::from_secs(1)).is_ok();
    stage.cluster.network.heal()?;
    let took = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "{what}: {elections} leaders and epochs in {CUT:.0?}, all acknowledged meanwhile: {acked}; \
         all acknowledge {took:.2?} after the healing"
    ));
    // Four partitions; each is led anew a few times, and not all the time.
    ensure!(elections <= 40, "{elections} elections in {CUT:?}");
    stage.recover()
}
