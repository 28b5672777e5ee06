//! What a log must hold after a crash: the truth to compare it with.

use std::collections::BTreeMap;

use bytes::Bytes;
use freshet_log::{LogView, ReadSpec, TimeQuery};
use freshet_records::{BatchBuilder, Batches, Codec, NewRecord, Producer};
use freshet_sim::Dice;
use freshet_types::{LeaderEpoch, Offset, ProducerId, Timestamp};

use crate::machine::START;

/// A batch as it was sent, and where it went or would have gone.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) bytes: Bytes,
    pub(crate) base: Offset,
    pub(crate) count: i32,
    pub(crate) producer: Option<(ProducerId, i32)>,
}

/// One record; no two have the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Value {
    id: u64,
    epoch: LeaderEpoch,
}

/// The history so far.
///
/// Every batch sent is expected at the offset where the one before ended, whether it was answered
/// or not: what was answered with an error because the power failed may well have been written.
#[derive(Debug, Default, Clone)]
pub(crate) struct Model {
    values: BTreeMap<Offset, Value>,
    sent: Vec<Sent>,
    /// Records below were told to be durable.
    pub(crate) safe_end: Offset,
    /// The log start lies between these: a trim that was not answered may be in effect.
    pub(crate) start: (Offset, Offset),
    next_id: u64,
}

impl Model {
    /// The offset of the next record.
    pub(crate) fn end(&self) -> Offset {
        let last = self.values.last_key_value();
        last.map_or(self.start.1, |(last, _)| last + 1)
    }

    /// Makes the next batch and expects it at the end of the log.
    pub(crate) fn next_batch(&mut self, dice: Dice, epoch: LeaderEpoch) -> Bytes {
        let count = 1 + dice.below(4, "records") as i32;
        let codec = Codec::ALL[dice.below(8, "codec").min(4) as usize];
        let mut builder = BatchBuilder::new(if dice.chance(70, "plain") {
            Codec::None
        } else {
            codec
        });
        let producer = dice.chance(60, "producer").then(|| {
            let id = 100 + dice.below(3, "producer id") as ProducerId;
            (id, self.next_sequence(id))
        });
        if let Some((id, base_sequence)) = producer {
            builder = builder.producer(Producer {
                id,
                epoch: 0,
                base_sequence,
            });
        }
        let base = self.end();
        for i in 0..count {
            let id = self.next_id;
            self.next_id += 1;
            let mut value = id.to_be_bytes().to_vec();
            value.resize(8 + dice.below(900, ("size", i)) as usize, id as u8);
            builder
                .push(&NewRecord {
                    timestamp: time(id),
                    value: Some(&value),
                    ..NewRecord::default()
                })
                .unwrap();
            self.values.insert(base + i64::from(i), Value { id, epoch });
        }
        let bytes = builder.finish().unwrap().bytes().clone();
        self.sent.push(Sent {
            bytes: bytes.clone(),
            base,
            count,
            producer,
        });
        bytes
    }

    /// The last batch, for people.
    pub(crate) fn newest(&self) -> String {
        self.sent.last().map_or_else(String::new, |sent| {
            let (base, count, producer) = (sent.base, sent.count, sent.producer);
            format!("{count} at {base} from {producer:?}")
        })
    }

    fn next_sequence(&self, producer: ProducerId) -> i32 {
        let last = self.last_of(producer);
        last.and_then(|sent| Some(sent.producer?.1 + sent.count))
            .unwrap_or(0)
    }

    fn last_of(&self, producer: ProducerId) -> Option<&Sent> {
        let mut newest = self.sent.iter().rev();
        newest.find(|sent| sent.producer.is_some_and(|(id, _)| id == producer))
    }

    /// The last batch of each producer: what a retry would send again.
    pub(crate) fn retries(&self) -> Vec<Sent> {
        let last = (100..103).filter_map(|id| self.last_of(id));
        last.filter(|sent| sent.base >= self.start.1)
            .cloned()
            .collect()
    }

    /// The first offset of the batch that holds `offset`: a log is cut between batches only.
    pub(crate) fn batch_start(&self, offset: Offset) -> Option<Offset> {
        let sent = self.sent.iter().rev().find(|sent| sent.base <= offset)?;
        (sent.base >= self.start.1).then_some(sent.base)
    }

