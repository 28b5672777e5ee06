//! What one answer brought for one partition.

use std::sync::Arc;

use freshet_records::{Batch, BatchError, Batches, RecordIter};
use freshet_types::{LeaderEpoch, Offset};

use super::aborted::Aborted;
use super::{ConsumerConfig, ConsumerRecord};
use crate::{ClientError, TopicPartition};

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    /// Bytes it had when it came.
    pub(super) bytes: usize,
    /// Epoch of the last batch looked at.
    pub(super) last_epoch: LeaderEpoch,
    topic: Arc<str>,
    batches: Batches,
    aborted: Aborted,
    /// The batch being read, and the offset behind it.
    current: Option<(RecordIter, Offset)>,
}

impl Chunk {
    pub(super) fn new(partition: TopicPartition, bytes: bytes::Bytes, aborted: Aborted) -> Self {
        Self {
            topic: partition.0.as_str().into(),
            partition,
            bytes: bytes.len(),
            last_epoch: -1,
            batches: Batches::new(bytes),
            aborted,
            current: None,
        }
    }

    /// The offset behind the last whole batch, if there is one. A batch that is cut at the end is
    /// what a byte limit leaves; it comes again.
    pub(super) fn end(bytes: &bytes::Bytes) -> Option<Offset> {
        Batches::new(bytes.clone())
            .map_while(Result::ok)
            .last()
            .map(|b| b.header().next_offset())
    }

    /// Hands out records from `next` on until `out` is full; `next` moves along. Answers whether
    /// there may be more.
    pub(super) fn read(
        &mut self,
        out: &mut Vec<ConsumerRecord>,
        next: &mut Option<Offset>,
        config: &ConsumerConfig,
    ) -> Result<bool, ClientError> {
        while out.len() < config.max_records {
            let Some((records, end)) = &mut self.current else {
                if !self.open(next, config)? {
                    return Ok(false);
                }
                continue;
            };
            match records.next() {
                None => {
                    *next = Some(*end);
                    self.current = None;
                }
                Some(Err(error)) => return Err(self.unreadable(error)),
                Some(Ok(record)) if next.is_some_and(|next| record.offset < next) => {}
                Some(Ok(record)) => {
                    *next = Some(record.offset + 1);
                    out.push(ConsumerRecord {
                        topic: Arc::clone(&self.topic),
                        partition: self.partition.1,
                        offset: record.offset,
                        timestamp: record.timestamp,
                        leader_epoch: self.last_epoch,
                        key: record.key,
                        value: record.value,
                        headers: record.headers,
                    });
                }
            }
        }
        Ok(true)
    }

    /// Opens the next batch with something in it.
    fn open(
        &mut self,
        next: &mut Option<Offset>,
        config: &ConsumerConfig,
    ) -> Result<bool, ClientError> {
        loop {
            let batch = match self.batches.next() {
                None | Some(Err(BatchError::Truncated { .. })) => return Ok(false),
                Some(Err(error)) => return Err(self.unreadable(error)),
                Some(Ok(batch)) => batch,
            };
            let end = batch.header().next_offset();
            self.last_epoch = batch.header().leader_epoch;
            if self.skips(&batch, config) {
                *next = Some((*next).map_or(end, |next| next.max(end)));
                continue;
            }
            if config.check_crc {
                batch.check_crc().map_err(|e| self.unreadable(e))?;
            }
            let records = batch
                .records(config.batch_cap_bytes)
                .map_err(|e| self.unreadable(e))?;
            self.current = Some((records, end));
            return Ok(true);
        }
    }

    fn skips(&mut self, batch: &Batch, config: &ConsumerConfig) -> bool {
        if config.read_committed {
            self.aborted.hides(batch.header())
        } else {
            batch.header().attributes.is_control()
        }
    }

    fn unreadable(&self, source: BatchError) -> ClientError {
        let (topic, partition) = &self.partition;
        ClientError::Records {
            what: format!("records of {topic}-{partition} cannot be read"),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use freshet_records::{BatchBuilder, Codec, NewRecord};

    use super::*;

    fn batch(base: Offset, values: &[&str]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::Lz4).at(base, 3);
        for value in values {
            let value = Some(value.as_bytes());
            builder
                .push(&NewRecord {
                    value,
                    ..NewRecord::default()
                })
                .expect("it fits");
        }
        builder.finish().expect("it is small").bytes().to_vec()
    }

    fn read(bytes: Vec<u8>, from: Offset, max_records: usize) -> (Vec<Offset>, Option<Offset>) {
        let config = ConsumerConfig {
            max_records,
            ..ConsumerConfig::default()
        };
        let mut chunk = Chunk::new(("t".into(), 0), bytes.into(), Aborted::default());
        let (mut out, mut next) = (Vec::new(), Some(from));
        while chunk
            .read(&mut out, &mut next, &config)
            .expect("it is whole")
            && out.len() < max_records
        {}
        (out.iter().map(|r| r.offset).collect(), next)
    }

    #[test]
    fn records_before_the_position_are_left_out() {
        let bytes = [batch(5, &["a", "b", "c"]), batch(8, &["d"])].concat();
        assert_eq!(Chunk::end(&bytes.clone().into()), Some(9));
        assert_eq!(read(bytes, 6, 100), (vec![6, 7, 8], Some(9)));
    }

    #[test]
    fn a_full_hand_stops_in_the_middle() {
        assert_eq!(
            read(batch(0, &["a", "b", "c"]), 0, 2),
            (vec![0, 1], Some(2))
        );
    }

    #[test]
    fn a_cut_batch_at_the_end_is_no_error() {
        let mut bytes = [batch(0, &["a"]), batch(1, &["b"])].concat();
        bytes.truncate(bytes.len() - 3);
        assert_eq!(Chunk::end(&bytes.clone().into()), Some(1));
        assert_eq!(read(bytes, 0, 100), (vec![0], Some(1)));
    }

    #[test]
    fn a_damaged_batch_is_told() {
        let mut bytes = batch(0, &["a", "b"]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mut chunk = Chunk::new(("t".into(), 0), bytes.into(), Aborted::default());
        let read = chunk.read(&mut Vec::new(), &mut Some(0), &ConsumerConfig::default());
        assert!(matches!(read, Err(ClientError::Records { .. })));
    }
}
