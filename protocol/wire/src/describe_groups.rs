//! DescribeGroups (key 15): state and members of classic groups.
//!
//! Sources: KIP-345 (static members), KIP-430 (authorized operations), KIP-1043
//! (GROUP_ID_NOT_FOUND from version 6 on).

use bytes::Bytes;
use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for groups in detail.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest {
    /// Their ids.
    pub groups: Vec<String>,
    /// Whether to tell what the asker may do with each.
    #[field(versions = "3+")]
    pub include_authorized_operations: bool,
}

/// Groups in detail.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// The groups, in request order.
    pub groups: Vec<DescribedGroup>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedGroup {
    /// 0 or the error. Before version 6 a group that is not there has no error and state "Dead".
    pub error_code: i16,
    /// The error in words.
    #[field(versions = "6+")]
    pub error_message: Option<String>,
    /// Its id.
    pub group_id: String,
    /// "PreparingRebalance", "CompletingRebalance", "Stable", "Empty", "Dead", or empty in an
    /// error.
    pub group_state: String,
    /// Its class of protocols.
    pub protocol_type: String,
    /// The chosen protocol; for consumers, the assignor's name.
    pub protocol_data: String,
    /// Its members.
    pub members: Vec<DescribedGroupMember>,
    /// Bit field of allowed operations; `i32::MIN` when not asked for.
    #[field(versions = "3+", default = -2147483648)]
    pub authorized_operations: i32,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribedGroupMember {
    /// Its id.
    pub member_id: String,
    /// Its static name.
    #[field(versions = "4+", ignorable)]
    pub group_instance_id: Option<String>,
    /// The client id of its last JoinGroup.
    pub client_id: String,
    /// The address it joined from, with a leading slash.
    pub client_host: String,
    /// What it said under the chosen protocol.
    pub member_metadata: Bytes,
    /// Its share, as the leader wrote it.
    pub member_assignment: Bytes,
}

impl Request for DescribeGroupsRequest {
    const KEY: ApiKey = ApiKey::DescribeGroups;
    type Response = DescribeGroupsResponse;
}
