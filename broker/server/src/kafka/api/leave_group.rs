//! LeaveGroup (13): members go, or an admin sends them away.

use std::sync::Arc;

use freshet_coordinators::groups::api::{GroupError, Leave, LeaveOutcome, Leaver};
use freshet_wire::leave_group::{MemberIdentity, MemberResponse};
use freshet_wire::{ErrorCode, LeaveGroupRequest, LeaveGroupResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;

/// First version with many members (KIP-345).
const BATCH_FROM: i16 = 3;

/// Tells the coordinator.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let leave = domain(call, request);
    let group = Arc::clone(&leave.group);
    let answer = match &*group {
        // An error of the whole request, not of its members.
        "" => Err(GroupError::InvalidGroupId.code()),
        group => coordinator::ask(context, group, leave).await,
    };
    match answer {
        Ok(outcomes) if call.version >= BATCH_FROM => LeaveGroupResponse {
            error_code: ErrorCode::None.code(),
            members: outcomes
                .into_iter()
                .map(|one| member(context, one))
                .collect(),
            ..LeaveGroupResponse::default()
        },
        Ok(outcomes) => {
            let first = outcomes
                .into_iter()
                .find_map(|outcome| outcome.result.err());
            whole(context, first.map_or(ErrorCode::None, |error| error.code()))
        }
        Err(code) => whole(context, code),
    }
}

fn domain(call: &Call, request: LeaveGroupRequest) -> Leave {
    let leaver = |identity: MemberIdentity| Leaver {
        member_id: identity.member_id.into(),
        instance_id: identity.group_instance_id.map(Into::into),
    };
    let members = if call.version >= BATCH_FROM {
        request.members.into_iter().map(leaver).collect()
    } else {
        vec![Leaver {
            member_id: request.member_id.into(),
            instance_id: None,
        }]
    };
    Leave {
        group: request.group_id.into(),
        members,
    }
}

fn member(context: &Context, outcome: LeaveOutcome) -> MemberResponse {
    let code = outcome
        .result
        .map_or_else(|error| error.code(), |()| ErrorCode::None);
    if code != ErrorCode::None {
        context.metrics.error(code);
    }
    MemberResponse {
        member_id: outcome.leaver.member_id.as_ref().into(),
        group_instance_id: outcome.leaver.instance_id.as_deref().map(Into::into),
        error_code: code.code(),
    }
}

fn whole(context: &Context, code: ErrorCode) -> LeaveGroupResponse {
    if code != ErrorCode::None {
        context.metrics.error(code);
    }
    LeaveGroupResponse {
        error_code: code.code(),
        ..LeaveGroupResponse::default()
    }
}
