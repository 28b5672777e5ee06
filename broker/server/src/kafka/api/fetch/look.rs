//! One look at one partition: what a fetch gets from it now.

use std::sync::Arc;
use std::time::Duration;

use freshet_codec::Payload;
use freshet_log::ReadError as LogReadError;
use freshet_partition::{
    ColdRead, Ends, Isolation, Partition, ReadError, ReplicaFetch, Seen, Slice, Traffic,
};
use freshet_types::{NodeId, Offset};
use freshet_wire::ErrorCode;
use freshet_wire::fetch::EpochEndOffset;
use tokio::time::timeout;

use super::Reader;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;
use crate::kafka::sessions::{Position, Told};

/// What a partition gave.
pub(super) struct Outcome {
    pub(super) error: ErrorCode,
    pub(super) ends: Option<Ends>,
    pub(super) records: Payload,
    pub(super) diverging: Option<EpochEndOffset>,
    /// A replica that is nearer to the client: it should read there.
    pub(super) nearer: Option<NodeId>,
    /// The partition, and the count of its moves before it was read.
    pub(super) seen: Option<(Arc<Partition>, Seen)>,
    /// All that the client may read it has, so there is nothing to do before the next move.
    pub(super) caught_up: bool,
    /// Counts the records once they are sent; none without any.
    pub(super) traffic: Option<Arc<Traffic>>,
}

impl Outcome {
    pub(super) fn failed(error: ErrorCode) -> Self {
        Self {
            error,
            ends: None,
            records: Payload::default(),
            diverging: None,
            nearer: None,
            seen: None,
            caught_up: false,
            traffic: None,
        }
    }

    /// An answer to a replica that tells it where our log starts and ends, so that it finds its
    /// place without another question: the end is that of our latest epoch.
    fn out_of_range(partition: &Partition) -> Self {
        let ends = told(partition.ends(), Isolation::LogEnd);
        Self {
            ends: Some(ends),
            diverging: Some(EpochEndOffset {
                epoch: partition.leader_epoch(),
                end_offset: ends.log_end,
            }),
            ..Self::failed(ErrorCode::OffsetOutOfRange)
        }
    }

    /// Reasons to answer at once, besides enough data.
    pub(super) fn is_urgent(&self) -> bool {
        self.error != ErrorCode::None || self.diverging.is_some() || self.nearer.is_some()
    }

    /// Whether the log begins later than the client was told. A replica hears of it at once:
    /// somebody may wait until all have dropped what is before.
    pub(super) fn starts_later(&self, told: Told) -> bool {
        let starts = self.ends.map_or(-1, |ends| ends.log_start);
        !told.error && starts > told.log_start
    }

    /// Whether more is committed than a replica was told. Where consumers read from replicas it hears
    /// of it at once, or they would see a lone record only at the end of a long poll (KIP-392).
    pub(super) fn commits_more(&self, told: Told) -> bool {
        let committed = self.ends.map_or(-1, |ends| ends.high_watermark);
        !told.error && committed > told.high_watermark
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

impl Room {
    pub(super) const NONE: Self = Self {
        bytes: 0,
        is_first: false,
    };

    /// So many bytes of it at most. While there is any room, one batch comes whole whatever its size:
    /// it would not fit into a piece the next time either.
    pub(super) fn piece(self, bytes: usize) -> Self {
        Self {
            bytes: self.bytes.min(bytes),
            is_first: self.is_first || self.bytes > 0,
        }
    }
}

/// Whose look it is.
#[derive(Clone, Copy)]
pub(super) struct Eyes<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) isolation: Isolation,
    pub(super) context: &'a Context,
}

/// What a look comes to.
pub(super) enum Look {
    /// This.
    Done(Outcome),
    /// The records are in object storage, and on their way.
    Cold(ColdLook),
}

/// A look at what has left the disk.
pub(super) struct ColdLook {
    pub(super) partition: Arc<Partition>,
    read: ColdRead,
    isolation: Isolation,
    /// As much as it may bring, but for one batch that is larger.
    pub(super) wanted_bytes: usize,
}

