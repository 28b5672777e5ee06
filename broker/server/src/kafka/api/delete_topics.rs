//! DeleteTopics (20): by name, from version 6 on also by id.

use std::sync::Arc;

use freshet_metadata::{DeleteTopics, DeletedTopic, TopicRef};
use freshet_types::TopicId;
use freshet_wire::delete_topics::{DeletableTopicResult, DeleteTopicState};
use freshet_wire::{DeleteTopicsRequest, DeleteTopicsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, in_turn, not_own_topic, outcomes, told};

/// Each topic succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let asked: Vec<DeleteTopicState> = if call.version >= 6 {
        request.topics
    } else {
        let by_name = |name| DeleteTopicState {
            name: Some(name),
            topic_id: TopicId::ZERO,
        };
        request.topic_names.into_iter().map(by_name).collect()
    };
    let allowed = |asked: &DeleteTopicState| {
        let topic = reference(asked)?;
        not_own(context, &topic).map(|()| topic)
    };
    let named: Vec<Result<TopicRef, Refusal>> = asked.iter().map(allowed).collect();
    let topics: Vec<TopicRef> = named.iter().flatten().cloned().collect();
    let count = topics.len();
    let answer = context
        .change_within(request.timeout_ms, DeleteTopics { topics })
        .await;
    let deleted = in_turn(named, outcomes(count, answer));
    for deleted in deleted.iter().flatten() {
        tracing::info!(topic = %deleted.name, "topic deleted");
    }
    let responses = asked.into_iter().zip(deleted);
    DeleteTopicsResponse {
        responses: responses
            .map(|(asked, outcome)| result(context, asked, outcome))
            .collect(),
        ..DeleteTopicsResponse::default()
    }
}

fn reference(asked: &DeleteTopicState) -> Result<TopicRef, Refusal> {
    match (&asked.name, asked.topic_id.is_zero()) {
        (Some(name), true) => Ok(TopicRef::Name(name.clone())),
        (None, false) => Ok(TopicRef::Id(asked.topic_id)),
        (Some(_), false) => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "a topic is named by its name or by its id, not by both",
        )),
        (None, true) => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            "a topic needs a name or an id",
        )),
    }
}

/// Refuses the broker's own topics, by name and by id.
fn not_own(context: &Context, topic: &TopicRef) -> Result<(), Refusal> {
    match topic {
        TopicRef::Name(name) => not_own_topic(name),
        TopicRef::Id(id) => match context.image().topic_by_id(*id) {
            Some(topic) => not_own_topic(topic.name.as_str()),
            None => Ok(()),
        },
    }
}

fn result(
    context: &Context,
    asked: DeleteTopicState,
    outcome: Result<DeletedTopic, Refusal>,
) -> DeletableTopicResult {
    let (error_code, error_message) = told(context, &outcome);
    let (name, topic_id) = match outcome {
        Ok(deleted) => (Some(deleted.name.to_string()), deleted.id),
        Err(_) => (asked.name, asked.topic_id),
    };
    DeletableTopicResult {
        name,
        topic_id,
        error_code,
        error_message,
    }
}
