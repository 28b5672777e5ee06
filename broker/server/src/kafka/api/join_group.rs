//! JoinGroup (11): enters a group, or stays in it through a rebalance. The answer waits until the
//! rebalance is over.

use std::sync::Arc;

use freshet_coordinators::groups::api::{Join, Joined, JoinedMember, Protocol};
use freshet_wire::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use freshet_wire::{ErrorCode, JoinGroupRequest, JoinGroupResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;

/// First version whose new members come back with the id they are given (KIP-394).
const KNOWN_ID_FROM: i16 = 4;
/// First version with a null protocol name.
const NULL_PROTOCOL_FROM: i16 = 7;
/// First version that can tell a leader to leave the assignment alone (KIP-814).
const SKIP_ASSIGNMENT_FROM: i16 = 9;

/// Joins.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    let join = domain(context, call, request);
    let group = Arc::clone(&join.group);
    match coordinator::ask_patiently(context, &group, join).await {
        Ok(Ok(joined)) => accepted(joined),
        Ok(Err(refused)) => {
            let member_id = refused.member_id.as_ref().into();
            self::refused(context, call, refused.error.code(), member_id)
        }
        Err(code) => refused(context, call, code, member_id),
    }
}

fn domain(context: &Context, call: &Call, request: JoinGroupRequest) -> Join {
    let protocol = |protocol: JoinGroupRequestProtocol| Protocol {
        name: protocol.name.into(),
        metadata: coordinator::own(&protocol.metadata),
    };
    Join {
        group: request.group_id.into(),
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(Into::into),
        client_id: call.client_id.as_str().into(),
        client_host: coordinator::client_host(call),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        protocol_type: request.protocol_type.into(),
        protocols: request.protocols.into_iter().map(protocol).collect(),
        needs_known_id: call.version >= KNOWN_ID_FROM,
        may_skip_assignment: call.version >= SKIP_ASSIGNMENT_FROM,
        random: context.rng.id(),
    }
}

fn accepted(joined: Joined) -> JoinGroupResponse {
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: member.member_id.as_ref().into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        metadata: member.metadata,
    };
    JoinGroupResponse {
        error_code: ErrorCode::None.code(),
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_deref().map(Into::into),
        protocol_name: Some(joined.protocol.as_deref().unwrap_or_default().into()),
        leader: joined.leader.as_ref().into(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id.as_ref().into(),
        members: joined.members.into_iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }
}

fn refused(
    context: &Context,
    call: &Call,
    code: ErrorCode,
    member_id: String,
) -> JoinGroupResponse {
    context.metrics.error(code);
    JoinGroupResponse {
        error_code: code.code(),
        protocol_name: (call.version < NULL_PROTOCOL_FROM).then(String::new),
        member_id,
        ..JoinGroupResponse::default()
    }
}
