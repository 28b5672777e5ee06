//! The 61 bytes in front of every batch.
//!
//! ```text
//!  0        8      12      16 17     21   23     27       35       43         51    53     57      61
//!  │ base   │length│leader │m │ crc  │attr│last  │base    │max     │producer │prod.│base  │record │
//!  │ offset │      │ epoch │2 │      │    │offset│timestmp│timestmp│id       │epoch│seq.  │count  │
//!  └─ replaced by the leader ┘       └────── summed, to the end of the batch ──────────────────── …
//! ```

use bytes::{Buf, BufMut};
use freshet_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};

use crate::crc::crc32c_with_new_head;
use crate::{Attributes, BatchError, TimestampType};

/// Size of a batch header.
pub const HEADER_BYTES: usize = 61;
/// The leader's part: base offset, length, leader epoch. None of it is under the checksum.
pub const PREFIX_BYTES: usize = 16;
/// Where the length field ends: a batch has so many bytes more than its length field says.
pub const LENGTH_END: usize = 12;
/// The checksum covers the batch from here on.
pub const CRC_FROM: usize = 21;
/// Where the records start.
pub const BODY_AT: usize = HEADER_BYTES;

const MAGIC: i8 = 2;

/// A parsed header. All fields as stored; -1 stands for "none" in epochs, ids and sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; what a producer puts here has no meaning.
    pub base_offset: Offset,
    /// Size of the whole batch in bytes, header included; at least [`HEADER_BYTES`].
    pub size_bytes: usize,
    /// Epoch of the leader that appended the batch.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of the bytes from [`CRC_FROM`] on.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// Offset of the last record minus base offset; kept by compaction when records go.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, or the delete horizon.
    pub base_timestamp: Timestamp,
    /// The largest timestamp of the records, or the append time.
    pub max_timestamp: Timestamp,
    /// Producer session.
    pub producer_id: ProducerId,
    /// Incarnation of the producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Number of records in the body.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`; the batch behind it need not be there.
    ///
    /// Checks the format byte, the length, and that delta and count are not negative. The checksum
    /// is [`crate::Batch::check_crc`]'s part.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(mut field) = bytes.get(..HEADER_BYTES) else {
            return Err(BatchError::Truncated {
                needed_bytes: HEADER_BYTES,
                present_bytes: bytes.len(),
            });
        };
        let base_offset = field.get_i64();
        let length = field.get_i32();
        let leader_epoch = field.get_i32();
        let magic = field.get_i8();
        if magic != MAGIC {
            return Err(BatchError::Magic { magic });
        }
        let header = Self {
            base_offset,
            size_bytes: size_from_length(length)?,
            leader_epoch,
            crc: field.get_u32(),
            attributes: Attributes(field.get_i16()),
            last_offset_delta: field.get_i32(),
            base_timestamp: Timestamp(field.get_i64()),
            max_timestamp: Timestamp(field.get_i64()),
            producer_id: field.get_i64(),
            producer_epoch: field.get_i16(),
            base_sequence: field.get_i32(),
            record_count: field.get_i32(),
        };
        if header.last_offset_delta < 0 || header.record_count < 0 {
            return Err(BatchError::Malformed {
                what: "offset delta or record count is negative",
            });
        }
        Ok(header)
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..PREFIX_BYTES].copy_from_slice(&prefix(
            self.base_offset,
            self.leader_epoch,
            self.size_bytes,
        ));
        let mut rest = &mut bytes[PREFIX_BYTES..];
        rest.put_i8(MAGIC);
        rest.put_u32(self.crc);
        self.put_summed(&mut rest);
        bytes
    }

    /// The summed part of the header: attributes to record count.
    fn put_summed(&self, out: &mut impl BufMut) {
        out.put_i16(self.attributes.0);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp.0);
        out.put_i64(self.max_timestamp.0);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.record_count);
    }

    /// Offset of the last record.
    #[inline]
    pub fn last_offset(&self) -> Offset {
        self.base_offset
            .saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset that follows this batch.
    #[inline]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().saturating_add(1)
    }

    /// Whether a producer id is set: the batch is part of an idempotent session.
    #[inline]
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence of the last record, -1 without one. Sequences wrap from `i32::MAX` to 0.
    #[inline]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        // At most i32::MAX after the remainder.
        (last % (i64::from(i32::MAX) + 1)) as i32
    }

    /// Checks what a producer must keep to, as far as the header shows it: records, all of them
    /// numbered, a known codec, no control batch, and a sequence where a producer id is.
    pub fn check_produced(&self) -> Result<(), BatchError> {
        if self.record_count < 1 {
            return Err(BatchError::Malformed {
                what: "it has no records",
            });
        }
        if self.last_offset_delta != self.record_count - 1 {
            return Err(BatchError::Malformed {
                what: "last offset delta and record count disagree",
            });
        }
        if self.attributes.is_control() {
            return Err(BatchError::Forbidden {
                what: "control records",
            });
        }
        if self.attributes.codec().is_none() {
            return Err(BatchError::UnknownCodec {
                codec: self.attributes.codec_id(),
            });
        }
        let session = self.has_producer();
        if session && (self.base_sequence < 0 || self.producer_epoch < 0) {
            return Err(BatchError::Malformed {
                what: "a producer id without epoch or sequence",
            });
        }
        if !session && self.attributes.is_transactional() {
            return Err(BatchError::Malformed {
                what: "transactional without a producer id",
            });
        }
        Ok(())
    }

    /// This header stamped with the moment of append: every record then has that timestamp.
    ///
    /// The body stays as it is and is not read; the checksum is moved on from the old one, so a
    /// damaged batch stays recognisable. Write [`BatchHeader::encode`] and the old body.
    #[must_use]
    pub fn with_log_append_time(&self, now: Timestamp) -> Self {
        let attributes = self
            .attributes
            .with_timestamp_type(TimestampType::LogAppendTime);
        let mut stamped = Self {
            attributes,
            max_timestamp: now,
            ..*self
        };
        stamped.crc = crc32c_with_new_head(
            self.crc,
            &self.summed(),
            &stamped.summed(),
            self.size_bytes - HEADER_BYTES,
        );
        stamped
    }

    /// The part of the header that is under the checksum.
    pub(crate) fn summed(&self) -> [u8; HEADER_BYTES - CRC_FROM] {
        let mut bytes = [0; HEADER_BYTES - CRC_FROM];
        self.put_summed(&mut bytes.as_mut_slice());
        bytes
    }
}

/// The 16 bytes with which a leader replaces the producer's: a stored batch is this followed by
/// the original from byte [`PREFIX_BYTES`] on. `size_bytes` is that of the whole batch.
#[inline]
pub fn prefix(
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    size_bytes: usize,
) -> [u8; PREFIX_BYTES] {
    debug_assert!(size_bytes >= HEADER_BYTES, "a batch has a header");
    let mut bytes = [0; PREFIX_BYTES];
    let mut out = bytes.as_mut_slice();
    out.put_i64(base_offset);
    // A size was an i32 before LENGTH_END was added, so this loses nothing.
    out.put_i32((size_bytes - LENGTH_END) as i32);
    out.put_i32(leader_epoch);
    bytes
}

fn size_from_length(length: i32) -> Result<usize, BatchError> {
    usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_add(LENGTH_END))
        .filter(|&size| size >= HEADER_BYTES)
        .ok_or(BatchError::Malformed {
            what: "its length is less than a header's",
        })
}
