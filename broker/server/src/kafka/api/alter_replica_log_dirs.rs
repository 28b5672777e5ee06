//! AlterReplicaLogDirs (34): has this broker keep replicas in other directories of its own (KIP-113).

use std::path::Path;
use std::sync::Arc;

use freshet_log::LogDir;
use freshet_types::TopicPartition;
use freshet_wire::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use freshet_wire::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, ErrorCode};

use super::describe_log_dirs::shown;
use crate::kafka::call::Call;
use crate::kafka::context::Context;

/// Each replica succeeds or fails alone. A replica that is not here yet is refused: where it goes, the
/// controller has decided. Nothing is copied between directories yet; that is refused, too.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let results = request.dirs.into_iter().flat_map(|dir| asked(context, dir));
    AlterReplicaLogDirsResponse {
        results: results.collect(),
        ..AlterReplicaLogDirsResponse::default()
    }
}

fn asked(context: &Context, asked: AlterReplicaLogDir) -> Vec<AlterReplicaLogDirTopicResult> {
    let mut dirs = context.writers.dirs().iter();
    let dir = dirs.find(|dir| shown(dir.path()) == shown(Path::new(&asked.path)));
    let topic = |topic: freshet_wire::alter_replica_log_dirs::AlterReplicaLogDirTopic| {
        let result = |partition_index| {
            let code = verdict(context, dir, &topic.name, partition_index);
            if code != ErrorCode::None {
                context.metrics.error(code);
            }
            AlterReplicaLogDirPartitionResult {
                partition_index,
                error_code: code.code(),
            }
        };
        let partitions = topic.partitions.iter().copied().map(result).collect();
        AlterReplicaLogDirTopicResult {
            topic_name: topic.name,
            partitions,
        }
    };
    asked.topics.into_iter().map(topic).collect()
}

fn verdict(context: &Context, dir: Option<&Arc<LogDir>>, topic: &str, partition: i32) -> ErrorCode {
    let Some(dir) = dir else {
        return ErrorCode::LogDirNotFound;
    };
    if dir.failure().is_some() {
        return ErrorCode::KafkaStorageError;
    }
    let image = context.image();
    let Some(topic) = image
        .topic(topic)
        .filter(|t| t.partition(partition).is_some())
    else {
        return ErrorCode::UnknownTopicOrPartition;
    };
    let at = TopicPartition {
        topic: topic.id,
        partition,
    };
    match context.partitions.get(at) {
        None => ErrorCode::ReplicaNotAvailable,
        Some(open) if Arc::ptr_eq(open.view().dir(), dir) => ErrorCode::None,
        // "The broker did not attempt to execute this operation."
        Some(_) => ErrorCode::OperationNotAttempted,
    }
}
