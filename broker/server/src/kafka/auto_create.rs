//! Topics that come into being because somebody asked for them.

use std::collections::BTreeSet;

use freshet_metadata::{CreateTopics, MetadataError, NewTopic};
use freshet_partition::OFFSETS_TOPIC;
use freshet_types::{TopicId, TopicName};
use freshet_wire::ErrorCode;

use super::context::Context;
use super::errors::Coded;
use super::errors::refusal::not_own_topic;

/// Topics that one request may bring into being.
const TOPICS_PER_REQUEST: usize = 1000;

/// Creates those of `names` that do not exist, if they may exist; gives the error of each that
/// does not exist afterwards.
pub(crate) async fn create_missing(
    context: &Context,
    names: BTreeSet<String>,
) -> Vec<(String, ErrorCode)> {
    let mut refused = Vec::new();
    let mut topics = Vec::new();
    for name in names {
        if TopicName::new(&name).is_err() {
            refused.push((name, ErrorCode::InvalidTopicException));
        } else if topics.len() == TOPICS_PER_REQUEST || is_not_made_here(&name) {
            refused.push((name, ErrorCode::UnknownTopicOrPartition));
        } else {
            topics.push(new_topic(context, &name));
        }
    }
    if topics.is_empty() {
        return refused;
    }
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    match context
        .change(CreateTopics {
            topics,
            validate_only: false,
        })
        .await
    {
        Ok(outcomes) => {
            for (name, outcome) in names.into_iter().zip(outcomes) {
                match outcome {
                    Ok(created) => tracing::info!(topic = %created.name, "created on first use"),
                    // Somebody else was faster.
                    Err(MetadataError::TopicExists { .. }) => {}
                    Err(error) => refused.push((name, error.code())),
                }
            }
        }
        Err(error) => refused.extend(names.into_iter().map(|name| (name, error.code()))),
    }
    refused
}

/// A topic of the broker's own that no part of it needs yet.
fn is_not_made_here(name: &str) -> bool {
    name != OFFSETS_TOPIC && not_own_topic(name).is_err()
}

/// What a topic is made of that nobody described.
fn new_topic(context: &Context, name: &str) -> NewTopic {
    if name == OFFSETS_TOPIC {
        return offsets_topic(context);
    }
    NewTopic {
        name: name.to_owned(),
        id: TopicId(context.rng.id()),
        partitions: -1,
        replication_factor: -1,
        assignments: Vec::new(),
        configs: Vec::new(),
    }
}

fn offsets_topic(context: &Context) -> NewTopic {
    let groups = context.layers().groups();
    let asked_for = groups.offsets_replication_factor;
    // A laptop has one broker, and as many copies as there can be. A cluster that starts must not keep
    // its groups on the first broker that came: as in Kafka they wait until there are enough.
    let brokers = match context.peers {
        None => context.image().brokers().count(),
        Some(_) => usize::MAX,
    };
    let config = |name: &str, value: String| (name.to_owned(), Some(value));
    NewTopic {
        name: OFFSETS_TOPIC.to_owned(),
        id: TopicId(context.rng.id()),
        partitions: groups.offsets_partitions,
        replication_factor: asked_for.min(i16::try_from(brokers).unwrap_or(i16::MAX)),
        assignments: Vec::new(),
        configs: vec![
            config("cleanup.policy", "compact".to_owned()),
            config("compression.type", "producer".to_owned()),
            config("segment.bytes", groups.offsets_segment_bytes.to_string()),
        ],
    }
}
