//! `cargo xtask test`: everything that a change must pass, two steps at a time, with honest counts.

mod count;
mod lanes;
mod steps;
mod summary;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use count::Count;
pub(crate) use steps::{NODES, told};
use steps::{STEPS, Step};
use summary::Line;

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these steps and what they need: tidy, build, unit, peers, programs,
    /// charts, oracle, wire, faults, trials, kube.
    #[arg(value_name = "STEP")]
    only: Vec<String>,
    /// Go on with the next step after one that failed.
    #[arg(long)]
    keep_going: bool,
    /// Run one step without what it needs; what it needs is there.
    #[arg(long, value_name = "STEP", conflicts_with = "only", hide = true)]
    bare: Option<String>,
}

/// Runs the steps, two at a time where they allow it, and closes with a table and one line of counts.
pub(crate) fn run(args: &Args) -> Result<()> {
    let steps = match &args.bare {
        Some(name) => vec![find(name)?],
        None => choose(&args.only)?,
    };
    let start = Instant::now();
    let lines = match steps.as_slice() {
        [step] => vec![here(step)],
        steps => lanes::run(steps, args.keep_going)?,
    };
    let total = summary::print(&lines, start.elapsed());
    if total.failed > 0 {
        bail!("{} failed", total.failed);
    }
    Ok(())
}

/// Runs a step in this process.
fn here(step: &Step) -> Line {
    let (took, count) = timed(step, step.run);
    Line::ran(step.name, took, count)
}

/// How long a step ran, and how it went; an error is told, and counts as a failure.
fn timed(step: &Step, run: impl FnOnce() -> Result<Count>) -> (Duration, Count) {
    let start = Instant::now();
    let count = run().unwrap_or_else(|error| {
        eprintln!("{}: {error:#}", step.name);
        Count::one(false)
    });
    (start.elapsed(), count)
}

/// The steps that were asked for, with what they need, in the order of the list.
fn choose(only: &[String]) -> Result<Vec<&'static Step>> {
    let mut wanted: Vec<&str> = only.iter().map(String::as_str).collect();
    if wanted.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    let mut at = 0;
    while at < wanted.len() {
        wanted.extend(find(wanted[at])?.needs);
        at += 1;
    }
    Ok(STEPS
        .iter()
        .filter(|step| wanted.contains(&step.name))
        .collect())
}

fn find(name: &str) -> Result<&'static Step> {
    STEPS
        .iter()
        .find(|step| step.name == name)
        .with_context(|| {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            format!("no step is called `{name}`; there are {}", names.join(", "))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_brings_what_it_needs() {
        let names = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(ToString::to_string).collect();
            choose(&only).map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(
            names(&["wire"]).expect("a step"),
            ["build", "peers", "wire"]
        );
        assert_eq!(names(&["tidy", "unit"]).expect("steps"), ["tidy", "unit"]);
        assert_eq!(names(&[]).expect("all steps").len(), STEPS.len());
        assert!(names(&["nothing"]).is_err());
    }
}
