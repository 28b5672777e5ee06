//! Processes that stand still and go on as if nothing had been.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

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
    Trial {
        name: "a_thread_stands_still",
        rows: &[39],
        faults: thread,
        needs: Needs::Freshet,
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
    // That is a decision, and it was another's.
    stage.others_lead(active)?;
    stage.cluster.node(active).resume()?;
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "controller {active} slept: all acknowledge {acked:.2?} after its waking"
    ));
    stage.recover()
}

/// The thread that serves all clients of a broker is held up within a system call, as by a lock or a
/// device. Others serve on, and somebody says so.
fn thread(stage: &mut Stage) -> Result<()> {
    const STUCK: Duration = Duration::from_secs(7);
    // It looks every two seconds.
    const TOLD: Duration = Duration::from_secs(5);
    let (_, leader) = stage.some_leader()?;
    let process = stage.cluster.node(leader).process_id()?;
    let thread = thread_of(process, "net-0")?;
    let begin = Instant::now();
    let mut holder = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-p", &thread.to_string()])
        .args(["-e", "trace=recvfrom"])
        .arg("-e")
        .arg(format!(
            "inject=recvfrom:delay_enter={}:when=1",
            STUCK.as_micros()
        ))
        .stdin(Stdio::null())
        .spawn()
        .context("starting strace")?;
    stage.cluster.watch(STUCK)?;
    let led = stage.cluster.partitions(stage.topic())?;
    holder.kill()?;
    holder.wait()?;
    let mut count = 0;
    for (at, _) in led.iter().enumerate().filter(|(_, p)| p.leader != leader) {
        let partition = i32::try_from(at)?;
        let late = begin + STUCK / 2..begin + STUCK;
        let acked = stage.load.ack_times(partition);
        let acked = acked.iter().filter(|at| late.contains(*at)).count();
        ensure!(
            acked > 0,
            "partition {partition}, led by another, stood still as well"
        );
        count += acked;
    }
    ensure!(count > 0, "{leader} leads all");
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "net-0 of {leader} stood still: others acknowledged {count} records meanwhile, and all do {acked:.2?} later"
    ));
    stage.recover()?;
    for what in ["a thread stands still", "a thread that stood still goes on"] {
        let told = |line: &str| line.contains(what) && line.contains("net-0");
        let end = Instant::now() + TOLD;
        while !stage.cluster.node(leader).printed().lines().any(told) {
            ensure!(Instant::now() < end, "{leader} does not say: {what}");
            stage.cluster.watch(Duration::from_millis(100))?;
        }
    }
    Ok(())
}

/// The thread of a process that has this name.
fn thread_of(process: Pid, name: &str) -> Result<u32> {
    let tasks = format!("/proc/{}/task", process.as_raw_nonzero());
    for task in fs::read_dir(tasks)? {
        let task = task?;
        if fs::read_to_string(task.path().join("comm"))?.trim() == name {
            return Ok(task.file_name().to_string_lossy().parse()?);
        }
    }
    anyhow::bail!("there is no thread {name}")
}
