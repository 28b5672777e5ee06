//! DescribeGroups (15): classic groups with their members.

use std::sync::Arc;

use freshet_coordinators::groups::api::{Describe, Described, DescribedMember, GroupError, State};
use freshet_wire::describe_groups::{DescribedGroup, DescribedGroupMember};
use freshet_wire::{DescribeGroupsRequest, DescribeGroupsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;
use crate::kafka::operations::ALL_ON_GROUP;

/// First version that says that a group is not there, instead of calling it dead (KIP-1043).
const NOT_FOUND_FROM: i16 = 6;

/// Asks each shard once.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let ids: Vec<Arc<str>> = request.groups.into_iter().map(Into::into).collect();
    let mut groups: Vec<_> = ids.iter().map(|id| named(id)).collect();
    for (owner, places) in coordinator::by_owner(context, &ids) {
        let asked = places.iter().map(|&at| Arc::clone(&ids[at])).collect();
        let answer = match owner {
            Some(owner) => coordinator::ask_owner(context, owner, Describe { groups: asked }).await,
            None => Err(ErrorCode::NotCoordinator),
        };
        match answer {
            Ok(described) => {
                for (at, group) in places.into_iter().zip(described) {
                    fill(call, &mut groups[at], group);
                }
            }
            Err(code) => places
                .into_iter()
                .for_each(|at| groups[at].error_code = code.code()),
        }
    }
    for group in &mut groups {
        let code = ErrorCode::from_code(group.error_code);
        if let Some(code) = code.filter(|code| code.is_error()) {
            context.metrics.error(code);
        } else if request.include_authorized_operations {
            group.authorized_operations = ALL_ON_GROUP;
        }
    }
    DescribeGroupsResponse {
        groups,
        ..DescribeGroupsResponse::default()
    }
}

fn named(id: &str) -> DescribedGroup {
    DescribedGroup {
        group_id: id.into(),
        ..DescribedGroup::default()
    }
}

fn fill(call: &Call, group: &mut DescribedGroup, answer: Result<Described, GroupError>) {
    match answer {
        Ok(described) => {
            group.group_state = described.state.name().into();
            group.protocol_type = described.protocol_type.as_ref().into();
            group.protocol_data = described.protocol.as_ref().into();
            group.members = described.members.into_iter().map(member).collect();
        }
        Err(error) => {
            group.group_state = State::DEAD.into();
            if call.version >= NOT_FOUND_FROM {
                group.error_code = error.code().code();
                group.error_message = Some(error.to_string());
            }
        }
    }
}

fn member(member: DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.member_id.as_ref().into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        client_id: member.client_id.as_ref().into(),
        client_host: member.client_host.as_ref().into(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}
