//! UpdateFeatures (key 57): finalizes feature levels for the whole cluster.
//!
//! Sources: KIP-584, KIP-778 (kinds of change and a dry run, from version 1 on), KIP-1022 (all or
//! nothing: no results by feature from version 2 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Upgrade type that refuses to lower a level.
pub const UPGRADE: i8 = 1;
/// Upgrade type that lowers a level if nothing is lost by it.
pub const SAFE_DOWNGRADE: i8 = 2;
/// Upgrade type that lowers a level even if metadata is lost by it.
pub const UNSAFE_DOWNGRADE: i8 = 3;

/// Asks for other levels.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesRequest {
    /// Milliseconds to wait for the change.
    #[field(default = 60_000)]
    pub timeout_ms: i32,
    /// The levels.
    pub feature_updates: Vec<FeatureUpdateKey>,
    /// Whether only to check.
    #[field(versions = "1+")]
    pub validate_only: bool,
}

/// The level of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FeatureUpdateKey {
    /// The feature.
    pub feature: String,
    /// The level it shall have; below 1 it shall have none.
    pub max_version_level: i16,
    /// Whether the level may be lowered.
    #[field(versions = "0")]
    pub allow_downgrade: bool,
    /// Whether the level may be lowered: [`UPGRADE`], [`SAFE_DOWNGRADE`] or [`UNSAFE_DOWNGRADE`].
    #[field(versions = "1+", default = UPGRADE)]
    pub upgrade_type: i8,
}

/// Whether the levels were changed.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct UpdateFeaturesResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// The results by feature.
    #[field(versions = "0-1", ignorable)]
    pub results: Vec<UpdatableFeatureResult>,
}

/// The result of one feature.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct UpdatableFeatureResult {
    /// The feature.
    pub feature: String,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
}

impl Request for UpdateFeaturesRequest {
    const KEY: ApiKey = ApiKey::UpdateFeatures;
    type Response = UpdateFeaturesResponse;
}
