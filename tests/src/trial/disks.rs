//! Disks that lose their power, refuse, are full or slow.

use std::fs;
use std::io::Write as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Needs, RECOVERY, Stage, Trial};
use crate::bits::Bits;
use crate::broker::Kind;
use crate::cluster::{Disk, PartitionView, elect_preferred, fetch_once};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "power_loss_of_all_at_once",
        rows: &[6, 8, 9],
        faults: all_lose_power,
        needs: Needs::Disks,
    },
    Trial {
        name: "power_loss_of_a_leader",
        rows: &[5, 8, 9],
        faults: leader_loses_power,
        needs: Needs::Disks,
    },
    Trial {
        name: "power_loss_while_the_others_stand_still",
        rows: &[7],
        faults: power_loss_alone,
        needs: Needs::Disks,
    },
    Trial {
        name: "flushes_fail",
        rows: &[10],
        faults: flushes_fail,
        needs: Needs::Disks,
    },
    Trial {
        name: "full_disk",
        rows: &[12],
        faults: full,
        needs: Needs::Disks,
    },
    Trial {
        name: "slow_disk",
        rows: &[21],
        faults: slow,
        needs: Needs::Disks,
    },
    Trial {
        name: "each_flush_takes_half_a_second",
        rows: &[21],
        faults: slow_flushes,
        needs: Needs::Disks,
    },
];

fn all_lose_power(stage: &mut Stage) -> Result<()> {
    let all: Vec<i32> = stage.cluster.ids().collect();
    for _ in 0..2 {
        for id in &all {
            stage.cluster.node(*id).disk()?.lose_power();
        }
        for id in &all {
            stage.cluster.node(*id).kill()?;
        }
        let mut lost = Vec::new();
        for id in &all {
            let disk = stage.cluster.node(*id).disk()?;
            lost.push(disk.regain_power(&mut stage.bits)?);
        }
        stage.cluster.start_these(&all)?;
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!(
            "power of all lost with {lost:?} blocks: all acknowledge after {acked:.2?}"
        ));
        stage.recover()?;
    }
    Ok(())
}

fn leader_loses_power(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let node = stage.cluster.node(leader);
    node.disk()?.lose_power();
    node.kill()?;
    let acked = stage.load.await_progress(RECOVERY)?;
    let lost = stage
        .cluster
        .node(leader)
        .disk()?
        .regain_power(&mut stage.bits)?;
    stage.note(format!(
        "power of {leader} lost with {lost} blocks: all acknowledge after {acked:.2?}"
    ));
    stage.cluster.node(leader).start()?;
    stage.recover()
}

/// The one that lost its power is awake before those that have everything.
fn power_loss_alone(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let others = stage.cluster.others(leader);
    for other in &others {
        stage.cluster.node(*other).pause()?;
    }
    let node = stage.cluster.node(leader);
    node.disk()?.lose_power();
    node.kill()?;
    let lost = stage
        .cluster
        .node(leader)
        .disk()?
        .regain_power(&mut stage.bits)?;
    stage.cluster.node(leader).start()?;
    stage.cluster.watch(Duration::from_secs(4))?;
    for other in &others {
        stage.cluster.node(*other).resume()?;
    }
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "power of {leader} lost with {lost} blocks while others slept: all acknowledge {acked:.2?} after they woke"
    ));
    stage.recover()
}

/// A broker that cannot flush must not lead; whether it ends or stays is its own choice.
fn flushes_fail(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    stage.cluster.node(leader).disk()?.fail_writes(true);
    let acked = stage.load.await_progress(RECOVERY);
    let acked = acked.context("while a leader's disk refuses every write")?;
    let ended = stage.cluster.node(leader).ended()?;
    stage.note(format!(
        "writes of {leader} fail: all acknowledge after {acked:.2?}; it ended: {ended:?}"
    ));
    if ended.is_none() {
        stage.cluster.node(leader).kill()?;
    }
    stage.cluster.node(leader).disk()?.mount_again()?;
    stage.cluster.node(leader).start()?;
    stage.recover()
}

/// Another leads, and nobody waits for a disk that is full or slow, so long after it has become so.
const RELIEF: Duration = Duration::from_secs(15);
/// How long the work is looked at then.
const LOOK: Duration = Duration::from_secs(8);
/// The longest time without an acknowledgement on a partition that waits for disks only that are well. With
/// one of half a second a flush it would be seconds again and again; a new leader takes milliseconds.
const PAUSE: Duration = Duration::from_secs(2);

