//! Disks that give back something else than was written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::beside::Beside;
use super::{Needs, RECOVERY, Stage, Trial};
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "damaged_metadata_keeps_a_controller_from_starting",
        rows: &[16],
        faults: metadata,
        needs: Needs::Freshet,
    },
    Trial {
        name: "a_log_that_was_cut_is_copied_again_and_cuts_nobody",
        rows: &[17],
        faults: cut,
        needs: Needs::Freshet,
    },
    Trial {
        name: "a_bit_flips_in_a_segment_of_a_leader",
        rows: &[13],
        faults: flipped_at_leader,
        needs: Needs::Freshet,
    },
    Trial {
        name: "a_bit_flips_in_a_segment_of_a_follower",
        rows: &[14],
        faults: flipped_at_follower,
        needs: Needs::Freshet,
    },
    Trial {
        name: "an_old_segment_cannot_be_read",
        rows: &[11],
        faults: unreadable,
        needs: Needs::Freshet,
    },
    Trial {
        name: "a_disk_gives_errors_for_an_old_segment",
        rows: &[11],
        faults: bad_blocks,
        needs: Needs::FreshetDisks,
    },
];

/// A broker that must not start says so within this time.
const REFUSAL: Duration = Duration::from_secs(10);

/// Flips the bits of one byte; `at` is a share of the file, in percent.
pub(crate) fn flip(path: &Path, at: u64) -> Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let position = file.metadata()?.len() * at / 100;
    let mut byte = [0];
    file.read_exact_at(&mut byte, position)?;
    file.write_all_at(&[!byte[0]], position)?;
    Ok(())
}

/// Cuts a file to a share of its length, in percent.
fn shorten(path: &Path, to: u64) -> Result<()> {
    let file = File::options().write(true).open(path)?;
    file.set_len(file.metadata()?.len() * to / 100)?;
    Ok(())
}

/// All files of a folder that has no others below.
fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        all.insert(path, bytes);
    }
    Ok(all)
}

/// Each file of the metadata is damaged in turn. The controller does not start, says which file it is
/// and what to do, and touches nothing; the others go on.
fn metadata(stage: &mut Stage) -> Result<()> {
    let all: Vec<i32> = stage.cluster.ids().collect();
    let id = *stage.bits.pick(&all);
    // Small enough that there is a snapshot.
    let every = "metadata.log.max.record.bytes.between.snapshots";
    stage.cluster.node(id).stop()?;
    stage.cluster.node(id).set(every, "1000");
    stage.cluster.node(id).start()?;
    stage.recover()?;
    let folder = stage.cluster.node(id).logs().join("metadata");
    let mut beside = Beside::make(stage, "beside")?;
    beside.write(stage, 3)?;
    eventually(RECOVERY, || {
        let found = contents(&folder)?;
        let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|e| e == "snapshot");
        ensure!(
            found.keys().any(is_snapshot),
            "no snapshot: {:?}",
            found.keys()
        );
        Ok(())
    })?;
    stage.cluster.node(id).kill()?;
    let sound = contents(&folder)?;
    let mut tried = Vec::new();
    for (path, bytes) in &sound {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let damage: &[fn(&Path) -> Result<()>] = match name.rsplit('.').next() {
            // In the last tenth it could be an append that the power cut off.
            Some("log") if bytes.len() > 4000 => &[|path| flip(path, 10)],
            Some("snapshot") => &[|path| flip(path, 50), |path| shorten(path, 80)],
            Some("vote" | "purged") => &[|path| flip(path, 60), |path| shorten(path, 80)],
            _ => &[],
        };
        for (number, damage) in damage.iter().enumerate() {
            damage(path)?;
            refuses_to_start(stage, id, path).with_context(|| format!("{name}, {number}"))?;
            fs::write(path, bytes)?;
            tried.push(format!("{name} ({number})"));
        }
    }
    ensure!(contents(&folder)? == sound, "other files were changed");
    ensure!(tried.len() >= 4, "too little to damage: {:?}", sound.keys());
    stage.note(format!("refused to start with {}", tried.join(", ")));
    stage.cluster.node(id).start()?;
    stage.recover()?;
    beside.await_whole(stage, RECOVERY)?;
    beside.check(stage)
}

