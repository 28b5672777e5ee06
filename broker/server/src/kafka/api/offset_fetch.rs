//! OffsetFetch (9): reads how far groups have read.

use std::sync::Arc;

use freshet_coordinators::groups::OffsetValue;
use freshet_coordinators::groups::api::{Fetch, FetchTopic, FetchedTopic};
use freshet_metadata::MetadataImage;
use freshet_types::TopicId;
use freshet_wire::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use freshet_wire::{ErrorCode, OffsetFetchRequest, OffsetFetchResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;

/// First version with an error for the whole group.
const GROUP_ERROR_FROM: i16 = 2;
/// First version with many groups (KIP-709).
const BATCH_FROM: i16 = 8;
/// First version that names topics by their ids.
const TOPIC_IDS_FROM: i16 = 10;

/// Asks for each group.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if call.version < BATCH_FROM {
        let group = fetch(context, call, single(request)).await;
        return OffsetFetchResponse {
            error_code: group.error_code,
            topics: group.topics.into_iter().map(narrow_topic).collect(),
            ..OffsetFetchResponse::default()
        };
    }
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        groups.push(fetch(context, call, group).await);
    }
    OffsetFetchResponse {
        groups,
        ..OffsetFetchResponse::default()
    }
}

/// An old request as a list of one.
fn single(request: OffsetFetchRequest) -> OffsetFetchRequestGroup {
    let widen = |topic: OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name,
        topic_id: TopicId::ZERO,
        partition_indexes: topic.partition_indexes,
    };
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics: request
            .topics
            .map(|topics| topics.into_iter().map(widen).collect()),
        ..OffsetFetchRequestGroup::default()
    }
}

fn narrow_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let narrow = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(narrow).collect(),
    }
}

async fn fetch(
    context: &Context,
    call: &Call,
    mut asked: OffsetFetchRequestGroup,
) -> OffsetFetchResponseGroup {
    let image = context.image();
    let mut unknown = Vec::new();
    if call.version >= TOPIC_IDS_FROM {
        unknown = take_unknown(&image, &mut asked.topics);
    }
    let topics = asked
        .topics
        .as_deref()
        .map(|topics| topics.iter().map(domain).collect());
    let group: Arc<str> = asked.group_id.as_str().into();
    let fetch = Fetch {
        group: Arc::clone(&group),
        topics,
    };
    let all = fetch.topics.is_none();
    match coordinator::ask(context, &group, fetch).await {
        Ok(fetched) => {
            let mut topics: Vec<_> = fetched.into_iter().map(answer).collect();
            if all && call.version >= TOPIC_IDS_FROM {
                topics = with_ids(&image, topics);
            }
            topics.append(&mut unknown);
            OffsetFetchResponseGroup {
                group_id: asked.group_id,
                topics,
                error_code: ErrorCode::None.code(),
            }
        }
        Err(code) => failed(context, call, asked, code),
    }
}

/// Names topics that come with an id; takes out those whose ids are unknown, with their answers.
fn take_unknown(
    image: &MetadataImage,
    topics: &mut Option<Vec<OffsetFetchRequestTopics>>,
) -> Vec<OffsetFetchResponseTopics> {
    let mut unknown = Vec::new();
    let Some(asked) = topics else { return unknown };
    asked.retain_mut(|topic| match image.topic_by_id(topic.topic_id) {
        Some(found) => {
            topic.name = found.name.to_string();
            true
        }
        None => {
            unknown.push(refuse(topic, ErrorCode::UnknownTopicId));
            false
        }
    });
    unknown
}

fn domain(topic: &OffsetFetchRequestTopics) -> FetchTopic {
    FetchTopic {
        topic: topic.name.as_str().into(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.clone(),
    }
}

fn answer(fetched: FetchedTopic) -> OffsetFetchResponseTopics {
    let partition = |(index, value): (i32, Option<OffsetValue>)| match value {
        Some(value) => OffsetFetchResponsePartitions {
            partition_index: index,
            committed_offset: value.offset,
            committed_leader_epoch: value.leader_epoch,
            metadata: Some(value.metadata.into()),
            error_code: ErrorCode::None.code(),
        },
        None => nothing(index, ErrorCode::None),
    };
    OffsetFetchResponseTopics {
        name: fetched.topic.as_ref().into(),
        topic_id: fetched.topic_id,
        partitions: fetched.partitions.into_iter().map(partition).collect(),
    }
}

fn nothing(index: i32, code: ErrorCode) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(String::new()),
        error_code: code.code(),
    }
}

/// In a reply by ids, topics without one are looked up, and left out if they are gone.
fn with_ids(
    image: &MetadataImage,
    topics: Vec<OffsetFetchResponseTopics>,
) -> Vec<OffsetFetchResponseTopics> {
    let identify = |mut topic: OffsetFetchResponseTopics| {
        if topic.topic_id.is_zero() {
            topic.topic_id = image.topic(&topic.name)?.id;
        }
        Some(topic)
    };
    topics.into_iter().filter_map(identify).collect()
}

/// The first version has room for errors in partitions only.
fn failed(
    context: &Context,
    call: &Call,
    asked: OffsetFetchRequestGroup,
    code: ErrorCode,
) -> OffsetFetchResponseGroup {
    let code = match code {
        // Consumers before 3.9 do not expect it here, and give up.
        ErrorCode::CoordinatorNotAvailable => ErrorCode::NotCoordinator,
        code => code,
    };
    context.metrics.error(code);
    if call.version >= GROUP_ERROR_FROM {
        return OffsetFetchResponseGroup {
            group_id: asked.group_id,
            topics: Vec::new(),
            error_code: code.code(),
        };
    }
    let topics = asked.topics.unwrap_or_default();
    OffsetFetchResponseGroup {
        group_id: asked.group_id,
        topics: topics.iter().map(|topic| refuse(topic, code)).collect(),
        error_code: code.code(),
    }
}

fn refuse(topic: &OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter();
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions.map(|&index| nothing(index, code)).collect(),
    }
}
