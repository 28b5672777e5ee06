//! UnregisterBroker (64): forgets a broker that will not come back (KIP-631).

use std::sync::Arc;

use freshet_metadata::UnregisterBroker;
use freshet_types::NodeId;
use freshet_wire::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// Who listens to the quorum and is no broker any more will not listen again. A voter stays: to take
/// one out is a decision of its own.
async fn forget_observer(context: &Context, node: NodeId) {
    let Some(voters) = &context.voters else {
        return;
    };
    let Ok(status) = voters.status().await else {
        return;
    };
    for observer in status.observers.iter().map(|observer| observer.peer.id) {
        if observer.node == node
            && let Err(error) = voters.remove(observer).await
        {
            tracing::warn!(%observer, %error, "the quorum still counts a listener that is gone");
        }
    }
}

/// Refused while the broker is alive or keeps replicas: they would be lost to sight, not moved.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let node = NodeId(request.broker_id);
    let outcome = match context.change(UnregisterBroker { node }).await {
        Ok(outcome) => outcome.map_err(Refusal::from),
        Err(error) => Err(error.into()),
    };
    if outcome.is_ok() {
        tracing::info!(broker = node.0, "broker unregistered");
        forget_observer(context, node).await;
    }
    let (error_code, error_message) = told(context, &outcome);
    UnregisterBrokerResponse {
        error_code,
        error_message,
        ..UnregisterBrokerResponse::default()
    }
}
