//! How far replicated partitions were known to be committed: the file `high-watermarks`.
//!
//! A hint. A leader that finds nobody else alive shows its readers what was committed before, and
//! without the file it would show nothing until enough followers are back.

use std::collections::HashMap;

use bytes::{Buf, BufMut};
use freshet_types::{Offset, TopicId, TopicPartition};

use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};

const KIND: Kind = Kind {
    magic: *b"FRHW",
    version: 1,
};
/// No such file is larger: 2 million partitions.
pub(crate) const MAX_COMMITTED_BYTES: u64 = 64 << 20;
/// Topic id, partition, offset.
const ROW_BYTES: usize = 16 + 4 + 8;

/// The file.
pub(crate) fn to_file(rows: &[(TopicPartition, Offset)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(rows.len() * ROW_BYTES);
    for (at, offset) in rows {
        body.put_slice(&at.topic.0);
        body.put_i32(at.partition);
        body.put_i64(*offset);
    }
    seal(KIND, &body)
}

/// Reads the file.
pub(crate) fn from_file(bytes: &[u8]) -> Result<HashMap<TopicPartition, Offset>, EnvelopeError> {
    let body = unseal(KIND, bytes)?;
    if !body.len().is_multiple_of(ROW_BYTES) {
        return Err(malformed("a row that is cut"));
    }
    let row = |mut row: &[u8]| {
        let mut topic = [0; 16];
        row.try_copy_to_slice(&mut topic)?;
        let at = TopicPartition {
            topic: TopicId(topic),
            partition: row.try_get_i32()?,
        };
        Ok((at, row.try_get_i64()?))
    };
    body.chunks_exact(ROW_BYTES).map(row).collect()
}
