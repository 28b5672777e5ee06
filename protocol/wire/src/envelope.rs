//! Envelope (key 58): a broker hands a client's request on to the controller, together with who
//! the client is.
//!
//! Source: KIP-590.

use bytes::Bytes;
use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Hands a request on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct EnvelopeRequest {
    /// The request as the client wrote it: header and body, without the length before them.
    pub request_data: Bytes,
    /// The client's principal, in an encoding that the two nodes share; null if it has none.
    pub request_principal: Option<Bytes>,
    /// The client's IP address in network byte order: 4 or 16 bytes.
    pub client_host_address: Bytes,
}

/// Hands the answer back.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct EnvelopeResponse {
    /// The answer as the client shall get it: header and body, without the length before them; null
    /// in an error.
    pub response_data: Option<Bytes>,
    /// 0 or why the request was not taken on, for example NOT_CONTROLLER.
    pub error_code: i16,
}

impl Request for EnvelopeRequest {
    const KEY: ApiKey = ApiKey::Envelope;
    type Response = EnvelopeResponse;
}
