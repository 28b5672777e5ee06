//! Idempotence: what each producer wrote last, so that retries are answered instead of stored twice.
//!
//! Kafka's rules (`ProducerAppendInfo`, `ProducerStateEntry`): the last five batches of a producer
//! are remembered; the same (epoch, first sequence, last sequence) is a duplicate; the next batch
//! must follow the last sequence, which wraps from `i32::MAX` to 0; a new epoch starts at 0; a
//! producer never seen, or forgotten, may start anywhere.
//!
//! One rule is ours. Within an epoch sequences are stored without a gap, so what lies between the
//! first that was stored here and the oldest batch that is remembered is stored as well:
//!
//! ```text
//! sequences of an epoch   ·····│━━━━━━ before ━━━━━━│━━━━━━ five batches ━━━━━━│ next
//!                              not here      stored, but not where       remembered
//! ```
//!
//! A batch that lies wholly in there is a duplicate, though nobody knows its offset any more. Kafka
//! calls it out of order, and a Java producer then tries until its time is over: it comes to that with
//! a correct cluster, where one batch waits for a leader of the past while those behind it go to the
//! new one. Below the first there is no such answer: what never was here must not be acknowledged.
//!
//! Open transactions are followed as well (first offset per producer), which is all that the last
//! stable offset needs; the index of aborted transactions comes with the transaction coordinator.

use std::collections::{BTreeMap, HashMap, VecDeque};

use freshet_records::BatchHeader;
use freshet_types::{Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::{AppendError, Origin};

/// Batches remembered per producer: as many as a client may have in flight.
pub(crate) const BATCHES_KEPT: usize = 5;
/// Sequences that are known to be stored, at most: half of all there are, so that what is behind is
/// never taken for what is ahead.
pub(crate) const MOST_STORED: u32 = 1 << 30;

/// One stored batch of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredBatch {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    /// The batch's max timestamp; with LogAppendTime what the first answer said.
    pub(crate) timestamp: Timestamp,
}

impl StoredBatch {
    fn count(&self) -> u32 {
        steps(self.first_sequence, self.last_sequence) + 1
    }
}

/// Where a batch is that is stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It is one of those remembered.
    Remembered(StoredBatch),
    /// It is older: all of it is somewhere below this offset.
    Below(Offset),
}

/// What is known about one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) epoch: ProducerEpoch,
    /// The latest batches of this epoch, oldest first; empty after a bump by an end marker.
    pub(crate) batches: VecDeque<StoredBatch>,
    /// Sequences right before the oldest of these that are stored here, too, without a gap.
    pub(crate) before: u32,
    /// Wall clock of the last append; decides expiry.
    pub(crate) seen: Timestamp,
    /// First offset of the open transaction.
    pub(crate) open_since: Option<Offset>,
    /// Place in the order of use.
    used: u64,
}

impl Known {
    pub(crate) fn new(epoch: ProducerEpoch, seen: Timestamp, open_since: Option<Offset>) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            before: 0,
            seen,
            open_since,
            used: 0,
        }
    }

    pub(crate) fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }

    fn duplicate(&self, header: &BatchHeader) -> Option<StoredBatch> {
        if header.producer_epoch != self.epoch {
            return None;
        }
        let same = |batch: &&StoredBatch| {
            batch.first_sequence == header.base_sequence
                && batch.last_sequence == header.last_sequence()
        };
        self.batches.iter().find(same).copied()
    }

    /// Below which offset a batch is stored that is older than those remembered.
    fn older(&self, header: &BatchHeader) -> Option<Offset> {
        let oldest = self.batches.front()?;
        let back = steps(header.base_sequence, oldest.first_sequence);
        let count = steps(header.base_sequence, header.last_sequence()) + 1;
        let is_stored = header.producer_epoch == self.epoch && back <= self.before && count <= back;
        is_stored.then_some(oldest.base_offset)
    }

    fn is_next(&self, header: &BatchHeader) -> bool {
        if header.producer_epoch != self.epoch {
            return header.base_sequence == 0;
        }
        // After a marker bumped the epoch, the last one is -1 and the next is 0.
        header.base_sequence == following(self.last_sequence())
    }

    /// What a client's batch is that is none of those remembered.
    fn check_sequence(&self, header: &BatchHeader) -> Result<Option<Repeat>, AppendError> {
        let producer = header.producer_id;
        if !self.is_next(header) {
            let older = self.older(header).map(Repeat::Below);
            return older.map(Some).ok_or(AppendError::OutOfOrderSequence {
                producer,
                sequence: header.base_sequence,
                last: self.last_sequence(),
            });
        }
        if self.open_since.is_some() && !header.attributes.is_transactional() {
            return Err(AppendError::InvalidTransactionState { producer });
        }
        Ok(None)
    }

    fn begin_epoch(&mut self, epoch: ProducerEpoch) {
        self.epoch = epoch;
        self.batches.clear();
        self.before = 0;
    }

    fn remember(&mut self, batch: StoredBatch) {
        if self.batches.len() == BATCHES_KEPT {
            self.forget_oldest();
        }
        self.batches.push_back(batch);
        let oldest = self.batches.front().unwrap_or(&batch);
        let remembered = steps(oldest.first_sequence, batch.last_sequence) + 1;
        self.before = self.before.min(MOST_STORED.saturating_sub(remembered));
    }

    /// Its sequences still count as stored, unless the next batch does not follow: a leader that had
    /// forgotten the producer took it anywhere, and a replica that had not must not count what is between.
    fn forget_oldest(&mut self) {
        let gone = self.batches.pop_front();
        let known = gone.zip(self.batches.front());
        let known =
            known.filter(|(gone, next)| next.first_sequence == following(gone.last_sequence));
        self.before = known.map_or(0, |(gone, _)| self.before + gone.count());
    }
}

