//! Kafka's protocol, server side.

mod alarm;
mod api;
mod auto_create;
mod call;
mod configs;
mod connection;
mod context;
mod coordinator;
mod errors;
mod operations;
mod producer_ids;
mod registry;
mod sessions;

pub(crate) use api::describe_log_dirs::shown;
pub(crate) use connection::ConnectionLimits;
pub(crate) use connection::listener::{KafkaListener, ListenerShared};
pub use context::{
    Context, Identity, Parts, PeerAnswered, PeerDoor, QuorumFace, Readiness, RoundTrips,
    VotersAnswer,
};
pub(crate) use coordinator::lag::{Lag, lags};
pub use registry::reference::reference_markdown;
pub use registry::{Api, Operation, Quota, all as served};
