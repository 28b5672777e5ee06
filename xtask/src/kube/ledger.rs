//! What a cluster has changed on the machine, written down before it is done: whoever was killed in between
//! can be cleaned up after.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::layout::{Layout, Node};

/// How far a cluster has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Something began to start or to stop it, and did not say that it ended.
    #[default]
    Unfinished,
    Up,
    /// Stopped, with its state kept for the next start.
    Kept,
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks since the machine booted.
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let (_, started) = Self::look(pid)?;
        Some(Self { pid, started })
    }

    /// Whether it still runs. One that has ended and waits to be buried does not.
    pub(crate) fn alive(&self) -> bool {
        let found = Self::look(self.pid);
        found.is_some_and(|(state, started)| started == self.started && !matches!(state, 'Z' | 'X'))
    }

    fn look(pid: i32) -> Option<(char, u64)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything, even a parenthesis.
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let state = fields.next()?.chars().next()?;
        Some((state, fields.nth(18)?.parse().ok()?))
    }
}

/// A setting of the whole machine that was changed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sysctl {
    pub(crate) file: PathBuf,
    pub(crate) before: String,
    pub(crate) set: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) phase: Phase,
    pub(crate) nodes: Vec<Node>,
    /// The process that holds the cluster's network and mounts open.
    pub(crate) holder: Option<Process>,
    pub(crate) daemons: BTreeMap<String, Process>,
    /// Empty folders that were made on the machine, to mount something over them.
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) sysctls: Vec<Sysctl>,
}

/// A cluster: where it is and what it has done.
pub(crate) struct Cluster {
    pub(crate) layout: Layout,
    pub(crate) ledger: Ledger,
}

impl Cluster {
    /// The cluster whose ledger lies in this layout, in whatever phase.
    pub(crate) fn find(layout: &Layout) -> Result<Option<Self>> {
        let file = file(layout);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        let ledger = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no ledger of a cluster", file.display()))?;
        Ok(Some(Self {
            layout: layout.clone(),
            ledger,
        }))
    }

    /// A cluster that has done nothing yet.
    pub(crate) fn new(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            ledger: Ledger::default(),
        }
    }

    /// Writes the ledger; in one step, so that a crash leaves the old one or the new one.
    pub(crate) fn save(&self) -> Result<()> {
        let file = file(&self.layout);
        let draft = file.with_extension("draft");
        let text = serde_json::to_vec_pretty(&self.ledger)?;
        let write = |folder: &Path| {
            fs::create_dir_all(folder)?;
            fs::write(&draft, &text)?;
            File::open(&draft)?.sync_all()?;
            fs::rename(&draft, &file)
        };
        write(&self.layout.state()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Whether it came up and its namespaces are still there.
    pub(crate) fn is_up(&self) -> bool {
        self.ledger.phase == Phase::Up && self.ledger.holder.is_some_and(|holder| holder.alive())
    }
}

fn file(layout: &Layout) -> PathBuf {
    layout.state().join("ledger.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_as_it_was_written() {
        let folder = std::env::temp_dir().join(format!("freshet-ledger-{}", std::process::id()));
        let layout = Layout::at(folder.to_str().expect("a name that is text"));
        assert!(Cluster::find(&layout).expect("nothing there").is_none());
        let mut cluster = Cluster::new(&layout);
        cluster.ledger.nodes = vec![Node(1), Node(3)];
        cluster.ledger.holder = Process::of(std::process::id().cast_signed());
        cluster.ledger.sysctls.push(Sysctl {
            file: "/proc/sys/x".into(),
            before: "1".into(),
            set: "2".into(),
        });
        cluster.save().expect("a ledger");
        let found = Cluster::find(&layout)
            .expect("readable")
            .expect("a cluster");
        assert_eq!(found.ledger, cluster.ledger);
        assert!(!found.is_up());
        fs::remove_dir_all(&folder).expect("the folder goes");
    }

    #[test]
    fn a_process_is_not_taken_for_another_with_its_number() {
        let here = Process::of(std::process::id().cast_signed()).expect("we run");
        assert!(here.alive());
        let earlier = Process {
            started: here.started - 1,
            ..here
        };
        assert!(!earlier.alive());
    }

    #[test]
    fn a_process_that_ended_and_is_not_buried_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().expect("true");
        let process = Process::of(child.id().cast_signed()).expect("it is there until waited for");
        while process.alive() {
            std::thread::yield_now();
        }
        child.wait().expect("an end");
    }
}