impl ColdLook {
    /// What it has come to within `patience`, as far as there is room for it, and whether it came late.
    /// What did, or is too much, is there when it is asked for again.
    pub(super) async fn finish(self, patience: Duration, room: Room) -> (Outcome, bool) {
        let Self {
            partition,
            read,
            isolation,
            ..
        } = self;
        let nothing = Outcome {
            ends: Some(partition.ends()),
            ..Outcome::failed(ErrorCode::None)
        };
        let reading = partition.finish_cold_read(read, isolation);
        let outcome = match timeout(patience, reading).await {
            Err(_) => return (nothing, true),
            Ok(Ok(slice)) if slice.fetched.bytes > room.bytes && !room.is_first => nothing,
            Ok(Ok(Slice { fetched, ends })) => Outcome {
                ends: Some(ends),
                records: fetched.chunks.into_iter().collect(),
                traffic: Some(Arc::clone(partition.traffic())),
                ..nothing
            },
            Ok(Err(error)) => failed(&partition, &error),
        };
        (outcome, false)
    }
}

/// Reads from where the client is.
pub(super) async fn look(
    partition: Arc<Partition>,
    position: Position,
    eyes: Eyes<'_>,
    room: Room,
) -> Look {
    let isolation = eyes.isolation;
    let seen = partition.seen(isolation);
    if let Some(outcome) = check(&partition, &position, eyes) {
        return Look::Done(outcome);
    }
    let max_bytes = usize::try_from(position.max_bytes).unwrap_or(0);
    let max_bytes = max_bytes.min(room.bytes);
    let from = position.fetch_offset;
    let read = partition.read(from, max_bytes, isolation, room.is_first);
    let read = match (read.await, eyes.reader) {
        (
            Err(ReadError::Log(LogReadError::OutOfRange { start, .. })),
            Reader::Consumer { client, .. },
        ) if from < start => {
            if max_bytes == 0 && !room.is_first {
                return Look::Done(Outcome {
                    ends: Some(partition.ends()),
                    ..Outcome::failed(ErrorCode::None)
                });
            }
            let wanted = (from, max_bytes);
            match partition.begin_cold_read(wanted, isolation, room.is_first, client) {
                Ok(read) => {
                    return Look::Cold(ColdLook {
                        partition,
                        read,
                        isolation,
                        wanted_bytes: max_bytes,
                    });
                }
                Err(error) => Err(error),
            }
        }
        (read, _) => read,
    };
    Look::Done(match read {
        Ok(Slice { fetched, ends }) => {
            let ends = told(ends, isolation);
            let has_records = fetched.bytes > 0;
            Outcome {
                error: ErrorCode::None,
                ends: Some(ends),
                records: fetched.chunks.into_iter().collect(),
                diverging: None,
                nearer: None,
                caught_up: is_caught_up(from, isolation, ends),
                traffic: has_records.then(|| Arc::clone(partition.traffic())),
                seen: Some((partition, seen)),
            }
        }
        Err(error) => failed(&partition, &error),
    })
}

fn failed(partition: &Partition, error: &ReadError) -> Outcome {
    if !matches!(error, ReadError::Log(LogReadError::OutOfRange { .. })) {
        tracing::warn!(log = %partition.name(), %error, "cannot read");
    }
    Outcome::failed(error.code())
}

/// The ends as a reader is told them: for who copies, the log begins where this disk does.
fn told(ends: Ends, isolation: Isolation) -> Ends {
    match isolation {
        Isolation::LogEnd => Ends {
            log_start: ends.local_start,
            ..ends
        },
        _ => ends,
    }
}

