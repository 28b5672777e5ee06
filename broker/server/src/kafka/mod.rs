//! Kafka's protocol, server side.

mod api;
mod auto_create;
mod call;
mod connection;
mod context;
mod errors;
mod frames;
mod gather;
mod lag;
mod listener;
mod locate;
mod producer_ids;
mod reference;
mod registry;
mod sessions;

pub(crate) use connection::ConnectionLimits;
pub use context::{Context, Identity, Parts};
pub(crate) use lag::{Lag, lags};
pub(crate) use listener::KafkaListener;
pub use reference::reference_markdown;
pub use registry::{Api, Operation, Quota, all as served};
