//! Fetch (1): reads from many partitions at once, waiting for data if asked to.
//!
//! One pass reads all partitions of the request or session in order until the byte budget is used.
//! If that is not enough, the fetch parks on its partitions and makes another pass whenever a high
//! watermark moves, until `min_bytes` are there or `max_wait_ms` is over.

use std::sync::Arc;
use std::time::Duration;

use freshet_codec::Payload;
use freshet_log::ReadError as LogReadError;
use freshet_partition::{Ends, Isolation, Partition, ReadError, Slice, Waiting};
use freshet_wire::fetch::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use freshet_wire::{ErrorCode, FetchRequest, FetchResponse};
use tokio::sync::Notify;

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;
use crate::kafka::sessions::{Fetching, Opening, Position, Told, Wanted};

/// First version that names topics by id.
const BY_ID_SINCE: i16 = 13;
/// First version with sessions.
const SESSIONS_SINCE: i16 = 7;
/// No client waits longer than this, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// What one partition gives in one pass.
struct Outcome {
    error: ErrorCode,
    ends: Option<Ends>,
    records: Payload,
    diverging: Option<EpochEndOffset>,
}

impl Outcome {
    fn failed(error: ErrorCode) -> Self {
        Self {
            error,
            ends: None,
            records: Payload::default(),
            diverging: None,
        }
    }

    /// Reasons to answer at once, besides enough data.
    fn is_urgent(&self) -> bool {
        self.error != ErrorCode::None || self.diverging.is_some()
    }

