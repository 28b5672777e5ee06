//! Positions of groups that nobody belongs to: one that was acknowledged is there in the end.
//!
//! Each is of a group of its own, so that none covers another one that was lost, and so that all brokers
//! coordinate some.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{RECOVERY, TOPIC};
use crate::cluster::{Cluster, commit, committed, coordinator};
use crate::raw::Raw;
use crate::scenario::eventually;

/// Between two commits.
const PAUSE: Duration = Duration::from_millis(50);
/// A commit takes so long at most: a broker may stand still.
const LIMIT: Duration = Duration::from_secs(5);

/// Commits that go on.
pub(super) struct Positions {
    stop: Arc<AtomicBool>,
    /// Gives those that were acknowledged; none once it has.
    thread: Option<JoinHandle<Vec<i64>>>,
}

impl Drop for Positions {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Positions {
    /// Begins to commit, wherever the cluster lets it.
    pub(super) fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut brokers = Brokers::of(cluster);
        let go_on = move || {
            let mut acked = Vec::new();
            let mut offset = 0;
            while !stopped.load(Ordering::Relaxed) {
                offset += 1;
                let group = group(offset);
                let commit = |raw: &mut Raw| commit(raw, &group, (TOPIC, 0), offset);
                match brokers.any(commit) {
                    Ok(()) => acked.push(offset),
                    // Who asks for the first time has the topic of all positions made.
                    Err(_) => drop(brokers.any(|raw| coordinator(raw, &group))),
                }
                thread::sleep(PAUSE);
            }
            acked
        };
        Self {
            stop,
            thread: Some(thread::spawn(go_on)),
        }
    }

    /// Ends it, and looks for each that was acknowledged.
    pub(super) fn judge(&mut self, cluster: &Cluster) -> Result<String> {
        self.stop.store(true, Ordering::Relaxed);
        let acked = self.thread.take().map(JoinHandle::join);
        let acked = acked.and_then(Result::ok);
        let acked = acked.context("committing has panicked")?;
        let mut brokers = Brokers::of(cluster);
        for offset in &acked {
            let group = group(*offset);
            let ask = |raw: &mut Raw| committed(raw, &group, TOPIC, 1);
            let kept = eventually(RECOVERY, || brokers.any(ask));
            let kept = kept.with_context(|| format!("asking for {group}"))?;
            ensure!(
                kept == [*offset],
                "{group}: {offset} was committed, and {kept:?} is kept"
            );
        }
        Ok(format!("{} positions are kept", acked.len()))
    }
}

fn group(offset: i64) -> String {
    format!("kept-{offset}")
}

/// Connections to all brokers, made when they are needed.
struct Brokers {
    addresses: BTreeMap<i32, String>,
    open: BTreeMap<i32, Raw>,
}

impl Brokers {
    fn of(cluster: &Cluster) -> Self {
        Self {
            addresses: cluster.addresses(),
            open: BTreeMap::new(),
        }
    }

    /// What the first broker says that does not refuse, or what the last one said.
    fn any<T>(&mut self, ask: impl Fn(&mut Raw) -> Result<T>) -> Result<T> {
        let mut outcome = None;
        for (id, address) in &self.addresses {
            let raw = match self.open.remove(id) {
                Some(raw) => Ok(raw),
                None => Raw::impatient(address, LIMIT),
            };
            let told = raw.and_then(|mut raw| {
                let told = ask(&mut raw)?;
                Ok((told, raw))
            });
            match told {
                Ok((told, raw)) => {
                    self.open.insert(*id, raw);
                    return Ok(told);
                }
                Err(error) => outcome = Some(Err(error)),
            }
        }
        outcome.context("there are no brokers")?
    }
}
