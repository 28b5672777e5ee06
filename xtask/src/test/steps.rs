//! The steps of a whole test run.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::count::Count;
use crate::place;
use crate::process::{self, cargo, say};
use crate::{peers, tidy};

/// A step, the steps that must come before it, and how it runs.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [&'static str],
    pub(crate) run: fn() -> Result<Count>,
}

/// In the order of what is cheap to know first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "tidy",
        needs: &[],
        run: tidy,
    },
    Step {
        name: "unit",
        needs: &[],
        run: unit,
    },
    Step {
        name: "build",
        needs: &[],
        run: build,
    },
    Step {
        name: "peers",
        needs: &[],
        run: peers,
    },
    Step {
        name: "wire",
        needs: &["build", "peers"],
        run: wire,
    },
    Step {
        name: "faults",
        needs: &["build", "peers"],
        run: faults,
    },
];

fn tidy() -> Result<Count> {
    tidy::run(&tidy::Args::default()).map(|()| Count::one(true))
}

fn unit() -> Result<Count> {
    tests(&["--workspace", "--exclude", "freshet-tests"])
}

/// The binaries that a user gets; the black-box tests take nothing else.
fn build() -> Result<Count> {
    let args = [
        "build",
        "--release",
        "--package",
        "freshet-broker",
        "--package",
        "freshet-cli",
    ];
    process::run(&mut cargo(place::root(), &args)).map(|_| Count::one(true))
}

fn peers() -> Result<Count> {
    peers::run(&peers::Args::default()).map(|()| Count::one(true))
}

fn wire() -> Result<Count> {
    tests(&["--package", "freshet-tests", "--lib", "--test", "wire"])
}

fn faults() -> Result<Count> {
    tests(&["--package", "freshet-tests", "--test", "faults"])
}

/// Runs `cargo test` and counts. Each test that could not run has put a line into a file of ours.
fn tests(args: &[&str]) -> Result<Count> {
    let note = place::target().join(format!("skipped-{}", std::process::id()));
    fs::create_dir_all(place::target()).context("cannot create the target folder")?;
    fs::write(&note, "").with_context(|| format!("cannot write {}", note.display()))?;
    let mut command = cargo(place::root(), &["test", "--no-fail-fast"]);
    told(command.args(args)).env("FRESHET_SKIPPED", &note);
    let mut count = Count::default();
    let fine = process::watch(&mut command, |line| {
        count += Count::read(line).unwrap_or_default()
    })?;
    let skipped = fs::read_to_string(&note).unwrap_or_default();
    fs::remove_file(&note).with_context(|| format!("cannot remove {}", note.display()))?;
    for line in skipped.lines() {
        say(&format!("SKIPPED {line}"));
    }
    let mut count = count.without(skipped.lines().count());
    if !fine && count.failed == 0 {
        // Something broke before a test could: it did not compile, or a runner was killed.
        count.failed = 1;
    }
    Ok(count)
}

/// Tells the tests where the peers and our binaries are.
fn told(command: &mut Command) -> &mut Command {
    let peers = place::peers();
    command
        .env("FRESHET_PEERS", peers)
        .env("FRESHET_BIN", place::target().join("release"))
}
