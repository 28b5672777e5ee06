//! Making batches.

use std::io::Write;

use freshet_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::compression::Encoder;
use crate::compression::failed;
use crate::varint::{put_varint, put_varlong, varlong_bytes};
use crate::{
    Attributes, Batch, BatchError, BatchHeader, CRC_FROM, Codec, Compression, HEADER_BYTES, Header,
    LENGTH_END, crc32c,
};

/// The session a batch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// Session id.
    pub id: ProducerId,
    /// Incarnation.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub base_sequence: i32,
}

/// What batches outside of any session carry.
pub const NO_PRODUCER: Producer = Producer {
    id: -1,
    epoch: -1,
    base_sequence: -1,
};

/// A record to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    /// When it was made.
    pub timestamp: Timestamp,
    /// Key, or null.
    pub key: Option<&'a [u8]>,
    /// Value, or null.
    pub value: Option<&'a [u8]>,
    /// Headers, in order.
    pub headers: &'a [Header],
}

/// Collects records and makes one batch of them. Offsets count from 0 unless told otherwise.
#[derive(Debug)]
pub struct BatchBuilder {
    compression: Compression,
    attributes: Attributes,
    producer: Producer,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    record_count: i32,
    /// Room for the header, then the records: an uncompressed batch is never copied.
    bytes: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch.
    pub fn new(compression: impl Into<Compression>) -> Self {
        let compression = compression.into();
        Self {
            compression,
            attributes: Attributes::default().with_codec(compression.codec),
            producer: NO_PRODUCER,
            base_offset: 0,
            leader_epoch: -1,
            base_timestamp: Timestamp::NONE,
            max_timestamp: Timestamp::NONE,
            record_count: 0,
            bytes: vec![0; HEADER_BYTES],
        }
    }

    /// Sets the offset of the first record and the leader's epoch.
    #[must_use]
    pub fn at(mut self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        self.base_offset = base_offset;
        self.leader_epoch = leader_epoch;
        self
    }

    /// Makes the batch part of a producer session.
    #[must_use]
    pub fn producer(mut self, producer: Producer) -> Self {
        self.producer = producer;
        self
    }

    /// Makes the batch part of the session's open transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes = self.attributes.with_transactional(true);
        self
    }

    /// Makes it a batch of control records.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes = self.attributes.with_control(true);
        self
    }

    /// Appends a record. [`BatchError::TooLarge`] leaves the batch as it was.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BatchError> {
        let timestamp_delta = if self.record_count == 0 {
            0
        } else {
            record.timestamp.0.wrapping_sub(self.base_timestamp.0)
        };
        let length = record_bytes(record, timestamp_delta, self.record_count);
        let size_bytes = self.bytes.len() + varlong_bytes(length as i64) + length;
        check_size(size_bytes)?;
        if self.record_count == 0 {
            self.base_timestamp = record.timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        let out = &mut self.bytes;
        out.reserve(size_bytes - out.len());
        put_varlong(out, length as i64);
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, self.record_count);
        put_nullable(out, record.key);
        put_nullable(out, record.value);
        put_varlong(out, record.headers.len() as i64);
        for header in record.headers {
            put_nullable(out, Some(&header.name));
            put_nullable(out, header.value.as_deref());
        }
        self.record_count += 1;
        Ok(())
    }

    /// Records so far.
    pub fn record_count(&self) -> i32 {
        self.record_count
    }

    /// Size of the batch so far, before compression.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Compresses and closes the batch. An empty one is legal in a log, not from a producer.
    pub fn finish(self) -> Result<Batch, BatchError> {
        let bytes = if self.compression.codec == Codec::None {
            self.bytes
        } else {
            compress(self.compression, &self.bytes[HEADER_BYTES..])
                .map_err(|e| failed(self.compression.codec, &e))?
        };
        let header = BatchHeader {
            base_offset: self.base_offset,
            size_bytes: bytes.len(),
            leader_epoch: self.leader_epoch,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: (self.record_count - 1).max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            base_sequence: self.producer.base_sequence,
            record_count: self.record_count,
        };
        seal(header, bytes)
    }
}

/// Puts a header in front of a body that has left room for it, with the right size and checksum.
pub(crate) fn seal(mut header: BatchHeader, mut bytes: Vec<u8>) -> Result<Batch, BatchError> {
    check_size(bytes.len())?;
    header.size_bytes = bytes.len();
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    header.crc = crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&header.crc.to_be_bytes());
    Batch::parse(&bytes.into())
}

fn compress(compression: Compression, records: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(HEADER_BYTES + records.len() / 2);
    out.resize(HEADER_BYTES, 0);
    let mut encoder = Encoder::new(compression, out)?;
    encoder.write_all(records)?;
    encoder.finish()
}

fn check_size(size_bytes: usize) -> Result<(), BatchError> {
    // The length field is an i32 and leaves out the first 12 bytes.
    if size_bytes - LENGTH_END > i32::MAX as usize {
        return Err(BatchError::TooLarge { size_bytes });
    }
    Ok(())
}

/// Bytes of a record behind its length.
fn record_bytes(record: &NewRecord<'_>, timestamp_delta: i64, offset_delta: i32) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|h| nullable_bytes(Some(&h.name)) + nullable_bytes(h.value.as_deref()))
        .sum();
    1 + varlong_bytes(timestamp_delta)
        + varlong_bytes(i64::from(offset_delta))
        + nullable_bytes(record.key)
        + nullable_bytes(record.value)
        + varlong_bytes(record.headers.len() as i64)
        + headers
}

fn nullable_bytes(part: Option<&[u8]>) -> usize {
    part.map_or(1, |bytes| varlong_bytes(bytes.len() as i64) + bytes.len())
}

fn put_nullable(out: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varlong(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
