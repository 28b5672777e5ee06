//! Kafka's protocol, server side.

mod api;
mod auto_create;
mod call;
mod connection;
mod context;
mod errors;
mod frames;
mod gather;
mod listener;
mod locate;
mod producer_ids;
mod registry;
mod sessions;

pub(crate) use connection::ConnectionLimits;
pub use context::{Context, Identity, Parts};
pub(crate) use listener::KafkaListener;
pub use registry::{Api, Operation, Quota, all as served};
