//! BrokerRegistration (key 62): a broker that has just started makes itself known to the controller
//! and receives its epoch.
//!
//! Sources: KIP-631, KIP-866 (migration, which has ended), KIP-858 (directories, from version 2 on),
//! KIP-966 (unclean shutdowns, from version 3 on), KAFKA-17011 (features from level 0 on, in version
//! 4).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Registers a broker, fenced at first.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "0+")]
pub struct BrokerRegistrationRequest {
    /// The broker.
    pub broker_id: i32,
    /// The cluster it belongs to.
    pub cluster_id: String,
    /// Names this run of the process.
    pub incarnation_id: [u8; 16],
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// The feature levels it knows. Up to version 3, features with a level of 0 must be left out.
    pub features: Vec<Feature>,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// Whether it comes from a cluster of the time before the metadata quorum.
    #[field(versions = "1+")]
    pub is_migrating_zk_broker: bool,
    /// The ids of its log directories that work.
    #[field(versions = "2+", ignorable)]
    pub log_dirs: Vec<[u8; 16]>,
    /// The epoch before its last shutdown, if that was a clean one; otherwise -1.
    #[field(versions = "3+", default = -1, ignorable)]
    pub previous_broker_epoch: i64,
}

/// One listener of the broker.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Listener {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// What is spoken there: 0 plain, 1 TLS, 2 SASL, 3 SASL over TLS.
    pub security_protocol: i16,
}

/// The levels of one feature that the broker knows.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Feature {
    /// The feature.
    pub name: String,
    /// The first level.
    pub min_supported_version: i16,
    /// The last level.
    pub max_supported_version: i16,
}

/// The broker's epoch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "0+")]
pub struct BrokerRegistrationResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error, for example DUPLICATE_BROKER_REGISTRATION.
    pub error_code: i16,
    /// The epoch of this registration; -1 in an error.
    #[field(default = -1)]
    pub broker_epoch: i64,
}

impl Request for BrokerRegistrationRequest {
    const KEY: ApiKey = ApiKey::BrokerRegistration;
    type Response = BrokerRegistrationResponse;
}
