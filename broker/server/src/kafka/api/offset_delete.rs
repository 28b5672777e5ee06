//! OffsetDelete (47): forgets committed offsets of topics that nobody in the group reads (KIP-496).

use std::sync::Arc;

use freshet_coordinators::groups::api::{DeleteOffsets, TopicOutcome};
use freshet_metadata::MetadataImage;
use freshet_wire::offset_delete::{
    OffsetDeleteRequestTopic, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use freshet_wire::{ErrorCode, OffsetDeleteRequest, OffsetDeleteResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;

/// Deletes what exists; partitions that do not are refused one by one.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    let image = context.image();
    let mut topics = Vec::new();
    let mut deletes = Vec::new();
    for asked in &request.topics {
        let (unknown, known) = split(&image, asked);
        topics.push(unknown);
        deletes.push((asked.name.as_str().into(), known));
    }
    let delete = DeleteOffsets {
        group: request.group_id.into(),
        topics: deletes,
    };
    let group = Arc::clone(&delete.group);
    let answer = coordinator::ask(context, &group, delete).await;
    match answer.and_then(|result| result.map_err(|error| error.code())) {
        Ok(outcomes) => {
            for (topic, outcome) in topics.iter_mut().zip(outcomes) {
                topic.partitions.extend(answered(context, outcome));
            }
            OffsetDeleteResponse {
                topics,
                ..OffsetDeleteResponse::default()
            }
        }
        Err(code) => {
            context.metrics.error(code);
            OffsetDeleteResponse {
                error_code: code.code(),
                ..OffsetDeleteResponse::default()
            }
        }
    }
}

/// The answer for partitions that do not exist, and the partitions that do.
fn split(
    image: &MetadataImage,
    asked: &OffsetDeleteRequestTopic,
) -> (OffsetDeleteResponseTopic, Vec<i32>) {
    let topic = image.topic(&asked.name);
    let exists = |index: &i32| topic.is_some_and(|topic| topic.partition(*index).is_some());
    let indexes = asked
        .partitions
        .iter()
        .map(|partition| partition.partition_index);
    let (known, unknown): (Vec<i32>, Vec<i32>) = indexes.partition(exists);
    let refuse = |partition_index| OffsetDeleteResponsePartition {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
    };
    let response = OffsetDeleteResponseTopic {
        name: asked.name.clone(),
        partitions: unknown.into_iter().map(refuse).collect(),
    };
    (response, known)
}

fn answered(context: &Context, outcome: TopicOutcome) -> Vec<OffsetDeleteResponsePartition> {
    let one = |(partition_index, result): (i32, Result<(), _>)| {
        let code = result.map_or_else(|error| Coded::code(&error), |()| ErrorCode::None);
        if code != ErrorCode::None {
            context.metrics.error(code);
        }
        OffsetDeleteResponsePartition {
            partition_index,
            error_code: code.code(),
        }
    };
    outcome.partitions.into_iter().map(one).collect()
}
