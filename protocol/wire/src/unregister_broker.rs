//! UnregisterBroker (key 64): forgets a broker that will not come back.
//!
//! Source: KIP-631.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks to forget a broker.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerRequest {
    /// The broker.
    pub broker_id: i32,
}

/// Whether it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
}

impl Request for UnregisterBrokerRequest {
    const KEY: ApiKey = ApiKey::UnregisterBroker;
    type Response = UnregisterBrokerResponse;
}
