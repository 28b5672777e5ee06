//! Topics come, grow and go.

mod create_partitions;
mod create_topics;
mod delete_topics;
mod room;

pub(crate) use create_partitions::create_partitions;
pub(crate) use create_topics::{create_topics, restore_topics};
pub(crate) use delete_topics::delete_topics;
