//! Long-running processes: started in the cluster's namespaces and cgroup, looked at, stopped.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::super::ledger::{Cluster, Process};
use crate::process::say;

/// Starts a program that outlives us; its output goes to `logs/<name>.log`. Running already is fine.
pub(crate) fn start(
    cluster: &mut Cluster,
    name: &str,
    program: &Path,
    args: &[String],
) -> Result<()> {
    if cluster.ledger.daemons.get(name).is_some_and(Process::alive) {
        return Ok(());
    }
    let inside = cluster.enter(program, args)?;
    let process = detach(cluster, name, &inside)?;
    cluster.ledger.daemons.insert(name.to_owned(), process);
    cluster.save()
}

/// Starts a command that outlives us, in a session of its own.
pub(crate) fn detach(cluster: &Cluster, name: &str, what: &Command) -> Result<Process> {
    let logs = cluster.layout.logs();
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(logs.join(format!("{name}.log")))
        .with_context(|| format!("cannot write a log in {}", logs.display()))?;
    let child = Command::new("setsid")
        .arg(what.get_program())
        .args(what.get_args())
        .current_dir(cluster.layout.state())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    Process::of(child.id().cast_signed()).with_context(|| format!("{name} ended at once"))
}

/// Asks daemons to end, waits, and ends those that do not by force.
pub(crate) fn stop(cluster: &mut Cluster, names: &[String], patience: Duration) -> Result<()> {
    let known = |name: &String| cluster.ledger.daemons.get(name).copied();
    let processes: Vec<_> = names.iter().filter_map(known).collect();
    send(&processes, Signal::TERM);
    let start = Instant::now();
    while processes.iter().any(Process::alive) && start.elapsed() < patience {
        thread::sleep(Duration::from_millis(20));
    }
    kill(cluster, names)
}

/// Ends daemons as a crash would.
pub(crate) fn kill(cluster: &mut Cluster, names: &[String]) -> Result<()> {
    for name in names {
        let Some(process) = cluster.ledger.daemons.remove(name) else {
            continue;
        };
        let start = Instant::now();
        while process.alive() {
            send(&[process], Signal::KILL);
            if start.elapsed() > Duration::from_secs(10) {
                bail!("{name} (process {}) does not end", process.pid);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    cluster.save()
}

fn send(processes: &[Process], signal: Signal) {
    for process in processes.iter().filter(|process| process.alive()) {
        if let Some(pid) = Pid::from_raw(process.pid) {
            // It may end between the look and the signal.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Waits for something that daemons make true, and says how long it took if that was long. A daemon that falls
/// meanwhile ends the wait.
pub(crate) fn wait(
    cluster: &Cluster,
    what: &str,
    patience: Duration,
    mut come: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let start = Instant::now();
    let mut told = false;
    while !come().with_context(|| format!("while waiting: {what}"))? {
        if let Some((name, _)) = cluster.ledger.daemons.iter().find(|(_, p)| !p.alive()) {
            bail!("{name} ended. Its log ends with:\n{}", tail(cluster, name));
        }
        if start.elapsed() > patience {
            let seconds = patience.as_secs();
            let logs = cluster.layout.logs();
            bail!(
                "gave up after {seconds} s: {what}. The logs are in {}",
                logs.display()
            );
        }
        if !told && start.elapsed() > Duration::from_secs(2) {
            told = true;
            say(&format!("waiting: {what}"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    say(&format!("{what} ({:.1} s)", start.elapsed().as_secs_f64()));
    Ok(())
}

/// The last lines of a daemon's log.
fn tail(cluster: &Cluster, name: &str) -> String {
    let log = cluster.layout.logs().join(format!("{name}.log"));
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