/// A disk has become slow or full: others lead, it is out of the sets in sync, and all that is sent is
/// acknowledged at the pace of the others.
fn relieved(stage: &mut Stage, unwell: i32) -> Result<()> {
    let begin = Instant::now();
    let took = stage.await_other_leader(unwell, RELIEF)?;
    let topic = stage.topic();
    let asked = stage.cluster.others(unwell)[0];
    loop {
        let views = stage.cluster.partitions_at(asked, topic)?;
        let waits = views.iter().find(|view| view.in_sync.contains(&unwell));
        let Some(waits) = waits else {
            break;
        };
        ensure!(begin.elapsed() < RELIEF, "{unwell} is in sync: {waits:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // What was sent to the old leader comes to the new one.
    stage.load.await_progress(RELIEF)?;
    let from = Instant::now();
    stage.cluster.watch(LOOK)?;
    let until = Instant::now();
    let longest = pauses(stage, from, until)?;
    stage.note(format!(
        "others lead for {unwell} after {took:.1?}; then nothing is acknowledged for {longest:.1?} at most"
    ));
    let worst = longest.iter().max().copied().unwrap_or_default();
    ensure!(worst < PAUSE, "nothing is acknowledged for {longest:?}");
    stage.others_lead(unwell)
}

/// The longest time without an acknowledgement on each partition.
fn pauses(stage: &Stage, from: Instant, until: Instant) -> Result<Vec<Duration>> {
    let mut longest = Vec::new();
    for view in stage.cluster.partitions(stage.topic())? {
        let acked = stage.load.ack_times(view.index);
        let inside: Vec<Instant> = acked
            .into_iter()
            .filter(|at| (from..until).contains(at))
            .collect();
        ensure!(!inside.is_empty(), "{} acknowledges nothing", view.index);
        let times: Vec<Instant> = [from].into_iter().chain(inside).chain([until]).collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        longest.push(gaps.max().unwrap_or_default());
    }
    Ok(longest)
}

/// A disk is believed to be well only after its time of rest, and each slow flush meanwhile begins that anew.
const RESTED: Duration = Duration::from_secs(60);

/// The disk is well again: it catches up, and leads what it led before.
fn leads_again(stage: &mut Stage, was: &[PartitionView]) -> Result<()> {
    stage.cluster.await_whole(stage.topic(), RESTED)?;
    stage.recover()?;
    let topic = stage.topic();
    for view in was {
        let preferred = view.replicas[0];
        eventually(RECOVERY, || {
            if stage.cluster.leader(topic, view.index)? != preferred {
                let index = view.index;
                let code = stage
                    .cluster
                    .ask(|raw| elect_preferred(raw, topic, index))?;
                ensure!(code == 0, "electing {preferred} for {index}: error {code}");
            }
            let leader = stage.cluster.leader(topic, view.index)?;
            ensure!(leader == preferred, "{leader} leads, not {preferred}");
            Ok(())
        })?;
    }
    stage.recover()
}

/// Below the reserve producers are refused, so others lead. Once there is room all is as before.
fn full(stage: &mut Stage) -> Result<()> {
    let (partition, leader) = stage.some_leader()?;
    let before = stage.cluster.partitions(stage.topic())?;
    stage.cluster.node(leader).disk()?.fill(0)?;
    if stage.cluster.kind() == Kind::Freshet {
        relieved(stage, leader)?;
        let other = stage.cluster.leader(stage.topic(), partition)?;
        let mut raw = stage.cluster.connect(other)?;
        let told = fetch_once(&mut raw, stage.topic(), partition, 0)?;
        let code = told.error_code;
        ensure!(code == 0, "readers get error {code} while a disk is full");
        stage.cluster.node(leader).disk()?.make_room()?;
        return leads_again(stage, &before);
    }
    // It looks at its disk every now and then.
    std::thread::sleep(Duration::from_secs(3));
    let acked = stage.load.await_progress(Duration::from_secs(5));
    let ended = stage.cluster.node(leader).ended()?;
    stage.note(format!(
        "disk of {leader} full: all acknowledge: {}; it ended: {ended:?}",
        acked.is_ok()
    ));
    stage.cluster.node(leader).disk()?.make_room()?;
    // It takes no directory back without a restart.
    if ended.is_none() {
        stage.cluster.node(leader).stop()?;
    }
    stage.cluster.node(leader).start()?;
    stage.load.await_progress(RECOVERY)?;
    stage.recover()
}

fn slow(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let before = stage.cluster.partitions(stage.topic())?;
    stage
        .cluster
        .node(leader)
        .disk()?
        .slow_down(Duration::from_millis(100));
    if stage.cluster.kind() == Kind::Freshet {
        relieved(stage, leader)?;
    } else {
        stage.cluster.watch(Duration::from_secs(6))?;
    }
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "each write of {leader} takes 100 ms: all acknowledge after {acked:.2?}"
    ));
    stage.cluster.node(leader).disk()?.slow_down(Duration::ZERO);
    match stage.cluster.kind() {
        Kind::Freshet => leads_again(stage, &before),
        Kind::Kafka => stage.recover(),
    }
}

