//! ListGroups (16): the groups whose shards live here.

use std::sync::Arc;

use freshet_coordinators::groups::api::{List, Listed};
use freshet_wire::list_groups::ListedGroup;
use freshet_wire::{ErrorCode, ListGroupsRequest, ListGroupsResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;

/// Asks all shards. One that cannot answer makes the list an error, since a client would take a
/// missing group for one that does not exist; one that has just moved away is the next broker's.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let list = List {
        states: request.states_filter,
        kinds: request.types_filter,
    };
    let mut groups = Vec::new();
    for shard in context.groups.all() {
        match coordinator::ask_shard(&shard, list.clone()).await {
            Ok(listed) => groups.extend(listed.into_iter().map(answer)),
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => {
                context.metrics.error(code);
                return ListGroupsResponse {
                    error_code: code.code(),
                    ..ListGroupsResponse::default()
                };
            }
        }
    }
    ListGroupsResponse {
        groups,
        ..ListGroupsResponse::default()
    }
}

fn answer(listed: Listed) -> ListedGroup {
    ListedGroup {
        group_id: listed.group.as_ref().into(),
        protocol_type: listed.protocol_type.as_ref().into(),
        group_state: listed.state.name().into(),
        group_type: listed.kind.name().into(),
    }
}