    /// Everything at `to` and above is gone.
    pub(crate) fn cut(&mut self, to: Offset) {
        self.values.split_off(&to);
        self.sent.retain(|sent| sent.base < to);
        self.safe_end = self.safe_end.min(to);
    }

    /// The log start has moved.
    pub(crate) fn trimmed(&mut self, to: Offset) {
        self.start = (to, to);
        self.values = self.values.split_off(&to);
        self.safe_end = self.safe_end.max(to);
    }

    /// Compares a log that was just opened, and takes over what survived. Says what is wrong.
    pub(crate) fn reconcile(&mut self, view: &LogView) -> Result<(), String> {
        let (start, end) = (view.log_start(), view.log_end());
        if start < self.start.0 || start > self.start.1 {
            return Err(format!("log start {start} is not in {:?}", self.start));
        }
        if end < self.safe_end {
            return Err(format!("log end {end}, but {} was durable", self.safe_end));
        }
        if end > self.end() {
            return Err(format!("log end {end}, but only {} was sent", self.end()));
        }
        if view.flushed() != end {
            return Err(format!(
                "{} of {end} flushed after recovery",
                view.flushed()
            ));
        }
        self.cut(end);
        self.trimmed(start);
        self.safe_end = end;
        self.compare(view)
    }

    /// Whether these records were sent, and are where they belong.
    pub(crate) fn has(&self, found: &[(Offset, u64)]) -> bool {
        let is_known = |(offset, id): &(Offset, u64)| {
            let value = self.values.get(offset);
            value.is_some_and(|value| value.id == *id)
        };
        found.iter().all(is_known)
    }

    /// Compares all records, the epochs, and lookups by time.
    pub(crate) fn compare(&self, view: &LogView) -> Result<(), String> {
        let found = read_all(view)?;
        let wanted: Vec<(Offset, u64)> = self.values.iter().map(|(o, v)| (*o, v.id)).collect();
        if found != wanted {
            let differs = found.iter().zip(&wanted).position(|(f, w)| f != w);
            let at = differs.unwrap_or(found.len().min(wanted.len()));
            return Err(format!(
                "record {at}: found {:?} of {}, wanted {:?} of {}",
                found.get(at),
                found.len(),
                wanted.get(at),
                wanted.len()
            ));
        }
        for (&offset, value) in &self.values {
            if view.epoch_at(offset) != Some(value.epoch) {
                let found = view.epoch_at(offset);
                return Err(format!("epoch {found:?} at {offset}, not {}", value.epoch));
            }
        }
        for (&offset, value) in self.values.iter().step_by(7) {
            let query = TimeQuery::AtOrAfter(time(value.id));
            let found = view.find_time_blocking(query, Offset::MAX);
            let found = found.map_err(|error| error.to_string())?;
            if found.map(|found| found.offset) != Some(offset) {
                return Err(format!("time lookup of {offset} gives {found:?}"));
            }
        }
        Ok(())
    }
}

fn time(id: u64) -> Timestamp {
    Timestamp(START.0 + id as i64)
}

/// Reads everything, a little at a time.
pub(crate) fn read_all(view: &LogView) -> Result<Vec<(Offset, u64)>, String> {
    let mut found = Vec::new();
    let mut from = view.log_start();
    while from < view.log_end() {
        let (records, next) = read_at(view, from)?;
        found.extend(records);
        from = next;
    }
    Ok(found)
}

/// Reads a little from an offset on: the records of whole batches, and where to go on.
pub(crate) fn read_at(
    view: &LogView,
    from: Offset,
) -> Result<(Vec<(Offset, u64)>, Offset), String> {
    let fetched = view.read_blocking(&ReadSpec {
        from,
        max_bytes: 2500,
        upper_bound: Offset::MAX,
        at_least_one: true,
    });
    let fetched = fetched.map_err(|error| format!("reading at {from}: {error}"))?;
    if fetched.next_offset <= from {
        return Err(format!("nothing to read at {from}"));
    }
    let mut found = Vec::new();
    let bytes: Bytes = fetched.chunks.concat().into();
    for batch in Batches::new(bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        batch.check_crc().map_err(|error| error.to_string())?;
        for record in batch.records(1 << 20).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            let value = record.value.ok_or("no value")?;
            let id = value.first_chunk().ok_or("a short value")?;
            if record.offset >= view.log_start() {
                found.push((record.offset, u64::from_be_bytes(*id)));
            }
        }
    }
    Ok((found, fetched.next_offset))
}
