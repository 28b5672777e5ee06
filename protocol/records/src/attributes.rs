//! The 16 attribute bits of a batch.

use crate::Codec;

/// What the timestamps of a batch mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// Set by the producer, one per record.
    #[default]
    CreateTime,
    /// Set by the broker: the batch's maximum timestamp holds for all its records.
    LogAppendTime,
}

/// Bits 0–2 codec, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon; the rest unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    const CODEC: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// The codec of the body; `None` for the numbers 5 to 7, which nobody has defined.
    #[inline]
    pub fn codec(self) -> Option<Codec> {
        Codec::from_id((self.0 & Self::CODEC) as i8)
    }

    /// The codec's number, known or not.
    pub fn codec_id(self) -> i8 {
        (self.0 & Self::CODEC) as i8
    }

    /// What the timestamps mean.
    #[inline]
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Self::LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch belongs to a transaction; its end markers do as well.
    #[inline]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are control records, which no consumer is shown.
    #[inline]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether the base timestamp is the moment from which tombstones and markers may go.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_codec(self, codec: Codec) -> Self {
        Self(self.0 & !Self::CODEC | i16::from(codec.id()))
    }

    /// These attributes with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        let on = timestamp_type == TimestampType::LogAppendTime;
        self.with(Self::LOG_APPEND_TIME, on)
    }

    /// These attributes with the transactional bit set or cleared.
    #[must_use]
    pub fn with_transactional(self, on: bool) -> Self {
        self.with(Self::TRANSACTIONAL, on)
    }

    /// These attributes with the control bit set or cleared.
    #[must_use]
    pub fn with_control(self, on: bool) -> Self {
        self.with(Self::CONTROL, on)
    }

    fn with(self, bit: i16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}
