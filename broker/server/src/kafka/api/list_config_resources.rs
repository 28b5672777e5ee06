//! ListConfigResources (74): names of what has settings (KIP-714, KIP-1142).

use std::sync::Arc;

use freshet_metadata::{ConfigOwner, MetadataImage};
use freshet_wire::list_config_resources::ConfigResource;
use freshet_wire::{ErrorCode, ListConfigResourcesRequest, ListConfigResourcesResponse};

use crate::kafka::call::Call;
use crate::kafka::configs::resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::kafka::context::Context;

const ALL: [i8; 5] = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];

/// Version 0 asks for client metrics only; later versions for the types they name, or for all.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let types = match request.resource_types {
        _ if call.version == 0 => vec![CLIENT_METRICS],
        types if types.is_empty() => ALL.to_vec(),
        types => types,
    };
    if types.iter().any(|asked| !ALL.contains(asked)) {
        context.metrics.error(ErrorCode::UnsupportedVersion);
        return ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..ListConfigResourcesResponse::default()
        };
    }
    let image = context.image();
    let wanted = ALL.into_iter().filter(|known| types.contains(known));
    ListConfigResourcesResponse {
        config_resources: wanted.flat_map(|kind| resources(&image, kind)).collect(),
        ..ListConfigResourcesResponse::default()
    }
}

fn resources(image: &MetadataImage, kind: i8) -> Vec<ConfigResource> {
    let owned = |name: fn(&ConfigOwner) -> Option<&String>| {
        let owners = image.config_owners();
        owners
            .filter_map(|(owner, _)| name(owner).cloned())
            .collect()
    };
    let names: Vec<String> = match kind {
        TOPIC => image.topics().map(|t| t.name.to_string()).collect(),
        BROKER | BROKER_LOGGER => image.brokers().map(|b| b.node.to_string()).collect(),
        GROUP => owned(|owner| match owner {
            ConfigOwner::Group(name) => Some(name),
            _ => None,
        }),
        _ => owned(|owner| match owner {
            ConfigOwner::ClientMetrics(name) => Some(name),
            _ => None,
        }),
    };
    let resource = |resource_name| ConfigResource {
        resource_name,
        resource_type: kind,
    };
    names.into_iter().map(resource).collect()
}
