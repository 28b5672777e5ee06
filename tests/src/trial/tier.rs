//! Trials while most records are in a bucket of a real S3 server, and on no disk.
//!
//! Segments last half a second and leave the disks as soon as a manifest in the bucket names them. A consumer
//! begins at the first record when the trial begins, others read from there again and again
//! ([`Probe`](super::probe::Probe)), and records are asked for by time.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::probe::{Found, Probe, settled};
use super::{PARTITIONS, RECOVERY, TOPIC, Trial};
use crate::bits::Bits;
use crate::broker::Kind;
use crate::bucket::{S3Server, missing_for_buckets};
use crate::client::Client;
use crate::cluster::{Cluster, Node};
use crate::history::{History, Read};
use crate::load::{Acked, Load};
use crate::raw::Raw;
use crate::scenario::{eventually, fetch};

/// Trials that `cargo xtask test` runs in both ways.
const BOTH: &[&str] = &["kill_leaders_in_a_loop", "kill_all_at_once"];

/// Trials that it runs only like that: of each kind of fault others run with all records on disks.
const ONLY: &[&str] = &[
    "restart_storm",
    "pause_a_leader_five_seconds",
    "isolate_a_leader",
    "flapping_line",
    "packets_are_lost_and_doubled",
    "rolling_restart_fails_no_send",
    "decommission_under_load",
    "power_loss_of_all_at_once",
    "power_loss_of_a_leader",
    "full_disk",
    "an_old_disk_image_comes_back",
];

/// In which ways a trial is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// With all records on disks.
    pub plain: bool,
    /// With most records in a bucket.
    pub tiered: bool,
}

/// In which ways `cargo xtask test` runs a trial, unless one of them is asked for.
pub fn ways(trial: &Trial, asked: Option<bool>) -> Ways {
    let needed = trial.needs.is_store();
    let only = needed || ONLY.contains(&trial.name);
    match asked {
        Some(tiered) => Ways {
            plain: !needed && !tiered,
            tiered: needed || tiered,
        },
        // Apache Kafka has no bucket here.
        None => Ways {
            plain: !only || !needed && Kind::from_env() == Kind::Kafka,
            tiered: only || BOTH.contains(&trial.name),
        },
    }
}

/// How a trial is called when it runs with most records in a bucket.
pub fn tiered_name(trial: &Trial) -> String {
    match trial.needs.is_store() {
        true => trial.name.to_owned(),
        false => format!("{}_while_records_leave_the_disks", trial.name),
    }
}

/// Why no trial can run like that here.
pub fn missing_for_tiered() -> Option<String> {
    match Kind::from_env() {
        Kind::Kafka => Some("it has no bucket".into()),
        Kind::Freshet => missing_for_buckets(),
    }
}

/// Half a second of records is a segment, and none stays on a disk.
pub(super) const CONFIGS: &[(&str, &str)] = &[
    ("remote.storage.enable", "true"),
    ("local.retention.bytes", "0"),
    ("segment.ms", "500"),
];

/// A partition whose uploads failed several times in a row waits for up to a minute.
const PUT_OFF: Duration = Duration::from_secs(75);

/// Has a broker that was not started use the bucket.
pub(super) fn prepare(node: &mut Node, store: &S3Server) {
    node.set("remote.log.storage.system.enable", "true");
    node.set("remote.log.storage.url", &S3Server::url());
    node.set("remote.log.manager.task.interval.ms", "100");
    node.set("log.retention.check.interval.ms", "500");
    // Three brokers have enough to do without 50 of them.
    let shards = "rlmm.config.remote.log.metadata.topic.num.partitions";
    node.set(shards, "4");
    node.set_store(store.environment());
}

/// An offset that a number below 0 names, of each partition.
fn named(cluster: &Cluster, timestamp: i64) -> Result<Vec<i64>> {
    let of = |partition| -> Result<i64> {
        let mut raw = cluster.connect(cluster.leader(TOPIC, partition)?)?;
        let (code, _, offset) = raw.offset_of((TOPIC, partition), timestamp)?;
        ensure!(code == 0, "ListOffsets {timestamp}: error {code}");
        Ok(offset)
    };
    (0..PARTITIONS).map(of).collect()
}

/// Waits until the first records of each partition are on no disk.
pub(super) fn await_cold(cluster: &Cluster) -> Result<()> {
    eventually(RECOVERY, || {
        let local = named(cluster, Raw::EARLIEST_LOCAL)?;
        let fine = local.iter().all(|start| *start > 0);
        ensure!(fine, "the disks begin at {local:?}");
        Ok(())
    })
}

