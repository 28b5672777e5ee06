//! UnregisterBroker (64): forgets a broker that will not come back (KIP-631).

use std::sync::Arc;

use freshet_metadata::UnregisterBroker;
use freshet_types::NodeId;
use freshet_wire::{UnregisterBrokerRequest, UnregisterBrokerResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

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
    }
    let (error_code, error_message) = told(context, &outcome);
    UnregisterBrokerResponse {
        error_code,
        error_message,
        ..UnregisterBrokerResponse::default()
    }
}
