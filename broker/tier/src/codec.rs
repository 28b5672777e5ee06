//! How manifests, records and footers become bytes: big-endian fields, counts that are checked
//! against what is left before anything is allocated.

use bytes::{Buf, BufMut};
use freshet_records::envelope::{EnvelopeError, malformed};
use freshet_types::{Offset, Timestamp, TopicId, TopicPartition};

use crate::segment::{EpochStart, Segment, SegmentId};

/// Reads a count of things of at least `each` bytes, and no more than can be left.
pub(crate) fn count(from: &mut &[u8], each: usize) -> Result<usize, EnvelopeError> {
    let count = from.try_get_u32()? as usize;
    if count > from.len() / each {
        return Err(malformed("more entries than bytes"));
    }
    Ok(count)
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).expect("limits keep lists far below 2^32"));
}

/// Reads `count` things one after the other.
pub(crate) fn list<T>(
    from: &mut &[u8],
    each: usize,
    mut read: impl FnMut(&mut &[u8]) -> Result<T, EnvelopeError>,
) -> Result<Vec<T>, EnvelopeError> {
    let count = count(from, each)?;
    let mut list = Vec::with_capacity(count.min(4096));
    for _ in 0..count {
        list.push(read(from)?);
    }
    Ok(list)
}

pub(crate) fn done(from: &[u8]) -> Result<(), EnvelopeError> {
    if from.is_empty() {
        Ok(())
    } else {
        Err(malformed("bytes behind the last field"))
    }
}

pub(crate) fn offset(from: &mut &[u8]) -> Result<Offset, EnvelopeError> {
    match from.try_get_i64()? {
        offset if offset >= 0 => Ok(offset),
        _ => Err(malformed("a negative offset")),
    }
}

/// No manifest counts as far as this: what is read can always be counted on from.
pub(crate) const MOST_VERSION: u64 = 1 << 62;

pub(crate) fn version(from: &mut &[u8]) -> Result<u64, EnvelopeError> {
    match from.try_get_u64()? {
        version if version <= MOST_VERSION => Ok(version),
        _ => Err(malformed("a version that nobody counts to")),
    }
}

pub(crate) fn flag(from: &mut &[u8]) -> Result<bool, EnvelopeError> {
    match from.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(malformed("a flag that is neither 0 nor 1")),
    }
}

fn id_bytes(from: &mut &[u8]) -> Result<[u8; 16], EnvelopeError> {
    let mut id = [0; 16];
    from.try_copy_to_slice(&mut id)?;
    Ok(id)
}

pub(crate) const ID_BYTES: usize = 16;

pub(crate) fn id(from: &mut &[u8]) -> Result<SegmentId, EnvelopeError> {
    id_bytes(from).map(SegmentId)
}

pub(crate) fn partition(from: &mut &[u8]) -> Result<TopicPartition, EnvelopeError> {
    let topic = TopicId(id_bytes(from)?);
    let partition = from.try_get_i32()?;
    if partition < 0 {
        return Err(malformed("a negative partition"));
    }
    Ok(TopicPartition { topic, partition })
}

pub(crate) fn put_partition(out: &mut Vec<u8>, partition: TopicPartition) {
    out.put_slice(&partition.topic.0);
    out.put_i32(partition.partition);
}

const EPOCH_BYTES: usize = 12;

/// Epochs as somebody claims them: whoever decides has to judge them.
pub(crate) fn any_epochs(from: &mut &[u8]) -> Result<Vec<EpochStart>, EnvelopeError> {
    list(from, EPOCH_BYTES, |from| {
        Ok(EpochStart {
            epoch: from.try_get_i32()?,
            offset: offset(from)?,
        })
    })
}

pub(crate) fn epochs(from: &mut &[u8]) -> Result<Vec<EpochStart>, EnvelopeError> {
    let epochs = any_epochs(from)?;
    if !crate::segment::ascend(&epochs) {
        return Err(malformed("epochs that do not ascend"));
    }
    Ok(epochs)
}

pub(crate) fn put_epochs(out: &mut Vec<u8>, epochs: &[EpochStart]) {
    put_count(out, epochs.len());
    for start in epochs {
        out.put_i32(start.epoch);
        out.put_i64(start.offset);
    }
}

/// A segment with one epoch; there is no smaller one.
pub(crate) const SEGMENT_BYTES: usize = ID_BYTES + 3 * 8 + 4 + 8 + 8 + 4 + EPOCH_BYTES;

pub(crate) fn segment(from: &mut &[u8]) -> Result<Segment, EnvelopeError> {
    let segment = Segment {
        id: id(from)?,
        object_start: offset(from)?,
        start: offset(from)?,
        end: offset(from)?,
        generation: from.try_get_u32()?,
        size_bytes: from.try_get_u64()?,
        max_timestamp: Timestamp(from.try_get_i64()?),
        epochs: epochs(from)?,
    };
    let ordered = segment.object_start <= segment.start && segment.start < segment.end;
    let begins = segment.epochs[0].offset <= segment.start;
    let within = segment
        .epochs
        .last()
        .is_some_and(|last| last.offset < segment.end);
    if !(ordered && begins && within) {
        return Err(malformed("a segment whose ranges contradict"));
    }
    Ok(segment)
}

pub(crate) fn put_segment(out: &mut Vec<u8>, segment: &Segment) {
    out.put_slice(&segment.id.0);
    out.put_i64(segment.object_start);
    out.put_i64(segment.start);
    out.put_i64(segment.end);
    out.put_u32(segment.generation);
    out.put_u64(segment.size_bytes);
    out.put_i64(segment.max_timestamp.0);
    put_epochs(out, &segment.epochs);
}
