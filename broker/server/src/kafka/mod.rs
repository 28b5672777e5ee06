//! Kafka's protocol, server side.

mod alter;
mod api;
mod auto_create;
mod call;
mod connection;
mod context;
mod coordinator;
mod errors;
mod frames;
mod gather;
mod lag;
mod listener;
mod locate;
mod operations;
mod producer_ids;
mod reference;
mod refusal;
mod registry;
mod resource;
mod sessions;

pub(crate) use connection::ConnectionLimits;
pub use context::{Context, Identity, Parts};
pub(crate) use lag::{Lag, lags};
pub(crate) use listener::KafkaListener;
pub use reference::reference_markdown;
pub use registry::{Api, Operation, Quota, all as served};
