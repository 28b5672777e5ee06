//! Produce (0): stores one batch for each partition named.

mod gather;

use std::sync::Arc;

use bytes::Bytes;
use freshet_log::{AppendError, Appended, Origin};
use freshet_partition::{Acks, Partition, Produce, ProduceError};
use freshet_records::{BatchError, BatchHeader, Codec};
use freshet_types::TopicId;
use freshet_wire::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use freshet_wire::{ErrorCode, ProduceRequest, ProduceResponse};

use self::gather::Gather;
use crate::kafka::call::{Call, Reply, Started};
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;
use crate::kafka::registry;

/// First version whose readers know zstd.
const ZSTD_SINCE: i16 = 7;

/// Why a partition's records were not stored.
#[derive(Debug)]
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    faults: Vec<BatchIndexAndErrorMessage>,
}

impl Refusal {
    fn new(code: ErrorCode, message: &str) -> Self {
        Self {
            code,
            message: Some(message.to_owned()),
            faults: Vec::new(),
        }
    }
}

type Outcome = Result<Appended, Refusal>;

/// Topics and partitions of the request, to write the response from.
struct Asked {
    name: String,
    topic_id: TopicId,
    partitions: Vec<i32>,
}

/// Submits all batches in request order, then leaves the wait to the connection.
pub(crate) async fn start(context: &Arc<Context>, call: &Call, request: ProduceRequest) -> Started {
    let count = request
        .topic_data
        .iter()
        .map(|topic| topic.partition_data.len())
        .sum();
    let (gather, told) = Gather::<Outcome>::new(count);
    let acks = acks(request.acks);
    let mut asked = Vec::with_capacity(request.topic_data.len());
    let mut slot = 0;
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
            partitions.push(data.index);
            let located = acks.ok_or_else(bad_acks).and_then(|acks| {
                let partition = locate(context, call, &topic.name, topic.topic_id, data.index)?;
                let batch = whole_batch(call, data.records)?;
                Ok((acks, partition, batch))
            });
            match located {
                Ok((acks, partition, batch)) => {
                    context.metrics.produced(batch.len());
                    let append = (batch, call.frame_bytes);
                    submit(&partition, append, acks, &gather, slot);
                }
                Err(refusal) => gather.fill(slot, Err(refusal)),
            }
            slot += 1;
        }
        asked.push(Asked {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
        });
    }
    let (context, call) = (Arc::clone(context), call.clone());
    Started::Later(Box::pin(async move {
        let outcomes = told.await.unwrap_or_default();
        finish(&context, &call, acks, asked, outcomes)
    }))
}

fn acks(acks: i16) -> Option<Acks> {
    match acks {
        0 => Some(Acks::None),
        1 => Some(Acks::Leader),
        -1 => Some(Acks::All),
        _ => None,
    }
}

fn bad_acks() -> Refusal {
    Refusal::new(
        ErrorCode::InvalidRequiredAcks,
        "acks must be -1 (all), 0 or 1",
    )
}

fn locate(
    context: &Context,
    call: &Call,
    name: &str,
    topic_id: TopicId,
    index: i32,
) -> Result<Arc<Partition>, Refusal> {
    let located = if call.version >= 13 {
        context.locate_by_id(topic_id, index)
    } else {
        context.locate(name, index)
    };
    let partition = located.map_err(|error| Refusal {
        code: error.code(),
        message: None,
        faults: Vec::new(),
    })?;
    if partition.name().topic.is_internal() {
        let message = "clients may not write to the broker's own topics";
        return Err(Refusal::new(ErrorCode::InvalidTopicException, message));
    }
    Ok(partition)
}

/// Clients send exactly one batch per partition.
fn whole_batch(call: &Call, records: Option<Bytes>) -> Result<Bytes, Refusal> {
    let batch = records.unwrap_or_default();
    if batch.is_empty() {
        let message = "a partition's records are missing";
        return Err(Refusal::new(ErrorCode::InvalidRecord, message));
    }
    let header = BatchHeader::parse(&batch).map_err(|error| {
        let code = match error {
            BatchError::Magic { .. } => ErrorCode::InvalidRecord,
            _ => ErrorCode::CorruptMessage,
        };
        Refusal::new(code, &error.to_string())
    })?;
    if header.size_bytes != batch.len() {
        let message = "a partition's records must be exactly one whole batch";
        return Err(Refusal::new(ErrorCode::InvalidRecord, message));
    }
    if call.version < ZSTD_SINCE && header.attributes.codec() == Some(Codec::Zstd) {
        let message = "zstd needs Produce version 7 or later";
        return Err(Refusal::new(ErrorCode::UnsupportedCompressionType, message));
    }
    Ok(batch)
}

fn submit(
    partition: &Partition,
    (batch, frame_bytes): (Bytes, usize),
    acks: Acks,
    gather: &Arc<Gather<Outcome>>,
    slot: usize,
) {
    let gather = Arc::clone(gather);
    partition.produce(Produce {
        frame_bytes,
        batch,
        origin: Origin::Client,
        acks,
        done: Box::new(move |result| gather.fill(slot, result.map_err(|error| refusal(&error)))),
    });
}

fn refusal(error: &ProduceError) -> Refusal {
    let faults = match error {
        ProduceError::Append(
            AppendError::InvalidRecord { faults, .. }
            | AppendError::InvalidTimestamp { faults, .. },
        ) => faults.as_slice(),
        _ => &[],
    };
    let faults = faults
        .iter()
        .map(|fault| BatchIndexAndErrorMessage {
            batch_index: fault.index,
            batch_index_error_message: Some(fault.reason.to_owned()),
        })
        .collect();
    Refusal {
        code: error.code(),
        message: Some(error.to_string()),
        faults,
    }
}

fn finish(
    context: &Context,
    call: &Call,
    acks: Option<Acks>,
    asked: Vec<Asked>,
    outcomes: Vec<Option<Outcome>>,
) -> Reply {
    let failed = outcomes
        .iter()
        .any(|outcome| !matches!(outcome, Some(Ok(_))));
    if acks == Some(Acks::None) {
        return if failed { Reply::Close } else { Reply::Silence };
    }
    let mut outcomes = outcomes.into_iter().flatten();
    let responses = asked
        .into_iter()
        .map(|topic| TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses: topic
                .partitions
                .into_iter()
                .map(|index| answer(context, index, outcomes.next()))
                .collect(),
        })
        .collect();
    let response = ProduceResponse {
        responses,
        ..ProduceResponse::default()
    };
    registry::reply::<ProduceRequest>(call, &response).unwrap_or_else(|error| {
        tracing::error!(%error, "a produce response cannot be written");
        Reply::Close
    })
}

fn answer(context: &Context, index: i32, outcome: Option<Outcome>) -> PartitionProduceResponse {
    match outcome {
        Some(Ok(appended)) => PartitionProduceResponse {
            index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time.0,
            log_start_offset: appended.log_start,
            ..PartitionProduceResponse::default()
        },
        Some(Err(refusal)) => {
            context.metrics.error(refusal.code);
            PartitionProduceResponse {
                index,
                error_code: refusal.code.code(),
                base_offset: -1,
                log_append_time_ms: -1,
                log_start_offset: -1,
                record_errors: refusal.faults,
                error_message: refusal.message,
                ..PartitionProduceResponse::default()
            }
        }
        // The log threads have ended: the broker is stopping.
        None => PartitionProduceResponse {
            index,
            error_code: ErrorCode::NotLeaderOrFollower.code(),
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            ..PartitionProduceResponse::default()
        },
    }
}
