//! Lines between brokers that are cut, cut in one direction, or slow.

use std::time::Duration;

use anyhow::Result;

use super::{Needs, RECOVERY, Stage, Trial};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "isolate_a_leader",
        rows: &[25, 32],
        faults: isolated,
        needs: Needs::Cluster,
    },
    Trial {
        name: "part_a_leader_from_brokers_but_not_from_clients",
        rows: &[25, 27],
        faults: parted,
        needs: Needs::Cluster,
    },
    Trial {
        name: "deaf_leader",
        rows: &[26],
        faults: deaf,
        needs: Needs::Cluster,
    },
    Trial {
        name: "unheard_leader",
        rows: &[26],
        faults: unheard,
        needs: Needs::Cluster,
    },
    Trial {
        name: "part_clients_from_a_leader",
        rows: &[28],
        faults: clients_parted,
        needs: Needs::Cluster,
    },
    Trial {
        name: "slow_line",
        rows: &[31],
        faults: slow,
        needs: Needs::Cluster,
    },
    Trial {
        name: "flapping_line",
        rows: &[33],
        faults: flapping,
        needs: Needs::Cluster,
    },
];

const CUT: Duration = Duration::from_secs(6);

/// The others must have taken over before the line is back.
fn others_go_on(stage: &mut Stage, cut_off: i32) -> Result<()> {
    stage.cluster.watch(CUT)?;
    let views = stage.cluster.partitions(stage.topic());
    stage.note(format!(
        "{cut_off} was cut off {CUT:?}, then leaders were {:?}",
        views.map(|views| views.iter().map(|view| view.leader).collect::<Vec<_>>())
    ));
    stage.cluster.network.heal()?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!("all acknowledge {acked:.2?} after the healing"));
    stage.recover()
}

fn isolated(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    stage.cluster.network.isolate(leader)?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "{leader} isolated: all acknowledge after {acked:.2?}"
    ));
    others_go_on(stage, leader)
}

fn parted(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let others = stage.cluster.others(leader);
    stage.cluster.network.part(leader, &others)?;
    others_go_on(stage, leader)
}

fn deaf(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    for other in stage.cluster.others(leader) {
        stage.cluster.network.deafen(leader, other)?;
    }
    others_go_on(stage, leader)
}

fn unheard(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let other = *stage.bits.pick(&stage.cluster.others(leader));
    stage.cluster.network.deafen(other, leader)?;
    others_go_on(stage, leader)
}

/// What was on its way comes again later, and must be there once.
fn clients_parted(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    for _ in 0..3 {
        stage.cluster.network.deafen_to_clients(leader)?;
        let cut = Duration::from_millis(500 + stage.bits.below(3000));
        stage.cluster.watch(cut)?;
        stage.cluster.network.heal()?;
        stage.load.await_progress(RECOVERY)?;
    }
    stage.recover()
}

fn slow(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let how = stage
        .cluster
        .network
        .slow(leader, Duration::from_millis(200))?;
    stage.note(format!("the line of {leader} was {how}"));
    stage.cluster.watch(CUT)?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "over the slow line all acknowledge after {acked:.2?}"
    ));
    stage.cluster.network.heal()?;
    stage.recover()
}

fn flapping(stage: &mut Stage) -> Result<()> {
    let (partition, leader) = stage.some_leader()?;
    let before = stage.cluster.partitions(stage.topic())?;
    for _ in 0..6 {
        stage.cluster.network.isolate(leader)?;
        stage.cluster.watch(Duration::from_secs(1))?;
        stage.cluster.network.heal()?;
        stage.cluster.watch(Duration::from_secs(1))?;
    }
    stage.recover()?;
    let after = stage.cluster.partitions(stage.topic())?;
    let epoch = |views: &[crate::cluster::PartitionView]| views[partition as usize].epoch;
    let moves = epoch(&after) - epoch(&before);
    stage.note(format!(
        "{moves} elections of partition {partition} in 6 flaps"
    ));
    anyhow::ensure!(moves <= 15, "{moves} elections in 6 flaps");
    Ok(())
}
