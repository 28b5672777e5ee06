//! What a broker has on its disk: logs of rows, and what it knows of its last life.

use std::collections::{BTreeMap, VecDeque};

use freshet_log::LastLife;
use freshet_metadata::DirectoryId;
use freshet_partition::replication::Divergence;
use freshet_sim::Throws;
use freshet_types::{LeaderEpoch, Offset, ProducerId, TopicPartition};

use crate::message::{Place, Row};
use crate::world::World;

/// Batches of a producer that are known again.
const REMEMBERED: usize = 5;

/// What a log knows of a producer.
#[derive(Debug, Clone, Default)]
struct Known {
    /// From this sequence on all are here.
    first: i32,
    /// The latest, with their offsets.
    latest: VecDeque<(i32, Offset)>,
}

impl Known {
    fn is_next(&self, sequence: i32) -> bool {
        self.latest
            .back()
            .is_some_and(|(last, _)| last + 1 == sequence)
    }
}

pub(crate) fn offset(len: usize) -> Offset {
    i64::try_from(len).unwrap()
}

pub(crate) fn index(offset: Offset) -> usize {
    usize::try_from(offset).unwrap()
}

/// One copy of a partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    pub(crate) rows: Vec<Row>,
    /// Rows below are gone.
    pub(crate) start: usize,
    /// Told to be flushed.
    pub(crate) flushed: usize,
    /// What a loss of power leaves, at least.
    durable: usize,
    /// It tells what it has written as flushed: page-cache durability.
    pub(crate) is_cached: bool,
    /// Epochs and where they start; one that has just begun may have no row.
    epochs: Vec<(LeaderEpoch, Offset)>,
    producers: BTreeMap<ProducerId, Known>,
    /// The flush under way, and how far it reaches.
    pub(crate) flushing: Option<(u64, usize)>,
}

impl Log {
    pub(crate) fn end(&self) -> Offset {
        offset(self.rows.len())
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.flushed == self.rows.len()
    }

    pub(crate) fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.last().map_or(-1, |(epoch, _)| *epoch)
    }

    pub(crate) fn start_epoch(&mut self, epoch: LeaderEpoch) {
        let start = self.end();
        if self.last_epoch() != epoch {
            self.epochs.retain(|(e, s)| *e < epoch && *s < start);
            self.epochs.push((epoch, start));
        }
    }

    pub(crate) fn push(&mut self, row: Row) {
        self.start_epoch(row.epoch);
        if let Some((producer, sequence)) = row.sender {
            let end = self.end();
            let known = self.producers.entry(producer).or_default();
            if !known.is_next(sequence) {
                *known = Known {
                    first: sequence,
                    ..Known::default()
                };
            }
            if known.latest.len() == REMEMBERED {
                known.latest.pop_front();
            }
            known.latest.push_back((sequence, end));
        }
        self.rows.push(row);
        if self.is_cached {
            self.flushed = self.rows.len();
        }
    }

    /// Where a batch is already, or whether its turn has come.
    pub(crate) fn check(
        &self,
        (producer, sequence): (ProducerId, i32),
    ) -> Result<Option<Place>, ()> {
        let Some(known) = self.producers.get(&producer) else {
            return Ok(None);
        };
        let mut latest = known.latest.iter();
        if let Some((_, at)) = latest.find(|(known, _)| *known == sequence) {
            return Ok(Some(Place::At(*at)));
        }
        if known.is_next(sequence) {
            return Ok(None);
        }
        let oldest = known.latest.front();
        let older = oldest.filter(|(oldest, _)| (known.first..*oldest).contains(&sequence));
        older.map(|(_, at)| Some(Place::Below(*at))).ok_or(())
    }

    /// As logs answer it (KIP-279).
    pub(crate) fn end_of_epoch(&self, asked: LeaderEpoch) -> Divergence {
        let latest = self.last_epoch();
        if self.epochs.is_empty() || asked < 0 || asked > latest {
            return Divergence { epoch: -1, end: -1 };
        }
        if asked == latest {
            return Divergence {
                epoch: asked,
                end: self.end(),
            };
        }
        let higher = self.epochs.partition_point(|(epoch, _)| *epoch <= asked);
        let floor = higher.checked_sub(1).map_or(asked, |at| self.epochs[at].0);
        Divergence {
            epoch: floor,
            end: self.epochs[higher].1,
        }
    }

    /// Cuts, and waits until what stays is flushed.
    pub(crate) fn truncate(&mut self, to: Offset) {
        if to >= self.end() {
            return;
        }
        self.epochs.retain(|(_, start)| *start < to);
        self.rows.truncate(index(to));
        self.recover();
    }

    /// Drops what is below.
    pub(crate) fn trim(&mut self, to: Offset) {
        let to = index(to).min(self.rows.len());
        if to <= self.start {
            return;
        }
        self.rows[self.start..to].fill(Row::GONE);
        self.start = to;
        self.durable = self.durable.max(to);
        self.flushed = self.flushed.max(to);
        let first = self.first_epoch();
        self.epochs.retain(|(_, start)| *start > offset(to));
        self.epochs.splice(0..0, first);
    }

    /// An epoch without a row is no part of the history once another one begins.
    pub(crate) fn fence(&mut self) {
        let end = self.end();
        self.epochs.retain(|(_, start)| *start < end);
    }

    /// The epoch of the log's start, which stays known without its rows.
    fn first_epoch(&self) -> Option<(LeaderEpoch, Offset)> {
        let start = offset(self.start);
        let mut before = self.epochs.iter().filter(|(_, at)| *at <= start);
        before.next_back().map(|(epoch, _)| (*epoch, start))
    }

    /// Has nothing any more, and goes on from there.
    pub(crate) fn restart_at(&mut self, start: Offset) {
        let start = index(start);
        *self = Self {
            is_cached: self.is_cached,
            rows: vec![Row::GONE; start],
            start,
            flushed: start,
            durable: start,
            ..Self::default()
        };
    }

    /// Whether a row is what it should be, unless it was deleted here.
    pub(crate) fn agrees(&self, at: usize, row: &Row) -> bool {
        at < self.start || self.rows.get(at) == Some(row)
    }

    /// How many rows from the first on are what they should be.
    pub(crate) fn common(&self, rows: &[Row]) -> usize {
        let all = rows.iter().zip(&self.rows).enumerate();
        all.take_while(|(at, (row, _))| self.agrees(*at, row))
            .count()
    }

    fn recover(&mut self) {
        let mut rows = std::mem::take(&mut self.rows);
        let start = self.start.min(rows.len());
        let epochs = self.first_epoch().filter(|_| start > 0);
        // The checkpoint that a log writes when it starts later has them.
        let mut producers = std::mem::take(&mut self.producers);
        for known in producers.values_mut() {
            known.latest.retain(|(_, at)| index(*at) < start);
        }
        producers.retain(|_, known| !known.latest.is_empty());
        *self = Self {
            is_cached: self.is_cached,
            rows: vec![Row::GONE; start],
            start,
            epochs: epochs.into_iter().collect(),
            producers,
            ..Self::default()
        };
        rows.drain(..start);
        rows.into_iter().for_each(|row| self.push(row));
        self.flushed = self.rows.len();
        self.durable = self.flushed;
    }

    /// A flush is done.
    pub(crate) fn settle(&mut self, to: usize) {
        self.flushed = self.flushed.max(to);
        self.durable = self.durable.max(to);
    }

    /// The power goes; what was not flushed may be there all the same. Whether anything went that
    /// was told to be flushed.
    fn lose_power(&mut self, throws: &mut Throws) -> bool {
        let kept = self.durable + throws.index(self.rows.len() - self.durable + 1);
        let broken = kept < self.flushed;
        self.rows.truncate(kept);
        broken
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) directory: DirectoryId,
    pub(crate) life: LastLife,
    /// The mark of a clean stop, which the next start takes away.
    pub(crate) is_clean: bool,
    pub(crate) logs: BTreeMap<TopicPartition, Log>,
    /// How far partitions were known to be committed.
    pub(crate) committed: BTreeMap<TopicPartition, Offset>,
    /// A flush failed: nothing is written or read any more by this process.
    pub(crate) has_failed: bool,
    /// How long flushes take, ms.
    pub(crate) pace: (u64, u64),
    /// Processes up to this one may have told of what is not here any more.
    pub(crate) harmed: BTreeMap<TopicPartition, u64>,
}

