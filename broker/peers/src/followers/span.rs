//! Asks a leader which offsets it has, when it does not have the one that was asked for.

use std::time::Duration;

use freshet_client::{ClientError, Connection};
use freshet_partition::replication::Answer;
use freshet_partition::{FetchPoint, Partition};
use freshet_types::{NodeId, Offset};
use freshet_wire::list_offsets::{EARLIEST, ListOffsetsPartition, ListOffsetsTopic};
use freshet_wire::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use freshet_wire::{ErrorCode, ListOffsetsRequest, OffsetForLeaderEpochRequest, Request};

use super::answer::failure;

/// Why the span is not known.
enum SpanError {
    Connection(ClientError),
    Leader(Answer),
}

impl From<ClientError> for SpanError {
    fn from(error: ClientError) -> Self {
        Self::Connection(error)
    }
}

/// The answer to a fetch that was out of range.
pub(super) async fn span(
    line: &Connection,
    me: NodeId,
    partition: &Partition,
    point: FetchPoint,
) -> Answer {
    let found = async {
        let log_start = start(line, me, partition, point).await?;
        let log_end = end(line, me, partition, point).await?;
        Ok(Answer::OutOfRange { log_start, log_end })
    };
    match found.await {
        Ok(answer) | Err(SpanError::Leader(answer)) => answer,
        Err(SpanError::Connection(error)) => {
            tracing::debug!(log = %partition.name(), %error, "the leader's span is not known");
            Answer::Failed
        }
    }
}

async fn start(
    line: &Connection,
    me: NodeId,
    partition: &Partition,
    point: FetchPoint,
) -> Result<Offset, SpanError> {
    let name = partition.name();
    let request = ListOffsetsRequest {
        replica_id: me.0,
        topics: vec![ListOffsetsTopic {
            name: name.topic.to_string(),
            partitions: vec![ListOffsetsPartition {
                partition_index: name.partition,
                current_leader_epoch: point.leader_epoch,
                timestamp: EARLIEST,
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let answer = ask(line, &request).await?;
    let first = answer.topics.first().and_then(|t| t.partitions.first());
    let found = first.map(|found| (found.error_code, found.offset));
    offset(found)
}

/// The leader's own epoch ends with its log.
async fn end(
    line: &Connection,
    me: NodeId,
    partition: &Partition,
    point: FetchPoint,
) -> Result<Offset, SpanError> {
    let name = partition.name();
    let request = OffsetForLeaderEpochRequest {
        replica_id: me.0,
        topics: vec![OffsetForLeaderTopic {
            topic: name.topic.to_string(),
            partitions: vec![OffsetForLeaderPartition {
                partition: name.partition,
                current_leader_epoch: point.leader_epoch,
                leader_epoch: point.leader_epoch,
            }],
        }],
    };
    let answer = ask(line, &request).await?;
    let first = answer.topics.first().and_then(|t| t.partitions.first());
    let found = first.map(|found| (found.error_code, found.end_offset));
    offset(found)
}

async fn ask<R: Request>(line: &Connection, request: &R) -> Result<R::Response, ClientError> {
    let newest = *R::VERSIONS.end();
    line.call(request, newest, Duration::ZERO).await
}

fn offset(found: Option<(i16, Offset)>) -> Result<Offset, SpanError> {
    match found {
        Some((0, offset)) if offset >= 0 => Ok(offset),
        Some((code, _)) if code != 0 => Err(SpanError::Leader(failure(ErrorCode::from_code(code)))),
        _ => Err(SpanError::Leader(Answer::Failed)),
    }
}
