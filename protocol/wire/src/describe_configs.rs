//! DescribeConfigs (key 32): settings of topics, brokers and other resources, with their sources.
//!
//! Sources: KIP-226 (sources and synonyms), KIP-569 (types and documentation).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Resources to describe.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest {
    /// The resources.
    pub resources: Vec<DescribeConfigsResource>,
    /// Whether to list every place a value could come from.
    pub include_synonyms: bool,
    /// Whether to add the settings' documentation.
    #[field(versions = "3+")]
    pub include_documentation: bool,
}

/// One resource.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResource {
    /// 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// Its name; an empty broker name means the cluster-wide default.
    pub resource_name: String,
    /// Settings of interest; null means all of them.
    pub configuration_keys: Option<Vec<String>>,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// By resource.
    pub results: Vec<DescribeConfigsResult>,
}

/// One resource's settings.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResult {
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// As asked.
    pub resource_type: i8,
    /// As asked.
    pub resource_name: String,
    /// The settings.
    pub configs: Vec<DescribeConfigsResourceResult>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsResourceResult {
    /// Its name.
    pub name: String,
    /// Its value; null when it is sensitive or has none.
    pub value: Option<String>,
    /// Whether it can be changed.
    pub read_only: bool,
    /// 1 topic, 2 dynamic broker, 3 dynamic default broker, 4 static broker, 5 default, 6 broker
    /// logger, 7 client metrics, 8 group.
    #[field(default = -1)]
    pub config_source: i8,
    /// Whether the value is a secret.
    pub is_sensitive: bool,
    /// Every place the value could come from, the strongest first.
    pub synonyms: Vec<DescribeConfigsSynonym>,
    /// 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8 class, 9 password; 0
    /// unknown.
    #[field(versions = "3+", ignorable)]
    pub config_type: i8,
    /// What the setting does.
    #[field(versions = "3+", ignorable)]
    pub documentation: Option<String>,
}

/// One place a value could come from.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeConfigsSynonym {
    /// The setting's name there.
    pub name: String,
    /// Its value there.
    pub value: Option<String>,
    /// The place, as in `config_source`.
    pub source: i8,
}

impl Request for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Response = DescribeConfigsResponse;
}
