//! DescribeTopicPartitions (75): topics in detail, by name, page by page (KIP-966).

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_metadata::{MetadataImage, Partition, Topic};
use freshet_types::{NodeId, TopicName};
use freshet_wire::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use freshet_wire::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, ErrorCode,
};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::operations::ALL_ON_TOPIC;

/// Topics in the order of their names, from the cursor on, until the page is full of partitions.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = context.image();
    let most = context.limits.describe_partitions_max;
    let room = request.response_partition_limit.min(most).max(1);
    let page = page(&image, &request, usize::try_from(room).unwrap_or(1));
    for topic in page.topics.iter().filter(|topic| topic.error_code != 0) {
        if let Some(code) = ErrorCode::from_code(topic.error_code) {
            context.metrics.error(code);
        }
    }
    page
}

fn page(
    image: &MetadataImage,
    request: &DescribeTopicPartitionsRequest,
    mut room: usize,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let all = request.topics.is_empty();
    let mut names: BTreeSet<&str> = request.topics.iter().map(|t| t.name.as_str()).collect();
    if all {
        names = image.topics().map(|topic| topic.name.as_str()).collect();
    }
    let cursor = request.cursor.as_ref();
    if cursor.is_some_and(|cursor| cursor.partition_index < 0) {
        let code = ErrorCode::InvalidRequest;
        response.topics = names.into_iter().map(|name| refused(name, code)).collect();
        return response;
    }
    let from = cursor.map_or("", |cursor| cursor.topic_name.as_str());
    for name in names.range(from..) {
        if room == 0 {
            response.next_cursor = Some(at(name, 0));
            return response;
        }
        let Some(topic) = image.topic(name) else {
            response.topics.push(refused(name, unknown(name)));
            continue;
        };
        let first = cursor.filter(|cursor| cursor.topic_name == *name);
        let first = first.map_or(0, |cursor| cursor.partition_index);
        let shown = partitions(topic, first, room);
        room -= shown.len();
        let next = usize::try_from(first).unwrap_or(0) + shown.len();
        response.topics.push(described(topic, shown));
        if next < topic.partitions.len() {
            response.next_cursor = Some(at(name, i32::try_from(next).unwrap_or(i32::MAX)));
            return response;
        }
    }
    response
}

fn at(topic: &str, partition_index: i32) -> Cursor {
    Cursor {
        topic_name: topic.to_owned(),
        partition_index,
    }
}

fn unknown(name: &str) -> ErrorCode {
    match TopicName::new(name) {
        Ok(_) => ErrorCode::UnknownTopicOrPartition,
        Err(_) => ErrorCode::InvalidTopicException,
    }
}

fn refused(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned()),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn described(
    topic: &Topic,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.name.is_internal(),
        partitions,
        topic_authorized_operations: ALL_ON_TOPIC,
    }
}

fn partitions(
    topic: &Topic,
    first: i32,
    room: usize,
) -> Vec<DescribeTopicPartitionsResponsePartition> {
    let rest = topic.iter().skip(usize::try_from(first).unwrap_or(0));
    rest.take(room)
        .map(|(index, state)| partition(index, state))
        .collect()
}

fn partition(index: i32, state: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    DescribeTopicPartitionsResponsePartition {
        error_code: match state.leader {
            Some(_) => ErrorCode::None.code(),
            None => ErrorCode::LeaderNotAvailable.code(),
        },
        partition_index: index,
        leader_id: state.leader.map_or(-1, |leader| leader.0),
        leader_epoch: state.leader_epoch,
        replica_nodes: numbers(&state.replicas),
        isr_nodes: numbers(&state.isr),
        eligible_leader_replicas: Some(numbers(&state.eligible)),
        last_known_elr: Some(numbers(&state.last_known_eligible)),
        offline_replicas: Vec::new(),
    }
}
