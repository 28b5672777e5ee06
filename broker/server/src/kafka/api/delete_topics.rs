//! DeleteTopics (20): by name, from version 6 on also by id.

use std::sync::Arc;

use freshet_metadata::{DeleteTopics, DeletedTopic, TopicRef};
use freshet_types::TopicId;
use freshet_wire::delete_topics::{DeletableTopicResult, DeleteTopicState};
use freshet_wire::{DeleteTopicsRequest, DeleteTopicsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, outcomes, told};

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
    let named: Vec<Result<TopicRef, Refusal>> = asked.iter().map(reference).collect();
    let topics: Vec<TopicRef> = named.iter().flatten().cloned().collect();
    let count = topics.len();
    let answer = context
        .change_within(request.timeout_ms, DeleteTopics { topics })
        .await;
    let mut decided = outcomes(count, answer).into_iter();
    let outcome = |named: Result<TopicRef, Refusal>| {
        named.and_then(|_| decided.next().unwrap_or_else(|| Err(lost())))
    };
    let deleted: Vec<_> = named.into_iter().map(outcome).collect();
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

/// The machine answers every item; a missing answer is a bug that must not look like success.
fn lost() -> Refusal {
    Refusal::new(ErrorCode::UnknownServerError, "the answer was lost")
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
