//! A group of two that reads along: whatever broke meanwhile, its members have been shown everything in
//! the end, and have committed all of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result, bail, ensure};

use super::groups::offsets;
use super::{PARTITIONS, RECOVERY, TOPIC};
use crate::bits::Bits;
use crate::client::Client;
use crate::cluster::Cluster;
use crate::history::Read;
use crate::line::Line;
use crate::load;
use crate::peer::{Peer, Role};
use crate::scenario::eventually;

const GROUP: &str = "along";

/// Both members, in one process.
pub(super) struct Members(Peer);

impl Members {
    /// Has them join; they do it by themselves, whenever the cluster lets them.
    pub(super) fn start(cluster: &Cluster, bits: &mut Bits) -> Result<Self> {
        let client = *bits.pick(&[Client::FranzGo, Client::Librdkafka]);
        let options = [("topic", TOPIC), ("group", GROUP), ("members", "2")];
        Peer::start(client, Role::Group, &cluster.bootstrap(), &options).map(Self)
    }

    /// Waits until they have committed the whole topic, which is `last_read` now, and looks what they were shown:
    /// a holder that takes over may be shown again what was not committed, and nothing is left out.
    pub(super) fn judge(mut self, cluster: &Cluster, last_read: &[Read]) -> Result<String> {
        let mut ends = vec![0; PARTITIONS as usize];
        for read in last_read {
            let end = &mut ends[usize::try_from(read.partition)?];
            *end = (read.offset + 1).max(*end);
        }
        let reached = eventually(RECOVERY, || {
            let now = offsets(cluster, GROUP)?;
            ensure!(now == ends, "{now:?} of {ends:?} is committed");
            Ok(())
        });
        reached.with_context(|| format!("the group of {}", self.0.blame()))?;
        let lines = self.0.finish(RECOVERY)?;
        shown_all(&lines, last_read).with_context(|| format!("the group of {}", self.0.blame()))
    }
}

fn shown_all(lines: &[Line], last_read: &[Read]) -> Result<String> {
    let truth = last_read.iter();
    let truth: HashMap<_, _> = truth
        .map(|read| ((read.partition, read.offset), read.value))
        .collect();
    let (mut shown, mut times, mut turns) = (HashSet::new(), 0, BTreeMap::<usize, usize>::new());
    for line in lines {
        match line {
            Line::Record(record) => {
                let read = load::read(record)?;
                let place = (read.partition, read.offset);
                let there = truth.get(&place).copied();
                ensure!(
                    there == Some(read.value),
                    "{read:?} was shown, {there:?} is there"
                );
                shown.insert(place);
                times += 1;
            }
            Line::Assigned { m, .. } => *turns.entry(*m).or_default() += 1,
            other => bail!("a member said {other:?}"),
        }
    }
    let missed = truth.keys().filter(|place| !shown.contains(*place)).min();
    ensure!(
        missed.is_none(),
        "{} of {} were shown to nobody, though committed: the first is {missed:?}",
        truth.len() - shown.len(),
        truth.len()
    );
    let again = times - shown.len();
    let turns = turns.values().max().copied().unwrap_or_default();
    Ok(format!(
        "a group was shown all, {again} again; at most {turns} assignments"
    ))
}
