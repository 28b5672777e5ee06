//! CreateTopics (19); also of topics that a cluster had whose disks are lost, as `freshet cluster restore`
//! asks.

use std::collections::HashMap;
use std::sync::Arc;

use freshet_metadata::{CreateTopics, CreatedTopic, NewTopic, RestoreTopics, RestoredTopic};
use freshet_types::{NodeId, TopicId};
use freshet_wire::create_topics::{CreatableTopic, CreatableTopicConfigs, CreatableTopicResult};
use freshet_wire::{CreateTopicsRequest, CreateTopicsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::configs::resource::source_code;
use crate::kafka::configs::unbuilt;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, in_turn, not_own_topic, outcomes, told};

/// Each topic succeeds or fails alone. From version 5 on the reply has all settings of the topic.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let restored = Restored::of(&request);
    let names: Vec<String> = request.topics.iter().map(|t| t.name.clone()).collect();
    let allowed = |asked: CreatableTopic| {
        not_own_topic(&asked.name)?;
        Ok(new_topic(context, asked))
    };
    let wanted: Vec<Result<NewTopic, Refusal>> = request.topics.into_iter().map(allowed).collect();
    let topics: Vec<NewTopic> = wanted.iter().flatten().cloned().collect();
    let count = topics.len();
    let (timeout_ms, validate_only) = (request.timeout_ms, request.validate_only);
    let answer = match restored {
        Some(was) => {
            let restore = was.restore(topics, validate_only);
            context.change_within(timeout_ms, restore).await
        }
        None => {
            let create = CreateTopics {
                topics,
                validate_only,
            };
            context.change_within(timeout_ms, create).await
        }
    };
    let outcomes = in_turn(wanted, outcomes(count, answer));
    if !validate_only {
        outcomes.iter().flatten().for_each(log);
    }
    let topics = names.into_iter().zip(outcomes);
    CreateTopicsResponse {
        topics: topics.map(|(name, o)| result(context, name, o)).collect(),
        ..CreateTopicsResponse::default()
    }
}

/// What a restore asks beside names and settings.
struct Restored {
    version: u64,
    producer_id: i64,
    /// By id: not all that are asked for are allowed.
    epochs: HashMap<TopicId, i32>,
}

impl Restored {
    /// `None` for a request that clients know.
    fn of(request: &CreateTopicsRequest) -> Option<Self> {
        let topics = request.topics.iter();
        let epochs: HashMap<_, _> = topics
            .filter(|topic| !topic.restored_id.is_zero())
            .map(|topic| (topic.restored_id, topic.restored_epoch))
            .collect();
        let is_plain = epochs.is_empty()
            && (request.restored_version, request.restored_producer_id) == (-1, -1);
        (!is_plain).then(|| Self {
            version: u64::try_from(request.restored_version).unwrap_or(0),
            producer_id: request.restored_producer_id.max(0),
            epochs,
        })
    }

    /// Topics that were not there before begin as all new ones do.
    fn restore(&self, topics: Vec<NewTopic>, validate_only: bool) -> RestoreTopics {
        let as_it_was = |topic: NewTopic| RestoredTopic {
            leader_epoch: self.epochs.get(&topic.id).copied().unwrap_or(0),
            topic,
        };
        RestoreTopics {
            topics: topics.into_iter().map(as_it_was).collect(),
            version: self.version,
            producer_id: self.producer_id,
            validate_only,
        }
    }
}

fn log(created: &CreatedTopic) {
    let (topic, partitions) = (&created.name, created.partitions);
    tracing::info!(%topic, partitions, "topic created");
    unbuilt::warn_of_topic(topic.as_str(), created.configs.iter());
}

fn new_topic(context: &Context, asked: CreatableTopic) -> NewTopic {
    let assignment = |a: freshet_wire::create_topics::CreatableReplicaAssignment| {
        (
            a.partition_index,
            a.broker_ids.into_iter().map(NodeId).collect(),
        )
    };
    NewTopic {
        name: asked.name,
        id: match asked.restored_id.is_zero() {
            true => TopicId(context.rng.id()),
            false => asked.restored_id,
        },
        partitions: asked.num_partitions,
        replication_factor: asked.replication_factor,
        assignments: asked.assignments.into_iter().map(assignment).collect(),
        configs: asked
            .configs
            .into_iter()
            .map(|c| (c.name, c.value))
            .collect(),
    }
}

fn result(
    context: &Context,
    name: String,
    outcome: Result<CreatedTopic, Refusal>,
) -> CreatableTopicResult {
    let (error_code, error_message) = told(context, &outcome);
    match outcome {
        Ok(created) => CreatableTopicResult {
            name,
            topic_id: created.id,
            error_code,
            error_message,
            topic_config_error_code: ErrorCode::None.code(),
            num_partitions: created.partitions,
            replication_factor: created.replication_factor,
            configs: Some(settings(context, &created)),
        },
        Err(_) => CreatableTopicResult {
            name,
            error_code,
            error_message,
            configs: Some(Vec::new()),
            ..CreatableTopicResult::default()
        },
    }
}

fn settings(context: &Context, created: &CreatedTopic) -> Vec<CreatableTopicConfigs> {
    let layers = context.layers().for_topic(&created.name);
    let described = layers.describe_topic(&created.configs);
    let one = |d: freshet_settings::Described| CreatableTopicConfigs {
        name: d.setting.name.to_owned(),
        value: d.value,
        read_only: false,
        config_source: source_code(d.source),
        is_sensitive: d.setting.is_sensitive(),
    };
    described.into_iter().map(one).collect()
}