fn refuses_to_start(stage: &mut Stage, id: i32, damaged: &Path) -> Result<()> {
    let folder = damaged.parent().context("a file in a folder")?;
    let before = contents(folder)?;
    let said_before = stage.cluster.node(id).printed().len();
    stage.cluster.node(id).start()?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = stage.cluster.node(id).ended()? {
            break status;
        }
        ensure!(started.elapsed() < REFUSAL, "it runs with damaged metadata");
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(!status.success(), "it ended as if all were well");
    let said = stage.cluster.node(id).printed().split_off(said_before);
    let name = damaged.display().to_string();
    let last = said.lines().next_back().unwrap_or_default();
    ensure!(
        last.contains(&name) && last.contains("Restore"),
        "it does not say what to do: {said}"
    );
    ensure!(contents(folder)? == before, "files were changed");
    stage.load.await_progress(RECOVERY).map(drop)
}

/// Waits until a broker's copy is in sync again, is what was written, and the broker has told of the
/// damage.
fn is_made_good(stage: &mut Stage, beside: &Beside, id: i32, said_before: usize) -> Result<()> {
    beside.await_whole(stage, RECOVERY)?;
    let said = stage.cluster.node(id).printed().split_off(said_before);
    let log = format!("{}-0", beside.topic);
    let told = |line: &str| line.contains("ERROR") && line.contains(&log);
    ensure!(said.lines().any(told), "nobody is told of the damage");
    // It may be about to hand over still.
    eventually(RECOVERY, || beside.check(stage))?;
    // Now from the copy that was damaged.
    let others = stage.cluster.others(id);
    for other in others {
        if beside.view(stage)?.leader == other {
            let replicas = reordered(&beside.view(stage)?.replicas, id);
            lead_by(stage, beside, &replicas)?;
        }
    }
    beside.check(stage)
}

fn reordered(replicas: &[i32], first: i32) -> Vec<i32> {
    let rest = replicas.iter().copied().filter(|id| *id != first);
    std::iter::once(first).chain(rest).collect()
}

/// Makes the first of these the preferred leader, and then the leader.
fn lead_by(stage: &Stage, beside: &Beside, replicas: &[i32]) -> Result<()> {
    eventually(RECOVERY, || {
        let code = stage
            .cluster
            .ask(|raw| crate::cluster::reassign(raw, &beside.topic, 0, replicas))?;
        ensure!(code == 0, "reassigning to {replicas:?}: error {code}");
        Ok(())
    })?;
    beside.lead_by_first(stage).map(drop)
}

/// The highest offset that each broker's copy is known to have; it must never go back elsewhere.
fn end(stage: &Stage, beside: &Beside) -> Result<i64> {
    let leader = stage.cluster.leader(&beside.topic, 0)?;
    let (code, _, offset) = stage
        .cluster
        .connect(leader)?
        .offset_at(&beside.topic, -1)?;
    ensure!(code == 0, "asking for the end: error {code}");
    Ok(offset)
}

/// After a clean stop and after a kill, in the newest segment and in one that is closed.
fn cut(stage: &mut Stage) -> Result<()> {
    let mut beside = Beside::make(stage, "cut")?;
    beside.write(stage, 40)?;
    let view = beside.view(stage)?;
    let follower = *stage.bits.pick(&view.replicas[1..]);
    let cases = [(view.leader, true, true), (follower, false, false)];
    for (id, clean, newest) in cases {
        let said_before = stage.cluster.node(id).printed().len();
        if clean {
            stage.cluster.node(id).stop()?;
        } else {
            stage.cluster.node(id).kill()?;
        }
        let segments = beside.segments(stage, id)?;
        ensure!(segments.len() >= 3, "only {segments:?}");
        let segment = if newest {
            segments.last()
        } else {
            segments.get(1)
        };
        shorten(segment.context("a segment")?, 40)?;
        stage.cluster.node(id).start()?;
        let limit = Instant::now() + Duration::from_secs(3);
        while Instant::now() < limit {
            let end = eventually(RECOVERY, || end(stage, &beside))?;
            ensure!(end == beside.records as i64, "others were cut to {end}");
            stage.cluster.watch(Duration::from_millis(100))?;
        }
        is_made_good(stage, &beside, id, said_before)
            .with_context(|| format!("{id}, clean: {clean}, newest: {newest}"))?;
        beside.write(stage, 1)?;
    }
    stage.recover()
}

