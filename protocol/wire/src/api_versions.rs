//! ApiVersions (key 18): what the broker serves.
//!
//! A client asks this first, in the newest version it knows. The broker must answer even a version
//! that it does not know: in version 0, with UNSUPPORTED_VERSION and its own range (KIP-511).
//!
//! Sources: KIP-511 (client name and version), KIP-584 (features), KIP-1242 (cluster and node id).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks what is served.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct ApiVersionsRequest {
    /// Name of the client library.
    #[field(versions = "3+", ignorable)]
    pub client_software_name: String,
    /// Version of the client library.
    #[field(versions = "3+", ignorable)]
    pub client_software_version: String,
    /// The cluster the client means to reach, if it knows.
    #[field(versions = "5+", ignorable)]
    pub cluster_id: Option<String>,
    /// The node the client means to reach; -1 if it does not know.
    #[field(versions = "5+", default = -1, ignorable)]
    pub node_id: i32,
}

/// What is served.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct ApiVersionsResponse {
    /// 0 or the error.
    pub error_code: i16,
    /// One entry for each served API.
    pub api_keys: Vec<ApiVersion>,
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// Features this broker could use. One with `min_version` 0 must be left out below version 4,
    /// because older clients cannot read it (KAFKA-17011).
    #[field(versions = "3+", tag = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    /// Counts changes of `finalized_features`; -1 if unknown.
    #[field(versions = "3+", tag = 1, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    /// Features the whole cluster uses.
    #[field(versions = "3+", tag = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    /// A left-over of the time before KRaft; always false.
    #[field(versions = "3+", tag = 3, ignorable)]
    pub zk_migration_ready: bool,
}

/// One served API.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ApiVersion {
    /// Its key.
    pub api_key: i16,
    /// The first served version.
    pub min_version: i16,
    /// The last served version.
    pub max_version: i16,
}

/// A feature a broker could use.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SupportedFeatureKey {
    /// Its name, for example `transaction.version`.
    pub name: String,
    /// The lowest level.
    pub min_version: i16,
    /// The highest level.
    pub max_version: i16,
}

/// A feature the cluster uses.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FinalizedFeatureKey {
    /// Its name.
    pub name: String,
    /// The level in use.
    pub max_version_level: i16,
    /// The lowest level in use.
    pub min_version_level: i16,
}

impl Request for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Response = ApiVersionsResponse;
}
