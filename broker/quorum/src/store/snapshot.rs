//! A snapshot: the state up to an offset as records, who votes, and a checksum over all of it.
//!
//! The same bytes are the file and what a leader sends to a follower that is too far behind.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use freshet_records::{Batch, BatchBuilder, BatchError, Codec, NewRecord, crc32c};
use freshet_types::{Offset, Timestamp};

use super::entry::EntryId;

/// Snapshots are cut into batches of about this size.
const BATCH_BYTES: usize = 256 << 10;
/// Ends a snapshot of the first format, before count and checksum: no terms, nobody else votes.
const MAGIC_1: [u8; 8] = *b"FRSHSNP1";
/// Ends a snapshot, before the fields of [`Footer`].
const MAGIC_2: [u8; 8] = *b"FRSHSNP2";
const FOOTER_1_BYTES: usize = 8 + 8 + 4;
const FOOTER_2_BYTES: usize = 8 + 8 + 8 + 8 + 8 + 1 + 8 + 8 + 4 + 4;

/// What a snapshot sums up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SnapshotMeta {
    /// The last entry in it.
    pub(crate) last: EntryId,
    /// The offset after it.
    pub(crate) next_offset: Offset,
    /// The entry that said who votes, if any did.
    pub(crate) voters_at: Option<EntryId>,
    /// Who votes, as in [`super::Content::Voters`]; empty when nobody ever said.
    pub(crate) voters: Bytes,
}

/// A snapshot that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    /// In order.
    pub(crate) records: Vec<Bytes>,
}

/// The bytes of a snapshot.
pub(crate) fn encode(
    meta: &SnapshotMeta,
    records: &[Bytes],
    now: Timestamp,
) -> Result<Bytes, BatchError> {
    let mut bytes = encode_batches(records, now)?;
    bytes.put_slice(&meta.voters);
    bytes.put_slice(&MAGIC_2);
    bytes.put_u64(records.len() as u64);
    bytes.put_u64(meta.last.term);
    bytes.put_u64(meta.last.index);
    bytes.put_i64(meta.next_offset);
    let at = meta.voters_at.unwrap_or_default();
    bytes.put_u8(u8::from(meta.voters_at.is_some()));
    bytes.put_u64(at.term);
    bytes.put_u64(at.index);
    bytes.put_u32(u32::try_from(meta.voters.len()).unwrap_or(u32::MAX));
    bytes.put_u32(crc32c(&bytes));
    Ok(bytes.freeze())
}

/// Reads a snapshot; the text says where and why it is damaged. `next_offset` is what the file's
/// name says, for the first format, which does not say it inside.
pub(crate) fn decode(bytes: &Bytes, next_offset: Offset) -> Result<Snapshot, (usize, String)> {
    let at = |footer: usize| bytes.len().checked_sub(footer);
    let is = |at: usize, magic: [u8; 8]| bytes[at..].starts_with(&magic);
    let sum = at(4).ok_or((0, "it is too short for a snapshot".to_owned()))?;
    let footer_2 = at(FOOTER_2_BYTES).filter(|&at| is(at, MAGIC_2));
    let footer_1 = at(FOOTER_1_BYTES).filter(|&at| is(at, MAGIC_1));
    let Some(footer) = footer_2.or(footer_1) else {
        return Err((sum, "the footer does not match the content".to_owned()));
    };
    if bytes[sum..] != crc32c(&bytes[..sum]).to_be_bytes() {
        return Err((footer, "the footer does not match the content".to_owned()));
    }
    let mut fields = bytes.slice(footer + 8..sum);
    let count = fields.get_u64();
    let (meta, body) = if footer_2.is_some() {
        read_footer(bytes, footer, fields)?
    } else {
        // One voter decided alone. Its entries were never counted, but they were not more than its
        // offsets, and any count that grows will do.
        let index = u64::try_from(next_offset - 1).unwrap_or(0);
        let last = EntryId { term: 0, index };
        let meta = SnapshotMeta {
            last,
            next_offset,
            ..SnapshotMeta::default()
        };
        (meta, footer)
    };
    let records = decode_batches(&bytes.slice(..body))?;
    if records.len() as u64 != count {
        return Err((body, "records are missing".to_owned()));
    }
    Ok(Snapshot { meta, records })
}

fn read_footer(
    bytes: &Bytes,
    footer: usize,
    mut fields: Bytes,
) -> Result<(SnapshotMeta, usize), (usize, String)> {
    let id = |fields: &mut Bytes| EntryId {
        term: fields.get_u64(),
        index: fields.get_u64(),
    };
    let last = id(&mut fields);
    let next_offset = fields.get_i64();
    let spoken = fields.get_u8() != 0;
    let voters_at = Some(id(&mut fields)).filter(|_| spoken);
    let voters_len = fields.get_u32() as usize;
    let body = footer
        .checked_sub(voters_len)
        .ok_or((footer, "it is too short for its voters".to_owned()))?;
    let voters = bytes.slice(body..footer);
    Ok((
        SnapshotMeta {
            last,
            next_offset,
            voters_at,
            voters,
        },
        body,
    ))
}

fn encode_batches(records: &[Bytes], now: Timestamp) -> Result<BytesMut, BatchError> {
    let mut bytes = BytesMut::new();
    let mut builder = BatchBuilder::new(Codec::None).at(0, 0);
    for (next, record) in (0..).zip(records) {
        if builder.record_count() > 0
            && builder.size_bytes().saturating_add(record.len()) >= BATCH_BYTES
        {
            let empty = BatchBuilder::new(Codec::None).at(next, 0);
            bytes.put_slice(std::mem::replace(&mut builder, empty).finish()?.bytes());
        }
        builder.push(&NewRecord {
            timestamp: now,
            value: Some(record),
            ..NewRecord::default()
        })?;
    }
    if builder.record_count() > 0 {
        bytes.put_slice(builder.finish()?.bytes());
    }
    Ok(bytes)
}

fn decode_batches(bytes: &Bytes) -> Result<Vec<Bytes>, (usize, String)> {
    let (mut position, mut records) = (0, Vec::new());
    while position < bytes.len() {
        let failed = |error: BatchError| (position, error.to_string());
        let batch = Batch::parse(&bytes.slice(position..)).map_err(failed)?;
        batch.check_crc().map_err(failed)?;
        if batch.header().base_offset != records.len() as Offset {
            return Err((position, "records are missing".to_owned()));
        }
        for record in batch.records(batch.bytes().len()).map_err(failed)? {
            records.push(record.map_err(failed)?.value.unwrap_or_default());
        }
        position += batch.bytes().len();
    }
    Ok(records)
}