impl Disk {
    /// What the file of the last life and the mark say together.
    pub(crate) fn last_life(&self) -> LastLife {
        match self.life {
            LastLife::Clean(epoch) if !self.is_clean => LastLife::Crashed(epoch),
            life => life,
        }
    }

    /// The directory, when its broker says that it is slow. It is not always right.
    pub(crate) fn slow(&self) -> Option<DirectoryId> {
        (self.pace.0 >= 100).then_some(self.directory)
    }

    /// The directory, when its broker says that it is full: for the decisions that is enough.
    pub(crate) fn full(&self) -> Option<DirectoryId> {
        (self.pace.0 == 10).then_some(self.directory)
    }

    pub(crate) fn lose_power(&mut self, life: u64, throws: &mut Throws) {
        for (at, log) in &mut self.logs {
            if log.lose_power(throws) {
                self.harmed.insert(*at, life);
            }
        }
    }

    /// Another process opens it.
    pub(crate) fn reopen(&mut self) {
        self.has_failed = false;
        self.is_clean = false;
        self.logs.values_mut().for_each(Log::recover);
    }

    /// Everything is flushed and closed.
    pub(crate) fn close(&mut self, served: bool) {
        if self.has_failed {
            return;
        }
        self.logs.values_mut().for_each(Log::recover);
        self.is_clean = true;
        if let LastLife::Crashed(epoch) = self.life
            && served
        {
            self.life = LastLife::Clean(epoch);
        }
    }
}

impl World {
    pub(crate) fn new_disk(&mut self) -> Disk {
        let id = self.next_id();
        let mut directory = [7; 16];
        directory[..8].copy_from_slice(&id.to_be_bytes());
        Disk {
            directory: DirectoryId(directory),
            life: LastLife::New,
            is_clean: false,
            logs: BTreeMap::new(),
            committed: BTreeMap::new(),
            has_failed: false,
            pace: (1, 8),
            harmed: BTreeMap::new(),
        }
    }
}
