//! Clocks that jump.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::beside::Beside;
use super::{Needs, RECOVERY, Stage, Trial};
use crate::cluster::PartitionView;
use crate::raw::Raw;
use crate::scenario::eventually;

pub(super) const TRIALS: &[Trial] = &[Trial {
    name: "a_clock_jumps",
    rows: &[34],
    faults: jumps,
    needs: Needs::Clock,
}];

/// Where distributions put it.
const PLACES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
];

/// The library that answers for the wall clock, and leaves the one alone that only goes forward.
fn library() -> Option<PathBuf> {
    let named = std::env::var_os("FRESHET_FAKETIME").map(PathBuf::from);
    let usual = PLACES.iter().map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| path.exists())
}

/// Why nobody's clock can be set here.
pub fn missing_for_clocks() -> Option<String> {
    let missing = || "no libfaketime on this machine (apt-get install libfaketime)".to_owned();
    library().is_none().then(missing)
}

/// What has to be in the environment of a process whose clock is off by what the file says; it is right at first.
pub(crate) fn with_clock(file: &Path) -> Result<[(&'static str, String); 4]> {
    set_clock(file, "+0")?;
    let library = library().context("the library")?;
    Ok([
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
    ])
}

/// Sets it, as a second from now: `+1h`, `-3d`.
pub(crate) fn set_clock(file: &Path, by: &str) -> Result<()> {
    // Replaced whole: it is read at any moment.
    let beside = file.with_extension("new");
    std::fs::write(&beside, format!("{by}\n"))?;
    std::fs::rename(&beside, file).context("setting the clock")
}

/// The clock of a leader jumps about by less than records may be ahead of it, then by days. Nobody
/// takes over, nothing of a young topic is deleted, and nothing of one that is kept for ever.
fn jumps(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let clock = stage.cluster.folder().join("clock");
    let environment = with_clock(&clock)?;
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let node = stage.cluster.node(leader);
    node.stop()?;
    node.set("log.retention.check.interval.ms", "1000");
    node.set_environment(&environment);
    node.start()?;
    stage.recover()?;
    // Producers must not be refused because the broker believes that it is last week.
    let topic = stage.topic();
    let mut young = Beside::make_with(stage, "young", &[("retention.ms", "14400000")])?;
    young.write(stage, 20)?;
    for topic in [topic, &young.topic] {
        eventually(RECOVERY, || {
            let name = "message.timestamp.after.max.ms";
            let of = (Raw::TOPIC, topic);
            let set = |raw: &mut Raw| raw.set_config(of, name, "9223372036854775807");
            let (code, why) = stage.cluster.ask(set)?;
            ensure!(code == 0, "setting {name} of {topic}: error {code}, {why}");
            Ok(())
        })?;
    }
    let before = places(stage, &young)?;
    for by in ["+1h", "-3d", "+2h", "-90"] {
        set_clock(&clock, by)?;
        stage.cluster.watch(Duration::from_millis(1600))?;
        let acked = stage.load.await_progress(RECOVERY)?;
        stage.note(format!("{by}: all acknowledge after {acked:.2?}"));
        young.check(stage).with_context(|| format!("after {by}"))?;
    }
    // Now the topic is old by that clock, and may go; the one that is kept for ever may not.
    set_clock(&clock, "+3d")?;
    stage.cluster.watch(Duration::from_millis(2500))?;
    stage.load.await_progress(RECOVERY)?;
    let after = places(stage, &young)?;
    ensure!(
        before == after,
        "leaders moved from {before:?} to {after:?}"
    );
    set_clock(&clock, "+0")?;
    let node = stage.cluster.node(leader);
    node.stop()?;
    node.set_environment(&[]);
    node.start()?;
    stage.recover()
}

/// Who leads what, and since which epoch.
fn places(stage: &Stage, young: &Beside) -> Result<Vec<(i32, i32)>> {
    let mut views: Vec<PartitionView> = stage.cluster.partitions(stage.topic())?;
    views.push(young.view(stage)?);
    Ok(views.iter().map(|view| (view.leader, view.epoch)).collect())
}
