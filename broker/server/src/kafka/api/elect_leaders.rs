//! ElectLeaders (43): preferred leaders (KIP-183), and leaders that may miss records (KIP-460).

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_metadata::{ElectLeaders, ElectedLeader, PartitionName};
use freshet_wire::elect_leaders::{
    PREFERRED, PartitionResult, ReplicaElectionResult, TopicPartitions, UNCLEAN,
};
use freshet_wire::{ElectLeadersRequest, ElectLeadersResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// Each partition succeeds or fails alone. Version 0 has no room for an error of the whole request:
/// there, each partition that was named gets it.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let named = request.topic_partitions.map(names);
    let asked = unclean(request.election_type).map(|unclean| ElectLeaders {
        unclean,
        partitions: named.clone(),
    });
    let elected = match asked {
        Ok(change) => context.change_within(request.timeout_ms, change).await,
        Err(refusal) => Err(refusal),
    };
    match elected {
        Ok(elected) => ElectLeadersResponse {
            replica_election_results: results(context, elected),
            ..ElectLeadersResponse::default()
        },
        Err(refusal) => refused(context, call, named, &refusal),
    }
}

fn unclean(election_type: i8) -> Result<bool, Refusal> {
    match election_type {
        PREFERRED => Ok(false),
        UNCLEAN => Ok(true),
        other => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("election type {other} is not known"),
        )),
    }
}

fn names(topics: Vec<TopicPartitions>) -> Vec<PartitionName> {
    let of = |topic: TopicPartitions| {
        let name = topic.topic;
        let partition = move |partition| PartitionName {
            topic: name.clone(),
            partition,
        };
        topic.partitions.into_iter().map(partition)
    };
    topics.into_iter().flat_map(of).collect()
}

fn results(context: &Context, elected: Vec<ElectedLeader>) -> Vec<ReplicaElectionResult> {
    let outcomes = elected.into_iter().map(|elected| {
        let outcome = elected.outcome.map(|_| ()).map_err(Refusal::from);
        (elected.partition, outcome)
    });
    by_topic(context, outcomes)
}

fn by_topic(
    context: &Context,
    outcomes: impl Iterator<Item = (PartitionName, Result<(), Refusal>)>,
) -> Vec<ReplicaElectionResult> {
    let mut topics: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    for (partition, outcome) in outcomes {
        let (error_code, error_message) = told(context, &outcome);
        let result = PartitionResult {
            partition_id: partition.partition,
            error_code,
            error_message,
        };
        topics.entry(partition.topic).or_default().push(result);
    }
    let topic = |(topic, partition_result)| ReplicaElectionResult {
        topic,
        partition_result,
    };
    topics.into_iter().map(topic).collect()
}

fn refused(
    context: &Context,
    call: &Call,
    named: Option<Vec<PartitionName>>,
    refusal: &Refusal,
) -> ElectLeadersResponse {
    let mut response = ElectLeadersResponse::default();
    if call.version == 0 {
        let named = named.unwrap_or_default().into_iter();
        let all = named.map(|name| (name, Err(refusal.clone())));
        response.replica_election_results = by_topic(context, all);
    } else {
        context.metrics.error(refusal.code);
        response.error_code = refusal.code.code();
    }
    response
}
