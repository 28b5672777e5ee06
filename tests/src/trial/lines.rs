//! Lines between brokers that are cut, cut in one direction, or slow; and five brokers that see each
//! other in part: no two majorities are the same.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::beside::Beside;
use super::{Needs, RECOVERY, Stage, Trial};
use crate::cluster::{PartitionView, fetch_once};
use crate::raw::{Raw, batch_of_keys, now_ms, produce_request};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "isolate_a_leader",
        rows: &[25, 32],
        faults: isolated,
        needs: Needs::Cluster,
    },
    Trial {
        name: "isolate_the_active_controller",
        rows: &[25],
        faults: controller_isolated,
        needs: Needs::Freshet,
    },
    Trial {
        name: "part_a_leader_from_brokers_but_not_from_clients",
        rows: &[25, 27],
        faults: parted,
        needs: Needs::Cluster,
    },
    Trial {
        name: "a_leader_that_is_cut_off_promises_nothing",
        rows: &[25, 27],
        faults: stale,
        needs: Needs::Freshet,
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
    Trial {
        name: "packets_are_lost_and_doubled",
        rows: &[30],
        faults: lossy,
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
    stage.others_lead(cut_off)?;
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

/// An election, and what is left of the session of who led before: 1.2 s, and what a busy machine adds.
const SUCCEEDED: Duration = Duration::from_secs(2);

/// As if its machine had lost its power: nobody refuses a connection in its place.
fn controller_isolated(stage: &mut Stage) -> Result<()> {
    let active = stage.cluster.controller()?;
    stage.cluster.network.isolate(active)?;
    let took = stage.await_other_leader(active, RECOVERY)?;
    stage.note(format!(
        "controller {active} isolated: others lead after {took:.2?}"
    ));
    ensure!(took < SUCCEEDED, "others led after {took:?}");
    others_go_on(stage, active)
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
    let others = stage.cluster.others(leader);
    let deaf = *stage.bits.pick(&others);
    let hears = others.iter().find(|id| **id != deaf).context("three")?;
    let before = stage.cluster.partitions_at(*hears, stage.topic())?;
    stage.cluster.network.deafen(deaf, leader)?;
    stage.cluster.watch(CUT)?;
    let after = stage.cluster.partitions_at(*hears, stage.topic())?;
    let moves = elections(&before, &after);
    stage.note(format!(
        "{deaf} did not hear {leader} for {CUT:?}: {moves} elections"
    ));
    // One of each partition, and one back.
    ensure!(moves <= 8, "{moves} elections: {before:?}, {after:?}");
    stage.cluster.network.heal()?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!("all acknowledge {acked:.2?} after the healing"));
    stage.recover()
}

/// Of all partitions.
fn elections(before: &[PartitionView], after: &[PartitionView]) -> i32 {
    let moves = before.iter().zip(after).map(|(b, a)| a.epoch - b.epoch);
    moves.sum()
}

/// Once it hears of the others again, a leader of the past must give way.
const STALE: Duration = Duration::from_secs(3);
/// How long it is cut off. Others lead after a session.
const ALONE: Duration = Duration::from_secs(5);

/// A leader that nobody but clients can reach cannot tell a line that is cut from a quorum without a
/// majority, so it goes on as Kafka's does: what it shows was committed, it takes acks=1, and with
/// acks=all it promises nothing.
fn stale(stage: &mut Stage) -> Result<()> {
    let mut beside = Beside::make(stage, "stale")?;
    beside.write(stage, 3)?;
    let leader = beside.view(stage)?.leader;
    let others = stage.cluster.others(leader);
    stage.cluster.network.part(leader, &others)?;
    let from = Instant::now();
    let mut over = None;
    while from.elapsed() < ALONE {
        if over.is_none() {
            let views = stage.cluster.partitions_at(others[0], &beside.topic)?;
            over = (views[0].leader != leader).then(|| from.elapsed());
        }
        let mut raw = stage.cluster.connect(leader)?;
        let shown = fetch_once(&mut raw, &beside.topic, 0, 0)?;
        let committed = i64::try_from(beside.records)?;
        ensure!(
            shown.error_code != 0 || shown.high_watermark == committed,
            "{leader}, cut off, calls {} committed where {committed} are",
            shown.high_watermark
        );
        let all = produced(&mut raw, &beside, -1)?;
        produced(&mut raw, &beside, 1)?;
        ensure!(all != 0, "{leader}, cut off, acknowledges for all");
        stage.cluster.watch(Duration::from_millis(50))?;
    }
    let over = over.context("nobody took over")?;
    stage.cluster.network.heal()?;
    let healed = Instant::now();
    let mut raw = stage.cluster.connect(leader)?;
    while produced(&mut raw, &beside, 1)? == 0 {
        ensure!(
            healed.elapsed() < STALE,
            "{leader} goes on after the healing"
        );
        stage.cluster.watch(Duration::from_millis(20))?;
    }
    let gave_way = healed.elapsed();
    stage.recover()?;
    stage.note(format!(
        "others led after {over:.1?}; {leader} gave way {gave_way:.1?} after the healing"
    ));
    Ok(())
}

/// The code that a leader answers to one record; it waits for others for a moment only.
fn produced(raw: &mut Raw, beside: &Beside, acks: i16) -> Result<i16> {
    let mut request = produce_request(&beside.topic, batch_of_keys(now_ms(), 0..1)?, acks);
    request.timeout_ms = 100;
    let told = raw.call(12, &request)?;
    let topic = told.responses.first();
    let partition = topic.and_then(|topic| topic.partition_responses.first());
    Ok(partition.context("one partition")?.error_code)
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
    let before = stage.cluster.partitions(stage.topic())?;
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
    let after = stage.cluster.partitions(stage.topic())?;
    let moves = elections(&before, &after);
    ensure!(moves == 0, "{moves} elections: {before:?}, {after:?}");
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
    let epoch = |views: &[PartitionView]| views[partition as usize].epoch;
    let moves = epoch(&after) - epoch(&before);
    stage.note(format!(
        "{moves} elections of partition {partition} in 6 flaps"
    ));
    ensure!(moves <= 15, "{moves} elections in 6 flaps");
    Ok(())
}

fn lossy(stage: &mut Stage) -> Result<()> {
    let before = stage.cluster.partitions(stage.topic())?;
    stage.cluster.network.lose_and_double()?;
    stage.cluster.watch(CUT)?;
    let acked = stage.load.await_progress(RECOVERY)?;
    let after = stage.cluster.partitions(stage.topic())?;
    let moves = elections(&before, &after);
    stage.note(format!(
        "one packet in twenty lost, one doubled: {moves} elections in {CUT:.0?}, all acknowledge after {acked:.2?}"
    ));
    ensure!(moves <= 12, "{moves} elections: {before:?}, {after:?}");
    stage.cluster.network.heal()?;
    stage.recover()
}

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
