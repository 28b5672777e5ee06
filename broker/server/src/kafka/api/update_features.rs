//! UpdateFeatures (57): finalizes feature levels (KIP-584), all of them or none (KIP-1022).

use std::sync::Arc;

use freshet_metadata::{FeatureUpdate, UpdateFeatures};
use freshet_wire::update_features::{
    FeatureUpdateKey, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE, UPGRADE, UpdatableFeatureResult,
};
use freshet_wire::{ErrorCode, UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::kafka::call::Call;
use crate::kafka::context::Context;
use crate::kafka::errors::refusal::{Refusal, told};

/// Below version 2 each feature gets the outcome of all.
pub(crate) async fn handle(
    context: &Arc<Context>,
    call: &Call,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let names: Vec<String> = request
        .feature_updates
        .iter()
        .map(|u| u.feature.clone())
        .collect();
    let read = |asked| update(asked, call.version);
    let updates: Result<Vec<_>, _> = request.feature_updates.into_iter().map(read).collect();
    let outcome = match updates {
        Ok(updates) => {
            let change = UpdateFeatures {
                updates,
                validate_only: request.validate_only,
            };
            let answer = context.change_within(request.timeout_ms, change).await;
            answer.and_then(|outcome| outcome.map_err(Refusal::from))
        }
        Err(refusal) => Err(refusal),
    };
    let (error_code, error_message) = told(context, &outcome);
    let result = |feature| UpdatableFeatureResult {
        feature,
        error_code,
        error_message: error_message.clone(),
    };
    UpdateFeaturesResponse {
        results: names.into_iter().map(result).collect(),
        error_code,
        error_message,
        ..UpdateFeaturesResponse::default()
    }
}

fn update(asked: FeatureUpdateKey, version: i16) -> Result<FeatureUpdate, Refusal> {
    let allow_downgrade = match asked.upgrade_type {
        _ if version == 0 => asked.allow_downgrade,
        UPGRADE => false,
        SAFE_DOWNGRADE | UNSAFE_DOWNGRADE => true,
        other => {
            let message = format!("upgrade type {other} of {} is not known", asked.feature);
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        }
    };
    Ok(FeatureUpdate {
        name: asked.feature,
        level: asked.max_version_level,
        allow_downgrade,
    })
}
