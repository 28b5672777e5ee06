//! What can be wrong with a batch, in terms that let a server choose its answer.

use freshet_types::ErrorKind;

/// One record that breaks a rule of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordFault {
    /// Position in the batch, from 0.
    pub index: i32,
    /// The rule it breaks.
    pub what: &'static str,
}

/// Why a batch is refused. The Kafka code that belongs to it is named at each variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The buffer ends inside the batch. CORRUPT_MESSAGE in a produce request; the ordinary end of
    /// a fetch response and of a torn log.
    #[error("batch of {needed_bytes} bytes, but only {present_bytes} are there")]
    Truncated {
        /// Bytes that the batch has, or a header has when not even that is there.
        needed_bytes: usize,
        /// Bytes in the buffer.
        present_bytes: usize,
    },
    /// The format is older or newer than v2. UNSUPPORTED_FOR_MESSAGE_FORMAT or INVALID_RECORD.
    #[error("message format {magic} is not supported, only 2 is")]
    Magic {
        /// The format byte.
        magic: i8,
    },
    /// The bytes are not those that were summed. CORRUPT_MESSAGE.
    #[error("checksum is {stored:#010x}, the bytes give {computed:#010x}")]
    Crc {
        /// From the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A field of the header, or the header and its records, contradict the format.
    /// CORRUPT_MESSAGE or INVALID_RECORD.
    #[error("malformed batch: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// A record contradicts the format. INVALID_RECORD.
    #[error("malformed record {index}: {what}")]
    MalformedRecord {
        /// Position in the batch, from 0.
        index: i32,
        /// What is wrong.
        what: &'static str,
    },
    /// Only a broker may write such a batch. INVALID_RECORD.
    #[error("not allowed from a producer: {what}")]
    Forbidden {
        /// What it carries.
        what: &'static str,
    },
    /// The codec number is unknown. UNSUPPORTED_COMPRESSION_TYPE.
    #[error("compression codec {codec} is unknown")]
    UnknownCodec {
        /// 5 to 7.
        codec: i8,
    },
    /// The body cannot be decompressed. CORRUPT_MESSAGE.
    #[error("the {codec} body cannot be read: {what}")]
    Compression {
        /// Name of the codec.
        codec: &'static str,
        /// What its decoder said.
        what: String,
    },
    /// The body grows beyond the cap. MESSAGE_TOO_LARGE.
    #[error("records have more than {cap_bytes} bytes when decompressed")]
    InflatesTooFar {
        /// The cap given by the caller.
        cap_bytes: usize,
    },
    /// A batch being built does not fit its length field. MESSAGE_TOO_LARGE.
    #[error("a batch cannot hold {size_bytes} bytes")]
    TooLarge {
        /// Size it would have.
        size_bytes: usize,
    },
    /// Records break a rule of their topic. INVALID_RECORD, with the faults as record errors.
    #[error("{} records are not acceptable, the first is {}: {}", .faults.len(),
        .faults.first().map_or(-1, |f| f.index), .faults.first().map_or("", |f| f.what))]
    Records {
        /// At least one, in order; at most [`BatchError::MAX_FAULTS`].
        faults: Vec<RecordFault>,
    },
    /// Timestamps are outside of the topic's window. INVALID_TIMESTAMP, with record errors.
    #[error("{} timestamps are outside of the allowed window", .faults.len())]
    Timestamps {
        /// At least one, in order; at most [`BatchError::MAX_FAULTS`].
        faults: Vec<RecordFault>,
    },
}

impl BatchError {
    /// How many faults are listed; a batch of bad records costs no more memory than that.
    pub const MAX_FAULTS: usize = 100;

    /// Who has to do what.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Truncated { .. } | Self::Crc { .. } | Self::Compression { .. } => {
                ErrorKind::Corrupt
            }
            Self::Magic { .. }
            | Self::Malformed { .. }
            | Self::MalformedRecord { .. }
            | Self::Forbidden { .. }
            | Self::UnknownCodec { .. }
            | Self::InflatesTooFar { .. }
            | Self::TooLarge { .. }
            | Self::Records { .. }
            | Self::Timestamps { .. } => ErrorKind::Invalid,
        }
    }
}
