//! Where a log was known good: the file `state` in its directory, and its row in a stop image.

use bytes::{Buf, BufMut};
use freshet_types::{Offset, TopicId};

use super::epochs::Epochs;
use freshet_records::envelope::{EnvelopeError, Kind, malformed, seal, unseal};

const KIND: Kind = Kind {
    magic: *b"FRST",
    version: 1,
};

/// A segment that will not grow any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    pub(crate) base: Offset,
    pub(crate) size_bytes: u64,
}

/// Everything below `durable_end` was on the disk when this was written. Recovery trusts it: it
/// scans from there on, and what is missing or damaged below is a fault, never a torn tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// Counts checkpoints of this log; of two, the higher one counts.
    pub(crate) generation: u64,
    /// Which life of the topic.
    pub(crate) topic_id: TopicId,
    /// First offset that may be read.
    pub(crate) log_start: Offset,
    /// Records below are durable.
    pub(crate) durable_end: Offset,
    /// The segment that was active, by its base offset.
    pub(crate) segment: Offset,
    /// Where `durable_end` lies in that segment, in bytes.
    pub(crate) position: u64,
    /// Whether producers were known, so that `<durable_end>.producers` belongs to this.
    pub(crate) has_producers: bool,
    /// Leader epochs up to `durable_end`.
    pub(crate) epochs: Epochs,
    /// The segments before `segment`, in order. A prefix may be gone by retention.
    pub(crate) sealed: Vec<SealedSegment>,
}

impl Checkpoint {
    /// Of a log that was never written to.
    pub(crate) fn fresh(topic_id: TopicId) -> Self {
        Self {
            generation: 0,
            topic_id,
            log_start: 0,
            durable_end: 0,
            segment: 0,
            position: 0,
            has_producers: false,
            epochs: Epochs::default(),
            sealed: Vec::new(),
        }
    }

    /// The state file.
    pub(crate) fn to_file(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + self.sealed.len() * 16);
        self.encode(&mut body);
        seal(KIND, &body)
    }

    /// Reads a state file.
    pub(crate) fn from_file(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut body = unseal(KIND, bytes)?;
        let checkpoint = Self::decode(&mut body)?;
        if body.is_empty() {
            Ok(checkpoint)
        } else {
            Err(malformed("bytes after the last segment"))
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.generation);
        out.put_slice(&self.topic_id.0);
        out.put_i64(self.log_start);
        out.put_i64(self.durable_end);
        out.put_i64(self.segment);
        out.put_u64(self.position);
        out.put_u8(u8::from(self.has_producers));
        self.epochs.encode(out);
        out.put_u32(u32::try_from(self.sealed.len()).expect("segments are counted in thousands"));
        for segment in &self.sealed {
            out.put_i64(segment.base);
            out.put_u64(segment.size_bytes);
        }
    }

    pub(super) fn decode(from: &mut &[u8]) -> Result<Self, EnvelopeError> {
        let generation = from.try_get_u64()?;
        let mut topic_id = TopicId::ZERO;
        from.try_copy_to_slice(&mut topic_id.0)?;
        let log_start = from.try_get_i64()?;
        let durable_end = from.try_get_i64()?;
        let segment = from.try_get_i64()?;
        let position = from.try_get_u64()?;
        let has_producers = from.try_get_u8()? != 0;
        let epochs = Epochs::decode(from)?;
        let count = from.try_get_u32()? as usize;
        if count > from.len() / 16 {
            return Err(malformed("more segments than bytes"));
        }
        let mut sealed: Vec<SealedSegment> = Vec::with_capacity(count);
        for _ in 0..count {
            sealed.push(SealedSegment {
                base: from.try_get_i64()?,
                size_bytes: from.try_get_u64()?,
            });
        }
        let bases: Vec<Offset> = sealed.iter().map(|s| s.base).chain([segment]).collect();
        let sorted = bases.is_sorted_by(|a, b| a < b) && bases[0] >= 0;
        if !sorted || log_start < 0 || durable_end < segment {
            return Err(malformed("offsets out of order"));
        }
        Ok(Self {
            generation,
            topic_id,
            log_start,
            durable_end,
            segment,
            position,
            has_producers,
            epochs,
            sealed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strange_bodies_never_panic(body: Vec<u8>) {
            let _ = Checkpoint::from_file(&seal(KIND, &body));
        }

        #[test]
        fn changed_bodies_never_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
            let file = Checkpoint { sealed: vec![SealedSegment { base: 1, size_bytes: 2 }], segment: 9, durable_end: 9, ..Checkpoint::fresh(TopicId::ZERO) }.to_file();
            let mut body = unseal(KIND, &file).unwrap().to_vec();
            let at = at.index(body.len());
            body[at] = byte;
            let _ = Checkpoint::from_file(&seal(KIND, &body));
            body.truncate(cut.index(body.len()));
            prop_assert!(Checkpoint::from_file(&seal(KIND, &body)).is_err());
        }
    }
}
