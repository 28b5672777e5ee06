//! The two words a client gets when something of its request is refused.

use std::time::Duration;

use freshet_metadata::{Ask, MetadataError};
use freshet_quorum::{QuorumError, VotersError};
use freshet_types::TopicName;
use freshet_wire::ErrorCode;

use crate::kafka::context::Context;
use crate::kafka::errors::Coded;

/// A code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The metadata log under the name that Kafka's clients know; it is no topic.
pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";

/// Whether the broker keeps a topic of this name for itself.
fn is_own_topic(name: &str) -> bool {
    name == METADATA_TOPIC || TopicName::new(name).is_ok_and(|name| name.is_internal())
}

/// Refuses what would harm a topic that the broker keeps for itself. Kafka lets administrators
/// delete the offsets topic, and every group's offsets with it; nobody wants that twice.
pub(crate) fn not_own_topic(name: &str) -> Result<(), Refusal> {
    if !is_own_topic(name) {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::TopicAuthorizationFailed,
        format!("{name} is the broker's own: clients may not create, delete or extend it"),
    ))
}

impl From<MetadataError> for Refusal {
    fn from(error: MetadataError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<QuorumError> for Refusal {
    fn from(error: QuorumError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<VotersError> for Refusal {
    fn from(error: VotersError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl Context {
    /// Waits until this broker knows all that was agreed before the call.
    pub(crate) async fn catch_up_within(&self, timeout_ms: i32) -> Result<(), Refusal> {
        let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0).max(1));
        match tokio::time::timeout(patience, self.quorum.barrier()).await {
            Ok(caught_up) => Ok(caught_up?),
            Err(_) => Err(Refusal::new(
                ErrorCode::RequestTimedOut,
                "the active controller did not answer in time",
            )),
        }
    }

    /// Has the metadata changed within the time that the client waits. What takes longer goes on,
    /// and the client is told that it does.
    pub(crate) async fn change_within<A: Ask>(
        &self,
        timeout_ms: i32,
        request: A,
    ) -> Result<A::Answer, Refusal> {
        let patience = Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0).max(1));
        match tokio::time::timeout(patience, self.change(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Refusal::new(
                ErrorCode::RequestTimedOut,
                "the change is under way and may still happen",
            )),
        }
    }
}

/// The code and the message of an outcome, as responses carry them.
pub(crate) fn told<T>(context: &Context, outcome: &Result<T, Refusal>) -> (i16, Option<String>) {
    match outcome {
        Ok(_) => (ErrorCode::None.code(), None),
        Err(refusal) => {
            context.metrics.error(refusal.code);
            (refusal.code.code(), Some(refusal.message.clone()))
        }
    }
}

/// One outcome for each item, also when the request failed as a whole.
pub(crate) fn outcomes<T>(
    count: usize,
    answer: Result<Vec<Result<T, MetadataError>>, Refusal>,
) -> Vec<Result<T, Refusal>> {
    match answer {
        Ok(items) => items
            .into_iter()
            .map(|item| item.map_err(Refusal::from))
            .collect(),
        Err(refusal) => (0..count).map(|_| Err(refusal.clone())).collect(),
    }
}

/// Outcomes in the order of the request: what was refused at the door keeps its refusal, the others
/// take what was decided, in turn.
pub(crate) fn in_turn<W, T>(
    wanted: Vec<Result<W, Refusal>>,
    decided: Vec<Result<T, Refusal>>,
) -> Vec<Result<T, Refusal>> {
    // The machine answers every item; a missing answer is a bug that must not look like success.
    let lost = || Refusal::new(ErrorCode::UnknownServerError, "the answer was lost");
    let mut decided = decided.into_iter();
    let outcome = |wanted: Result<W, Refusal>| {
        wanted.and_then(|_| decided.next().unwrap_or_else(|| Err(lost())))
    };
    wanted.into_iter().map(outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_topics_are_not_for_clients_to_change() {
        for name in [
            "__consumer_offsets",
            "__transaction_state",
            "__remote_log_metadata",
            "__cluster_metadata",
        ] {
            let refusal = not_own_topic(name).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::TopicAuthorizationFailed);
            assert!(refusal.message.contains(name));
        }
        for name in ["orders", "__mine", "", "no/name"] {
            assert_eq!(not_own_topic(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_was_refused_at_the_door_keeps_its_place() {
        let no = || Refusal::new(ErrorCode::InvalidRequest, "no");
        let wanted = vec![Ok('a'), Err(no()), Ok('b'), Ok('c')];
        let outcomes = in_turn(wanted, vec![Ok(1), Ok(2)]);
        assert_eq!(outcomes[..3], [Ok(1), Err(no()), Ok(2)]);
        let lost = outcomes[3].clone().unwrap_err();
        assert_eq!(lost.code, ErrorCode::UnknownServerError);
    }
}