/// The sequence behind another.
fn following(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}

/// How many steps lead from one sequence up to another, around the end of all if need be.
fn steps(from: i32, to: i32) -> u32 {
    to.wrapping_sub(from).cast_unsigned() & i32::MAX.cast_unsigned()
}

/// All producers of one log.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Producers {
    known: HashMap<ProducerId, Known>,
    /// Order of use, for forgetting the longest idle first.
    order: BTreeMap<u64, ProducerId>,
    /// First offsets of open transactions.
    open: BTreeMap<Offset, ProducerId>,
    uses: u64,
}

impl Producers {
    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// In order of use, longest idle first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (ProducerId, &Known)> {
        self.order.values().map(|id| (*id, &self.known[id]))
    }

    /// First offset of the oldest open transaction.
    pub(crate) fn first_unstable(&self) -> Option<Offset> {
        self.open.keys().next().copied()
    }

    /// Whether a batch may be stored. `Some` is where it is already.
    pub(crate) fn check(
        &self,
        header: &BatchHeader,
        origin: Origin,
    ) -> Result<Option<Repeat>, AppendError> {
        if !header.has_producer() || origin == Origin::Replica {
            return Ok(None);
        }
        let Some(known) = self.known.get(&header.producer_id) else {
            return Ok(None);
        };
        if origin == Origin::Client
            && let Some(stored) = known.duplicate(header)
        {
            return Ok(Some(Repeat::Remembered(stored)));
        }
        if header.producer_epoch < known.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer: header.producer_id,
                epoch: header.producer_epoch,
                latest: known.epoch,
            });
        }
        match origin {
            Origin::Client => known.check_sequence(header),
            Origin::Coordinator | Origin::Replica => Ok(None),
        }
    }

    /// A batch was stored; `header` carries its final offsets. At most `max` producers are kept.
    pub(crate) fn apply(&mut self, header: &BatchHeader, now: Timestamp, max: usize) {
        if !header.has_producer() {
            return;
        }
        let id = header.producer_id;
        self.uses += 1;
        let fresh = || Known::new(header.producer_epoch, now, None);
        let known = self.known.entry(id).or_insert_with(fresh);
        self.order.remove(&known.used);
        known.used = self.uses;
        known.seen = now;
        self.order.insert(self.uses, id);
        if known.epoch != header.producer_epoch {
            known.begin_epoch(header.producer_epoch);
        }
        if header.attributes.is_control() {
            if let Some(first) = known.open_since.take() {
                self.open.remove(&first);
            }
        } else {
            known.remember(StoredBatch {
                first_sequence: header.base_sequence,
                last_sequence: header.last_sequence(),
                base_offset: header.base_offset,
                last_offset: header.last_offset(),
                timestamp: header.max_timestamp,
            });
            if header.attributes.is_transactional() && known.open_since.is_none() {
                known.open_since = Some(header.base_offset);
                self.open.insert(header.base_offset, id);
            }
        }
        self.bound(max);
    }

    /// Puts a producer back that a snapshot holds. Called in order of use.
    pub(crate) fn restore(&mut self, id: ProducerId, mut known: Known) {
        self.uses += 1;
        known.used = self.uses;
        if let Some(first) = known.open_since {
            self.open.insert(first, id);
        }
        if let Some(old) = self.known.insert(id, known) {
            self.order.remove(&old.used);
        }
        self.order.insert(self.uses, id);
    }

    /// Forgets producers idle for longer than `max_age_ms`, unless their transaction is open.
    pub(crate) fn expire(&mut self, now: Timestamp, max_age_ms: u64) {
        let max_age = i64::try_from(max_age_ms).unwrap_or(i64::MAX);
        let stale = |known: &Known| {
            known.open_since.is_none() && now.0.saturating_sub(known.seen.0) >= max_age
        };
        self.known.retain(|_, known| {
            let keep = !stale(known);
            if !keep {
                self.order.remove(&known.used);
            }
            keep
        });
    }

    fn bound(&mut self, max: usize) {
        while self.known.len() > max.max(1) {
            let idle = |id: &&ProducerId| self.known[*id].open_since.is_none();
            // Those with an open transaction cannot be forgotten; the coordinator bounds them.
            let Some(id) = self.order.values().find(idle).copied() else {
                return;
            };
            if let Some(known) = self.known.remove(&id) {
                self.order.remove(&known.used);
            }
        }
    }
}

#[cfg(test)]
mod tests;
