//! Decisions, one file per request. Each reads the machine, pushes records, and returns the answer;
//! an item that fails pushes nothing.

mod allocate_producer_ids;
mod alter_configs;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_topics;
mod register_broker;
mod room;
mod update_features;

pub(crate) use allocate_producer_ids::allocate_producer_ids;
pub(crate) use alter_configs::alter_configs;
pub(crate) use create_partitions::create_partitions;
pub(crate) use create_topics::create_topics;
pub(crate) use delete_topics::delete_topics;
pub(crate) use register_broker::register_broker;
pub(crate) use update_features::update_features;
