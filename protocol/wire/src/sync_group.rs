//! SyncGroup (key 14): the leader hands in the assignment, and each member fetches its share.
//!
//! Sources: KIP-345 (static members), KIP-559 (protocol type and name).

use bytes::Bytes;
use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Second half of a rebalance.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest {
    /// The group.
    pub group_id: String,
    /// The generation told by JoinGroup.
    pub generation_id: i32,
    /// The member.
    pub member_id: String,
    /// Its static name.
    #[field(versions = "3+")]
    pub group_instance_id: Option<String>,
    /// The class of protocols the member believes in.
    #[field(versions = "5+", ignorable)]
    pub protocol_type: Option<String>,
    /// The protocol the member believes in.
    #[field(versions = "5+", ignorable)]
    pub protocol_name: Option<String>,
    /// Everybody's share from the leader; empty from the others.
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

/// One member's share.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SyncGroupRequestAssignment {
    /// Whose share.
    pub member_id: String,
    /// The share; opaque to the broker.
    pub assignment: Bytes,
}

/// A member's share of the generation.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error; REBALANCE_IN_PROGRESS asks to join again.
    pub error_code: i16,
    /// The group's class of protocols.
    #[field(versions = "5+", ignorable)]
    pub protocol_type: Option<String>,
    /// The protocol of this generation.
    #[field(versions = "5+", ignorable)]
    pub protocol_name: Option<String>,
    /// The share, as the leader wrote it.
    pub assignment: Bytes,
}

impl Request for SyncGroupRequest {
    const KEY: ApiKey = ApiKey::SyncGroup;
    type Response = SyncGroupResponse;
}
