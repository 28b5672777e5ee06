//! Feature levels (KIP-584).

use std::collections::BTreeMap;

use freshet_types::NodeId;
use freshet_wire::update_features::{FeatureUpdateKey, SAFE_DOWNGRADE, UPGRADE};
use freshet_wire::{
    ApiVersionsRequest, ApiVersionsResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::{Admin, millis};
use crate::ClientError;

/// A feature of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeatureLevel {
    /// Its name.
    pub name: String,
    /// The levels that the asked broker could work with.
    pub supported: Option<(i16, i16)>,
    /// The level that the cluster uses.
    pub finalized: Option<i16>,
}

impl Admin {
    /// All features, by name, as any broker knows them.
    pub async fn features(&self) -> Result<Vec<FeatureLevel>, ClientError> {
        levels(self.client.call_any(&greeting()).await?)
    }

    /// The same, as one broker knows them: another may be of another version.
    pub async fn features_of(&self, node: NodeId) -> Result<Vec<FeatureLevel>, ClientError> {
        levels(self.client.call_broker(node, &greeting()).await?)
    }

    /// Finalizes levels, all or none.
    pub async fn update_features(
        &self,
        levels: &[(String, i16)],
        allow_downgrade: bool,
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let update = |(feature, level): &(String, i16)| FeatureUpdateKey {
            feature: feature.clone(),
            max_version_level: *level,
            upgrade_type: if allow_downgrade {
                SAFE_DOWNGRADE
            } else {
                UPGRADE
            },
            ..FeatureUpdateKey::default()
        };
        let request = UpdateFeaturesRequest {
            timeout_ms: millis(self.client.config().request_timeout),
            feature_updates: levels.iter().map(update).collect(),
            validate_only,
        };
        let refused = |r: &UpdateFeaturesResponse| r.error_code;
        let response = self.client.call_controller(&request, refused).await?;
        let what = || "no feature was changed".to_owned();
        ClientError::check(response.error_code, response.error_message.as_deref(), what)?;
        response.results.iter().try_for_each(|result| {
            let what = || format!("feature {} was not changed", result.feature);
            ClientError::check(result.error_code, result.error_message.as_deref(), what)
        })
    }
}

fn greeting() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "freshet".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..ApiVersionsRequest::default()
    }
}

fn levels(response: ApiVersionsResponse) -> Result<Vec<FeatureLevel>, ClientError> {
    let what = || "features cannot be listed".to_owned();
    ClientError::check(response.error_code, None, what)?;
    let mut features: BTreeMap<String, FeatureLevel> = BTreeMap::new();
    for told in response.supported_features {
        let feature = features.entry(told.name).or_default();
        feature.supported = Some((told.min_version, told.max_version));
    }
    for told in response.finalized_features {
        features.entry(told.name).or_default().finalized = Some(told.max_version_level);
    }
    let named = |(name, feature)| FeatureLevel { name, ..feature };
    Ok(features.into_iter().map(named).collect())
}
