//! SaslHandshake (key 17): chooses a SASL mechanism. Never flexible.
//!
//! After version 0 raw tokens follow in frames of their own; after version 1 they travel in
//! SaslAuthenticate (KIP-152).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Chooses a mechanism.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1")]
pub struct SaslHandshakeRequest {
    /// Its name, for example `SCRAM-SHA-256`.
    pub mechanism: String,
}

/// Whether the mechanism is offered.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1")]
pub struct SaslHandshakeResponse {
    /// 0 or the error.
    pub error_code: i16,
    /// The offered mechanisms.
    pub mechanisms: Vec<String>,
}

impl Request for SaslHandshakeRequest {
    const KEY: ApiKey = ApiKey::SaslHandshake;
    type Response = SaslHandshakeResponse;
}
