//! ListOffsets (2): offsets by time, and the named ends of a partition.

use std::sync::Arc;
use std::time::Duration;

use freshet_log::TimeQuery;
use freshet_partition::{Isolation, Partition, Past, ReadError};
use freshet_types::{LeaderEpoch, Offset, Timestamp};
use freshet_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse, TIER_COPIES,
    TIER_OFF, TIER_PAUSED, TierStanding,
};
use freshet_wire::{ErrorCode, ListOffsetsRequest, ListOffsetsResponse};
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::time::{Instant, timeout, timeout_at};

use super::fetch::isolation;
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;

/// The end: high watermark, or last stable offset for read_committed.
const LATEST: i64 = -1;
/// The log start, over all tiers.
const EARLIEST: i64 = -2;
/// The record with the largest timestamp (KIP-734).
const MAX_TIMESTAMP: i64 = -3;
/// The first offset on local disk (KIP-405).
const EARLIEST_LOCAL: i64 = -4;
/// The last offset in object storage (KIP-1005).
const LATEST_TIERED: i64 = -5;
/// The first offset that waits for its upload (KIP-1023).
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// Partitions of a request that are looked up at a time, where that takes time.
const AT_ONCE: usize = 64;

/// How long a young leader is given to learn what has left its disk. It takes milliseconds; where it takes
/// longer, those who keep the manifest are away, and other requests wait behind this one.
const PAST_PATIENCE: Duration = Duration::from_secs(5);

/// First version whose clients know that an offset may not be known yet.
const NOT_AVAILABLE_SINCE: i16 = 5;

/// First version that may ask for each special timestamp.
fn since(timestamp: i64) -> i16 {
    match timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => 0,
    }
}

/// An offset with what belongs to it; -1 where there is nothing.
#[derive(Debug, Clone, Copy)]
struct Found {
    offset: Offset,
    timestamp: i64,
    leader_epoch: LeaderEpoch,
}

const NOTHING: Found = Found {
    offset: -1,
    timestamp: -1,
    leader_epoch: -1,
};

/// Looks each partition up.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    // Who copies a log needs to know where all of it ends.
    let isolation = match request.replica_id {
        0.. => Isolation::LogEnd,
        _ => isolation(request.isolation_level),
    };
    let mut topics = Vec::with_capacity(request.topics.len());
    let deadline = Instant::now() + patience(context, request.timeout_ms);
    let wants_tiers = request.wants_tiers;
    for topic in request.topics {
        let name = topic.name.as_str();
        let finding = topic.partitions.into_iter().map(|asked| async move {
            let finding = find(context, call, name, &asked, isolation);
            let found = timeout_at(deadline, finding).await;
            let found = found.unwrap_or_else(|_| {
                if let Ok(partition) = locate(context, name, &asked) {
                    partition.lookup_expired();
                }
                Err(ErrorCode::RequestTimedOut)
            });
            let tier = match wants_tiers && found.is_ok() {
                true => tier(context, name, &asked).await,
                false => TierStanding::default(),
            };
            ListOffsetsPartitionResponse {
                tier,
                ..answer(context, &asked, found)
            }
        });
        // What is found at once needs no other's time.
        let found = stream::iter(finding).buffered(AT_ONCE);
        let partitions = found.collect().await;
        topics.push(ListOffsetsTopicResponse {
            name: topic.name,
            partitions,
        });
    }
    ListOffsetsResponse {
        topics,
        ..ListOffsetsResponse::default()
    }
}

/// How long a request waits for object storage (KIP-1075).
fn patience(context: &Context, asked_ms: i32) -> Duration {
    let asked = u64::try_from(asked_ms).ok().filter(|ms| *ms > 0);
    let ms = asked.unwrap_or_else(|| context.layers().tier().list_offsets_wait_ms);
    Duration::from_millis(ms)
}

