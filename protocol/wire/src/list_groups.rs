//! ListGroups (key 16): the groups one broker coordinates.
//!
//! Sources: KIP-518 (states), KIP-848 (types).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct ListGroupsRequest {
    /// Only groups in these states; empty means all.
    #[field(versions = "4+")]
    pub states_filter: Vec<String>,
    /// Only groups of these types; empty means all.
    #[field(versions = "5+")]
    pub types_filter: Vec<String>,
}

/// The broker's groups.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The groups.
    pub groups: Vec<ListedGroup>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: String,
    /// Its class of protocols; empty for a group that only stores offsets.
    pub protocol_type: String,
    /// Its state, for example "Stable" or "Empty".
    #[field(versions = "4+", ignorable)]
    pub group_state: String,
    /// Its type, for example "classic" or "consumer".
    #[field(versions = "5+", ignorable)]
    pub group_type: String,
}

impl Request for ListGroupsRequest {
    const KEY: ApiKey = ApiKey::ListGroups;
    type Response = ListGroupsResponse;
}
