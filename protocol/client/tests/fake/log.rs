//! One partition's log.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use freshet_records::{Batch, BatchHeader, CRC_FROM, prefix};
use freshet_wire::ErrorCode;

/// Batches a broker remembers of each session.
const REMEMBERED: usize = 5;

#[derive(Default)]
pub(crate) struct Log {
    batches: Vec<Batch>,
    next_offset: i64,
    /// Sequence ranges and base offsets of each session's last batches.
    sessions: HashMap<i64, VecDeque<(i32, i32, i64)>>,
}

impl Log {
    /// Appends as a leader does; the base offset, also of a duplicate.
    pub(crate) fn append(&mut self, bytes: &Bytes) -> Result<i64, ErrorCode> {
        let batch = Batch::parse(bytes).map_err(|_| ErrorCode::CorruptMessage)?;
        batch.check_crc().map_err(|_| ErrorCode::CorruptMessage)?;
        batch
            .header()
            .check_produced()
            .map_err(|_| ErrorCode::InvalidRecord)?;
        if values(&batch).iter().any(|v| v.starts_with("poison")) {
            return Err(ErrorCode::MessageTooLarge);
        }
        let header = *batch.header();
        if header.has_producer()
            && let Some(offset) = self.check_sequence(&header)?
        {
            return Ok(offset);
        }
        let base = self.next_offset;
        let mut stored = prefix(base, 0, bytes.len()).to_vec();
        stored.extend_from_slice(&bytes[stored.len()..]);
        assert!(stored.len() > CRC_FROM, "a batch has a header");
        self.batches
            .push(Batch::parse(&stored.into()).expect("it was parsed before"));
        self.next_offset += i64::from(header.record_count);
        Ok(base)
    }

    /// The old base offset of a duplicate.
    fn check_sequence(&mut self, header: &BatchHeader) -> Result<Option<i64>, ErrorCode> {
        let range = (header.base_sequence, header.last_sequence());
        let known = self.sessions.entry(header.producer_id).or_default();
        if let Some(old) = known.iter().find(|k| (k.0, k.1) == range) {
            return Ok(Some(old.2));
        }
        let expected = known
            .back()
            .map_or(0, |last| last.1.wrapping_add(1) & i32::MAX);
        if range.0 != expected {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        known.push_back((range.0, range.1, self.next_offset));
        if known.len() > REMEMBERED {
            known.pop_front();
        }
        Ok(None)
    }

    /// Forgets one session's batches, as after its expiry; the producer hears UNKNOWN_PRODUCER_ID.
    pub(crate) fn forget(&mut self, producer: i64) -> bool {
        self.sessions.remove(&producer).is_some()
    }

    /// The bytes from the batch with `offset` on, one batch at most.
    pub(crate) fn read(&self, offset: i64) -> Result<Bytes, ErrorCode> {
        if !(0..=self.next_offset).contains(&offset) {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let batch = self
            .batches
            .iter()
            .find(|b| b.header().last_offset() >= offset);
        Ok(batch.map_or_else(Bytes::new, |b| b.bytes().clone()))
    }

    pub(crate) fn end(&self) -> i64 {
        self.next_offset
    }

    pub(crate) fn values(&self) -> Vec<String> {
        self.batches.iter().flat_map(values).collect()
    }
}

fn values(batch: &Batch) -> Vec<String> {
    let records = batch.records(1 << 20).expect("the codec is known");
    let value = |r: freshet_records::Record| r.value.expect("tests send values");
    records
        .map(|r| String::from_utf8(value(r.expect("it is whole")).to_vec()).expect("it is text"))
        .collect()
}
