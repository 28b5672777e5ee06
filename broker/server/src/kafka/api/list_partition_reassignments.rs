//! ListPartitionReassignments (46): moves that are under way (KIP-455).

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_metadata::{MetadataImage, Partition, Topic};
use freshet_types::{NodeId, PartitionId};
use freshet_wire::list_partition_reassignments::{
    ListPartitionReassignmentsTopics, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use freshet_wire::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::told;

/// What moves among the partitions asked for, or among all. What does not move, or is not there, is
/// left out. Holds every change that was answered before the question.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let caught_up = context.catch_up_within(request.timeout_ms).await;
    let (error_code, error_message) = told(context, &caught_up);
    let mut response = ListPartitionReassignmentsResponse {
        error_code,
        error_message,
        ..ListPartitionReassignmentsResponse::default()
    };
    if caught_up.is_ok() {
        response.topics = moving(&context.image(), request.topics);
    }
    response
}

fn moving(
    image: &MetadataImage,
    asked: Option<Vec<ListPartitionReassignmentsTopics>>,
) -> Vec<OngoingTopicReassignment> {
    let mut topics: BTreeMap<String, BTreeMap<PartitionId, _>> = BTreeMap::new();
    let mut tell = |topic: &Topic, number: PartitionId, partition: &Partition| {
        let name = topic.name.to_string();
        let moves = topics.entry(name).or_default();
        moves.insert(number, ongoing(number, partition));
    };
    match asked {
        None => image
            .moving()
            .for_each(|(topic, number, partition)| tell(topic, number, partition)),
        Some(asked) => {
            for named in &asked {
                let Some(topic) = image.topic(&named.name) else {
                    continue;
                };
                for number in &named.partition_indexes {
                    let partition = topic.partition(*number);
                    if let Some(partition) = partition.filter(|p| p.is_moving()) {
                        tell(topic, *number, partition);
                    }
                }
            }
        }
    }
    let topic = |(name, moves): (String, BTreeMap<_, _>)| OngoingTopicReassignment {
        name,
        partitions: moves.into_values().collect(),
    };
    topics.into_iter().map(topic).collect()
}

fn ongoing(number: PartitionId, partition: &Partition) -> OngoingPartitionReassignment {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    OngoingPartitionReassignment {
        partition_index: number,
        replicas: ids(&partition.replicas),
        adding_replicas: ids(&partition.adding),
        removing_replicas: ids(&partition.removing),
    }
}
