//! ControllerRegistration (key 70): a controller tells the active one where it can be reached and
//! which features it knows.
//!
//! Source: KIP-919.

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Registers a controller.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ControllerRegistrationRequest {
    /// The controller.
    pub controller_id: i32,
    /// Names this run of the process.
    pub incarnation_id: [u8; 16],
    /// Whether it could migrate a cluster of the time before the metadata quorum.
    pub zk_migration_ready: bool,
    /// Where it can be reached.
    pub listeners: Vec<Listener>,
    /// The feature levels it knows.
    pub features: Vec<Feature>,
}

/// One listener of the controller.
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

/// The levels of one feature that the controller knows.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct Feature {
    /// The feature.
    pub name: String,
    /// The first level.
    pub min_supported_version: i16,
    /// The last level.
    pub max_supported_version: i16,
}

/// Whether the controller is registered.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ControllerRegistrationResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
}

impl Request for ControllerRegistrationRequest {
    const KEY: ApiKey = ApiKey::ControllerRegistration;
    type Response = ControllerRegistrationResponse;
}