/// What there is to say before anything is read.
fn check(partition: &Partition, position: &Position, eyes: Eyes<'_>) -> Option<Outcome> {
    if let Err(error) = partition.check_epoch(position.current_leader_epoch) {
        return Some(Outcome::failed(error.code()));
    }
    let (last_epoch, from) = (position.last_fetched_epoch, position.fetch_offset);
    let diverging = match partition.departs(eyes.reader.replica(), last_epoch, from) {
        Ok(diverging) => diverging.map(|end| EpochEndOffset {
            epoch: end.epoch,
            end_offset: end.end_offset,
        }),
        // It begins anew, whatever it has.
        Err(_) if eyes.reader.is_replica() && from < partition.ends().local_start => {
            return Some(Outcome::out_of_range(partition));
        }
        Err(error) => return Some(Outcome::failed(error.code())),
    };
    match diverging {
        None => {}
        // A follower's log may miss records, or have some that will go: its leader has to tell.
        Some(_) if !partition.leads() => {
            return Some(Outcome::failed(ErrorCode::OffsetNotAvailable));
        }
        // An epoch that was never heard of here.
        Some(end) if end.epoch < 0 && eyes.reader.is_replica() => {
            return Some(Outcome::out_of_range(partition));
        }
        Some(end) if end.epoch < 0 => return Some(Outcome::failed(ErrorCode::OffsetOutOfRange)),
        Some(end) => {
            return Some(Outcome {
                ends: Some(told(partition.ends(), eyes.isolation)),
                diverging: Some(end),
                ..Outcome::failed(ErrorCode::None)
            });
        }
    }
    match report(partition, position, eyes) {
        Ok(()) => {}
        Err(ErrorCode::OffsetOutOfRange) => return Some(Outcome::out_of_range(partition)),
        Err(code) => return Some(Outcome::failed(code)),
    }
    if let Some(nearer) = nearer(partition, position, eyes) {
        return Some(Outcome {
            ends: Some(partition.ends()),
            nearer: Some(nearer),
            ..Outcome::failed(ErrorCode::None)
        });
    }
    if is_ahead_of_follower(partition, position, eyes) {
        return Some(Outcome::failed(ErrorCode::OffsetNotAvailable));
    }
    None
}

/// A reader with nothing to do before the next move. A replica is told of the high watermark as
/// well, but not woken for it: it looks again with each fetch until that has reached the end.
fn is_caught_up(fetch_offset: Offset, isolation: Isolation, ends: Ends) -> bool {
    let knows_all = isolation != Isolation::LogEnd || ends.high_watermark >= ends.log_end;
    fetch_offset >= ends.of(isolation) && knows_all
}

/// Tells the leader how far a replica is, once it is sure that its log is a part of ours.
fn report(partition: &Partition, position: &Position, eyes: Eyes<'_>) -> Result<(), ErrorCode> {
    let Reader::Replica { node, broker_epoch } = eyes.reader else {
        return Ok(());
    };
    // Who does not say whom it follows may speak of another leader's records.
    if position.current_leader_epoch < 0 {
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    let fetch = ReplicaFetch {
        node,
        broker_epoch,
        leader_epoch: position.current_leader_epoch,
        log_start: position.log_start,
        end: position.fetch_offset,
    };
    let taken = partition.replica_fetched(fetch, &eyes.context.image());
    taken.map_err(|error| {
        tracing::debug!(log = %partition.name(), %error, "a replica's fetch is refused");
        error.code()
    })
}

/// The replica in a consumer's rack that has what it asks for, if the leader is not there itself.
fn nearer(partition: &Partition, position: &Position, eyes: Eyes<'_>) -> Option<NodeId> {
    let Reader::Consumer {
        rack: Some(rack), ..
    } = eyes.reader
    else {
        return None;
    };
    let image = eyes.context.image();
    let stands_there = |node: &NodeId| {
        let broker = image.broker(*node).filter(|broker| broker.is_active());
        broker.is_some_and(|broker| broker.rack.as_deref() == Some(rack))
    };
    if stands_there(&eyes.context.identity.node_id) {
        return None;
    }
    let with = partition.replicas_with(position.fetch_offset);
    with.into_iter().find(stands_there)
}

/// Whether a consumer asks a follower for what it has not copied yet: then the leader must serve it.
/// "Out of range" would let it believe that the records are gone. What is copied and not known as
/// committed is waited for.
fn is_ahead_of_follower(partition: &Partition, position: &Position, eyes: Eyes<'_>) -> bool {
    let is_consumer = !eyes.reader.is_replica();
    is_consumer && !partition.leads() && position.fetch_offset > partition.view().log_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_a_batch_at_least_but_only_while_there_is_room() {
        let piece = |bytes, is_first| {
            let piece = Room { bytes, is_first }.piece(100);
            (piece.bytes, piece.is_first)
        };
        assert_eq!(piece(1000, true), (100, true));
        assert_eq!(piece(1000, false), (100, true));
        assert_eq!(piece(7, false), (7, true));
        assert_eq!(piece(0, true), (0, true));
        assert_eq!(piece(0, false), (0, false), "the response is full");
    }
}
