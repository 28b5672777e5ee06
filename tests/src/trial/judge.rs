//! The end of a trial: everything is read from everybody, and the checker judges.

use std::env;

use anyhow::{Context, Result, bail, ensure};
use freshet_records::{BatchHeader, Batches};

use super::{PARTITIONS, RECOVERY, Stage, TOPIC, tier};
use crate::client::Client;
use crate::cluster::{Cluster, disk_start, fetch_once, read_copy};
use crate::history::{Anomaly, History, Numbered, Read, Write, is_renumbering, renumbered};
use crate::load::Seen;
use crate::raw::Raw;
use crate::scenario::eventually;

/// Ends the load, reads everything from everybody and judges.
pub(super) fn close(stage: &mut Stage) -> Result<String> {
    let told = judge(stage)?;
    let kept = stage.positions.judge(&stage.cluster)?;
    stage.note(kept);
    stage.cluster.must_live()?;
    stage.cluster.await_restarted(RECOVERY)?;
    let modest = stage.cluster.must_be_modest()?;
    let mut notes = std::mem::take(&mut stage.notes);
    notes.push(format!("{told}; at most {modest}"));
    Ok(notes.join("; "))
}

fn judge(stage: &mut Stage) -> Result<String> {
    let clients = stage.load.clients();
    let cluster = &stage.cluster;
    let mut seen = stage.load.finish(|| read_topic(cluster))?;
    let tiered = stage.store.is_some();
    if tiered {
        let told = tier::replay(cluster, &mut seen.history, &mut stage.bits)?;
        stage.notes.push(told);
    }
    for found in stage.found.drain(..) {
        stage.notes.push(found.judge_by(&mut seen.history)?);
    }
    if let Some(members) = stage.members.take() {
        let told = members.judge(cluster, &seen.history.last_read)?;
        stage.notes.push(told);
    }
    read_copies(cluster, &mut seen.history, tiered)?;
    if let Ok(path) = env::var("FRESHET_HISTORY") {
        std::fs::write(&path, format!("{:#?}", seen.history))?;
    }
    let mut anomalies = seen.history.check();
    let again = renumbered(&anomalies, |write| numbered(cluster, write, &clients));
    anomalies.retain(|anomaly| !is_renumbering(anomaly, &again));
    if let Some(first) = anomalies.first() {
        let mut all: Vec<String> = anomalies.iter().take(10).map(ToString::to_string).collect();
        all.extend(twice_written(cluster, &anomalies));
        bail!(
            "{} anomalies, the first is {first}:\n{}",
            anomalies.len(),
            all.join("\n")
        );
    }
    if let Some((number, why)) = seen.given_up.first().filter(|_| !stage.may_give_up) {
        let count = seen.given_up.len();
        bail!("{count} records were given up, the first is {number}: {why}");
    }
    let told = summary(&seen);
    Ok(match again.len() {
        0 => told,
        count => format!("{told}; librdkafka gave itself another epoch: {count} are there again"),
    })
}

/// How what librdkafka wrote is numbered where it is; no other client of ours numbers anew what may be
/// stored.
fn numbered(cluster: &Cluster, write: &Write, clients: &[Client]) -> Option<Numbered> {
    let at = usize::try_from(write.writer() - 1).ok();
    let client = at.and_then(|at| clients.get(at));
    client.filter(|client| **client == Client::Librdkafka)?;
    let header = header_at(cluster, write.partition, write.offset).ok()?;
    Some(Numbered {
        producer: header.producer_id,
        epoch: header.producer_epoch,
    })
}

/// By whom what is there twice was written: a producer that gave itself another epoch has forgotten
/// what it was not told of; one that did not was let through by a broker.
fn twice_written(cluster: &Cluster, anomalies: &[Anomaly]) -> Vec<String> {
    let both = anomalies.iter().filter_map(|anomaly| match anomaly {
        Anomaly::Duplicate { first, second } => Some([first, second]),
        _ => None,
    });
    let told = |write: &Write| match header_at(cluster, write.partition, write.offset) {
        Ok(header) => format!(
            "{}-{} is of producer {} epoch {} sequence {}",
            write.partition,
            write.offset,
            header.producer_id,
            header.producer_epoch,
            header.base_sequence
        ),
        Err(error) => format!("{}-{}: {error:#}", write.partition, write.offset),
    };
    both.take(4).flatten().map(told).collect()
}

