//! Produce (0): stores one batch for each partition named.

mod gather;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_log::{AppendError, Appended, Origin};
use freshet_partition::{Acks, Partition, Produce, ProduceError};
use freshet_records::{BatchError, BatchHeader, Codec};
use freshet_types::TopicId;
use freshet_wire::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use freshet_wire::{ErrorCode, ProduceRequest, ProduceResponse};
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::gather::Gather;
use crate::kafka::call::{Call, Reply, Started};
use crate::kafka::context::Context;
use crate::kafka::context::leaders::{Endpoint, Leaders};
use crate::kafka::errors::Coded;
use crate::kafka::registry;
use crate::kafka::sessions::Named;

/// First version that names topics by id.
const BY_ID_SINCE: i16 = 13;
/// First version whose readers know zstd.
const ZSTD_SINCE: i16 = 7;
/// First version that names leaders to turn to.
const LEADERS_SINCE: i16 = 10;
/// No wait for replicas is shorter.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

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
    /// With the partition, if it was found here.
    partitions: Vec<(i32, Option<Arc<Partition>>)>,
}

/// A request whose batches are submitted.
struct Submitted {
    context: Arc<Context>,
    call: Call,
    acks: Option<Acks>,
    asked: Vec<Asked>,
    /// When the client is told, whatever is true by then.
    deadline: Instant,
}

/// Submits all batches in request order, then leaves the wait to the connection.
pub(crate) async fn start(context: &Arc<Context>, call: &Call, request: ProduceRequest) -> Started {
    let count = request
        .topic_data
        .iter()
        .map(|topic| topic.partition_data.len())
        .sum();
    let (gather, told) = Gather::<Outcome>::new(count);
    let deadline = Instant::now() + patience(request.timeout_ms);
    let acks = acks(request.acks);
    let mut asked = Vec::with_capacity(request.topic_data.len());
    let mut slot = 0;
    for topic in request.topic_data {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data {
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
                    partitions.push((data.index, Some(partition)));
                }
                Err(refusal) => {
                    gather.fill(slot, Err(refusal));
                    partitions.push((data.index, None));
                }
            }
            slot += 1;
        }
        asked.push(Asked {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
        });
    }
    let submitted = Submitted {
        context: Arc::clone(context),
        call: call.clone(),
        acks,
        asked,
        deadline,
    };
    Started::Later(Box::pin(submitted.answered(gather, told)))
}

/// How long to wait for replicas. Kafka counts a batch as stored before any disk has it; here it must
/// be flushed first, which a client that waits for nothing would never see.
fn patience(timeout_ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0)).max(LEAST_PATIENCE)
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
    let located = if call.version >= BY_ID_SINCE {
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
        leader_epoch: None,
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

impl Submitted {
    /// Waits for all outcomes. The wait for replicas has an end: what is not acknowledged by then may
    /// still be later.
    async fn answered(
        self,
        gather: Arc<Gather<Outcome>>,
        told: oneshot::Receiver<Vec<Option<Outcome>>>,
    ) -> Reply {
        if self.acks != Some(Acks::All) {
            let outcomes = told.await.unwrap_or_default();
            return self.finish(outcomes);
        }
        // Only the first of a connection's requests is waited for at a time, so they share its alarm.
        let outcomes = tokio::select! {
            biased;
            outcomes = told => outcomes.unwrap_or_default(),
            () = self.call.origin.alarm.at(self.deadline) => {
                let outcomes = gather.close().into_iter();
                let late = outcomes.zip(self.partitions()).map(|(outcome, partition)| {
                    outcome.or_else(|| Some(Err(overdue(partition))))
                });
                late.collect()
            }
        };
        self.finish(outcomes)
    }

    fn partitions(&self) -> impl Iterator<Item = Option<&Arc<Partition>>> {
        let topics = self.asked.iter();
        topics.flat_map(|topic| topic.partitions.iter().map(|(_, found)| found.as_ref()))
    }

    fn finish(self, outcomes: Vec<Option<Outcome>>) -> Reply {
        if self.acks == Some(Acks::None) {
            let is_stored = |outcome: &Option<Outcome>| matches!(outcome, Some(Ok(_)));
            return match outcomes.iter().all(is_stored) {
                true => Reply::Silence,
                false => Reply::Close,
            };
        }
        let mut leaders = Leaders::new(&self.context, &self.call.origin.listener);
        let mut outcomes = outcomes.into_iter();
        let by_id = self.call.version >= BY_ID_SINCE;
        let mut responses = Vec::with_capacity(self.asked.len());
        for topic in self.asked {
            let named = match by_id {
                true => Named::Id(topic.topic_id),
                false => Named::Name(topic.name),
            };
            let mut partition_responses = Vec::with_capacity(topic.partitions.len());
            for (index, _) in topic.partitions {
                let mut answer = answer(&self.context, index, outcomes.next().flatten());
                if answer.error_code == ErrorCode::NotLeaderOrFollower.code()
                    && self.call.version >= LEADERS_SINCE
                    && let Some(leader) = leaders.of(&named, index)
                {
                    answer.current_leader = LeaderIdAndEpoch {
                        leader_id: leader.id,
                        leader_epoch: leader.epoch,
                    };
                }
                partition_responses.push(answer);
            }
            let (topic_id, name) = match named {
                Named::Id(id) => (id, String::new()),
                Named::Name(name) => (TopicId::default(), name),
            };
            responses.push(TopicProduceResponse {
                name,
                topic_id,
                partition_responses,
            });
        }
        let response = ProduceResponse {
            responses,
            node_endpoints: leaders.endpoints().map(node_endpoint).collect(),
            ..ProduceResponse::default()
        };
        registry::reply::<ProduceRequest>(&self.call, &response).unwrap_or_else(|error| {
            tracing::error!(%error, "a produce response cannot be written");
            Reply::Close
        })
    }
}

/// Why a batch was not acknowledged in time.
fn overdue(partition: Option<&Arc<Partition>>) -> Refusal {
    let why = partition.map_or(ProduceError::TimedOut, |partition| partition.overdue());
    refusal(&why)
}

fn node_endpoint(endpoint: Endpoint) -> NodeEndpoint {
    NodeEndpoint {
        node_id: endpoint.node_id,
        host: endpoint.host,
        port: endpoint.port,
        rack: endpoint.rack,
    }
}

fn answer(context: &Context, index: i32, outcome: Option<Outcome>) -> PartitionProduceResponse {
    let told = match outcome {
        Some(Ok(appended)) if appended.is_placed() => {
            return PartitionProduceResponse {
                index,
                base_offset: appended.base_offset,
                log_append_time_ms: appended.log_append_time.0,
                log_start_offset: appended.log_start,
                ..PartitionProduceResponse::default()
            };
        }
        // Clients take this for success with an offset that nobody can tell, which it is. What they are
        // told of a gap would make a Java producer try again until its time is over.
        Some(Ok(_)) => Refusal::new(
            ErrorCode::DuplicateSequenceNumber,
            "stored already, before the batches whose offsets are remembered",
        ),
        Some(Err(refusal)) => refusal,
        // The log threads have ended: the broker is stopping.
        None => {
            return PartitionProduceResponse {
                error_code: ErrorCode::NotLeaderOrFollower.code(),
                ..unplaced(index)
            };
        }
    };
    context.metrics.error(told.code);
    PartitionProduceResponse {
        error_code: told.code.code(),
        record_errors: told.faults,
        error_message: told.message,
        ..unplaced(index)
    }
}

fn unplaced(index: i32) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        ..PartitionProduceResponse::default()
    }
}
