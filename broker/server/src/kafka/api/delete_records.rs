//! DeleteRecords (21): moves the log start of partitions (KIP-107).

use std::sync::Arc;
use std::time::Duration;

use freshet_types::Offset;
use freshet_wire::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use freshet_wire::{DeleteRecordsRequest, DeleteRecordsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;

/// As an offset to delete up to: everything that is committed.
const HIGH_WATERMARK: Offset = -1;

/// Each partition succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let patience = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0).max(1));
    let deadline = tokio::time::Instant::now() + patience;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let trimmed = trim(context, &topic.name, &asked);
            let outcome = match tokio::time::timeout_at(deadline, trimmed).await {
                Ok(outcome) => outcome,
                Err(_) => Err(ErrorCode::RequestTimedOut),
            };
            partitions.push(result(context, &asked, outcome));
        }
        topics.push(DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
        });
    }
    DeleteRecordsResponse {
        topics,
        ..DeleteRecordsResponse::default()
    }
}

/// Gives the new log start.
async fn trim(
    context: &Context,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    let partition = context
        .locate(topic, asked.partition_index)
        .map_err(|error| error.code())?;
    if partition.name().topic.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    if !partition.view().cleanup().delete {
        return Err(ErrorCode::PolicyViolation);
    }
    let committed = partition.ends().high_watermark;
    let to = match asked.offset {
        HIGH_WATERMARK => committed,
        offset if (0..=committed).contains(&offset) => offset,
        _ => return Err(ErrorCode::OffsetOutOfRange),
    };
    partition.trim(to).await.map_err(|error| error.code())
}

fn result(
    context: &Context,
    asked: &DeleteRecordsPartition,
    outcome: Result<Offset, ErrorCode>,
) -> DeleteRecordsPartitionResult {
    let (low_watermark, code) = match outcome {
        Ok(log_start) => (log_start, ErrorCode::None),
        Err(code) => {
            context.metrics.error(code);
            (-1, code)
        }
    };
    DeleteRecordsPartitionResult {
        partition_index: asked.partition_index,
        low_watermark,
        error_code: code.code(),
    }
}