/// How long a disk is that slow, and when somebody begins to look, where nobody takes over.
const SLOW: Duration = Duration::from_secs(10);
const SLOWED: Duration = Duration::from_secs(2);

/// A flush of a file system waits for several of the disk, one after the other, and what is written meanwhile
/// waits for the next one. Nobody stands still for it, and who has a disk that is not slow leads on.
fn slow_flushes(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let before = stage.cluster.partitions(stage.topic())?;
    let disk = stage.cluster.node(leader).disk()?;
    disk.slow_flushes(Duration::from_millis(500));
    if stage.cluster.kind() == Kind::Freshet {
        relieved(stage, leader)?;
    } else {
        let begin = Instant::now();
        stage.cluster.watch(SLOW)?;
        let longest = pauses(stage, begin + SLOWED, Instant::now())?;
        stage.note(format!(
            "each flush of {leader} takes half a second: nothing is acknowledged for {longest:.1?} at most"
        ));
    }
    let after = stage.cluster.partitions(stage.topic())?;
    let pairs = before.iter().zip(&after);
    for (before, after) in pairs.filter(|(before, _)| before.leader != leader) {
        let same = (before.leader, before.epoch) == (after.leader, after.epoch);
        ensure!(same, "leadership moved: {before:?}, then {after:?}");
    }
    stage
        .cluster
        .node(leader)
        .disk()?
        .slow_flushes(Duration::ZERO);
    match stage.cluster.kind() {
        Kind::Freshet => leads_again(stage, &before),
        Kind::Kafka => stage.recover(),
    }
}

/// Why no disk can be made here: no loop devices, no FUSE, no ext4.
pub fn missing_for_disks() -> Option<String> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let probe = || {
        let folder = tempfile::tempdir()?;
        Disk::new(folder.path()).map(drop)
    };
    let missing = || {
        probe()
            .err()
            .map(|why| format!("no disk can be made here: {why:#}"))
    };
    MISSING.get_or_init(missing).clone()
}

/// The disk itself, before anybody relies on it: a flushed file survives whole, an unflushed one
/// does not, a refused flush is told, and `syncfs` flushes.
pub fn disk_keeps_what_was_flushed() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("freshet-disk-").tempdir()?;
    let mut disk = Disk::new(folder.path())?;
    let at = |name: &str| folder.path().join("files").join(name);
    let content = vec![7; 300_000];
    let write = |name: &str| -> Result<fs::File> {
        let mut file = fs::File::create(at(name))?;
        file.write_all(&content)?;
        Ok(file)
    };
    let flushed = write("flushed")?;
    flushed.sync_data()?;
    fs::File::open(at(""))?.sync_all()?;
    let together = write("together")?;
    rustix::fs::syncfs(&together)?;
    let unflushed = write("unflushed")?;
    ensure!(disk.flushes() > 2, "only {} flushes", disk.flushes());
    disk.lose_power();
    ensure!(
        flushed.sync_all().is_err() || unflushed.sync_all().is_err(),
        "flushed without power"
    );
    drop((flushed, together, unflushed));
    disk.regain_power(&mut Bits::new(5))?;
    for name in ["flushed", "together"] {
        let survived = fs::read(at(name)).with_context(|| name.to_owned())?;
        ensure!(survived == content, "{name}: {} bytes", survived.len());
    }
    let survived = fs::read(at("unflushed")).unwrap_or_default();
    ensure!(survived != content, "what was not flushed survived");
    let file = write("refused")?;
    disk.fail_writes(true);
    ensure!(file.sync_all().is_err(), "a refused write was flushed");
    drop(file);
    disk.mount_again()?;
    ensure!(fs::read(at("flushed"))? == content, "lost by a refusal");
    fs::write(at("spoiled"), Bits::new(6).bytes(100_000))?;
    disk.spoil(&at("spoiled"))?;
    let read = |name: &str| fs::read(at(name)).map_err(|why| why.raw_os_error());
    let eio = Some(rustix::io::Errno::IO.raw_os_error());
    let told = read("spoiled").map(|bytes| bytes.len());
    ensure!(told == Err(eio), "what cannot be read gave {told:?}");
    ensure!(read("flushed").is_ok(), "another file cannot be read");
    fs::write(at("spoiled"), Bits::new(7).bytes(100_000))?;
    fs::File::open(at("spoiled"))?.sync_all()?;
    let told = read("spoiled").map(|bytes| bytes.len());
    ensure!(told == Ok(100_000), "what was written anew gave {told:?}");
    disk.fill(100_000)?;
    ensure!(write("too-much").is_err(), "a full disk took more");
    disk.make_room()
}
