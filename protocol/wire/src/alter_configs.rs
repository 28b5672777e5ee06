//! AlterConfigs (key 33): replaces all settings of resources. Kafka 4.x clients use
//! IncrementalAlterConfigs instead.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Settings to replace.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsRequest {
    /// By resource.
    pub resources: Vec<AlterConfigsResource>,
    /// Whether to check without changing.
    pub validate_only: bool,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterConfigsResource {
    /// As in DescribeConfigs.
    pub resource_type: i8,
    /// Its name.
    pub resource_name: String,
    /// Its whole new set of settings; those not listed fall back to their defaults.
    pub configs: Vec<AlterableConfig>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterableConfig {
    /// Its name.
    pub name: String,
    /// Its value; null means the default.
    pub value: Option<String>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct AlterConfigsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// By resource.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

/// The outcome for one resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterConfigsResourceResponse {
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// As asked.
    pub resource_type: i8,
    /// As asked.
    pub resource_name: String,
}

impl Request for AlterConfigsRequest {
    const KEY: ApiKey = ApiKey::AlterConfigs;
    type Response = AlterConfigsResponse;
}
