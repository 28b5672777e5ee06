//! AllocateProducerIds (key 67): a broker gets a block of producer ids that nobody else has.
//!
//! Source: KIP-730.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for a block.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AllocateProducerIdsRequest {
    /// The broker.
    pub broker_id: i32,
    /// The epoch of its registration.
    #[field(default = -1)]
    pub broker_epoch: i64,
}

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AllocateProducerIdsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The first id.
    pub producer_id_start: i64,
    /// How many ids there are.
    pub producer_id_len: i32,
}

impl Request for AllocateProducerIdsRequest {
    const KEY: ApiKey = ApiKey::AllocateProducerIds;
    type Response = AllocateProducerIdsResponse;
}
