//! The rules a batch must pass, and the changes a topic's settings force on it.
//!
//! Normally only the 61-byte header and the checksum are looked at; records are decompressed when
//! the topic is compacted (keys), limits timestamps in the past, or wants another codec.

use bytes::Bytes;
use freshet_records::{
    self as records, Batch, BatchError, BatchHeader, Compression, TimestampType,
};
use freshet_types::{LeaderEpoch, Timestamp};

use crate::{AppendError, LogConfig, Origin, RecordFault};

/// What one batch may become when decompressed, as a multiple of `max.message.bytes`, but at
/// least [`INFLATED_MIN_BYTES`]: honest data compresses by less.
const INFLATED_RATIO: usize = 64;
const INFLATED_MIN_BYTES: usize = 64 << 20;

/// One batch that may be stored.
#[derive(Debug, Clone)]
pub(crate) struct PreparedBatch {
    pub(crate) header: BatchHeader,
    pub(crate) bytes: Bytes,
    /// The header differs from the one in `bytes`: it was stamped with the append time.
    pub(crate) stamped: bool,
}

/// All batches of one append.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) batches: Vec<PreparedBatch>,
    /// Bytes of the buffer that they keep alive.
    pub(crate) frame_bytes: usize,
    pub(crate) bytes: usize,
    /// What the answer says; [`Timestamp::NONE`] with CreateTime.
    pub(crate) log_append_time: Timestamp,
    pub(crate) origin: Origin,
    /// Stored in each batch, unless the origin is a replica.
    pub(crate) leader_epoch: LeaderEpoch,
    /// When it was checked.
    pub(crate) now: Timestamp,
}

/// What decides how a batch is judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) config: &'a LogConfig,
    pub(crate) origin: Origin,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) now: Timestamp,
}

/// Checks all batches in `bytes`. Sequences and offsets are judged later, by the log's owner.
pub(crate) fn prepare(
    bytes: Bytes,
    frame_bytes: usize,
    rules: &Rules<'_>,
) -> Result<Prepared, AppendError> {
    let mut prepared = Prepared {
        batches: Vec::with_capacity(1),
        frame_bytes,
        bytes: 0,
        log_append_time: Timestamp::NONE,
        origin: rules.origin,
        leader_epoch: rules.leader_epoch,
        now: rules.now,
    };
    let mut rest = bytes;
    while !rest.is_empty() {
        let batch = Batch::parse(&rest).map_err(damaged)?;
        rest = rest.slice(batch.header().size_bytes..);
        batch.check_crc().map_err(damaged)?;
        let (batch, own_frame) = match rules.origin {
            Origin::Client => check_client(batch, rules)?,
            Origin::Coordinator | Origin::Replica => (check_counts(batch)?, None),
        };
        if let Some(own) = own_frame {
            prepared.frame_bytes = own;
        }
        prepared.push(batch, rules);
    }
    match (prepared.batches.len(), rules.origin) {
        (0, _) => Err(invalid("it holds no batch")),
        (2.., Origin::Client) => Err(invalid("a producer sends one batch per partition")),
        _ => Ok(prepared),
    }
}

impl Prepared {
    fn push(&mut self, batch: Batch, rules: &Rules<'_>) {
        let stamp = rules.origin == Origin::Client
            && rules.config.timestamp_type == TimestampType::LogAppendTime;
        let header = if stamp {
            self.log_append_time = rules.now;
            batch.header().with_log_append_time(rules.now)
        } else {
            *batch.header()
        };
        self.bytes += header.size_bytes;
        self.batches.push(PreparedBatch {
            header,
            bytes: batch.bytes().clone(),
            stamped: stamp,
        });
    }
}

/// Kafka's rules for producers. The second value is the size of a new buffer, if one was made.
fn check_client(batch: Batch, rules: &Rules<'_>) -> Result<(Batch, Option<usize>), AppendError> {
    let config = rules.config;
    let header = *batch.header();
    header.check_produced().map_err(refused)?;
    if header.attributes.timestamp_type() == TimestampType::LogAppendTime {
        return Err(invalid("only the broker sets append times"));
    }
    check_size(&header, config)?;
    let window = window(rules);
    check_window(&header, &window, Vec::new())?;
    let cap_bytes = inflated_cap(config);
    let past_limited = config.timestamp_before_max_ms != u64::MAX
        && config.timestamp_type == TimestampType::CreateTime;
    let codec = config.recompress.filter(|wanted| differs(&header, wanted));
    if config.cleanup.compact || past_limited || codec.is_some() {
        let rules = records::Rules {
            keys_required: config.cleanup.compact,
            timestamps: window.clone(),
            cap_bytes,
        };
        records::inspect(&batch, &rules).map_err(|error| faults(error, &header, &window))?;
    }
    let Some(codec) = codec else {
        return Ok((batch, None));
    };
    let batch = records::recompress(&batch, codec, cap_bytes).map_err(refused)?;
    check_size(batch.header(), config)?;
    let size = batch.header().size_bytes;
    Ok((batch, Some(size)))
}

