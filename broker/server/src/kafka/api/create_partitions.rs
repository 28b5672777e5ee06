//! CreatePartitions (37).

use std::sync::Arc;

use freshet_metadata::{CreatePartitions, MorePartitions};
use freshet_types::NodeId;
use freshet_wire::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use freshet_wire::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, in_turn, not_own_topic, outcomes, told};

/// Each topic succeeds or fails alone; all are named in the reply.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let names: Vec<String> = request.topics.iter().map(|t| t.name.clone()).collect();
    let allowed = |asked: CreatePartitionsTopic| {
        not_own_topic(&asked.name)?;
        Ok(more(asked))
    };
    let wanted: Vec<Result<MorePartitions, Refusal>> =
        request.topics.into_iter().map(allowed).collect();
    let topics: Vec<MorePartitions> = wanted.iter().flatten().cloned().collect();
    let count = topics.len();
    let change = CreatePartitions {
        topics,
        validate_only: request.validate_only,
    };
    let answer = context.change_within(request.timeout_ms, change).await;
    let outcomes = in_turn(wanted, outcomes(count, answer));
    let result = |(name, outcome)| {
        let (error_code, error_message) = told(context, &outcome);
        CreatePartitionsTopicResult {
            name,
            error_code,
            error_message,
        }
    };
    CreatePartitionsResponse {
        results: names.into_iter().zip(outcomes).map(result).collect(),
        ..CreatePartitionsResponse::default()
    }
}

fn more(asked: CreatePartitionsTopic) -> MorePartitions {
    let assignments = asked.assignments.map(|all| {
        all.into_iter()
            .map(|a| a.broker_ids.into_iter().map(NodeId).collect())
            .collect()
    });
    MorePartitions {
        name: asked.name,
        count: asked.count,
        assignments,
    }
}
