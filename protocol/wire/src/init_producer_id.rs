//! InitProducerId (key 22): gives a producer its id and epoch. Every Java producer asks for it,
//! because idempotence is on by default.
//!
//! Version 6 (two-phase commit, KIP-939) is marked unstable in Kafka 4.4 and left out.
//!
//! Sources: KIP-98, KIP-360 (a producer bumps its own epoch), KIP-890 (version 5).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for an id and epoch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdRequest {
    /// The transactional id; `None` for a producer that is only idempotent.
    pub transactional_id: Option<String>,
    /// Milliseconds after which an idle transaction is aborted.
    pub transaction_timeout_ms: i32,
    /// The id the producer has already; -1 if none.
    #[field(versions = "3+", default = -1)]
    pub producer_id: i64,
    /// The epoch the producer has already; -1 if none.
    #[field(versions = "3+", default = -1)]
    pub producer_epoch: i16,
}

/// The id and epoch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The producer's id.
    #[field(default = -1)]
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
}

impl Request for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Response = InitProducerIdResponse;
}
