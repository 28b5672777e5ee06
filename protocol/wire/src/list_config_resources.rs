//! ListConfigResources (key 74): names the resources that have settings of their own
//! (KIP-714, KIP-1142).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for resources.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    /// Types of interest, as in DescribeConfigs; empty means every supported type.
    #[field(versions = "1+")]
    pub resource_types: Vec<i8>,
}

/// The resources.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The resources.
    pub config_resources: Vec<ConfigResource>,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ConfigResource {
    /// Its name.
    pub resource_name: String,
    /// Its type; version 0 lists client metrics (16) only.
    #[field(versions = "1+", default = 16, ignorable)]
    pub resource_type: i8,
}

impl Request for ListConfigResourcesRequest {
    const KEY: ApiKey = ApiKey::ListConfigResources;
    type Response = ListConfigResourcesResponse;
}
