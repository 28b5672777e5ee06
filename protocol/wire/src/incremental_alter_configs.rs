//! IncrementalAlterConfigs (key 44): changes single settings and leaves the others alone (KIP-339).

use freshet_codec::Message;

pub use crate::alter_configs::AlterConfigsResourceResponse;
use crate::{ApiKey, Request};

/// Settings to change.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsRequest {
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
    /// The changes.
    pub configs: Vec<AlterableConfig>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AlterableConfig {
    /// The setting.
    pub name: String,
    /// 0 set, 1 delete, 2 append to a list, 3 subtract from a list.
    pub config_operation: i8,
    /// The value, or the list items; ignored by delete.
    pub value: Option<String>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// By resource.
    pub responses: Vec<AlterConfigsResourceResponse>,
}

impl Request for IncrementalAlterConfigsRequest {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    type Response = IncrementalAlterConfigsResponse;
}
