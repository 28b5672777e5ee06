//! UpdateRaftVoter (key 82): a voter of the metadata quorum tells the leader where it can be reached
//! now, and which versions of the quorum's protocol it knows.
//!
//! Source: KIP-853.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Tells what has changed about a voter.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UpdateRaftVoterRequest {
    /// The cluster the voter means; null if it does not say.
    pub cluster_id: Option<String>,
    /// The leader epoch the voter knows; -1 if none.
    pub current_leader_epoch: i32,
    /// The voter.
    pub voter_id: i32,
    /// The directory it keeps its log in.
    pub voter_directory_id: [u8; 16],
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// The levels of kraft.version that it knows.
    pub kraft_version_feature: KRaftVersionFeature,
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

/// The levels of the quorum's protocol that a voter knows.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct KRaftVersionFeature {
    /// The first level.
    pub min_supported_version: i16,
    /// The last level.
    pub max_supported_version: i16,
}

/// Whether the leader has taken it in.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UpdateRaftVoterResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The leader to turn to instead.
    #[field(tag = 0)]
    pub current_leader: CurrentLeader,
}

/// The quorum's leader, and where it can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CurrentLeader {
    /// The leader; -1 if unknown.
    #[field(default = -1)]
    pub leader_id: i32,
    /// The largest epoch known; -1 if none.
    #[field(default = -1)]
    pub leader_epoch: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
}

impl Request for UpdateRaftVoterRequest {
    const KEY: ApiKey = ApiKey::UpdateRaftVoter;
    type Response = UpdateRaftVoterResponse;
}
