//! `cargo xtask soak`: random sequences of trials; and `cargo xtask faults`: the page that tells how
//! they went.

mod kube;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{self, cargo, say};
use crate::{peers, place, test};

/// What `cargo xtask soak` takes.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    place: Option<Place>,
    /// Begin no new sequence after so many minutes; 0 runs one sequence.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// The seed of the first sequence; the next ones count up from it. Default: from the clock.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(clap::Subcommand)]
enum Place {
    /// The same of a cluster that the operator runs on a real Kubernetes.
    Kube(kube::Args),
}

/// Where runs of trials are noted until `cargo xtask faults` takes them up.
pub(crate) fn notes() -> PathBuf {
    place::target().join("trials.jsonl")
}

/// Builds the broker, installs the peers and lets go.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.place {
        Some(Place::Kube(args)) => kube::run(args),
        None => processes(args),
    }
}

fn processes(args: &Args) -> Result<()> {
    let build = ["build", "--release", "--package", "freshet-broker"];
    process::run(&mut cargo(place::root(), &build))?;
    peers::run(&peers::Args::of(&["java", "python", "go", "s3"]))?;
    peers::system::require(peers::system::TRIALS)?;
    let minutes = args.minutes.to_string();
    let mut soak = example("soak", &[&minutes]);
    if let Some(seed) = args.seed {
        soak.env("FRESHET_SEED", seed.to_string());
    }
    process::run(test::told(&mut soak)).map(drop)
}

/// Folds the notes into the kept results and writes the page from them.
pub(crate) fn faults() -> Result<()> {
    let notes = notes();
    let notes = notes
        .to_str()
        .context("the target folder has a name that is no text")?;
    let page = process::read(&mut example("faults_page", &[notes]))?;
    say("writing docs/faults.md");
    fs::write(place::root().join("docs/faults.md"), page).context("cannot write docs/faults.md")
}

/// An example program of the black-box tests.
pub(crate) fn example<S: AsRef<str>>(name: &str, args: &[S]) -> std::process::Command {
    cargo(place::root(), &words(name, args))
}

/// What cargo is told to run it.
fn words<'a, S: AsRef<str>>(name: &'a str, args: &'a [S]) -> Vec<&'a str> {
    let run = [
        "run",
        "--quiet",
        "--package",
        "freshet-tests",
        "--example",
        name,
        "--",
    ];
    run.into_iter()
        .chain(args.iter().map(AsRef::as_ref))
        .collect()
}
