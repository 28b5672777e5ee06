//! Why a log says no. One enum per operation; each answers `kind()`.

use std::path::PathBuf;
use std::sync::Arc;

use freshet_types::{ErrorKind, LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId};
use thiserror::Error;

use crate::LogName;

/// A queue is full; nothing was queued and the callback stays silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the {queue} queue is full")]
pub struct Busy {
    /// Which queue: `append` or `read`.
    pub queue: &'static str,
}

impl Busy {
    /// Always [`ErrorKind::Busy`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Busy
    }
}

/// Why a log cannot serve, or refuses a change other than an append.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogError {
    /// A write failed in this directory for another reason than want of room, or an fsync did; it stays offline until the process restarts.
    #[error("log directory {} is offline: {reason}", dir.display())]
    Offline {
        /// The directory.
        dir: PathBuf,
        /// The first failure.
        reason: Arc<str>,
    },
    /// The disk has no room for it: nothing of it was kept, and it may be tried again.
    #[error("no room is left on the disk of log directory {}", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// Bytes that were durable are not what was written. Nothing was cut. A log that is opened stays closed.
    #[error("log {log} is damaged: {what}")]
    Corrupt {
        /// The log.
        log: LogName,
        /// What was found, where.
        what: Arc<str>,
    },
    /// The log was closed or deleted.
    #[error("log {log} is closed")]
    Closed {
        /// The log.
        log: LogName,
    },
    /// An offset outside of the log was given.
    #[error("offset {offset} is outside of {start}..={end}")]
    OutOfRange {
        /// What was given.
        offset: Offset,
        /// Log start.
        start: Offset,
        /// Log end.
        end: Offset,
    },
    /// An older leader epoch than the log's latest was given.
    #[error("leader epoch {given} is older than {latest}")]
    Fenced {
        /// What was given.
        given: LeaderEpoch,
        /// The log's latest.
        latest: LeaderEpoch,
    },
}

impl LogError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Offline { .. } | Self::Closed { .. } => ErrorKind::Unavailable,
            Self::DiskFull { .. } => ErrorKind::Busy,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::OutOfRange { .. } => ErrorKind::Invalid,
            Self::Fenced { .. } => ErrorKind::Fenced,
        }
    }
}

/// One record that made its batch unacceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFault {
    /// Position in the batch, from 0.
    pub index: i32,
    /// The rule it breaks.
    pub reason: &'static str,
}

