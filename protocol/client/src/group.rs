//! Consumers that share topics.

mod assignor;
pub(crate) mod embedded;
mod sticky;

pub use assignor::{Assignor, MemberView, Shares};
pub use embedded::{ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions};
