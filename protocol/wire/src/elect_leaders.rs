//! ElectLeaders (key 43): elects partition leaders on demand.
//!
//! Sources: KIP-183 (preferred leaders), KIP-460 (unclean elections, from version 1 on).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Election type that puts the first replica of the assignment in charge, if it is in sync.
pub const PREFERRED: i8 = 0;
/// Election type that takes a live replica when none is in sync; records may be lost.
pub const UNCLEAN: i8 = 1;

/// Asks for elections.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersRequest {
    /// Which leader is wanted: [`PREFERRED`] or [`UNCLEAN`].
    #[field(versions = "1+")]
    pub election_type: i8,
    /// The partitions by topic; null means all of them.
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    /// Milliseconds to wait for the new leaders.
    #[field(default = 60_000)]
    pub timeout_ms: i32,
}

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// How the elections went.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error of the whole request; version 0 cannot say it.
    #[field(versions = "1+")]
    pub error_code: i16,
    /// The results by topic. Asked for all partitions, only those that needed an election.
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

/// The elections of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaElectionResult {
    /// The topic.
    pub topic: String,
    /// The results by partition.
    pub partition_result: Vec<PartitionResult>,
}

/// The election in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionResult {
    /// The partition.
    pub partition_id: i32,
    /// 0 or the error, for example ELECTION_NOT_NEEDED.
    pub error_code: i16,
    /// The error in words.
    pub error_message: Option<String>,
}

impl Request for ElectLeadersRequest {
    const KEY: ApiKey = ApiKey::ElectLeaders;
    type Response = ElectLeadersResponse;
}