fn check_counts(batch: Batch) -> Result<Batch, AppendError> {
    // Compaction leaves batches with fewer records than offsets, even none.
    let header = batch.header();
    let span = header.last_offset_delta.saturating_add(1);
    if header.record_count > span {
        return Err(invalid("more records than offsets"));
    }
    Ok(batch)
}

/// The same codec is left as it is, whatever its level.
fn differs(header: &BatchHeader, wanted: &Compression) -> bool {
    header.attributes.codec() != Some(wanted.codec)
}

fn check_size(header: &BatchHeader, config: &LogConfig) -> Result<(), AppendError> {
    let bytes = header.size_bytes as u64;
    let max = config.max_message_bytes;
    if bytes > u64::from(max) {
        return Err(AppendError::TooLarge { bytes, max });
    }
    Ok(())
}

fn inflated_cap(config: &LogConfig) -> usize {
    let max = usize::try_from(config.max_message_bytes).unwrap_or(usize::MAX);
    max.saturating_mul(INFLATED_RATIO).max(INFLATED_MIN_BYTES)
}

/// Create times that are accepted; `None` where the broker sets the time itself.
fn window(rules: &Rules<'_>) -> Option<std::ops::RangeInclusive<i64>> {
    let config = rules.config;
    if config.timestamp_type == TimestampType::LogAppendTime {
        return None;
    }
    let ms = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    let earliest = match config.timestamp_before_max_ms {
        u64::MAX => i64::MIN,
        limit => rules.now.0.saturating_sub(ms(limit)),
    };
    let latest = rules
        .now
        .0
        .saturating_add(ms(config.timestamp_after_max_ms));
    Some(earliest..=latest)
}

/// Judges what the header shows: its largest timestamp. One without any (-1) is never too old.
fn check_window(
    header: &BatchHeader,
    window: &Option<std::ops::RangeInclusive<i64>>,
    faults: Vec<RecordFault>,
) -> Result<(), AppendError> {
    let Some(window) = window else {
        return Ok(());
    };
    let timestamp = header.max_timestamp.0;
    if faults.is_empty() && window.contains(&timestamp) {
        return Ok(());
    }
    Err(AppendError::InvalidTimestamp {
        timestamp,
        earliest: *window.start(),
        latest: *window.end(),
        faults,
    })
}

fn damaged(error: BatchError) -> AppendError {
    match error {
        // Before the checksum, a field that cannot be may be damage as well.
        BatchError::Truncated { .. } | BatchError::Crc { .. } | BatchError::Malformed { .. } => {
            AppendError::Damaged {
                what: error.to_string().into(),
            }
        }
        other => refused(other),
    }
}

fn refused(error: BatchError) -> AppendError {
    match error {
        BatchError::Truncated { .. } | BatchError::Crc { .. } | BatchError::Compression { .. } => {
            AppendError::Damaged {
                what: error.to_string().into(),
            }
        }
        // The client sends what it will always send: not to be tried again.
        BatchError::Malformed { what } => invalid(what),
        BatchError::Magic { .. } => invalid("only message format 2 is supported"),
        BatchError::UnknownCodec { codec } => AppendError::UnsupportedCompression {
            codec: u8::try_from(codec).unwrap_or(u8::MAX),
        },
        BatchError::Forbidden { what } => invalid(what),
        BatchError::MalformedRecord { index, what } => AppendError::InvalidRecord {
            reason: what,
            faults: vec![RecordFault {
                index,
                reason: what,
            }],
        },
        BatchError::InflatesTooFar { cap_bytes: size }
        | BatchError::TooLarge { size_bytes: size } => AppendError::TooLarge {
            bytes: size as u64,
            max: u32::try_from(size).unwrap_or(u32::MAX),
        },
        BatchError::Records { faults } | BatchError::Timestamps { faults } => {
            AppendError::InvalidRecord {
                reason: "records break a rule of the topic",
                faults: of_records(&faults),
            }
        }
    }
}

fn faults(
    error: BatchError,
    header: &BatchHeader,
    window: &Option<std::ops::RangeInclusive<i64>>,
) -> AppendError {
    match error {
        BatchError::Timestamps { faults } => {
            let faults = of_records(&faults);
            check_window(header, window, faults)
                .err()
                .unwrap_or_else(|| invalid("timestamps without a window"))
        }
        other => refused(other),
    }
}

fn of_records(faults: &[records::RecordFault]) -> Vec<RecordFault> {
    let fault = |fault: &records::RecordFault| RecordFault {
        index: fault.index,
        reason: fault.what,
    };
    faults.iter().map(fault).collect()
}

fn invalid(reason: &'static str) -> AppendError {
    AppendError::InvalidRecord {
        reason,
        faults: Vec::new(),
    }
}
