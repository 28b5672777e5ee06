//! IncrementalAlterConfigs (44): changes single settings (KIP-339). All that the Java client uses.

use std::sync::Arc;

use freshet_metadata::{AlterResource, ConfigChange, ConfigEdit, ConfigOp};
use freshet_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use freshet_wire::{ErrorCode, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

use crate::kafka::call::Call;
use crate::kafka::configs::alter::alter;
use crate::kafka::configs::resource;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// Each resource succeeds or fails alone.
pub(crate) async fn handle(
    context: &Arc<Context>,
    _call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
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
    IncrementalAlterConfigsResponse {
        responses: request
            .resources
            .into_iter()
            .zip(outcomes)
            .map(result)
            .collect(),
        ..IncrementalAlterConfigsResponse::default()
    }
}

fn change(asked: &AlterConfigsResource) -> Result<AlterResource, Refusal> {
    let target = resource::target(asked.resource_type, &asked.resource_name)?;
    let edits = asked.configs.iter().map(edit).collect::<Result<_, _>>()?;
    Ok(AlterResource {
        target,
        change: ConfigChange::Edit(edits),
    })
}

fn edit(asked: &AlterableConfig) -> Result<ConfigEdit, Refusal> {
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
        name: asked.name.clone(),
        op,
        value: asked.value.clone(),
    })
}
