//! DescribeQuorum (55): who votes on the metadata, who listens, how far each is (KIP-836, KIP-853).

use std::sync::Arc;

use freshet_quorum::{Endpoint, Peer, PeerId, QuorumStatus, ReplicaStatus, VotersError};
use freshet_types::{Offset, Timestamp, TopicId};
use freshet_wire::describe_quorum::{
    Listener, Node, PartitionDataResponse, ReplicaState, TopicDataResponse,
};
use freshet_wire::{DescribeQuorumRequest, DescribeQuorumResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{METADATA_TOPIC, Refusal, told};

/// The quorum of `__cluster_metadata`; no other topic has one.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let status = match &context.voters {
        Some(voters) => voters.status().await,
        None => Ok(alone(context)),
    };
    let status = status.map_err(|error: VotersError| Refusal::from(error));
    let (error_code, error_message) = told(context, &status);
    let Ok(status) = status else {
        return DescribeQuorumResponse {
            error_code,
            error_message,
            ..DescribeQuorumResponse::default()
        };
    };
    let topics = request.topics.into_iter().map(|topic| {
        let is_ours = topic.topic_name == METADATA_TOPIC;
        let asked = topic.partitions.into_iter().map(|p| p.partition_index);
        let partition = |index| match index {
            0 if is_ours => quorum(&status),
            index => unknown(context, index),
        };
        TopicDataResponse {
            partitions: asked.map(partition).collect(),
            topic_name: topic.topic_name,
        }
    });
    DescribeQuorumResponse {
        topics: topics.collect(),
        // Older versions have no place for it.
        nodes: if call.version >= 2 {
            nodes(&status)
        } else {
            Vec::new()
        },
        ..DescribeQuorumResponse::default()
    }
}

/// A broker that keeps the metadata by itself: one voter, who has everything.
fn alone(context: &Context) -> QuorumStatus {
    let image = context.image();
    let node = context.identity.node_id;
    let directory = image.broker(node).and_then(|b| b.directories.first());
    let end: Offset = image.position().offset + 1;
    let now = context.clock.wall();
    let voter = ReplicaStatus {
        peer: Peer {
            id: PeerId {
                node,
                directory: TopicId(directory.map_or([0; 16], |d| d.0)),
            },
            endpoints: Vec::new(),
        },
        log_end_offset: end,
        last_fetch: Some(now),
        last_caught_up: Some(now),
    };
    QuorumStatus {
        leader: Some(node),
        epoch: context.quorum.leadership().borrow().epoch,
        high_watermark: end,
        voters: vec![voter],
        observers: Vec::new(),
    }
}

fn quorum(status: &QuorumStatus) -> PartitionDataResponse {
    let states = |all: &[ReplicaStatus]| all.iter().map(replica).collect();
    PartitionDataResponse {
        leader_id: status.leader.map_or(-1, |node| node.0),
        leader_epoch: status.epoch,
        high_watermark: status.high_watermark,
        current_voters: states(&status.voters),
        observers: states(&status.observers),
        ..PartitionDataResponse::default()
    }
}

fn replica(status: &ReplicaStatus) -> ReplicaState {
    let millis = |time: Option<Timestamp>| time.map_or(-1, |time| time.0);
    ReplicaState {
        replica_id: status.peer.id.node.0,
        replica_directory_id: status.peer.id.directory.0,
        log_end_offset: status.log_end_offset,
        last_fetch_timestamp: millis(status.last_fetch),
        last_caught_up_timestamp: millis(status.last_caught_up),
    }
}

fn unknown(context: &Context, partition_index: i32) -> PartitionDataResponse {
    let code = ErrorCode::UnknownTopicOrPartition;
    context.metrics.error(code);
    PartitionDataResponse {
        partition_index,
        error_code: code.code(),
        error_message: Some(format!("only {METADATA_TOPIC}-0 has a quorum")),
        leader_id: -1,
        ..PartitionDataResponse::default()
    }
}

fn nodes(status: &QuorumStatus) -> Vec<Node> {
    let listener = |endpoint: &Endpoint| Listener {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
    };
    let node = |replica: &ReplicaStatus| Node {
        node_id: replica.peer.id.node.0,
        listeners: replica.peer.endpoints.iter().map(listener).collect(),
    };
    let all = status.voters.iter().chain(&status.observers);
    all.map(node).collect()
}
