//! AlterReplicaLogDirs (34): has this broker keep replicas in other directories of its own (KIP-113).

use std::path::Path;
use std::sync::Arc;

use freshet_log::LogDir;
use freshet_partition::MoveError;
use freshet_types::TopicPartition;
use freshet_wire::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopic, AlterReplicaLogDirTopicResult,
};
use freshet_wire::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, ErrorCode};

use super::describe_log_dirs::shown;
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::Coded as _;

/// Each replica succeeds or fails alone; success means that its move has begun. One that is not here
/// yet is refused, and its directory remembered for when it comes.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: AlterReplicaLogDirsRequest,
) -> AlterReplicaLogDirsResponse {
    let mut results = Vec::new();
    for asked in request.dirs {
        let mut dirs = context.writers.dirs().iter();
        let dir = dirs.find(|dir| shown(dir.path()) == shown(Path::new(&asked.path)));
        for topic in asked.topics {
            results.push(move_topic(context, dir, topic).await);
        }
    }
    AlterReplicaLogDirsResponse {
        results,
        ..AlterReplicaLogDirsResponse::default()
    }
}

async fn move_topic(
    context: &Context,
    dir: Option<&Arc<LogDir>>,
    topic: AlterReplicaLogDirTopic,
) -> AlterReplicaLogDirTopicResult {
    let checked = topic.partitions.iter();
    let checked = checked.map(|partition| check(context, dir, &topic.name, *partition));
    let checked: Vec<_> = checked.collect();
    let moves = checked.iter().flatten().cloned().collect();
    let mut begun = context.partitions.move_replicas(moves).await.into_iter();
    let result = |(partition_index, checked): (i32, Result<_, ErrorCode>)| {
        let code = match checked {
            Err(code) => code,
            Ok(_) => match begun.next().unwrap_or(Err(MoveError::Stopping)) {
                Ok(()) => ErrorCode::None,
                Err(error) => error.code(),
            },
        };
        if code != ErrorCode::None {
            context.metrics.error(code);
        }
        AlterReplicaLogDirPartitionResult {
            partition_index,
            error_code: code.code(),
        }
    };
    let partitions = topic.partitions.into_iter().zip(checked);
    AlterReplicaLogDirTopicResult {
        topic_name: topic.name,
        partitions: partitions.map(result).collect(),
    }
}

/// What is asked for, if it can be asked for at all.
fn check(
    context: &Context,
    dir: Option<&Arc<LogDir>>,
    topic: &str,
    partition: i32,
) -> Result<(TopicPartition, Arc<LogDir>), ErrorCode> {
    let dir = dir.ok_or(ErrorCode::LogDirNotFound)?;
    if dir.failure().is_some() {
        return Err(ErrorCode::KafkaStorageError);
    }
    let image = context.image();
    let known = image.topic(topic);
    let known = known.filter(|topic| topic.partition(partition).is_some());
    let topic = known.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let at = TopicPartition {
        topic: topic.id,
        partition,
    };
    Ok((at, Arc::clone(dir)))
}
