//! Sending records.

mod partitioner;

pub use partitioner::{murmur2, partition_for_key};
