//! DeleteGroups (42): forgets groups without members, with all their offsets.

use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_coordinators::groups::api::{Delete, GroupError};
use freshet_wire::delete_groups::DeletableGroupResult;
use freshet_wire::{DeleteGroupsRequest, DeleteGroupsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::coordinator;
use crate::kafka::errors::Coded;

/// Asks each shard once; a group named twice is deleted, and answered, once.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let distinct: BTreeSet<String> = request.groups_names.into_iter().collect();
    let ids: Vec<Arc<str>> = distinct.into_iter().map(Into::into).collect();
    let mut results = Vec::with_capacity(ids.len());
    for (owner, places) in coordinator::by_owner(context, &ids) {
        let groups: Vec<_> = places.iter().map(|&at| Arc::clone(&ids[at])).collect();
        let delete = Delete {
            groups: groups.clone(),
        };
        let answer = match owner {
            Some(owner) => coordinator::ask_owner(context, owner, delete).await,
            None => Err(ErrorCode::NotCoordinator),
        };
        match answer {
            Ok(outcomes) => results.extend(
                outcomes
                    .into_iter()
                    .map(|outcome| answered(context, &outcome.group, outcome.result)),
            ),
            Err(code) => results.extend(groups.iter().map(|group| failed(context, group, code))),
        }
    }
    DeleteGroupsResponse {
        results,
        ..DeleteGroupsResponse::default()
    }
}

fn answered(
    context: &Context,
    group: &str,
    result: Result<(), GroupError>,
) -> DeletableGroupResult {
    match result {
        Ok(()) => DeletableGroupResult {
            group_id: group.into(),
            ..DeletableGroupResult::default()
        },
        Err(error) => DeletableGroupResult {
            error_message: Some(error.to_string()),
            ..failed(context, group, error.code())
        },
    }
}

fn failed(context: &Context, group: &str, code: ErrorCode) -> DeletableGroupResult {
    context.metrics.error(code);
    DeletableGroupResult {
        group_id: group.into(),
        error_code: code.code(),
        error_message: None,
    }
}
