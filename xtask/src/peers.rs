//! `cargo xtask peers`: the clients and brokers that the tests talk to, installed into a cache.
//!
//! What is installed, and in which version, is said by the manifests under `tests/peers/`: a pom,
//! a requirements file, a lock file, a `go.mod`. A stamp over these files makes a second call cost
//! nothing. The cache may be deleted at any time.

mod recipes;
pub(crate) mod stamp;
pub(crate) mod system;

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::place;
use crate::process::say;
use recipes::{RECIPES, Recipe};

/// What `cargo xtask peers` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Install only these: java, python, go, node, s3, azure, gcs.
    #[arg(value_name = "PEER")]
    only: Vec<String>,
    /// Install again, whatever the stamps say.
    #[arg(long)]
    again: bool,
}

impl Args {
    /// Only the named peers.
    pub(crate) fn of(names: &[&str]) -> Self {
        Self {
            only: names.iter().map(ToString::to_string).collect(),
            again: false,
        }
    }
}

/// Installs what is not installed yet.
pub(crate) fn run(args: &Args) -> Result<()> {
    for name in &args.only {
        if !RECIPES.iter().any(|recipe| recipe.name == name) {
            let names: Vec<_> = RECIPES.iter().map(|recipe| recipe.name).collect();
            bail!("no peer is called `{name}`; there are {}", names.join(", "));
        }
    }
    let wanted =
        |recipe: &&Recipe| args.only.is_empty() || args.only.iter().any(|n| n == recipe.name);
    let chosen: Vec<_> = RECIPES.iter().filter(wanted).collect();
    let programs: Vec<_> = chosen
        .iter()
        .flat_map(|recipe| recipe.programs)
        .copied()
        .collect();
    system::require(&programs)?;
    for (at, recipe) in chosen.iter().enumerate() {
        let start = Instant::now();
        let progress = format!("peers {}/{}: {}", at + 1, chosen.len(), recipe.name);
        if install(recipe, args.again, &progress)? {
            say(&format!(
                "{progress}: installed in {:.0} s",
                start.elapsed().as_secs_f64()
            ));
        } else {
            say(&format!("{progress}: nothing to do"));
        }
    }
    Ok(())
}

/// Installs one peer; `false` when its stamp says that it is there.
fn install(recipe: &Recipe, again: bool, progress: &str) -> Result<bool> {
    let sources = place::root().join("tests/peers").join(recipe.name);
    let folder = place::peers().join(recipe.name);
    let wanted = stamp::of(&sources, recipe.manifests)?;
    if !again && stamp::read(&folder).is_some_and(|found| found == wanted) {
        return Ok(false);
    }
    say(&format!("{progress}: installing"));
    // The stamp goes with the folder, so an installation cut short is not taken for a whole one.
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    (recipe.install)(&sources, &folder)
        .with_context(|| format!("cannot install the {} peer", recipe.name))?;
    stamp::write(&folder, &wanted)?;
    Ok(true)
}
