//! IncrementalAlterConfigs (44): changes single settings (KIP-339). All that the Java client uses.

use std::sync::Arc;

use freshet_metadata::{ConfigChange, ConfigEdit, ConfigOp};
use freshet_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use freshet_wire::{ErrorCode, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use crate::kafka::call::Call;
use crate::kafka::configs::alter::{Asked, alter};
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::Refusal;

/// Each resource succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let asked = request.resources.into_iter().map(asked).collect();
    IncrementalAlterConfigsResponse {
        responses: alter(context, asked, request.validate_only).await,
        ..IncrementalAlterConfigsResponse::default()
    }
}

fn asked(resource: AlterConfigsResource) -> Asked {
    let edits: Result<Vec<_>, _> = resource.configs.into_iter().map(edit).collect();
    Asked {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        change: edits.map(ConfigChange::Edit),
    }
}

fn edit(asked: AlterableConfig) -> Result<ConfigEdit, Refusal> {
    let op = match asked.config_operation {
        0 => ConfigOp::Set,
        1 => ConfigOp::Delete,
        2 => ConfigOp::Append,
        3 => ConfigOp::Subtract,
        other => {
            let message = format!("operation {other} on {} is not known", asked.name);
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
    };
    Ok(ConfigEdit {
        name: asked.name,
        op,
        value: asked.value,
    })
}
