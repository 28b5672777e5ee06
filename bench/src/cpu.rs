//! CPU time of processes and of the whole machine, from `/proc`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

/// CPU time is told in ticks; Linux has had 100 a second for all programs since 2.6.
const TICKS_PER_SECOND: f64 = 100.0;

/// The parent of all kernel threads.
const KTHREADD: u32 = 2;

/// One process as `/proc/PID/stat` tells it.
struct Process {
    id: u32,
    parent: u32,
    /// User and system time of its own, in seconds.
    own: f64,
    /// The same of children that ended and were waited for.
    children: f64,
}

impl Process {
    fn parse(stat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything; what follows is fixed.
        let (id, _) = stat.split_once(' ')?;
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let seconds = |at: usize| {
            fields
                .get(at)?
                .parse::<f64>()
                .ok()
                .map(|t| t / TICKS_PER_SECOND)
        };
        Some(Self {
            id: id.parse().ok()?,
            parent: fields.get(1)?.parse().ok()?,
            own: seconds(11)? + seconds(12)?,
            children: seconds(13)? + seconds(14)?,
        })
    }

    fn read(id: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat"));
        let text = text.with_context(|| format!("process {id} is gone"))?;
        Self::parse(&text).with_context(|| format!("/proc/{id}/stat is not as expected"))
    }
}

/// User and system seconds of a process so far.
pub(crate) fn of(id: u32) -> Result<f64> {
    Process::read(id).map(|process| process.own)
}

/// User and system seconds of all processes that this one started, and that have ended.
pub(crate) fn of_children() -> Result<f64> {
    Process::read(std::process::id()).map(|process| process.children)
}

/// User and system seconds so far of those threads of a process whose names begin like this.
pub(crate) fn of_threads(id: u32, names: &[&str]) -> Result<f64> {
    let tasks = format!("/proc/{id}/task");
    let mut seconds = 0.0;
    for entry in fs::read_dir(&tasks).with_context(|| format!("process {id} is gone"))? {
        // A thread may end between the listing and this line.
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        let name = stat.split_once('(').map_or("", |(_, rest)| rest);
        if names.iter().any(|wanted| name.starts_with(wanted)) {
            let thread = Process::parse(&stat);
            seconds += thread
                .with_context(|| format!("{tasks} is not as expected"))?
                .own;
        }
    }
    Ok(seconds)
}

/// What the machine did so far, in CPU seconds: all programs, and what of it is ours.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    busy: f64,
    ours: f64,
    kernel: f64,
}

impl Machine {
    /// Looks now. `ours` are the processes that belong to the benchmark, this one aside.
    pub(crate) fn look(ours: &[u32]) -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let ours: BTreeSet<_> = ours.iter().copied().chain([std::process::id()]).collect();
        let mut machine = Self {
            busy: busy(&stat)?,
            ours: 0.0,
            kernel: 0.0,
        };
        for entry in fs::read_dir("/proc").context("cannot list /proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may end between the listing and this line.
            let Ok(process) = Process::read(id) else {
                continue;
            };
            if ours.contains(&process.id) {
                machine.ours += process.own + process.children;
            } else if process.id == KTHREADD || process.parent == KTHREADD {
                machine.kernel += process.own;
            }
        }
        Ok(machine)
    }

    /// CPU seconds that programs not ours took since `earlier`. Kernel threads do not count: they
    /// mostly write back what we wrote.
    pub(crate) fn foreign_since(&self, earlier: &Self) -> f64 {
        let known = |machine: &Self| machine.ours + machine.kernel;
        (self.busy - earlier.busy - (known(self) - known(earlier))).max(0.0)
    }
}

/// Seconds that all CPUs spent in programs and in calls of theirs; interrupts, idling and time
/// taken by the host are left out.
fn busy(stat: &str) -> Result<f64> {
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let mut ticks = line.split_whitespace().skip(1).map(str::parse::<f64>);
    let mut take = || {
        ticks
            .next()
            .context("/proc/stat is short")?
            .context("/proc/stat has no number")
    };
    let (user, nice, system) = (take()?, take()?, take()?);
    Ok((user + nice + system) / TICKS_PER_SECOND)
}

/// How many CPUs there are.
pub(crate) fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}

/// Resident memory of a process in MiB: now, and at its highest.
pub(crate) fn resident(id: u32) -> Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{id}/status"));
    let text = text.with_context(|| format!("process {id} is gone"))?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024.0)
    };
    let both = of("VmRSS:").zip(of("VmHWM:"));
    both.with_context(|| format!("/proc/{id}/status is not as expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 100 50 30 20 20 0 3 0";
        let process = Process::parse(stat).expect("a line as Linux writes it");
        assert_eq!((process.id, process.parent), (7, 1));
        assert!((process.own - 1.5).abs() < 1e-9);
        assert!((process.children - 0.5).abs() < 1e-9);
    }

    #[test]
    fn busy_time_is_user_nice_and_system() {
        let stat = "cpu  100 10 200 9999 50 7 8 9 0 0\ncpu0 1 1 1 1";
        assert!((busy(stat).expect("a first line") - 3.1).abs() < 1e-9);
    }

    #[test]
    fn work_of_others_is_foreign_and_ours_is_not() {
        let before = Machine {
            busy: 10.0,
            ours: 4.0,
            kernel: 1.0,
        };
        let after = Machine {
            busy: 16.0,
            ours: 8.0,
            kernel: 1.5,
        };
        assert!((after.foreign_since(&before) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn threads_are_known_by_their_names() {
        let id = std::process::id();
        let all = of_threads(id, &[""]).expect("this process");
        let whole = of(id).expect("this process");
        // Both count ticks, at two moments; threads that have ended are in the second only.
        assert!(all <= whole + 0.05, "{all} {whole}");
        assert!(of_threads(id, &["nobody has this name"]).is_ok_and(|none| none == 0.0));
    }

    #[test]
    fn this_process_can_be_read() {
        assert!(of(std::process::id()).is_ok());
        assert!(resident(std::process::id()).is_ok_and(|(now, peak)| now > 0.0 && peak >= now));
    }
}