/// Why an append was refused. Nothing of it was written, unless it is `Log(Offline)`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    /// Length, magic, CRC or counts are wrong.
    #[error("the batch is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: Arc<str>,
    },
    /// The batch is larger than `max.message.bytes`.
    #[error("a batch of {bytes} bytes exceeds max.message.bytes={max}")]
    TooLarge {
        /// Size as it would be stored.
        bytes: u64,
        /// The topic's limit.
        max: u32,
    },
    /// Records break a rule of the topic; empty `faults` means the batch as a whole.
    #[error("invalid record: {reason}")]
    InvalidRecord {
        /// The rule.
        reason: &'static str,
        /// The records that break it.
        faults: Vec<RecordFault>,
    },
    /// Timestamps outside of `message.timestamp.{before,after}.max.ms`.
    #[error("timestamp {timestamp} is outside of {earliest}..={latest}")]
    InvalidTimestamp {
        /// The batch's offending timestamp, ms.
        timestamp: i64,
        /// Earliest accepted, ms.
        earliest: i64,
        /// Latest accepted, ms.
        latest: i64,
        /// The records that break it, when they were looked at.
        faults: Vec<RecordFault>,
    },
    /// A codec that does not exist.
    #[error("compression codec {codec} is not supported")]
    UnsupportedCompression {
        /// The attribute's low three bits.
        codec: u8,
    },
    /// A gap, or a batch that is neither stored here for certain nor the next.
    #[error("producer {producer} sent sequence {sequence} after {last}")]
    OutOfOrderSequence {
        /// Producer id.
        producer: ProducerId,
        /// First sequence of the batch.
        sequence: i32,
        /// Last sequence stored; -1 for none.
        last: i32,
    },
    /// A newer incarnation of the producer has written here.
    #[error("producer {producer} has epoch {latest}, the batch {epoch}")]
    InvalidProducerEpoch {
        /// Producer id.
        producer: ProducerId,
        /// Epoch of the batch.
        epoch: ProducerEpoch,
        /// Epoch stored.
        latest: ProducerEpoch,
    },
    /// A batch outside of a transaction from a producer whose transaction is open, or the reverse.
    #[error("producer {producer} mixes transactional and other batches")]
    InvalidTransactionState {
        /// Producer id.
        producer: ProducerId,
    },
    /// A replica's batch that does not follow the end of this log.
    #[error("a batch at offset {base} does not follow the end {end}")]
    NotNext {
        /// Base offset of the batch.
        base: Offset,
        /// Log end.
        end: Offset,
    },
    /// The disk is nearly full; reads, deletes and trims go on.
    #[error("only {available_bytes} bytes are left on the disk, less than the reserve")]
    DiskFull {
        /// Room left.
        available_bytes: u64,
    },
    /// The append thread's queue is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The log itself cannot take it.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl AppendError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::TooLarge { .. }
            | Self::InvalidRecord { .. }
            | Self::InvalidTimestamp { .. }
            | Self::UnsupportedCompression { .. }
            | Self::InvalidTransactionState { .. } => ErrorKind::Invalid,
            Self::OutOfOrderSequence { .. } | Self::NotNext { .. } => ErrorKind::Conflict,
            Self::InvalidProducerEpoch { .. } => ErrorKind::Fenced,
            Self::DiskFull { .. } => ErrorKind::Busy,
            Self::Busy(error) => error.kind(),
            Self::Log(error) => error.kind(),
        }
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Below the log start or above the log end.
    #[error("offset {offset} is outside of {start}..={end}")]
    OutOfRange {
        /// What was asked.
        offset: Offset,
        /// Log start.
        start: Offset,
        /// Log end.
        end: Offset,
    },
    /// Stored bytes do not match their CRC; other offsets may still be readable.
    #[error("stored batch at offset {offset} is damaged: {what}")]
    Corrupt {
        /// First offset that cannot be read.
        offset: Offset,
        /// What is wrong.
        what: Arc<str>,
    },
    /// The device does not give back what was written, or the file ends early; other offsets may
    /// still be readable.
    #[error("stored records cannot be read: {reason}")]
    Unreadable {
        /// The operating system's words.
        reason: Arc<str>,
    },
    /// The operating system refused to read at this time.
    #[error("reading failed: {reason}")]
    Io {
        /// The operating system's words.
        reason: Arc<str>,
    },
    /// The log cannot serve at all.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl ReadError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfRange { .. } => ErrorKind::NotFound,
            Self::Corrupt { .. } | Self::Unreadable { .. } => ErrorKind::Corrupt,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Log(error) => error.kind(),
        }
    }
}

/// Why a directory or a log could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Another process uses the directory.
    #[error("log directory {} is locked by another process", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory holds another life of the topic.
    #[error("log {log} belongs to topic id {found}, not {wanted}")]
    OtherTopic {
        /// The log.
        log: LogName,
        /// The id stored.
        found: TopicId,
        /// The id asked for.
        wanted: TopicId,
    },
    /// The log is open already.
    #[error("log {log} is open already")]
    AlreadyOpen {
        /// The log.
        log: LogName,
    },
    /// Written by a newer version, or by something else.
    #[error("{}: {what}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: Arc<str>,
    },
    /// The operating system refused.
    #[error("{doing} {}: {reason}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's words.
        reason: Arc<str>,
    },
    /// The log is damaged or its directory offline.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl OpenError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Locked { .. } | Self::OtherTopic { .. } | Self::AlreadyOpen { .. } => {
                ErrorKind::Conflict
            }
            Self::Format { .. } => ErrorKind::Corrupt,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Log(error) => error.kind(),
        }
    }
}
