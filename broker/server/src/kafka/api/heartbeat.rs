//! Heartbeat (12): a member of a classic group is still there.

use std::sync::Arc;

use freshet_coordinators::groups::api::Heartbeat;
use freshet_wire::{ErrorCode, HeartbeatRequest, HeartbeatResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;

/// Tells the coordinator.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let heartbeat = Heartbeat {
        group: request.group_id.into(),
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(Into::into),
        generation: request.generation_id,
    };
    let group = Arc::clone(&heartbeat.group);
    let code = match coordinator::ask(context, &group, heartbeat).await {
        Ok(Ok(())) => ErrorCode::None,
        Ok(Err(error)) => error.code(),
        // The member's session starts anew when loading ends, so there is nothing to worry about.
        Err(ErrorCode::CoordinatorLoadInProgress) => ErrorCode::None,
        Err(code) => code,
    };
    if code != ErrorCode::None {
        context.metrics.error(code);
    }
    HeartbeatResponse {
        error_code: code.code(),
        ..HeartbeatResponse::default()
    }
}
