//! RemoveRaftVoter (key 81): takes a voter out of the metadata quorum.
//!
//! Source: KIP-853.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for one voter less.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterRequest {
    /// The cluster the asker means; null if it does not say.
    pub cluster_id: Option<String>,
    /// The voter.
    pub voter_id: i32,
    /// The directory it keeps its log in.
    pub voter_directory_id: [u8; 16],
}

/// Whether it is no voter any more.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error, for example VOTER_NOT_FOUND.
    pub error_code: i16,
    /// The error in words.
    #[field(ignorable)]
    pub error_message: Option<String>,
}

impl Request for RemoveRaftVoterRequest {
    const KEY: ApiKey = ApiKey::RemoveRaftVoter;
    type Response = RemoveRaftVoterResponse;
}
