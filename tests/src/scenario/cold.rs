//! A topic whose records have left the disk, read by everybody.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Acked, await_partitions, eventually, fetch, fetch_by, must, produce};
use crate::client::{ALL_CLIENTS, Client};
use crate::peer::{Peer, Role};
use crate::raw::Raw;
use crate::sample::{Sample, compare, samples};

const PARTITIONS: i32 = 3;
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const PER_CODEC: u64 = 600;
/// So much of the records' own time is one segment: about fifty records of a partition.
const SEGMENT_MS: &str = "5000";
const PATIENCE: Duration = Duration::from_secs(60);

/// What was written to a topic that keeps next to nothing on the disk.
pub struct Cold {
    topic: String,
    samples: Vec<Sample>,
    acked: Acked,
}

impl Cold {
    /// Makes the topic.
    pub fn make(bootstrap: &str, topic: &str) -> Result<Self> {
        let mut admin = Peer::start(Client::Librdkafka, Role::Admin, bootstrap, &[])?;
        let configs = json!({
            "retention.ms": "-1",
            "remote.storage.enable": "true",
            "local.retention.bytes": "0",
            "segment.ms": SEGMENT_MS,
        });
        let order = json!({"op": "create_topic", "topic": topic, "partitions": PARTITIONS, "configs": configs});
        must(&mut admin, order)?;
        await_partitions(&mut admin, topic, PARTITIONS)?;
        Ok(Self {
            topic: topic.to_owned(),
            samples: Vec::new(),
            acked: Acked::new(),
        })
    }

    /// Writes to it, and waits until most of it has left the disk. `leader` leads to partition 0.
    pub fn write(mut self, bootstrap: &str, leader: impl Fn() -> Result<Raw>) -> Result<Self> {
        for codec in CODECS {
            let first = self.samples.len() as u64;
            let more = samples(23, first..first + PER_CODEC, PARTITIONS);
            let options = [("topic", self.topic.as_str()), ("codec", codec)];
            let places = produce(Client::Librdkafka, bootstrap, &options, &more)
                .with_context(|| format!("produce with {codec}"))?;
            self.acked.extend(places);
            self.samples.extend(more);
        }
        self.await_away(leader)?;
        Ok(self)
    }

    /// How many records a partition has.
    fn end(&self) -> i64 {
        let here = self.acked.values().filter(|(partition, _)| *partition == 0);
        here.map(|(_, offset)| offset + 1).max().unwrap_or(0)
    }

    /// Waits until little of partition 0 is on the disk, and holds the named offsets against each other.
    pub fn await_away(&self, leader: impl Fn() -> Result<Raw>) -> Result<()> {
        let end = self.end();
        eventually(PATIENCE, || {
            let mut raw = leader()?;
            let mut at = |timestamp| -> Result<i64> {
                let (code, _, offset) = raw.offset_at(&self.topic, timestamp)?;
                ensure!(code == 0, "ListOffsets {timestamp}: error {code}");
                Ok(offset)
            };
            let (earliest, local) = (at(Raw::EARLIEST)?, at(Raw::EARLIEST_LOCAL)?);
            ensure!(earliest == 0, "the log begins at {earliest}");
            ensure!(local > end / 2, "the disk begins at {local} of {end}");
            let (tiered, pending) = (at(Raw::LATEST_TIERED)?, at(Raw::PENDING_UPLOAD)?);
            ensure!(
                pending == tiered + 1 && local <= pending && pending <= end,
                "tiered to {tiered}, then {pending}; the disk begins at {local} of {end}"
            );
            Ok(())
        })
    }

    /// Every client, none of which may be missing here, reads all of it from the beginning.
    pub fn read_by_all(&self, bootstrap: &str) -> Result<()> {
        for reader in ALL_CLIENTS {
            self.read_by(reader, bootstrap)?;
        }
        Ok(())
    }

    /// One client reads all of it from the beginning.
    pub fn read_by(&self, reader: Client, bootstrap: &str) -> Result<()> {
        let shown = fetch(reader, bootstrap, &self.topic)
            .with_context(|| format!("{} reads what is away", reader.name()))?;
        compare(&self.samples, &self.acked, &shown)
            .with_context(|| format!("{} reads what is away", reader.name()))
    }

