//! UnregisterBroker (64): forgets a broker that will not come back (KIP-631).

use std::sync::Arc;

use freshet_metadata::{MetadataError, UnregisterBroker};
use freshet_types::NodeId;
use freshet_wire::{ErrorCode, UnregisterBrokerRequest, UnregisterBrokerResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// A controller that was silent for longer is not there: it is heard several times a second.
const SILENCE_MS: i64 = 10_000;

/// A controller that is no broker is on no list but that of the quorum's listeners. One that is gone
/// leaves it here, and asks to be taken in should it come back. Gives whether there was one.
async fn forget_listener(context: &Context, node: NodeId) -> Result<bool, Refusal> {
    let Some(voters) = &context.voters else {
        return Ok(false);
    };
    let status = voters.status().await?;
    let mut all = status.voters.iter();
    let active = all.find(|voter| Some(voter.peer.id.node) == status.leader);
    // Only the active controller knows who is silent, and its own word is always fresh.
    let Some(now) = active.and_then(|active| active.last_fetch) else {
        return Ok(false);
    };
    let mut found = false;
    for listener in status.observers.iter().filter(|o| o.peer.id.node == node) {
        let heard = listener.last_fetch;
        if heard.is_some_and(|heard| now.0 - heard.0 < SILENCE_MS) {
            let message = format!("controller {node} listens to the quorum: stop it first");
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
        voters.remove(listener.peer.id).await?;
        found = true;
    }
    Ok(found)
}

/// Refused while the broker is alive or keeps replicas: they would be lost to sight, not moved. The
/// quorum stops telling it with the change itself.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let node = NodeId(request.broker_id);
    let outcome = unregister(context, node).await;
    if outcome.is_ok() {
        tracing::info!(broker = node.0, "broker unregistered");
    }
    let (error_code, error_message) = told(context, &outcome);
    UnregisterBrokerResponse {
        error_code,
        error_message,
        ..UnregisterBrokerResponse::default()
    }
}

async fn unregister(context: &Context, node: NodeId) -> Result<(), Refusal> {
    match context.change(UnregisterBroker { node }).await? {
        Err(MetadataError::UnknownBroker { .. }) if forget_listener(context, node).await? => Ok(()),
        outcome => Ok(outcome?),
    }
}
