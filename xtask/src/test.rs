//! `cargo xtask test`: everything that a change must pass, in one order, with honest counts.

mod count;
mod steps;
mod summary;

use std::time::Instant;

use anyhow::{Result, bail};

use crate::process::say;
use count::Count;
pub(crate) use steps::{NODES, told};
use steps::{STEPS, Step};
use summary::Line;

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only these steps and what they need: tidy, unit, charts, build, peers,
    /// oracle, wire, faults, trials, kube.
    #[arg(value_name = "STEP")]
    only: Vec<String>,
    /// Go on with the next step after one that failed.
    #[arg(long)]
    keep_going: bool,
}

/// Runs the steps and closes with a table and one line of counts.
pub(crate) fn run(args: &Args) -> Result<()> {
    let steps = choose(&args.only)?;
    let mut lines = Vec::new();
    let mut stopped = false;
    for (at, step) in steps.iter().enumerate() {
        if stopped {
            lines.push(Line::not_run(step.name));
            continue;
        }
        say(&format!("test {}/{}: {}", at + 1, steps.len(), step.name));
        let start = Instant::now();
        let count = (step.run)().unwrap_or_else(|error| {
            eprintln!("{}: {error:#}", step.name);
            Count {
                failed: 1,
                ..Count::default()
            }
        });
        stopped = count.failed > 0 && !args.keep_going;
        lines.push(Line::ran(step.name, start.elapsed(), count));
    }
    let total = summary::print(&lines);
    if total.failed > 0 || stopped {
        bail!("{} failed", total.failed);
    }
    Ok(())
}

/// The steps that were asked for, with what they need, in the order of the list.
fn choose(only: &[String]) -> Result<Vec<&'static Step>> {
    let mut wanted: Vec<&str> = only.iter().map(String::as_str).collect();
    if wanted.is_empty() {
        return Ok(STEPS.iter().collect());
    }
    let mut at = 0;
    while at < wanted.len() {
        let Some(step) = STEPS.iter().find(|step| step.name == wanted[at]) else {
            let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            bail!(
                "no step is called `{}`; there are {}",
                wanted[at],
                names.join(", ")
            );
        };
        wanted.extend(step.needs);
        at += 1;
    }
    Ok(STEPS
        .iter()
        .filter(|step| wanted.contains(&step.name))
        .collect())
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
