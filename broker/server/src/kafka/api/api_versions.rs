//! ApiVersions (18): what we serve, and which features are final. Always answered (KIP-511).

use std::sync::Arc;

use freshet_metadata::{FEATURES, Feature, KRAFT_VERSION, MetadataImage};
use freshet_wire::api_versions::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use freshet_wire::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, ErrorCode};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::registry;

/// Lists the registry. A request in a version we do not know gets the list and an error in
/// version 0; a call of version -1 stands for that.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let image = context.image();
    // KIP-853: a broker that keeps the metadata alone has no voters to change.
    let has_voters = context.voters.is_some();
    let known = FEATURES
        .iter()
        .filter(|f| has_voters || f.name != KRAFT_VERSION);
    ApiVersionsResponse {
        error_code: verdict(context, call, &request).code(),
        api_keys: registry::all().map(advertise).collect(),
        supported_features: known
            .clone()
            .filter(|feature| call.version >= 4 || feature.min > 0)
            .map(supported)
            .collect(),
        finalized_features_epoch: image.position().offset.max(0),
        finalized_features: known.filter_map(|f| finalized(f, &image)).collect(),
        ..ApiVersionsResponse::default()
    }
}

fn supported(feature: &Feature) -> SupportedFeatureKey {
    SupportedFeatureKey {
        name: feature.name.to_owned(),
        min_version: feature.min,
        max_version: feature.max,
    }
}

/// A feature that the cluster does not use is left out.
fn finalized(feature: &Feature, image: &MetadataImage) -> Option<FinalizedFeatureKey> {
    let level = feature.level(image);
    (level > 0).then(|| FinalizedFeatureKey {
        name: feature.name.to_owned(),
        max_version_level: level,
        min_version_level: level,
    })
}

fn verdict(context: &Context, call: &Call, request: &ApiVersionsRequest) -> ErrorCode {
    if call.version < 0 {
        return ErrorCode::UnsupportedVersion;
    }
    let named = |text: &str| {
        let letter = |c: char| c.is_ascii_alphanumeric();
        text.starts_with(letter)
            && text.ends_with(letter)
            && text.chars().all(|c| letter(c) || "-._".contains(c))
    };
    if call.version >= 3
        && !(named(&request.client_software_name) && named(&request.client_software_version))
    {
        return ErrorCode::InvalidRequest;
    }
    // KIP-1242: the client meant another broker or cluster; an address was reused.
    let other_cluster = request
        .cluster_id
        .as_deref()
        .is_some_and(|id| id != &*context.identity.cluster_id.0);
    let other_node = request.node_id != -1 && request.node_id != context.identity.node_id.0;
    if call.version >= 5 && (other_cluster || other_node) {
        return ErrorCode::RebootstrapRequired;
    }
    ErrorCode::None
}

/// Produce claims to start at 0: librdkafka before 2.11 takes a higher minimum as "no compression"
/// and breaks (KAFKA-18659). Versions 0 to 2 are refused all the same.
fn advertise(api: &registry::Api) -> ApiVersion {
    let min = if api.key == ApiKey::Produce {
        0
    } else {
        *api.versions.start()
    };
    ApiVersion {
        api_key: api.key.code(),
        min_version: min,
        max_version: *api.versions.end(),
    }
}
