//! AddRaftVoter (key 80): makes a controller that follows the metadata quorum one of its voters.
//!
//! Sources: KIP-853, KIP-1186 (an answer before the change is committed, from version 1 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for one more voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AddRaftVoterRequest {
    /// The cluster the asker means; null if it does not say.
    pub cluster_id: Option<String>,
    /// Milliseconds to wait for the change.
    pub timeout_ms: i32,
    /// The voter.
    pub voter_id: i32,
    /// The directory it keeps its log in.
    pub voter_directory_id: [u8; 16],
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// Whether to answer only when the change is committed, and not as soon as the leader has
    /// written it.
    #[field(versions = "1+", default = true)]
    pub ack_when_committed: bool,
}

/// One listener of the voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
}

/// Whether it is a voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AddRaftVoterResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error, for example DUPLICATE_VOTER.
    pub error_code: i16,
    /// The error in words.
    #[field(ignorable)]
    pub error_message: Option<String>,
}

impl Request for AddRaftVoterRequest {
    const KEY: ApiKey = ApiKey::AddRaftVoter;
    type Response = AddRaftVoterResponse;
}