/// Has a broker lead the topic with nothing of it in memory.
fn cold_leader(stage: &mut Stage, beside: &Beside) -> Result<i32> {
    let id = beside.view(stage)?.replicas[0];
    stage.cluster.node(id).stop()?;
    stage.cluster.node(id).start()?;
    beside.await_whole(stage, RECOVERY)?;
    beside.lead_by_first(stage)
}

/// Does harm to a closed segment of a leader that has nothing of it in memory.
fn harmed_at_leader(
    stage: &mut Stage,
    name: &str,
    harm: fn(&mut Stage, i32, &Path) -> Result<()>,
) -> Result<()> {
    let mut beside = Beside::make(stage, name)?;
    beside.write(stage, 40)?;
    let id = cold_leader(stage, &beside)?;
    let said_before = stage.cluster.node(id).printed().len();
    let segment = beside.segments(stage, id)?.swap_remove(1);
    harm(stage, id, &segment)?;
    read_until_whole(stage, &beside, id)?;
    is_made_good(stage, &beside, id, said_before)?;
    stage.recover()
}

fn flipped_at_leader(stage: &mut Stage) -> Result<()> {
    harmed_at_leader(stage, "flipped", |_, _, segment| flip(segment, 50))
}

fn unreadable(stage: &mut Stage) -> Result<()> {
    harmed_at_leader(stage, "unreadable", |_, _, segment| shorten(segment, 10))
}

/// The file is as it was, and the disk under it gives nothing of it back.
fn bad_blocks(stage: &mut Stage) -> Result<()> {
    harmed_at_leader(stage, "bad", |stage, id, segment| {
        stage.cluster.node(id).disk()?.spoil(segment)?;
        let read = fs::read(segment).err().and_then(|why| why.raw_os_error());
        let eio = rustix::io::Errno::IO.raw_os_error();
        ensure!(
            read == Some(eio),
            "reading {} gave {read:?}",
            segment.display()
        );
        Ok(())
    })
}

/// Readers never see what is damaged; that they see everything in the end, others have taken over.
fn read_until_whole(stage: &mut Stage, beside: &Beside, damaged: i32) -> Result<()> {
    let from = Instant::now();
    let mut failures = 0;
    eventually(RECOVERY, || {
        let read = beside.check(stage);
        failures += u32::from(read.is_err());
        read
    })?;
    stage.note(format!(
        "read in full {:.1?} after the first try, {failures} failed; {damaged} was damaged",
        from.elapsed()
    ));
    ensure!(failures > 0, "the damage was never met");
    Ok(())
}

/// Nobody reads from a follower, so the damage is met when it leads.
fn flipped_at_follower(stage: &mut Stage) -> Result<()> {
    let mut beside = Beside::make(stage, "flipped")?;
    beside.write(stage, 40)?;
    let view = beside.view(stage)?;
    let id = *stage.bits.pick(&view.replicas[1..]);
    stage.cluster.node(id).kill()?;
    flip(&beside.segments(stage, id)?[0], 50)?;
    let said_before = stage.cluster.node(id).printed().len();
    stage.cluster.node(id).start()?;
    beside.await_whole(stage, RECOVERY)?;
    beside.check(stage).context("the leader's copy is whole")?;
    lead_by(stage, &beside, &reordered(&view.replicas, id))?;
    read_until_whole(stage, &beside, id)?;
    is_made_good(stage, &beside, id, said_before)?;
    stage.recover()
}
