//! The end of a segment object: whose it is, what it holds, and where (FRTO, docs/formats/tier.md).
//!
//! An object describes itself, so that a scrub needs no manifest to judge it, and a restore can go on
//! behind the last manifest that was exported.

use std::ops::Range;

use bytes::{Buf, BufMut};
use freshet_types::{LeaderEpoch, Offset, Timestamp, TopicPartition};

use freshet_records::envelope::{ENVELOPE_BYTES, EnvelopeError, Kind, malformed, seal, unseal};

use crate::codec;
use crate::segment::{EpochStart, SegmentId};

const KIND: Kind = Kind {
    magic: *b"FRTO",
    version: 1,
};
/// Behind the envelope: its length, so that it is found from the end.
const TRAILER_BYTES: usize = 4;
/// More sections than any version writes.
const MAX_SECTIONS: usize = 16;
const SECTION_BYTES: usize = 2 + 8 + 8 + 4;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// Record batches as they lie in the log.
    Batches,
    /// A sparse index of them by offset and time (the log's FRIX).
    Index,
    /// The producers as of the first offset (FRPR), for a log that begins here.
    ProducersBefore,
    /// The producers as of the end (FRPR), for a replica that begins behind it.
    ProducersAfter,
    /// Aborted transactions that reach into it.
    Aborted,
    /// CRC-32C of each MiB of the batches: what readers judge a range by.
    Sums,
}

impl SectionKind {
    const ALL: [Self; 6] = [
        Self::Batches,
        Self::Index,
        Self::ProducersBefore,
        Self::ProducersAfter,
        Self::Aborted,
        Self::Sums,
    ];

    fn code(self) -> u16 {
        match self {
            Self::Batches => 0,
            Self::Index => 1,
            Self::ProducersBefore => 2,
            Self::ProducersAfter => 3,
            Self::Aborted => 4,
            Self::Sums => 5,
        }
    }
}

/// Where a section lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it holds.
    pub kind: SectionKind,
    /// Its bytes within the object.
    pub range: Range<u64>,
    /// CRC-32C of them.
    pub crc: u32,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Whose records.
    pub partition: TopicPartition,
    /// Which attempt wrote it.
    pub id: SegmentId,
    /// Epoch of the leader that did.
    pub leader_epoch: LeaderEpoch,
    /// 0 as the leader wrote the records; else how often they were rewritten.
    pub generation: u32,
    /// First offset.
    pub start: Offset,
    /// The offset after the last one.
    pub end: Offset,
    /// The largest timestamp.
    pub max_timestamp: Timestamp,
    /// The leader epochs, ascending.
    pub epochs: Vec<EpochStart>,
    /// One behind the other from the object's first byte on.
    pub sections: Vec<Section>,
}

impl Footer {
    /// Bytes that suffice for almost every footer: what to read first of an object's end.
    pub const GUESS_BYTES: u64 = 4096;

    /// The bytes behind the last section.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(256);
        codec::put_partition(&mut body, self.partition);
        body.put_slice(&self.id.0);
        body.put_i32(self.leader_epoch);
        body.put_u32(self.generation);
        body.put_i64(self.start);
        body.put_i64(self.end);
        body.put_i64(self.max_timestamp.0);
        codec::put_epochs(&mut body, &self.epochs);
        codec::put_count(&mut body, self.sections.len());
        for section in &self.sections {
            body.put_u16(section.kind.code());
            body.put_u64(section.range.start);
            body.put_u64(section.range.end);
            body.put_u32(section.crc);
        }
        let mut bytes = seal(KIND, &body);
        let length = u32::try_from(bytes.len()).expect("limits keep footers small");
        bytes.put_u32(length);
        bytes
    }

    /// How many bytes at the end of an object are its footer, by its last 4; `None` if that cannot be.
    pub fn length(tail: &[u8], object_bytes: u64) -> Option<u64> {
        let trailer = tail.last_chunk::<TRAILER_BYTES>()?;
        let length = u64::from(u32::from_be_bytes(*trailer));
        let whole = length + TRAILER_BYTES as u64;
        (length >= ENVELOPE_BYTES as u64 && whole <= object_bytes).then_some(whole)
    }

    /// Reads the footer at the end of `tail`, the last bytes of an object of `object_bytes`.
    ///
    /// # Errors
    /// `tail` is too short ([`Footer::length`] says how long it must be), or it is damaged, or a later
    /// broker wrote it, or its sections do not fill the object.
    pub fn from_tail(tail: &[u8], object_bytes: u64) -> Result<Self, EnvelopeError> {
        let found = tail.len() as u64;
        let declared =
            Self::length(tail, object_bytes).ok_or(malformed("no footer at the object's end"))?;
        if declared > found {
            return Err(EnvelopeError::Length { declared, found });
        }
        let skip = usize::try_from(found - declared).map_err(|_| malformed("too long"))?;
        let footer = Self::read(unseal(KIND, &tail[skip..tail.len() - TRAILER_BYTES])?)?;
        let mut end = 0;
        for section in &footer.sections {
            if section.range.start != end || section.range.end < end {
                return Err(malformed("sections that do not follow one another"));
            }
            end = section.range.end;
        }
        if end.checked_add(declared) != Some(object_bytes) {
            return Err(malformed("sections that do not fill the object"));
        }
        Ok(footer)
    }

    fn read(mut body: &[u8]) -> Result<Self, EnvelopeError> {
        let from = &mut body;
        let footer = Self {
            partition: codec::partition(from)?,
            id: codec::id(from)?,
            leader_epoch: from.try_get_i32()?,
            generation: from.try_get_u32()?,
            start: codec::offset(from)?,
            end: codec::offset(from)?,
            max_timestamp: Timestamp(from.try_get_i64()?),
            epochs: codec::epochs(from)?,
            sections: codec::list(from, SECTION_BYTES, section)?,
        };
        codec::done(from)?;
        if footer.start >= footer.end || footer.sections.len() > MAX_SECTIONS {
            return Err(malformed("a footer that contradicts itself"));
        }
        Ok(footer)
    }

    /// A section by its kind.
    pub fn section(&self, kind: SectionKind) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind)
    }
}

fn section(from: &mut &[u8]) -> Result<Section, EnvelopeError> {
    let code = from.try_get_u16()?;
    let kind = SectionKind::ALL.into_iter().find(|k| k.code() == code);
    Ok(Section {
        kind: kind.ok_or(malformed("a section of an unknown kind"))?,
        range: from.try_get_u64()?..from.try_get_u64()?,
        crc: from.try_get_u32()?,
    })
}
