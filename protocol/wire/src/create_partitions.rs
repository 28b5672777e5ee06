//! CreatePartitions (key 37): adds partitions to topics (KIP-195).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Topics to widen.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest {
    /// The topics.
    pub topics: Vec<CreatePartitionsTopic>,
    /// Milliseconds to wait until the partitions are there.
    pub timeout_ms: i32,
    /// Whether to check without creating.
    pub validate_only: bool,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsTopic {
    /// Its name.
    pub name: String,
    /// Partitions it shall have in total.
    pub count: i32,
    /// Replicas of the new partitions by hand; null lets the controller place them.
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
}

/// Replicas of one new partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsAssignment {
    /// Brokers, preferred leader first.
    pub broker_ids: Vec<i32>,
}

/// The outcome.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// Outcome by topic.
    pub results: Vec<CreatePartitionsTopicResult>,
}

/// The outcome for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct CreatePartitionsTopicResult {
    /// Its name.
    pub name: String,
    /// 0 or the error.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
}

impl Request for CreatePartitionsRequest {
    const KEY: ApiKey = ApiKey::CreatePartitions;
    type Response = CreatePartitionsResponse;
}
