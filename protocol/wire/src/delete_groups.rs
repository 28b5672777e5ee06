//! DeleteGroups (key 42): forgets empty groups and their positions (KIP-229).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Groups to forget.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-3", flexible = "2+")]
pub struct DeleteGroupsRequest {
    /// Their ids.
    pub groups_names: Vec<String>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-3", flexible = "2+")]
pub struct DeleteGroupsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// Outcome by group.
    pub results: Vec<DeletableGroupResult>,
}

/// The outcome for one group.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DeletableGroupResult {
    /// Its id.
    pub group_id: String,
    /// 0 or the error, for example NON_EMPTY_GROUP.
    pub error_code: i16,
    /// The error in words.
    #[field(versions = "3+", ignorable)]
    pub error_message: Option<String>,
}

impl Request for DeleteGroupsRequest {
    const KEY: ApiKey = ApiKey::DeleteGroups;
    type Response = DeleteGroupsResponse;
}
