//! AlterPartitionReassignments (45): who shall keep partitions (KIP-455).

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_metadata::{PartitionName, Reassign, Reassignment};
use freshet_types::NodeId;
use freshet_wire::alter_partition_reassignments::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use freshet_wire::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// Each partition succeeds or fails alone. Success means that the move is under way:
/// ListPartitionReassignments tells when it is done.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let allow_factor_change = request.allow_replication_factor_change;
    let timeout_ms = request.timeout_ms;
    let changes = changes(request);
    let names: Vec<PartitionName> = changes.iter().map(|c| c.partition.clone()).collect();
    let change = Reassign {
        changes,
        allow_factor_change,
    };
    let mut response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: allow_factor_change,
        ..AlterPartitionReassignmentsResponse::default()
    };
    match context.change_within(timeout_ms, change).await {
        Ok(outcomes) => {
            let mut topics: BTreeMap<String, Vec<_>> = BTreeMap::new();
            for (name, outcome) in names.into_iter().zip(outcomes) {
                let (error_code, error_message) = told(context, &outcome.map_err(Refusal::from));
                let result = ReassignablePartitionResponse {
                    partition_index: name.partition,
                    error_code,
                    error_message,
                };
                topics.entry(name.topic).or_default().push(result);
            }
            let topic = |(name, partitions)| ReassignableTopicResponse { name, partitions };
            response.responses = topics.into_iter().map(topic).collect();
        }
        Err(refusal) => {
            (response.error_code, response.error_message) = told::<()>(context, &Err(refusal));
        }
    }
    response
}

fn changes(request: AlterPartitionReassignmentsRequest) -> Vec<Reassignment> {
    let topics = request.topics.into_iter();
    let changes = topics.flat_map(|topic| {
        topic.partitions.into_iter().map(move |asked| Reassignment {
            partition: PartitionName {
                topic: topic.name.clone(),
                partition: asked.partition_index,
            },
            replicas: asked
                .replicas
                .map(|all| all.into_iter().map(NodeId).collect()),
        })
    });
    changes.collect()
}
