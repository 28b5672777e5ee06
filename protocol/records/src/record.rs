//! Records, and reading them out of a batch.
//!
//! ```text
//! length varint │ attributes i8 │ timestamp delta varlong │ offset delta varint │
//! key length varint, key │ value length varint, value │ header count varint │ headers…
//! header: name length varint, name │ value length varint, value
//! ```
//! A length of -1 is "null"; `length` counts what follows it.

use std::borrow::Cow;
use std::iter::FusedIterator;

use bytes::{Buf, Bytes};
use freshet_types::{Offset, Timestamp};

use crate::compression::Body;
use crate::varint::{MAX_VARINT, get_varint, get_varlong};
use crate::{Batch, BatchError, BatchHeader, TimestampType};

/// One record. Its parts are slices of a shared buffer, which lives as long as any of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Offset in the partition.
    pub offset: Offset,
    /// Create time, or the batch's append time.
    pub timestamp: Timestamp,
    /// Key; `None` is null, which is not the same as empty.
    pub key: Option<Bytes>,
    /// Value; `None` is null: a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// Headers, in order; names may repeat.
    pub headers: Vec<Header>,
}

/// One header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name, UTF-8 by agreement; not checked.
    pub name: Bytes,
    /// Value; `None` is null.
    pub value: Option<Bytes>,
}

impl Header {
    /// A header of a name and a value.
    pub fn new(name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self {
            name: name.into(),
            value: Some(value.into()),
        }
    }

    /// The name as text; bytes that are not UTF-8 are replaced.
    pub fn name_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }
}

/// Reads records one by one, in order. Ends after the first error.
///
/// An error is also given when the body has bytes behind its last record. Checksums, offset order
/// and topic rules are not looked at: see [`Batch::check_crc`] and [`crate::inspect`].
#[derive(Debug)]
pub struct RecordIter {
    header: BatchHeader,
    body: Body,
    index: i32,
    done: bool,
}

impl RecordIter {
    pub(crate) fn new(batch: &Batch, cap_bytes: usize) -> Result<Self, BatchError> {
        Ok(Self {
            header: *batch.header(),
            body: Body::new(batch, cap_bytes)?,
            index: 0,
            done: false,
        })
    }

    fn read(&mut self) -> Result<Option<Record>, BatchError> {
        if self.index == self.header.record_count {
            let at_end = !self.body.fill(1)?;
            return if at_end {
                Ok(None)
            } else {
                Err(BatchError::Malformed {
                    what: "bytes follow its last record",
                })
            };
        }
        self.body.fill(MAX_VARINT)?;
        let (length, used) =
            get_varint(self.body.ready()).ok_or_else(|| self.malformed("its length is cut"))?;
        let length =
            usize::try_from(length).map_err(|_| self.malformed("its length is negative"))?;
        self.body.skip(used);
        if !self.body.fill(length)? {
            return Err(self.malformed("the batch ends inside it"));
        }
        let record = parse(&self.header, self.body.take(length))
            .map_err(|Fault(what)| self.malformed(what))?;
        self.index += 1;
        Ok(Some(record))
    }

    fn malformed(&self, what: &'static str) -> BatchError {
        BatchError::MalformedRecord {
            index: self.index,
            what,
        }
    }
}

impl Iterator for RecordIter {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.read().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl FusedIterator for RecordIter {}

struct Fault(&'static str);

fn parse(header: &BatchHeader, mut bytes: Bytes) -> Result<Record, Fault> {
    bytes
        .try_get_i8()
        .map_err(|_| Fault("it has no attributes"))?;
    let timestamp_delta = varlong(&mut bytes)?;
    let offset_delta = varint(&mut bytes)?;
    let key = nullable(&mut bytes)?;
    let value = nullable(&mut bytes)?;
    let headers = headers(&mut bytes)?;
    if !bytes.is_empty() {
        return Err(Fault("bytes follow its headers"));
    }
    let timestamp = match header.attributes.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp,
        TimestampType::CreateTime => {
            Timestamp(header.base_timestamp.0.wrapping_add(timestamp_delta))
        }
    };
    Ok(Record {
        offset: header.base_offset.wrapping_add(i64::from(offset_delta)),
        timestamp,
        key,
        value,
        headers,
    })
}

fn headers(bytes: &mut Bytes) -> Result<Vec<Header>, Fault> {
    let count =
        usize::try_from(varint(bytes)?).map_err(|_| Fault("its header count is negative"))?;
    // Two lengths of one byte each are the least a header takes.
    if count > bytes.len() / 2 {
        return Err(Fault("it has fewer headers than it claims"));
    }
    // Not `with_capacity`: a header in memory is far larger than its two bytes here.
    let mut headers = Vec::new();
    for _ in 0..count {
        headers.push(Header {
            name: nullable(bytes)?.ok_or(Fault("a header has no name"))?,
            value: nullable(bytes)?,
        });
    }
    Ok(headers)
}

fn nullable(bytes: &mut Bytes) -> Result<Option<Bytes>, Fault> {
    let length = varint(bytes)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| Fault("a length in it is negative"))?;
    if length > bytes.len() {
        return Err(Fault("a part of it is longer than the rest"));
    }
    Ok(Some(bytes.split_to(length)))
}

fn varint(bytes: &mut Bytes) -> Result<i32, Fault> {
    let (value, used) = get_varint(bytes).ok_or(Fault("a number in it is malformed"))?;
    bytes.advance(used);
    Ok(value)
}

fn varlong(bytes: &mut Bytes) -> Result<i64, Fault> {
    let (value, used) = get_varlong(bytes).ok_or(Fault("a number in it is malformed"))?;
    bytes.advance(used);
    Ok(value)
}
