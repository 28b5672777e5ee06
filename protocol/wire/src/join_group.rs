//! JoinGroup (key 11): a member of a classic group enters a rebalance and waits until it is over.
//!
//! Sources: KIP-62 (rebalance timeout), KIP-345 (static members), KIP-394 (member id required),
//! KIP-559 (protocol type in the reply), KIP-800 (reason), KIP-814 (leader skips the assignment).

use bytes::Bytes;
use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks to become, or to stay, a member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest {
    /// The group.
    pub group_id: String,
    /// Milliseconds without a heartbeat after which the member is taken for dead.
    pub session_timeout_ms: i32,
    /// Milliseconds the group waits for this member to join again; -1 means the session timeout.
    #[field(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    /// Id given by the coordinator; empty on the first try.
    pub member_id: String,
    /// Static member's name, chosen by its owner; null for a dynamic member.
    #[field(versions = "5+")]
    pub group_instance_id: Option<String>,
    /// Class of protocols, for example "consumer" or "connect". Opaque to the broker.
    pub protocol_type: String,
    /// Protocols the member can speak, best first.
    pub protocols: Vec<JoinGroupRequestProtocol>,
    /// Why the member joins, for the broker's log.
    #[field(versions = "8+", ignorable)]
    pub reason: Option<String>,
}

/// One protocol a member can speak.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct JoinGroupRequestProtocol {
    /// For a consumer, the assignor's name.
    pub name: String,
    /// What this protocol wants the group's leader to know; opaque to the broker.
    pub metadata: Bytes,
}

/// The outcome of a rebalance's first half.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error. MEMBER_ID_REQUIRED from version 4 on asks to join again with `member_id`.
    pub error_code: i16,
    /// Counts the group's generations.
    #[field(default = -1)]
    pub generation_id: i32,
    /// The group's class of protocols.
    #[field(versions = "7+", ignorable)]
    pub protocol_type: Option<String>,
    /// The protocol chosen for this generation; null in an error of version 7 or later.
    #[field(nullable = "7+", default = "")]
    pub protocol_name: Option<String>,
    /// Member id of the leader.
    pub leader: String,
    /// Whether the leader must leave the present assignment as it is.
    #[field(versions = "9+")]
    pub skip_assignment: bool,
    /// The receiver's member id.
    pub member_id: String,
    /// All members, for the leader only; empty for the others.
    pub members: Vec<JoinGroupResponseMember>,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct JoinGroupResponseMember {
    /// Its id.
    pub member_id: String,
    /// Its static name.
    #[field(versions = "5+", ignorable)]
    pub group_instance_id: Option<String>,
    /// What it said under the chosen protocol.
    pub metadata: Bytes,
}

impl Request for JoinGroupRequest {
    const KEY: ApiKey = ApiKey::JoinGroup;
    type Response = JoinGroupResponse;
}
