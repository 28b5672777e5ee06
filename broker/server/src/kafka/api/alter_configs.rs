//! AlterConfigs (33): replaces all settings of a resource. For clients older than Kafka 2.3.

use std::sync::Arc;

use freshet_metadata::ConfigChange;
use freshet_wire::alter_configs::AlterConfigsResource;
use freshet_wire::{AlterConfigsRequest, AlterConfigsResponse};

use crate::kafka::call::Call;
use crate::kafka::configs::alter::{Asked, alter};
use crate::kafka::context::Context;

/// Each resource succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
    let asked = request.resources.into_iter().map(asked).collect();
    AlterConfigsResponse {
        responses: alter(context, asked, request.validate_only).await,
        ..AlterConfigsResponse::default()
    }
}

fn asked(resource: AlterConfigsResource) -> Asked {
    let all = resource.configs.into_iter().map(|c| (c.name, c.value));
    Asked {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        change: Ok(ConfigChange::Replace(all.collect())),
    }
}
