//! The two words a client gets when something of its request is refused.

use std::time::Duration;

use freshet_metadata::{Ask, MetadataError};
use freshet_quorum::QuorumError;
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

impl Context {
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
