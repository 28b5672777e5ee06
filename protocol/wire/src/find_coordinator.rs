//! FindCoordinator (key 10): which broker looks after a group, transactional id or share partition.
//!
//! Up to version 3 one key is asked and answered at the top level; from version 4 on a list.
//!
//! Sources: KIP-98 (key types), KIP-699 (lists), KIP-932 (share partitions, version 6).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks for coordinators.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    /// The one key.
    #[field(versions = "0-3")]
    pub key: String,
    /// What the keys are: 0 groups, 1 transactional ids, 2 share partitions.
    #[field(versions = "1+")]
    pub key_type: i8,
    /// The keys.
    #[field(versions = "4+")]
    pub coordinator_keys: Vec<String>,
}

/// The coordinators.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error.
    #[field(versions = "0-3")]
    pub error_code: i16,
    /// The error in words.
    #[field(versions = "1-3", ignorable)]
    pub error_message: Option<String>,
    /// The coordinator.
    #[field(versions = "0-3")]
    pub node_id: i32,
    /// The host to connect to.
    #[field(versions = "0-3")]
    pub host: String,
    /// The port to connect to.
    #[field(versions = "0-3")]
    pub port: i32,
    /// The coordinators by key.
    #[field(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

/// The coordinator of one key.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Coordinator {
    /// The key.
    pub key: String,
    /// The coordinator; -1 in an error.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    #[field(ignorable)]
    pub error_message: Option<String>,
}

impl Request for FindCoordinatorRequest {
    const KEY: ApiKey = ApiKey::FindCoordinator;
    type Response = FindCoordinatorResponse;
}
