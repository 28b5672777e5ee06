//! What callers may do, as bits; all of it while nothing is forbidden (KIP-430).
//!
//! The bit is the number of the operation: read 3, write 4, create 5, delete 6, alter 7,
//! describe 8, cluster action 9, describe configs 10, alter configs 11, idempotent write 12.

/// Everything there is to do with a topic.
pub(crate) const ALL_ON_TOPIC: i32 = 0b0000_1101_1111_1000;
/// Everything there is to do with the cluster.
pub(crate) const ALL_ON_CLUSTER: i32 = 0b0001_1111_1010_0000;
/// Everything there is to do with a group.
pub(crate) const ALL_ON_GROUP: i32 = 0b0000_1101_0100_1000;
