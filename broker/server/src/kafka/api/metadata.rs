//! Metadata (3): who is there, which topics, who leads them. Every client's first question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_metadata::{MetadataImage, Partition, Topic};
use freshet_types::{NodeId, TopicId};
use freshet_wire::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    OPERATIONS_OMITTED,
};
use freshet_wire::{ErrorCode, MetadataRequest, MetadataResponse};

use crate::kafka::auto_create;
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::unknown_topic;
use crate::kafka::operations::{ALL_ON_CLUSTER, ALL_ON_TOPIC};

/// Answers from the committed image; creates what is missing first, where both sides allow it.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: MetadataRequest,
) -> MetadataResponse {
    // Version 0 has no way to say "all" but an empty list.
    let asked = request
        .topics
        .filter(|topics| call.version > 0 || !topics.is_empty());
    let may_create = request.allow_auto_topic_creation || call.version < 4;
    let refused = match &asked {
        Some(topics) if may_create && context.layers().topic_defaults().auto_create => {
            let image = context.image();
            let missing = topics.iter().filter_map(|topic| topic.name.clone());
            let missing: BTreeSet<_> = missing.filter(|name| image.topic(name).is_none()).collect();
            auto_create::create_missing(context, missing)
                .await
                .into_iter()
                .collect()
        }
        _ => BTreeMap::new(),
    };
    let image = context.image();
    let operations = request.include_topic_authorized_operations;
    let topics = match asked {
        None => image
            .topics()
            .map(|topic| describe(topic, operations))
            .collect(),
        Some(topics) => topics
            .into_iter()
            .map(|topic| answer(&image, topic, &refused, operations))
            .collect(),
    };
    MetadataResponse {
        brokers: brokers(call, &image),
        cluster_id: Some(context.identity.cluster_id.to_string()),
        controller_id: context.identity.node_id.0,
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            ALL_ON_CLUSTER
        } else {
            OPERATIONS_OMITTED
        },
        ..MetadataResponse::default()
    }
}

/// Brokers with the address that clients of this listener can reach.
fn brokers(call: &Call, image: &MetadataImage) -> Vec<MetadataResponseBroker> {
    let alive = image.brokers().filter(|broker| !broker.fenced);
    let reachable = alive.filter_map(|broker| {
        let listener = broker.listener(&call.origin.listener)?;
        Some(MetadataResponseBroker {
            node_id: broker.node.0,
            host: listener.host.clone(),
            port: i32::from(listener.port),
            rack: broker.rack.clone(),
        })
    });
    reachable.collect()
}

fn answer(
    image: &MetadataImage,
    asked: MetadataRequestTopic,
    refused: &BTreeMap<String, ErrorCode>,
    operations: bool,
) -> MetadataResponseTopic {
    let by_id = !asked.topic_id.is_zero();
    let found = match &asked.name {
        _ if by_id => image.topic_by_id(asked.topic_id),
        Some(name) => image.topic(name),
        None => None,
    };
    if let Some(topic) = found {
        return describe(topic, operations);
    }
    let code = match &asked.name {
        _ if by_id => ErrorCode::UnknownTopicId,
        Some(name) => refused
            .get(name)
            .copied()
            .unwrap_or_else(|| unknown_topic(name)),
        None => ErrorCode::InvalidRequest,
    };
    MetadataResponseTopic {
        error_code: code.code(),
        // Before version 12 a name cannot be null.
        name: Some(asked.name.unwrap_or_default()),
        topic_id: if by_id { asked.topic_id } else { TopicId::ZERO },
        ..MetadataResponseTopic::default()
    }
}

fn describe(topic: &Arc<Topic>, operations: bool) -> MetadataResponseTopic {
    let partitions = topic.iter().map(|(partition_index, partition)| {
        let state = PartitionState::of(partition);
        MetadataResponsePartition {
            error_code: state.error_code,
            partition_index,
            leader_id: state.leader_id,
            leader_epoch: state.leader_epoch,
            replica_nodes: state.replica_nodes,
            isr_nodes: state.isr_nodes,
            offline_replicas: Vec::new(),
        }
    });
    MetadataResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.name.is_internal(),
        partitions: partitions.collect(),
        topic_authorized_operations: if operations {
            ALL_ON_TOPIC
        } else {
            OPERATIONS_OMITTED
        },
    }
}

/// A partition's leader and replicas in the words of the protocol, for all APIs that tell them.
pub(super) struct PartitionState {
    pub(super) error_code: i16,
    /// -1 without a leader.
    pub(super) leader_id: i32,
    pub(super) leader_epoch: i32,
    pub(super) replica_nodes: Vec<i32>,
    pub(super) isr_nodes: Vec<i32>,
}

impl PartitionState {
    pub(super) fn of(partition: &Partition) -> Self {
        let code = match partition.leader {
            Some(_) => ErrorCode::None,
            None => ErrorCode::LeaderNotAvailable,
        };
        Self {
            error_code: code.code(),
            leader_id: partition.leader.map_or(-1, |leader| leader.0),
            leader_epoch: partition.leader_epoch,
            replica_nodes: numbers(&partition.replicas),
            isr_nodes: numbers(&partition.isr),
        }
    }
}

/// Brokers by their numbers.
pub(super) fn numbers(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}