/// Waits until all that is there now has left the disks, whatever was put off.
pub(super) fn await_copies(cluster: &Cluster) -> Result<()> {
    let ends = eventually(RECOVERY, || named(cluster, Raw::LATEST))?;
    eventually(PUT_OFF, || {
        let (tiered, local) = (
            named(cluster, Raw::LATEST_TIERED)?,
            named(cluster, Raw::EARLIEST_LOCAL)?,
        );
        let mut left = ends.iter().zip(tiered.iter().zip(&local));
        let fine = left.all(|(end, (tiered, local))| tiered + 1 >= *end && local >= end);
        ensure!(
            fine,
            "{ends:?} are copied to {tiered:?}, the disks begin at {local:?}"
        );
        Ok(())
    })
}

/// Who reads what is cold while a trial runs.
pub(super) struct Cold {
    probe: Probe,
    seed: u64,
}

impl Cold {
    /// Begins: a consumer of other people's, and our own questions.
    pub(super) fn begin(cluster: &Cluster, load: &mut Load, bits: &mut Bits) -> Result<Self> {
        await_cold(cluster).context("before any fault")?;
        let client = *bits.pick(&[Client::FranzGo, Client::Java]);
        load.join(client, &cluster.bootstrap())?;
        let seed = bits.draw();
        let probe = Probe::start(cluster.addresses(), load.acked(), seed);
        Ok(Self { probe, seed })
    }

    /// Ends, once all is healed.
    pub(super) fn end(self, cluster: &Cluster, acked: Acked) -> Result<Found> {
        let mut found = self.probe.finish()?;
        await_copies(cluster).context("what was put off is copied")?;
        found.add(settled(cluster.addresses(), acked, (self.seed, RECOVERY))?);
        Ok(found)
    }
}

/// Somebody else's client reads all of it from the beginning, and all is there. Most of it is on no disk.
pub(super) fn replay(cluster: &Cluster, history: &mut History, bits: &mut Bits) -> Result<String> {
    let client = *bits.pick(&[Client::Librdkafka, Client::FranzGo]);
    let local = eventually(RECOVERY, || named(cluster, Raw::EARLIEST_LOCAL))?;
    let shown = fetch(client, &cluster.bootstrap(), TOPIC)
        .with_context(|| format!("{} reads all of it", client.name()))?;
    let shown = shown.iter().map(crate::load::read);
    let shown = shown.collect::<Result<Vec<_>>>()?;
    let is_cold = |read: &&Read| {
        let start = usize::try_from(read.partition)
            .ok()
            .and_then(|at| local.get(at));
        start.is_some_and(|start| read.offset < *start)
    };
    let cold = shown.iter().filter(is_cold).count();
    ensure!(
        cold * 2 > shown.len(),
        "only {cold} of {} were cold",
        shown.len()
    );
    let (count, all) = (shown.len(), history.last_read.len());
    history.replays.push(shown);
    ensure!(count == all, "{} was shown {count} of {all}", client.name());
    let told = must_be_remote(cluster)?;
    Ok(format!(
        "{} read all, {cold} of {all} cold; {told}",
        client.name()
    ))
}

/// What was just read came from the bucket, by the brokers' own word.
fn must_be_remote(cluster: &Cluster) -> Result<String> {
    let sum = |name: &str| -> Result<u64> {
        let of = |id| cluster.counted(id, name);
        cluster.ids().map(of).sum()
    };
    let requests = sum("freshet_remote_fetch_requests_total")?;
    let bytes = sum("freshet_remote_read_bytes_total")?;
    ensure!(
        requests > 0 && bytes > 0,
        "{requests} requests to the bucket, {bytes} bytes from it for readers"
    );
    Ok(format!(
        "{bytes} bytes were read from the bucket with {requests} requests"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::kinds;

    #[test]
    fn trials_that_run_tiered_exist() {
        let all = crate::trial::trials();
        for name in BOTH.iter().chain(ONLY) {
            assert!(all.iter().any(|trial| trial.name == *name), "{name}");
        }
    }

    #[test]
    fn of_each_kind_of_fault_some_trial_runs_with_all_records_on_disks() {
        for kind in kinds().into_iter().filter(|kind| !kind[0].needs.is_store()) {
            let plain = kind.iter().any(|trial| !ONLY.contains(&trial.name));
            assert!(plain, "{}", kind[0].name);
        }
    }
}
