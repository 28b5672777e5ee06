//! Processes of pods, as the machine sees them.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};

use super::ctl::Kubectl;

/// A process of a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pid(rustix::process::Pid);

impl Pid {
    /// The process of a pod that runs this program; its first, if there are more.
    pub(super) fn in_pod(ctl: &Kubectl, pod: &str, program: &str) -> Result<Self> {
        let seen = ctl.get(&["pod", pod])?;
        let uid = seen["metadata"]["uid"].as_str();
        let uid = uid.context("a pod without an id")?.to_owned();
        let mut found: Vec<i32> = fs::read_dir("/proc")?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| is(*pid, &uid, program).unwrap_or(false))
            .collect();
        found.sort_unstable();
        let first = found
            .first()
            .and_then(|pid| rustix::process::Pid::from_raw(*pid));
        let first = first.with_context(|| format!("{program} does not run in {pod}"))?;
        Ok(Self(first))
    }

    /// Ends it at once.
    pub(super) fn kill(self) -> Result<()> {
        kill_process(self.0, Signal::KILL).with_context(|| format!("killing {self}"))
    }

    /// Processor time that it has used, in seconds.
    pub(super) fn busy(self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{self}/stat"))?;
        // The name in parentheses may have spaces.
        let (_, rest) = stat.rsplit_once(") ").context("a line of /proc")?;
        let ticks: Vec<u64> = rest
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|text| text.parse().ok())
            .collect();
        Ok(ticks.iter().sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Memory that it has, in MiB.
    pub(super) fn resident(self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{self}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.split_whitespace().next())
            .context("a process without memory")?
            .parse()?;
        Ok(kib / 1024.0)
    }
}

/// Whether a process belongs to a pod and runs a program; it may end meanwhile.
fn is(pid: i32, uid: &str, program: &str) -> Result<bool> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm"))?;
    // The kernel keeps 15 letters.
    let short = &program[..program.len().min(15)];
    Ok(name.trim() == short && fs::read_to_string(format!("/proc/{pid}/cgroup"))?.contains(uid))
}

impl fmt::Display for Pid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.as_raw_nonzero())
    }
}
