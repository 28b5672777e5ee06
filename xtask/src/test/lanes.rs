//! Steps side by side: which of them may begin, and each in a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, pipe};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread::scope;

use anyhow::{Context, Result};

use super::count::Count;
use super::steps::Step;
use super::summary::Line;
use super::timed;
use crate::place;
use crate::process::{command, say};

/// So many steps at a time: most of them have long stretches that leave a core idle.
const LANES: usize = 2;

/// Steps that wait, and those that run.
struct Lanes {
    waiting: Vec<&'static Step>,
    running: Vec<&'static Step>,
}

impl Lanes {
    /// Takes the first step that may begin now.
    fn begin(&mut self) -> Option<&'static Step> {
        if self.running.len() >= LANES || self.running.iter().any(|step| step.alone) {
            return None;
        }
        let may = |step: &Step| {
            let owed = |need: &str| self.waiting.iter().any(|step| step.name == need);
            let going = |need: &str| self.running.iter().any(|step| step.name == need);
            let met = step.needs.iter().all(|need| !owed(need) && !going(need));
            met && (self.running.is_empty() || !step.alone)
        };
        let at = self.waiting.iter().position(|step| may(step))?;
        let step = self.waiting.remove(at);
        self.running.push(step);
        Some(step)
    }

    fn end(&mut self, step: &Step) {
        self.running.retain(|other| other.name != step.name);
    }
}

/// Runs all `steps`, and tells how each went, in their order. After one that failed no other begins,
/// unless `keep_going`.
pub(super) fn run(steps: &[&'static Step], keep_going: bool) -> Result<Vec<Line>> {
    let mut lanes = Lanes {
        waiting: steps.to_vec(),
        running: Vec::new(),
    };
    let (tell, told) = channel();
    let (mut lines, mut stopped) = (BTreeMap::new(), false);
    scope(|threads| {
        loop {
            while !stopped && let Some(step) = lanes.begin() {
                say(&format!("test: {} begins", step.name));
                let tell = tell.clone();
                threads.spawn(move || tell.send((step, timed(step, || apart(step)))));
            }
            if lanes.running.is_empty() {
                return Ok(());
            }
            let (step, (took, count)) = told.recv().context("a step's thread is gone")?;
            say(&format!(
                "test: {} took {:.0} s: {count}",
                step.name,
                took.as_secs_f64()
            ));
            lanes.end(step);
            stopped |= count.failed > 0 && !keep_going;
            lines.insert(step.name, Line::ran(step.name, took, count));
        }
    })
    .map(|()| {
        let mut line = |name| lines.remove(name).unwrap_or_else(|| Line::not_run(name));
        steps.iter().map(|step| line(step.name)).collect()
    })
}

/// Runs a step in a process of its own; each of its lines begins with the step's name.
fn apart(step: &Step) -> Result<Count> {
    let (output, input) = pipe().context("cannot make a pipe")?;
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    let mut child = command(
        place::root(),
        &program.to_string_lossy(),
        &["test", "--bare", step.name],
    )
    .stdin(Stdio::null())
    .stdout(input.try_clone()?)
    .stderr(input)
    .spawn()
    .context("cannot start a step")?;
    let mut count = None;
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what the step says")?;
        let line = String::from_utf8_lossy(&line);
        count = Count::of_summary(&line).or(count);
        println!("{:<8} | {line}", step.name);
    }
    let fine = child.wait()?.success();
    let count = count.unwrap_or_default();
    Ok(if fine || count.failed > 0 {
        count
    } else {
        Count { failed: 1, ..count }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn step(name: &'static str, needs: &'static [&'static str], alone: bool) -> Step {
        let run = || Ok(Count::one(true));
        Step {
            name,
            needs,
            alone,
            run,
        }
    }

    static TIDY: Step = step("tidy", &[], false);
    static BUILD: Step = step("build", &[], false);
    static WIRE: Step = step("wire", &["build"], false);
    static TRIALS: Step = step("trials", &["build"], true);

    #[test]
    fn a_step_begins_after_what_it_needs_and_two_go_at_a_time() {
        let mut lanes = Lanes {
            waiting: vec![&TIDY, &TRIALS, &WIRE, &BUILD],
            running: Vec::new(),
        };
        let begin = |lanes: &mut Lanes| lanes.begin().map(|step| step.name);
        assert_eq!(begin(&mut lanes), Some("tidy"));
        assert_eq!(begin(&mut lanes), Some("build"));
        assert_eq!(begin(&mut lanes), None);
        lanes.end(&TIDY);
        assert_eq!(begin(&mut lanes), None);
        lanes.end(&BUILD);
        // What wants to be alone may, as nothing runs.
        assert_eq!(begin(&mut lanes), Some("trials"));
        assert_eq!(begin(&mut lanes), None);
        lanes.end(&TRIALS);
        assert_eq!(begin(&mut lanes), Some("wire"));
    }

    #[test]
    fn what_wants_to_be_alone_waits_for_the_rest() {
        let mut lanes = Lanes {
            waiting: vec![&TIDY, &TRIALS],
            running: Vec::new(),
        };
        assert_eq!(lanes.begin().map(|step| step.name), Some("tidy"));
        assert!(lanes.begin().is_none());
    }
}