async fn find(
    context: &Context,
    call: &Call,
    topic: &str,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<Found, ErrorCode> {
    let timestamp = asked.timestamp;
    let mut partition = locate(context, topic, asked)?;
    if call.version < since(timestamp) || timestamp < EARLIEST_PENDING_UPLOAD {
        return Err(ErrorCode::UnsupportedVersion);
    }
    if asks_for_past(&partition, timestamp, isolation) {
        let known = timeout(PAST_PATIENCE, partition.past_known());
        // What it does not know by then is "not yet".
        drop(known.await);
        partition = locate(context, topic, asked)?;
    }
    // What is committed may be more than a new leader knows yet: an end from it could be below one
    // that was told before (KIP-207).
    let knows_the_end = isolation == Isolation::LogEnd || partition.is_settled();
    let the_end = || knows_the_end.then_some(()).ok_or_else(|| not_yet(call));
    match timestamp {
        LATEST => the_end().map(|()| at(&partition, partition.end(isolation))),
        // What is in object storage only nobody copies.
        EARLIEST if isolation == Isolation::LogEnd => {
            Ok(at(&partition, partition.ends().local_start))
        }
        EARLIEST => match partition.first_offset() {
            Ok(offset) => Ok(at(&partition, offset)),
            Err(error) => Err(code(call, &error)),
        },
        EARLIEST_LOCAL => Ok(at(&partition, partition.ends().local_start)),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => {
            let is_tiered = timestamp == LATEST_TIERED;
            let found = tiered(&partition, is_tiered).map_err(|()| not_yet(call))?;
            Ok(found.map_or(NOTHING, |offset| at(&partition, offset)))
        }
        MAX_TIMESTAMP => {
            the_end()?;
            by_time(call, &partition, TimeQuery::Max, isolation).await
        }
        _ => {
            let query = TimeQuery::AtOrAfter(Timestamp(timestamp));
            let found = by_time(call, &partition, query, isolation).await?;
            if found.offset < 0 {
                the_end()?;
            }
            Ok(found)
        }
    }
}

/// The partition, if this broker leads it in the epoch that the client means.
fn locate(
    context: &Context,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<Arc<Partition>, ErrorCode> {
    let partition = context
        .locate(topic, asked.partition_index)
        .map_err(|error| error.code())?;
    partition
        .check_epoch(asked.current_leader_epoch)
        .map_err(|error| error.code())?;
    Ok(partition)
}

/// Whether the answer may lie in what has left the disk. It is waited for, where "ask again" would do for
/// most: librdkafka asks for a start and an end at once, and takes the end alone for an empty partition.
fn asks_for_past(partition: &Partition, timestamp: i64, isolation: Isolation) -> bool {
    match timestamp {
        LATEST | EARLIEST_LOCAL => false,
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => true,
        EARLIEST if isolation == Isolation::LogEnd => false,
        _ => partition.ends().local_start > 0,
    }
}

/// "Ask again", in the words that the client knows.
fn not_yet(call: &Call) -> ErrorCode {
    if call.version >= NOT_AVAILABLE_SINCE {
        ErrorCode::OffsetNotAvailable
    } else {
        ErrorCode::LeaderNotAvailable
    }
}

fn code(call: &Call, error: &ReadError) -> ErrorCode {
    match error {
        ReadError::PastUnknown => not_yet(call),
        error => error.code(),
    }
}

/// The last offset in object storage, or the first that is not there; none where nothing goes there.
fn tiered(partition: &Partition, is_tiered: bool) -> Result<Option<Offset>, ()> {
    let manifest = match partition.past() {
        Past::None => return Ok(None),
        Past::Unknown => return Err(()),
        Past::Known(past) => past.manifest,
    };
    let end = manifest.remote_end();
    Ok(match (manifest.segments().is_empty(), is_tiered) {
        (true, true) => None,
        (true, false) => Some(partition.ends().log_start),
        (false, true) => Some(end - 1),
        (false, false) => Some(end),
    })
}

/// A named end has no timestamp; its epoch is that of the record there, or the leader's.
fn at(partition: &Partition, offset: Offset) -> Found {
    let epoch = partition
        .epoch_at(offset)
        .unwrap_or_else(|| partition.leader_epoch());
    Found {
        offset,
        timestamp: -1,
        leader_epoch: epoch,
    }
}

async fn by_time(
    call: &Call,
    partition: &Partition,
    query: TimeQuery,
    isolation: Isolation,
) -> Result<Found, ErrorCode> {
    let found = partition
        .find_time(query, isolation, call.origin.client())
        .await
        .map_err(|error| code(call, &error))?;
    Ok(found.map_or(NOTHING, |found| Found {
        offset: found.offset,
        timestamp: found.timestamp.0,
        leader_epoch: found.leader_epoch,
    }))
}

/// How a partition stands between its disk and object storage.
async fn tier(context: &Context, topic: &str, asked: &ListOffsetsPartition) -> TierStanding {
    let Ok(partition) = locate(context, topic, asked) else {
        return TierStanding::default();
    };
    match partition.tier_standing().await {
        Some(standing) => told(&standing, context.clock.wall()),
        None => TierStanding {
            state: TIER_OFF,
            ..TierStanding::default()
        },
    }
}

fn told(standing: &freshet_partition::TierStanding, now: Timestamp) -> TierStanding {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let age = |since: Timestamp| now.0.saturating_sub(since.0).max(0);
    let trouble = standing.trouble.as_ref();
    let disk = TierStanding {
        state: if standing.copies {
            TIER_COPIES
        } else {
            TIER_PAUSED
        },
        local_start: standing.local_start,
        end: standing.end,
        local_bytes: count(standing.local_bytes),
        error: trouble.map(|trouble| trouble.why.clone()),
        error_ms: trouble.map_or(-1, |trouble| age(trouble.at)),
        fails: trouble.is_some_and(|trouble| !trouble.is_over),
        ..TierStanding::default()
    };
    let Some(remote) = &standing.remote else {
        return disk;
    };
    TierStanding {
        log_start: remote.log_start,
        remote_end: remote.end,
        objects: count(remote.objects),
        object_bytes: count(remote.bytes),
        lag_segments: count(remote.lag_segments),
        lag_bytes: count(remote.lag_bytes),
        lag_ms: remote.lag_since.map_or(-1, age),
        ..disk
    }
}

fn answer(
    context: &Context,
    asked: &ListOffsetsPartition,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (error, found) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => {
            context.metrics.error(code);
            (code, NOTHING)
        }
    };
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: error.code(),
        offset: found.offset,
        timestamp: found.timestamp,
        leader_epoch: found.leader_epoch,
        ..ListOffsetsPartitionResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use freshet_partition::{PastTrouble, RemoteStanding};

    use super::*;

    const NOW: Timestamp = Timestamp(10_000);

    fn standing() -> freshet_partition::TierStanding {
        freshet_partition::TierStanding {
            copies: true,
            local_start: 5,
            end: 9,
            local_bytes: 10,
            remote: Some(RemoteStanding {
                log_start: 2,
                end: 7,
                objects: 3,
                bytes: 100,
                lag_segments: 1,
                lag_bytes: 20,
                lag_since: Some(Timestamp(4000)),
            }),
            trouble: Some(PastTrouble {
                why: "it refuses".to_owned(),
                at: Timestamp(9000),
                is_over: false,
            }),
        }
    }

    #[test]
    fn what_stands_where_is_told_with_ages() {
        let expected = TierStanding {
            state: TIER_COPIES,
            log_start: 2,
            local_start: 5,
            remote_end: 7,
            end: 9,
            objects: 3,
            object_bytes: 100,
            local_bytes: 10,
            lag_segments: 1,
            lag_bytes: 20,
            lag_ms: 6000,
            error: Some("it refuses".to_owned()),
            error_ms: 1000,
            fails: true,
        };
        assert_eq!(told(&standing(), NOW), expected);
        // A clock that was set back makes no age negative.
        let earlier = told(&standing(), Timestamp(0));
        assert_eq!((earlier.lag_ms, earlier.error_ms), (0, 0));
    }

    #[test]
    fn what_a_young_leader_does_not_know_is_not_told() {
        let young = freshet_partition::TierStanding {
            copies: false,
            remote: None,
            trouble: None,
            ..standing()
        };
        let expected = TierStanding {
            state: TIER_PAUSED,
            local_start: 5,
            end: 9,
            local_bytes: 10,
            ..TierStanding::default()
        };
        assert_eq!(told(&young, NOW), expected);
        let untold = TierStanding::default();
        assert_eq!(
            (untold.objects, untold.lag_ms, untold.remote_end),
            (-1, -1, -1)
        );
    }
}
