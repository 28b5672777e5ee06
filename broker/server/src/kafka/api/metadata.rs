//! Metadata (3): who is there, which topics, who leads them. Every client's first question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_metadata::{Broker, BrokerListener, Partition, Topic};
use freshet_types::{NodeId, PartitionId, TopicId};
use freshet_wire::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
    OPERATIONS_OMITTED,
};
use freshet_wire::{ErrorCode, MetadataRequest, MetadataResponse};

use crate::kafka::auto_create;
use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::context::cluster_view::{ClusterView, Leader};
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
    let teller = Teller {
        view: ClusterView {
            image: &image,
            listener: &call.origin.listener,
        },
        version: call.version,
        operations: request.include_topic_authorized_operations,
    };
    let topics = match asked {
        None => image.topics().map(|topic| teller.topic(topic)).collect(),
        Some(topics) => topics
            .into_iter()
            .map(|topic| teller.answer(topic, &refused))
            .collect(),
    };
    MetadataResponse {
        brokers: teller.view.live().map(broker).collect(),
        cluster_id: Some(context.identity.cluster_id.to_string()),
        controller_id: context.controller_id(teller.view),
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            ALL_ON_CLUSTER
        } else {
            OPERATIONS_OMITTED
        },
        ..MetadataResponse::default()
    }
}

fn broker((broker, listener): (&Broker, &BrokerListener)) -> MetadataResponseBroker {
    MetadataResponseBroker {
        node_id: broker.node.0,
        host: listener.host.clone(),
        port: i32::from(listener.port),
        rack: broker.rack.clone(),
    }
}

/// What an answer depends on, beside the topic.
struct Teller<'a> {
    view: ClusterView<'a>,
    version: i16,
    operations: bool,
}

impl Teller<'_> {
    fn answer(
        &self,
        asked: MetadataRequestTopic,
        refused: &BTreeMap<String, ErrorCode>,
    ) -> MetadataResponseTopic {
        let by_id = !asked.topic_id.is_zero();
        let found = match &asked.name {
            _ if by_id => self.view.image.topic_by_id(asked.topic_id),
            Some(name) => self.view.image.topic(name),
            None => None,
        };
        if let Some(topic) = found {
            return self.topic(topic);
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

    fn topic(&self, topic: &Topic) -> MetadataResponseTopic {
        let partitions = topic.iter();
        let partitions = partitions.map(|(index, state)| self.partition(index, state));
        MetadataResponseTopic {
            error_code: ErrorCode::None.code(),
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            is_internal: topic.name.is_internal(),
            partitions: partitions.collect(),
            topic_authorized_operations: if self.operations {
                ALL_ON_TOPIC
            } else {
                OPERATIONS_OMITTED
            },
        }
    }

    fn partition(&self, index: PartitionId, partition: &Partition) -> MetadataResponsePartition {
        let (mut replicas, mut in_sync) = (partition.replicas.clone(), partition.isr.clone());
        if self.version == 0 {
            // Such clients take a replica whose address they are not told for an error of ours.
            replicas.retain(|node| self.view.is_live(*node));
            in_sync.retain(|node| self.view.is_live(*node));
        }
        let all_told =
            replicas.len() == partition.replicas.len() && in_sync.len() == partition.isr.len();
        let (leader_id, code) = match self.view.leader(partition) {
            Leader::Here(leader) if all_told => (leader.0, ErrorCode::None),
            Leader::Here(leader) => (leader.0, ErrorCode::ReplicaNotAvailable),
            Leader::OutOfReach if self.version >= 6 => (-1, ErrorCode::ListenerNotFound),
            Leader::OutOfReach | Leader::Nobody => (-1, ErrorCode::LeaderNotAvailable),
        };
        MetadataResponsePartition {
            error_code: code.code(),
            partition_index: index,
            leader_id,
            leader_epoch: partition.leader_epoch,
            replica_nodes: numbers(&replicas),
            isr_nodes: numbers(&in_sync),
            offline_replicas: self.view.offline(partition),
        }
    }
}

/// Brokers by their numbers.
pub(super) fn numbers(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}