    fn told(&self) -> Told {
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

/// The limits of one fetch.
#[derive(Debug, Clone, Copy)]
struct Limits {
    isolation: Isolation,
    max_bytes: usize,
    min_bytes: usize,
    max_wait: Duration,
}

/// Serves a fetch.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: FetchRequest,
) -> FetchResponse {
    let limits = limits(context, &request);
    let session_id = request.session_id;
    let fetching = match context.open_session(opening(call, request)) {
        Ok(fetching) => fetching,
        Err(error) => {
            context.metrics.error(error.code());
            return FetchResponse {
                error_code: error.code().code(),
                session_id: if call.version >= SESSIONS_SINCE {
                    session_id
                } else {
                    0
                },
                ..FetchResponse::default()
            };
        }
    };
    let outcomes = collect(context, call, fetching.partitions(), limits).await;
    respond(context, fetching, outcomes)
}

fn limits(context: &Context, request: &FetchRequest) -> Limits {
    let max_bytes = request.max_bytes.min(context.limits.fetch_max_bytes);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    Limits {
        isolation: isolation(request.isolation_level),
        max_bytes: usize::try_from(max_bytes).unwrap_or(0),
        min_bytes: usize::try_from(request.min_bytes.min(max_bytes)).unwrap_or(0),
        max_wait: max_wait.min(MAX_WAIT),
    }
}

/// Reads an isolation level as requests carry it.
pub(crate) fn isolation(level: i8) -> Isolation {
    if level == 1 {
        Isolation::ReadCommitted
    } else {
        Isolation::ReadUncommitted
    }
}

fn opening(call: &Call, request: FetchRequest) -> Opening {
    let by_id = call.version >= BY_ID_SINCE;
    let mut partitions = Vec::new();
    for topic in request.topics {
        for asked in topic.partitions {
            let wanted = Wanted {
                topic_id: topic.topic_id,
                topic: topic.topic.clone(),
                partition: asked.partition,
            };
            let position = Position {
                current_leader_epoch: asked.current_leader_epoch,
                fetch_offset: asked.fetch_offset,
                last_fetched_epoch: asked.last_fetched_epoch,
                max_bytes: asked.partition_max_bytes,
                told: Told::NOTHING,
            };
            partitions.push((wanted, position));
        }
    }
    let forgotten = request.forgotten_topics_data.into_iter().flat_map(|topic| {
        topic.partitions.into_iter().map(move |partition| Wanted {
            topic_id: topic.topic_id,
            topic: topic.topic.clone(),
            partition,
        })
    });
    Opening {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        by_id,
        forgotten: forgotten.collect(),
        partitions,
    }
}

/// Passes over the partitions until there is enough, or the time is over.
async fn collect(
    context: &Context,
    call: &Call,
    wanted: &[(Wanted, Position)],
    limits: Limits,
) -> Vec<Outcome> {
    let located: Vec<_> = wanted
        .iter()
        .map(|(wanted, _)| locate(context, call, wanted))
        .collect();
    let first = pass(&located, wanted, limits).await;
    if wanted.is_empty() || limits.max_wait.is_zero() || is_enough(&first, limits) {
        return first;
    }
    let notify = Arc::new(Notify::new());
    let _parked: Vec<Waiting> = located
        .iter()
        .flatten()
        .map(|partition| partition.watch(Arc::clone(&notify)))
        .collect();
    let deadline = tokio::time::sleep(limits.max_wait);
    tokio::pin!(deadline);
    loop {
        // Data may have come between the last pass and the registration.
        let outcomes = pass(&located, wanted, limits).await;
        if is_enough(&outcomes, limits) {
            return outcomes;
        }
        tokio::select! {
            () = notify.notified() => {}
            () = &mut deadline => return outcomes,
            () = context.stop.stopped() => return outcomes,
        }
    }
}

fn locate(context: &Context, call: &Call, wanted: &Wanted) -> Result<Arc<Partition>, ErrorCode> {
    let located = if call.version >= BY_ID_SINCE {
        context.locate_by_id(wanted.topic_id, wanted.partition)
    } else {
        context.locate(&wanted.topic, wanted.partition)
    };
    located.map_err(|error| error.code())
}

fn is_enough(outcomes: &[Outcome], limits: Limits) -> bool {
    let bytes: usize = outcomes.iter().map(|outcome| outcome.records.len()).sum();
    bytes >= limits.min_bytes || outcomes.iter().any(Outcome::is_urgent)
}

async fn pass(
    located: &[Result<Arc<Partition>, ErrorCode>],
    wanted: &[(Wanted, Position)],
    limits: Limits,
) -> Vec<Outcome> {
    let mut left = limits.max_bytes;
    let mut empty = true;
    let mut outcomes = Vec::with_capacity(wanted.len());
    for (partition, (_, position)) in located.iter().zip(wanted) {
        let outcome = match partition {
            Ok(partition) => read(partition, position, limits.isolation, (left, empty)).await,
            Err(code) => Outcome::failed(*code),
        };
        left = left.saturating_sub(outcome.records.len());
        empty &= outcome.records.is_empty();
        outcomes.push(outcome);
    }
    outcomes
}

/// Reads one partition. The first batch of a response comes whole even if it is larger than all
/// limits, or the client would never get on (KIP-74).
async fn read(
    partition: &Partition,
    position: &Position,
    isolation: Isolation,
    (left, is_first): (usize, bool),
) -> Outcome {
    if let Err(error) = partition.check_epoch(position.current_leader_epoch) {
        return Outcome::failed(error.code());
    }
    if let Some(diverging) = diverging(partition, position) {
        let ends = Some(partition.ends());
        return Outcome {
            error: ErrorCode::None,
            ends,
            records: Payload::default(),
            diverging: Some(diverging),
        };
    }
    let max_bytes = usize::try_from(position.max_bytes).unwrap_or(0).min(left);
    match partition
        .read(position.fetch_offset, max_bytes, isolation, is_first)
        .await
    {
        Ok(Slice { fetched, ends }) => Outcome {
            error: ErrorCode::None,
            ends: Some(ends),
            records: fetched.chunks.into_iter().collect(),
            diverging: None,
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

fn respond(context: &Context, mut fetching: Fetching, outcomes: Vec<Outcome>) -> FetchResponse {
    let session_id = fetching.id();
    let had_data: Vec<bool> = outcomes
        .iter()
        .map(|outcome| !outcome.records.is_empty())
        .collect();
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let incremental = matches!(fetching, Fetching::Incremental(_));
    let partitions = match &mut fetching {
        Fetching::Full(partitions) => partitions,
        Fetching::Fresh(session) | Fetching::Incremental(session) => &mut session.partitions,
    };
    for ((wanted, position), outcome) in partitions.iter_mut().zip(outcomes) {
        let told = outcome.told();
        let news = !outcome.records.is_empty() || outcome.is_urgent() || told != position.told;
        position.told = told;
        if outcome.error != ErrorCode::None {
            context.metrics.error(outcome.error);
        }
        context.metrics.fetched(outcome.records.len());
        if news || !incremental {
            topic_of(&mut responses, wanted)
                .partitions
                .push(partition_data(wanted, outcome));
        }
    }
    match fetching {
        Fetching::Full(_) => {}
        Fetching::Fresh(mut session) | Fetching::Incremental(mut session) => {
            session.rotate(&had_data);
            context.give_back_session(session);
        }
    }
    FetchResponse {
        session_id,
        responses,
        ..FetchResponse::default()
    }
}

/// Partitions of one topic that follow each other share an entry.
fn topic_of<'a>(
    responses: &'a mut Vec<FetchableTopicResponse>,
    wanted: &Wanted,
) -> &'a mut FetchableTopicResponse {
    let same = |last: &FetchableTopicResponse| {
        last.topic == wanted.topic && last.topic_id == wanted.topic_id
    };
    if !responses.last().is_some_and(same) {
        responses.push(FetchableTopicResponse {
            topic: wanted.topic.clone(),
            topic_id: wanted.topic_id,
            partitions: Vec::new(),
        });
    }
    responses
        .last_mut()
        .expect("one was pushed if there was none")
}

fn partition_data(wanted: &Wanted, outcome: Outcome) -> PartitionData {
    let ends = outcome.ends;
    PartitionData {
        partition_index: wanted.partition,
        error_code: outcome.error.code(),
        high_watermark: ends.map_or(-1, |ends| ends.high_watermark),
        last_stable_offset: ends.map_or(-1, |ends| ends.last_stable),
        log_start_offset: ends.map_or(-1, |ends| ends.log_start),
        diverging_epoch: outcome.diverging.unwrap_or_default(),
        records: outcome.records,
        preferred_read_replica: -1,
        ..PartitionData::default()
    }
}