fn header_at(cluster: &Cluster, partition: i32, offset: i64) -> Result<BatchHeader> {
    let leader = cluster.leader(TOPIC, partition)?;
    let mut raw = cluster.connect(leader)?;
    let told = fetch_once(&mut raw, TOPIC, partition, offset)?;
    let mut batches = Batches::new(told.records.into_bytes());
    let batch = batches.next().context("nothing is there")??;
    Ok(*batch.header())
}

fn summary(seen: &Seen) -> String {
    let history = &seen.history;
    format!(
        "{} sent, {} acknowledged, {} given up, {} read from {} copies; ack p50 {:.1?} p99 {:.1?} max {:.1?}",
        history.sent.len(),
        history.acked.len(),
        seen.given_up.len(),
        history.last_read.len(),
        history.copies.len(),
        seen.percentile(0.5),
        seen.percentile(0.99),
        seen.took.last().copied().unwrap_or_default(),
    )
}

/// The whole topic, each partition from its leader.
fn read_topic(cluster: &Cluster) -> Result<Vec<Read>> {
    let mut all = Vec::new();
    for partition in 0..PARTITIONS {
        let leader = cluster.leader(TOPIC, partition)?;
        let copy = read_copy(&mut cluster.connect(leader)?, TOPIC, partition, (0, None))?;
        let (shown, _) = copy.with_context(|| format!("{leader} leads {partition} no more"))?;
        all.extend(shown);
    }
    Ok(all)
}

/// Every broker's copy of the topic, where brokers serve what they do not lead. Where they have not
/// all of it on their disks, what they have.
fn read_copies(cluster: &Cluster, history: &mut History, tiered: bool) -> Result<()> {
    let views = cluster.partitions(TOPIC)?;
    for id in cluster.ids() {
        let mut raw = cluster.connect(id)?;
        let mut copy = Some(Vec::new());
        for partition in 0..PARTITIONS {
            let mine = history
                .last_read
                .iter()
                .filter(|read| read.partition == partition);
            let end = mine.map(|read| read.offset + 1).max();
            // It may begin later from one moment to the next.
            let (start, told) = eventually(RECOVERY, || {
                let start = match end {
                    Some(end) if tiered => disk_start(&mut raw, TOPIC, partition, end)?,
                    _ => 0,
                };
                if start > 0 {
                    starts_in_the_bucket(cluster, partition, start)?;
                }
                let told = read_copy(&mut raw, TOPIC, partition, (start, end))?;
                let replicas = views.iter().filter(|view| view.index == partition);
                let is_one = replicas.flat_map(|view| &view.replicas).any(|it| *it == id);
                ensure!(told.is_some() || !is_one, "it does not serve what it has");
                Ok((start, told))
            })
            .with_context(|| format!("the copy of broker {id}"))?;
            history.starts.insert((id, partition), start);
            match (told, &mut copy) {
                (Some((shown, _)), Some(copy)) => copy.extend(shown),
                _ => copy = None,
            }
        }
        history.copies.extend(copy.map(|copy| (id, copy)));
    }
    let left = history.starts.values().filter(|start| **start > 0).count();
    ensure!(left > 0 || !tiered, "no record has left any disk");
    Ok(())
}

/// What a disk lacks is in the bucket: without that a copy that lost all it had would begin at its end,
/// and miss nothing.
fn starts_in_the_bucket(cluster: &Cluster, partition: i32, start: i64) -> Result<()> {
    let mut leader = cluster.connect(cluster.leader(TOPIC, partition)?)?;
    let (code, _, tiered) = leader.offset_of((TOPIC, partition), Raw::LATEST_TIERED)?;
    ensure!(code == 0, "the end in the bucket: error {code}");
    ensure!(
        start <= tiered + 1,
        "{TOPIC}-{partition} begins at {start}, and what is before is in the bucket up to {tiered} only"
    );
    Ok(())
}
