//! SyncGroup (14): fetches a member's assignment; the leader brings all of them.

use std::sync::Arc;

use freshet_coordinators::groups::api::{Assignment, Sync};
use freshet_wire::sync_group::SyncGroupRequestAssignment;
use freshet_wire::{ErrorCode, SyncGroupRequest, SyncGroupResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;

/// First version that must name protocol type and protocol (KIP-559).
const PROTOCOL_FROM: i16 = 5;

/// Syncs.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    let result = if call.version >= PROTOCOL_FROM && !names_protocol {
        Err(ErrorCode::InconsistentGroupProtocol)
    } else {
        let sync = domain(request);
        let group = Arc::clone(&sync.group);
        let answer = coordinator::ask_patiently(context, &group, sync).await;
        answer.and_then(|result| result.map_err(|error| error.code()))
    };
    match result {
        Ok(synced) => SyncGroupResponse {
            error_code: ErrorCode::None.code(),
            protocol_type: synced.protocol_type.as_deref().map(Into::into),
            protocol_name: synced.protocol.as_deref().map(Into::into),
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(code) => {
            context.metrics.error(code);
            SyncGroupResponse {
                error_code: code.code(),
                ..SyncGroupResponse::default()
            }
        }
    }
}

fn domain(request: SyncGroupRequest) -> Sync {
    let assignment = |assigned: SyncGroupRequestAssignment| Assignment {
        member_id: assigned.member_id.into(),
        assignment: coordinator::own(&assigned.assignment),
    };
    Sync {
        group: request.group_id.into(),
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(Into::into),
        generation: request.generation_id,
        protocol_type: request.protocol_type.map(Into::into),
        protocol: request.protocol_name.map(Into::into),
        assignments: request.assignments.into_iter().map(assignment).collect(),
    }
}
