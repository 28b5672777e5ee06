//! One look at one partition: what a fetch gets from it now.

use std::sync::Arc;

use freshet_codec::Payload;
use freshet_log::ReadError as LogReadError;
use freshet_partition::{Ends, Isolation, Partition, ReadError, Seen, Slice};
use freshet_wire::ErrorCode;
use freshet_wire::fetch::EpochEndOffset;

use crate::kafka::errors::Coded;
use crate::kafka::sessions::{Position, Told};

/// What a partition gave.
pub(super) struct Outcome {
    pub(super) error: ErrorCode,
    pub(super) ends: Option<Ends>,
    pub(super) records: Payload,
    pub(super) diverging: Option<EpochEndOffset>,
    /// The partition, and the count of its moves before it was read.
    pub(super) seen: Option<(Arc<Partition>, Seen)>,
    /// All that the client may read it has, so there is nothing to do before the next move.
    pub(super) caught_up: bool,
}

impl Outcome {
    pub(super) fn failed(error: ErrorCode) -> Self {
        Self {
            error,
            ends: None,
            records: Payload::default(),
            diverging: None,
            seen: None,
            caught_up: false,
        }
    }

    /// Reasons to answer at once, besides enough data.
    pub(super) fn is_urgent(&self) -> bool {
        self.error != ErrorCode::None || self.diverging.is_some()
    }

    pub(super) fn told(&self) -> Told {
        match &self.ends {
            Some(ends) if self.error == ErrorCode::None => Told {
                high_watermark: ends.high_watermark,
                last_stable: ends.last_stable,
                log_start: ends.log_start,
                error: false,
            },
            _ => Told::NOTHING,
        }
    }
}

/// What the budget of a fetch leaves for one partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) bytes: usize,
    /// Nothing was found yet. The first batch of a response comes whole even if it is larger than
    /// all limits, or the client would never get on (KIP-74).
    pub(super) is_first: bool,
}

/// Reads from where the client is.
pub(super) async fn look(
    partition: Arc<Partition>,
    position: Position,
    isolation: Isolation,
    room: Room,
) -> Outcome {
    let seen = partition.seen(isolation);
    if let Err(error) = partition.check_epoch(position.current_leader_epoch) {
        return Outcome::failed(error.code());
    }
    if let Some(diverging) = diverging(&partition, &position) {
        return Outcome {
            ends: Some(partition.ends()),
            diverging: Some(diverging),
            ..Outcome::failed(ErrorCode::None)
        };
    }
    let max_bytes = usize::try_from(position.max_bytes).unwrap_or(0);
    let max_bytes = max_bytes.min(room.bytes);
    let read = partition.read(position.fetch_offset, max_bytes, isolation, room.is_first);
    match read.await {
        Ok(Slice { fetched, ends }) => Outcome {
            error: ErrorCode::None,
            ends: Some(ends),
            records: fetched.chunks.into_iter().collect(),
            diverging: None,
            caught_up: position.fetch_offset >= ends.of(isolation),
            seen: Some((partition, seen)),
        },
        Err(error) => {
            if !matches!(error, ReadError::Log(LogReadError::OutOfRange { .. })) {
                tracing::warn!(log = %partition.name(), %error, "cannot read");
            }
            Outcome::failed(error.code())
        }
    }
}

/// Where the client's history leaves ours (KIP-595); clients that do not say what they fetched
/// last are not checked.
fn diverging(partition: &Partition, position: &Position) -> Option<EpochEndOffset> {
    if position.last_fetched_epoch < 0 {
        return None;
    }
    let end = partition.end_of_epoch(position.last_fetched_epoch);
    let agrees =
        end.epoch == position.last_fetched_epoch && end.end_offset >= position.fetch_offset;
    (!agrees).then_some(EpochEndOffset {
        epoch: end.epoch,
        end_offset: end.end_offset,
    })
}
