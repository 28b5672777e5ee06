//! SaslAuthenticate (key 36): carries one SASL token each way.
//!
//! Sources: KIP-152, KIP-368 (session lifetime).

use std::fmt;

use bytes::Bytes;
use freshet_codec::Message;

use crate::{ApiKey, Request};

/// A token of the client's.
#[derive(Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct SaslAuthenticateRequest {
    /// The token, as the mechanism defines it.
    pub auth_bytes: Bytes,
}

/// A token of the server's.
#[derive(Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct SaslAuthenticateResponse {
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
    /// The token, as the mechanism defines it.
    pub auth_bytes: Bytes,
    /// Milliseconds after which the client has to authenticate again; 0 means never.
    #[field(versions = "1+", ignorable)]
    pub session_lifetime_ms: i64,
}

// Tokens may hold passwords, so they do not show in debug output.
impl fmt::Debug for SaslAuthenticateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslAuthenticateRequest")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SaslAuthenticateResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslAuthenticateResponse")
            .field("error_code", &self.error_code)
            .field("error_message", &self.error_message)
            .field("session_lifetime_ms", &self.session_lifetime_ms)
            .finish_non_exhaustive()
    }
}

impl Request for SaslAuthenticateRequest {
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    type Response = SaslAuthenticateResponse;
}
