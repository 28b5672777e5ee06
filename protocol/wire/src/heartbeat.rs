//! Heartbeat (key 12): a member of a classic group is alive, and learns about a rebalance.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest {
    /// The group.
    pub group_id: String,
    /// The generation the member is in.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Its static name (KIP-345).
    #[field(versions = "3+")]
    pub group_instance_id: Option<String>,
}

/// What the member has to do next.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error; REBALANCE_IN_PROGRESS asks to join again.
    pub error_code: i16,
}

impl Request for HeartbeatRequest {
    const KEY: ApiKey = ApiKey::Heartbeat;
    type Response = HeartbeatResponse;
}
