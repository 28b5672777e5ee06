//! AlterConfigs (33): replaces all settings of a resource. For clients older than Kafka 2.3.

use std::sync::Arc;

use freshet_metadata::{AlterResource, ConfigChange};
use freshet_wire::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use freshet_wire::{AlterConfigsRequest, AlterConfigsResponse};

use crate::kafka::call::Call;
use crate::kafka::configs::alter::alter;
use crate::kafka::configs::resource;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// Each resource succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let wanted = request.resources.iter().map(change).collect();
    let outcomes = alter(context, wanted, request.validate_only).await;
    let result = |(asked, outcome): (AlterConfigsResource, _)| {
        let (error_code, error_message) = told(context, &outcome);
        AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: asked.resource_type,
            resource_name: asked.resource_name,
        }
    };
    AlterConfigsResponse {
        responses: request
            .resources
            .into_iter()
            .zip(outcomes)
            .map(result)
            .collect(),
        ..AlterConfigsResponse::default()
    }
}

fn change(asked: &AlterConfigsResource) -> Result<AlterResource, Refusal> {
    let target = resource::target(asked.resource_type, &asked.resource_name)?;
    let all = asked
        .configs
        .iter()
        .map(|c| (c.name.clone(), c.value.clone()));
    Ok(AlterResource {
        target,
        change: ConfigChange::Replace(all.collect()),
    })
}
