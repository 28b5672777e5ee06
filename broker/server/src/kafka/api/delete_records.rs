//! DeleteRecords (21): moves the log start of partitions (KIP-107).

use std::sync::Arc;
use std::time::Duration;

use freshet_partition::{Isolation, Partition, TrimError, Watcher};
use freshet_types::Offset;
use freshet_wire::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use freshet_wire::{DeleteRecordsRequest, DeleteRecordsResponse, ErrorCode};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;

/// As an offset to delete up to: everything that is committed.
const HIGH_WATERMARK: Offset = -1;
/// How often it is looked who lives.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Each partition succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0).max(1));
    let deadline = Instant::now() + patience;
    // First all are asked for, then all are waited for: the time is that of the whole request.
    let mut asked = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let begin = |partition: DeleteRecordsPartition| {
            let begun = begin(context, &topic.name, &partition);
            (partition, begun)
        };
        let begun: Vec<_> = topic.partitions.into_iter().map(begin).collect();
        asked.push((topic.name, begun));
    }
    let mut topics = Vec::with_capacity(asked.len());
    for (name, begun) in asked {
        let mut partitions = Vec::with_capacity(begun.len());
        for (partition, begun) in begun {
            let outcome = match begun {
                Ok(trimming) => trimming.end(context, deadline).await,
                Err(code) => (-1, code),
            };
            partitions.push(result(context, &partition, outcome));
        }
        topics.push(DeleteRecordsTopicResult { name, partitions });
    }
    DeleteRecordsResponse {
        topics,
        ..DeleteRecordsResponse::default()
    }
}

/// A partition whose log is about to begin at `to`, or later.
struct Trimming {
    partition: Arc<Partition>,
    to: Offset,
    task: JoinHandle<Result<Offset, TrimError>>,
}

impl Trimming {
    async fn end(self, context: &Context, deadline: Instant) -> (Offset, ErrorCode) {
        let Self {
            partition,
            to,
            task,
        } = self;
        match timeout_at(deadline, task).await {
            Ok(Ok(Ok(_))) => everywhere(context, &partition, to, deadline).await,
            Ok(Ok(Err(error))) => (-1, error.code()),
            // The broker is stopping.
            Ok(Err(_)) => (-1, ErrorCode::NotLeaderOrFollower),
            Err(_) => (-1, ErrorCode::RequestTimedOut),
        }
    }
}

fn begin(
    context: &Context,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> Result<Trimming, ErrorCode> {
    let partition = context
        .locate(topic, asked.partition_index)
        .map_err(|error| error.code())?;
    if partition.name().topic.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !partition.view().cleanup().delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let wanted = (asked.offset != HIGH_WATERMARK).then_some(asked.offset);
    let to = partition.trimmed_start(wanted);
    let to = to.ok_or(ErrorCode::OffsetOutOfRange)?;
    let trimmed = Arc::clone(&partition);
    let task = tokio::spawn(async move { trimmed.trim(to).await });
    Ok(Trimming {
        partition,
        to,
        task,
    })
}

/// Waits until the logs of all replicas that live begin there: with the next leader the records
/// must be gone as well. Gives the least of their starts.
async fn everywhere(
    context: &Context,
    partition: &Partition,
    to: Offset,
    deadline: Instant,
) -> (Offset, ErrorCode) {
    let watcher: Arc<Watcher> = Arc::default();
    loop {
        let seen = partition.seen(Isolation::ReadUncommitted);
        let Some(low) = partition.low_watermark(&context.image()) else {
            return (-1, ErrorCode::NotLeaderOrFollower);
        };
        if low >= to {
            // Disks may begin later than the log does.
            return (low.min(partition.ends().log_start), ErrorCode::None);
        }
        // Brokers that are fenced meanwhile are not waited for, and nobody tells of them here.
        let again = deadline.min(Instant::now() + LOOK_AGAIN);
        let watch = partition.watch(seen, &watcher, 0);
        if watch.is_some() && timeout_at(again, watcher.told()).await.is_ok() {
            watcher.take();
        }
        if Instant::now() >= deadline {
            return (low, ErrorCode::RequestTimedOut);
        }
    }
}

fn result(
    context: &Context,
    asked: &DeleteRecordsPartition,
    (low_watermark, code): (Offset, ErrorCode),
) -> DeleteRecordsPartitionResult {
    if code != ErrorCode::None {
        context.metrics.error(code);
    }
    DeleteRecordsPartitionResult {
        partition_index: asked.partition_index,
        low_watermark,
        error_code: code.code(),
    }
}
