//! BrokerHeartbeat (key 63): a broker says that it lives, and what it wants next.
//!
//! Sources: KIP-631, KIP-858 (failed directories, from version 1 on), KIP-1066 (cordoned
//! directories, from version 2 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Says that a broker lives.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct BrokerHeartbeatRequest {
    /// The broker.
    pub broker_id: i32,
    /// The epoch of its registration.
    #[field(default = -1)]
    pub broker_epoch: i64,
    /// The last offset of the metadata log that it has applied.
    pub current_metadata_offset: i64,
    /// Whether it wants to be fenced, or to stay so.
    pub want_fence: bool,
    /// Whether it wants to stop, once its leaders are elsewhere.
    pub want_shut_down: bool,
    /// The ids of its log directories that have failed.
    #[field(versions = "1+", tag = 0)]
    pub offline_log_dirs: Vec<[u8; 16]>,
    /// The ids of its log directories that take no new partitions; null while it starts.
    #[field(versions = "2+", tag = 1)]
    pub cordoned_log_dirs: Option<Vec<[u8; 16]>>,
}

/// What the broker is, and may do.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct BrokerHeartbeatResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error, for example STALE_BROKER_EPOCH.
    pub error_code: i16,
    /// Whether it has nearly all of the metadata.
    pub is_caught_up: bool,
    /// Whether it is fenced.
    #[field(default = true)]
    pub is_fenced: bool,
    /// Whether it may stop now.
    pub should_shut_down: bool,
}

impl Request for BrokerHeartbeatRequest {
    const KEY: ApiKey = ApiKey::BrokerHeartbeat;
    type Response = BrokerHeartbeatResponse;
}
