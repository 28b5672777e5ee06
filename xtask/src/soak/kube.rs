//! `cargo xtask soak kube`: events let loose on a cluster that the operator runs, and how it is with thousands of
//! Topics.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::words;
use crate::process::{self, cargo, say};
use crate::{image, kube, peers, place, test};

/// What `cargo xtask soak kube` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Begin no new event after so many minutes.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// The seed of the events. Default: from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Do only this. Default: both, events last.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Load the archives of this folder instead of building images: broker and operator of one tag, and the
    /// broker once more with `-next` after it.
    #[arg(long, value_name = "DIR", requires = "tag")]
    images: Option<PathBuf>,
    /// Their tag.
    #[arg(long, requires = "images")]
    tag: Option<String>,
    /// Leave the Kubernetes up when something failed.
    #[arg(long)]
    leave: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Thousands of Topics, with bars.
    Scale,
    /// What happens to a cluster.
    Events,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Events => "events",
        }
    }
}

/// Raises a Kubernetes, and takes it down in the end.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(why) = kube::refusal() {
        bail!("a Kubernetes cannot run here: {why}");
    }
    peers::run(&peers::Args::of(&["java", "python", "go", "s3"]))?;
    let images = match &args.images {
        Some(folder) => archives(folder)?,
        None => image::for_tests(false)?,
    };
    // Built before there is a cluster that would wait for it.
    let build = [
        "build",
        "--package",
        "freshet-tests",
        "--example",
        "kube_soak",
    ];
    process::run(&mut cargo(place::root(), &build))?;
    let cluster = kube::Borrowed::up(test::NODES, &images)?;
    let done = part(args, &cluster);
    if args.leave && done.is_err() {
        say("the Kubernetes is left up; `cargo xtask kube down` takes it away");
        cluster.leave();
    }
    done
}

fn part(args: &Args, cluster: &kube::Borrowed) -> Result<()> {
    let minutes = args.minutes.to_string();
    let parts = match args.only {
        Some(part) => vec![part],
        None => vec![Part::Scale, Part::Events],
    };
    for part in parts {
        let told = [part.word(), &minutes];
        let mut soak = cluster.cargo(place::root(), &words("kube_soak", &told))?;
        soak.env("FRESHET_KEPT", place::target().join("kube-soak"));
        if let Some(tag) = &args.tag {
            soak.env("FRESHET_KUBE_TAG", tag);
        }
        if let Some(seed) = args.seed {
            soak.env("FRESHET_SEED", seed.to_string());
        }
        process::run(test::told(&mut soak))?;
    }
    Ok(())
}

/// All archives of a folder.
fn archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut found: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "tar"))
        .collect();
    found.sort();
    ensure!(
        !found.is_empty(),
        "no image archives are in {}: `cargo xtask image --out` writes them",
        folder.display()
    );
    Ok(found)
}
