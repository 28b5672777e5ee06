//! LeaveGroup (key 13): members go, or are sent away by an administrator.
//!
//! Sources: KIP-345 (several members, static names), KIP-800 (reason).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Takes members out of a classic group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest {
    /// The group.
    pub group_id: String,
    /// The only member that leaves.
    #[field(versions = "0-2")]
    pub member_id: String,
    /// The members that leave.
    #[field(versions = "3+")]
    pub members: Vec<MemberIdentity>,
}

/// Names a member that leaves.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MemberIdentity {
    /// Its id; empty when only the static name is known.
    pub member_id: String,
    /// Its static name.
    pub group_instance_id: Option<String>,
    /// Why it leaves, for the broker's log.
    #[field(versions = "5+", ignorable)]
    pub reason: Option<String>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error of the request as a whole.
    pub error_code: i16,
    /// Outcome of each member, in request order.
    #[field(versions = "3+")]
    pub members: Vec<MemberResponse>,
}

/// The outcome for one member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct MemberResponse {
    /// Its id.
    pub member_id: String,
    /// Its static name.
    pub group_instance_id: Option<String>,
    /// 0 or the error.
    pub error_code: i16,
}

impl Request for LeaveGroupRequest {
    const KEY: ApiKey = ApiKey::LeaveGroup;
    type Response = LeaveGroupResponse;
}
