//! UnregisterController (key 94): forgets a controller that will not come back. New in Kafka 4.4.
//!
//! Source: KIP-1312.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks to forget a controller.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterControllerRequest {
    /// The controller.
    pub controller_id: i32,
}

/// Whether it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterControllerResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
}

impl Request for UnregisterControllerRequest {
    const KEY: ApiKey = ApiKey::UnregisterController;
    type Response = UnregisterControllerResponse;
}
