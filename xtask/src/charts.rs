//! The Helm charts: what of them is generated, and what they must be like.

mod crds;
mod dashboards;
mod helm;
mod readme;
mod values;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::place;
use crate::process::say;
use crate::tidy::Finding;
pub(crate) use helm::Told;

/// Both charts.
const CHARTS: &[&str] = &["freshet-operator", "freshet-cluster"];

/// What `cargo xtask charts` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Write again what is generated: dashboards, the tables of the READMEs, the snapshots of templates.
    #[arg(long)]
    write: bool,
}

/// `cargo xtask charts`: writes, or looks at both charts as Helm sees them.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.write {
        for (path, text) in generated()? {
            write(&path, &text)?;
        }
    }
    let told = helm::check(args.write)?;
    if told.failed > 0 {
        bail!("{} of the charts' checks failed", told.failed);
    }
    Ok(())
}

/// The same as a step of the tests.
pub(crate) fn step() -> Result<Told> {
    helm::check(false)
}

/// `cargo xtask crds`: writes the definitions.
pub(crate) fn definitions() -> Result<()> {
    for (path, text) in crds::files()? {
        write(&path, &text)?;
    }
    Ok(())
}

fn write(path: &str, text: &str) -> Result<()> {
    let full = place::root().join(path);
    if fs::read_to_string(&full).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    say(&format!("writing {path}"));
    let folder = full.parent().unwrap_or(place::root());
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(&full, text).with_context(|| format!("cannot write {path}"))
}

/// What needs no other program to be written, by path.
fn generated() -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for (name, text) in dashboards::files() {
        files.push((format!("charts/freshet-operator/dashboards/{name}"), text));
    }
    for chart in CHARTS {
        files.push((
            format!("charts/{chart}/README.md"),
            readme::of(&folder(chart))?,
        ));
    }
    Ok(files)
}

fn folder(chart: &str) -> std::path::PathBuf {
    place::root().join("charts").join(chart)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What of the charts is not as it should be, as far as the files tell.
pub(crate) fn findings() -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (path, text) in generated()? {
        let kept = fs::read_to_string(place::root().join(&path)).unwrap_or_default();
        if kept != text {
            let what = "is not what the code says; run `cargo xtask charts --write`";
            findings.push(Finding::new(path, what));
        }
    }
    for chart in CHARTS {
        findings.extend(values::check(&folder(chart))?);
    }
    Ok(findings)
}

/// Definitions whose kept text is not what the types say.
pub(crate) fn stale() -> Result<Vec<Finding>> {
    let stale = crds::files()?.into_iter().filter(|(path, text)| {
        let kept = fs::read_to_string(place::root().join(path)).unwrap_or_default();
        kept != *text
    });
    let what = "is not what the types say; run `cargo xtask crds`";
    Ok(stale.map(|(path, _)| Finding::new(path, what)).collect())
}
