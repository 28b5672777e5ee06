//! OffsetForLeaderEpoch (23): where a leader epoch ends, so that a client can see whether records
//! it has read were truncated (KIP-101, KIP-279, KIP-320).

use std::sync::Arc;

use freshet_types::NodeId;
use freshet_wire::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use freshet_wire::{ErrorCode, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded;

/// Answers each partition.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| OffsetForLeaderTopicResult {
            partitions: topic
                .partitions
                .iter()
                .map(|asked| answer(context, request.replica_id, &topic.topic, asked))
                .collect(),
            topic: topic.topic,
        })
        .collect();
    OffsetForLeaderEpochResponse {
        topics,
        ..OffsetForLeaderEpochResponse::default()
    }
}

fn answer(
    context: &Context,
    replica_id: i32,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let found = context
        .locate(topic, asked.partition)
        .map_err(|error| error.code())
        .and_then(|partition| {
            partition
                .check_epoch(asked.current_leader_epoch)
                .map_err(|error| error.code())?;
            let epoch = asked.leader_epoch;
            let end = match replica_id {
                0.. => partition.end_of_epoch_for(NodeId(replica_id), epoch),
                _ => partition.end_of_epoch(epoch),
            };
            end.map_err(|error| error.code())
        });
    match found {
        Ok(end) => EpochEndOffset {
            error_code: ErrorCode::None.code(),
            partition: asked.partition,
            leader_epoch: end.epoch,
            end_offset: end.end_offset,
        },
        Err(code) => {
            context.metrics.error(code);
            EpochEndOffset {
                error_code: code.code(),
                partition: asked.partition,
                leader_epoch: -1,
                end_offset: -1,
            }
        }
    }
}