    /// One client reads all of it that lies below these ends, by partition, and nothing else.
    pub fn read_below(&self, reader: Client, bootstrap: &str, ends: &[i64]) -> Result<usize> {
        let is_below = |number: &u64| {
            let (partition, offset) = self.acked[number];
            let end = usize::try_from(partition)
                .ok()
                .and_then(|index| ends.get(index));
            end.is_some_and(|end| offset < *end)
        };
        let (samples, acked) = self.those(is_below);
        let shown = fetch(reader, bootstrap, &self.topic)
            .with_context(|| format!("{} reads what came back", reader.name()))?;
        compare(&samples, &acked, &shown)
            .with_context(|| format!("{} reads what came back", reader.name()))?;
        Ok(samples.len())
    }

    /// One client asks where a time is, and reads all from there on. Gives how many records that is, and how
    /// many of them are below these offsets, by partition.
    pub fn replay_from(
        &self,
        reader: Client,
        bootstrap: &str,
        (time, local): (i64, &[i64]),
    ) -> Result<(usize, usize)> {
        let mut starts = BTreeMap::new();
        for sample in self.samples.iter().filter(|it| it.timestamp >= time) {
            let (partition, offset) = self.acked[&sample.number];
            let start = starts.entry(partition).or_insert(offset);
            *start = offset.min(*start);
        }
        let is_due = |number: &u64| {
            let (partition, offset) = self.acked[number];
            starts.get(&partition).is_some_and(|start| *start <= offset)
        };
        let (samples, acked) = self.those(is_due);
        let from = time.to_string();
        let options = [("topic", self.topic.as_str()), ("from", &from)];
        let told = || format!("{} reads from {time} on", reader.name());
        let shown = fetch_by(reader, bootstrap, &options).with_context(told)?;
        compare(&samples, &acked, &shown).with_context(told)?;
        let is_cold = |(partition, offset): &&(i32, i64)| {
            let start = usize::try_from(*partition)
                .ok()
                .and_then(|at| local.get(at));
            start.is_some_and(|start| offset < start)
        };
        Ok((samples.len(), acked.values().filter(is_cold).count()))
    }

    /// The times of all records: their own, from the oldest to the newest.
    pub fn times(&self) -> Vec<i64> {
        let mut times: Vec<i64> = self.samples.iter().map(|it| it.timestamp).collect();
        times.sort_unstable();
        times
    }

    /// Waits until little of any partition is on the disk; gives where the disk begins, by partition. `leader`
    /// leads to a partition.
    pub fn local_starts(&self, leader: impl Fn(i32) -> Result<Raw>) -> Result<Vec<i64>> {
        let of = |partition| {
            let told =
                leader(partition)?.offset_of((&self.topic, partition), Raw::EARLIEST_LOCAL)?;
            let (code, _, local) = told;
            ensure!(code == 0, "the start of the disk: error {code}");
            let places = self.acked.values();
            let here = places.filter(|(place, _)| *place == partition).count();
            let most = i64::try_from(here * 3 / 4)?;
            ensure!(local > most, "the disk begins at {local} of {here}");
            Ok(local)
        };
        eventually(PATIENCE, || (0..PARTITIONS).map(of).collect())
    }

    /// The samples of these numbers, and their places.
    fn those(&self, wanted: impl Fn(&u64) -> bool) -> (Vec<Sample>, Acked) {
        let samples = self.samples.iter().filter(|it| wanted(&it.number));
        let acked = self.acked.iter().filter(|(number, _)| wanted(number));
        let acked = acked.map(|(number, place)| (*number, *place));
        (samples.cloned().collect(), acked.collect())
    }

    /// Records are found by time wherever they are.
    pub fn look_up(&self, leader: impl Fn() -> Result<Raw>) -> Result<()> {
        let of_first = |sample: &&Sample| sample.partition == 0;
        for sample in self.samples.iter().filter(of_first).step_by(37) {
            // Others may lead from one moment to the next.
            let (timestamp, offset) = eventually(PATIENCE, || {
                let told = leader()?.offset_at(&self.topic, sample.timestamp)?;
                let (code, timestamp, offset) = told;
                ensure!(code == 0, "by time: error {code}");
                Ok((timestamp, offset))
            })?;
            let (_, place) = self.acked[&sample.number];
            ensure!(
                (timestamp, offset) == (sample.timestamp, place),
                "{}: found {timestamp} at {offset}, it is at {place}",
                sample.timestamp
            );
        }
        Ok(())
    }
}
