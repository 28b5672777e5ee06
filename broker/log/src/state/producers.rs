//! Idempotence: what each producer wrote last, so that retries are answered instead of stored twice.
//!
//! Kafka's rules (`ProducerAppendInfo`, `ProducerStateEntry`): the last five batches of a producer
//! are remembered; the same (epoch, first sequence, last sequence) is a duplicate; the next batch
//! must follow the last sequence, which wraps from `i32::MAX` to 0; a new epoch starts at 0; a
//! producer never seen, or forgotten, may start anywhere.
//!
//! Open transactions are followed as well (first offset per producer), which is all that the last
//! stable offset needs; the index of aborted transactions comes with the transaction coordinator.

use std::collections::{BTreeMap, HashMap, VecDeque};

use freshet_records::BatchHeader;
use freshet_types::{Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::{AppendError, Origin};

/// Batches remembered per producer: as many as a client may have in flight.
pub(crate) const BATCHES_KEPT: usize = 5;

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

/// What is known about one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) epoch: ProducerEpoch,
    /// The latest batches of this epoch, oldest first; empty after a bump by an end marker.
    pub(crate) batches: VecDeque<StoredBatch>,
    /// Wall clock of the last append; decides expiry.
    pub(crate) seen: Timestamp,
    /// First offset of the open transaction.
    pub(crate) open_since: Option<Offset>,
    /// Place in the order of use.
    used: u64,
}

impl Known {
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
    ) -> Result<Option<StoredBatch>, AppendError> {
        if !header.has_producer() || origin == Origin::Replica {
            return Ok(None);
        }
        let Some(known) = self.known.get(&header.producer_id) else {
            return Ok(None);
        };
        if origin == Origin::Client
            && let Some(stored) = known.duplicate(header)
        {
            return Ok(Some(stored));
        }
        if header.producer_epoch < known.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer: header.producer_id,
                epoch: header.producer_epoch,
                latest: known.epoch,
            });
        }
        if origin == Origin::Client {
            check_sequence(known, header)?;
            if known.open_since.is_some() && !header.attributes.is_transactional() {
                let producer = header.producer_id;
                return Err(AppendError::InvalidTransactionState { producer });
            }
        }
        Ok(None)
    }

    /// A batch was stored; `header` carries its final offsets. At most `max` producers are kept.
    pub(crate) fn apply(&mut self, header: &BatchHeader, now: Timestamp, max: usize) {
        if !header.has_producer() {
            return;
        }
        let id = header.producer_id;
        self.uses += 1;
        let known = self.known.entry(id).or_insert_with(|| Known {
            epoch: header.producer_epoch,
            batches: VecDeque::new(),
            seen: now,
            open_since: None,
            used: 0,
        });
        self.order.remove(&known.used);
        known.used = self.uses;
        known.seen = now;
        self.order.insert(self.uses, id);
        if known.epoch != header.producer_epoch {
            known.epoch = header.producer_epoch;
            known.batches.clear();
        }
        if header.attributes.is_control() {
            if let Some(first) = known.open_since.take() {
                self.open.remove(&first);
            }
        } else {
            if known.batches.len() == BATCHES_KEPT {
                known.batches.pop_front();
            }
            known.batches.push_back(StoredBatch {
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

impl Known {
    pub(crate) fn new(epoch: ProducerEpoch, seen: Timestamp, open_since: Option<Offset>) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            seen,
            open_since,
            used: 0,
        }
    }
}

fn check_sequence(known: &Known, header: &BatchHeader) -> Result<(), AppendError> {
    let last = known.last_sequence();
    let follows = if header.producer_epoch == known.epoch {
        // After a marker bumped the epoch, `last` is -1 and the next is 0.
        header.base_sequence == if last == i32::MAX { 0 } else { last + 1 }
    } else {
        header.base_sequence == 0
    };
    if follows {
        return Ok(());
    }
    Err(AppendError::OutOfOrderSequence {
        producer: header.producer_id,
        sequence: header.base_sequence,
        last,
    })
}

#[cfg(test)]
mod tests;
