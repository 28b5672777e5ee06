//! AlterPartition (key 56): a leader asks the controller to change its in-sync replicas.
//!
//! It is a compare-and-set: the leader names the partition epoch it knows, and the controller
//! refuses when the partition has changed since, or when a broker has been restarted since its
//! epoch was seen.
//!
//! Sources: KIP-497, KIP-704 (recovery after an unclean election), KIP-841 (no fenced broker is in
//! sync; topic ids), KIP-903 (broker epochs, from version 3 on).

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Asks for other in-sync replicas.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-3", flexible = "0+")]
pub struct AlterPartitionRequest {
    /// The broker that leads.
    pub broker_id: i32,
    /// Its epoch.
    #[field(default = -1)]
    pub broker_epoch: i64,
    /// The changes by topic.
    pub topics: Vec<TopicData>,
}

/// The changes in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicData {
    /// The topic.
    pub topic_id: TopicId,
    /// The changes by partition.
    pub partitions: Vec<PartitionData>,
}

/// The change of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
    /// The leader epoch the leader knows.
    pub leader_epoch: i32,
    /// The replicas that are in sync.
    #[field(versions = "2")]
    pub new_isr: Vec<i32>,
    /// The replicas that are in sync.
    #[field(versions = "3+")]
    pub new_isr_with_epochs: Vec<BrokerState>,
    /// 1 while the partition recovers from an unclean election, otherwise 0.
    pub leader_recovery_state: i8,
    /// The partition epoch the leader knows.
    pub partition_epoch: i32,
}

/// A replica that is in sync.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct BrokerState {
    /// The broker.
    pub broker_id: i32,
    /// Its epoch as it told the leader; -1 if it did not, and then it is not compared.
    #[field(default = -1)]
    pub broker_epoch: i64,
}

/// What the partitions are now.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-3", flexible = "0+")]
pub struct AlterPartitionResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The results by topic.
    pub topics: Vec<TopicDataResponse>,
}

/// The results of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicDataResponse {
    /// The topic.
    pub topic_id: TopicId,
    /// The results by partition.
    pub partitions: Vec<PartitionDataResponse>,
}

/// The result of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionDataResponse {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error, for example INVALID_UPDATE_VERSION or INELIGIBLE_REPLICA.
    pub error_code: i16,
    /// The leader.
    pub leader_id: i32,
    /// Its epoch.
    pub leader_epoch: i32,
    /// The replicas that are in sync.
    pub isr: Vec<i32>,
    /// 1 while the partition recovers from an unclean election, otherwise 0.
    pub leader_recovery_state: i8,
    /// The partition's epoch.
    pub partition_epoch: i32,
}

impl Request for AlterPartitionRequest {
    const KEY: ApiKey = ApiKey::AlterPartition;
    type Response = AlterPartitionResponse;
}
