//! OffsetFetch (key 9): reads stored positions of groups. Versions 8 and later ask for many groups.
//!
//! Sources: KIP-447 (require stable), KIP-709 (many groups), KIP-848 (member epoch), KIP-516
//! (topic ids from version 10 on).

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Asks for stored positions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest {
    /// The only group.
    #[field(versions = "1-7")]
    pub group_id: String,
    /// Topics of interest; null means all of them.
    #[field(versions = "1-7", nullable = "2-7")]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    /// The groups.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    /// Whether partitions with a pending transactional commit answer UNSTABLE_OFFSET_COMMIT.
    #[field(versions = "7+")]
    pub require_stable: bool,
}

/// A topic of interest, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestTopic {
    /// Its name.
    pub name: String,
    /// Its partitions of interest.
    pub partition_indexes: Vec<i32>,
}

/// One group's question.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestGroup {
    /// The group.
    pub group_id: String,
    /// The KIP-848 member that asks; null from outside.
    #[field(versions = "9+", ignorable)]
    pub member_id: Option<String>,
    /// Its epoch; -1 from outside.
    #[field(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    /// Topics of interest; null means all of them.
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

/// A topic of interest, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchRequestTopics {
    /// Its name.
    #[field(versions = "8-9", ignorable)]
    pub name: String,
    /// Its id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Its partitions of interest.
    pub partition_indexes: Vec<i32>,
}

/// Stored positions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// Positions of the only group.
    #[field(versions = "1-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    /// 0 or the only group's error.
    #[field(versions = "2-7", ignorable)]
    pub error_code: i16,
    /// Positions by group.
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

/// Positions in one topic, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseTopic {
    /// Its name.
    pub name: String,
    /// Positions by partition.
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

/// The position in one partition, up to version 7.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// Offset of the next record to read; -1 if none is stored.
    pub committed_offset: i64,
    /// Leader epoch stored with it; -1 if unknown.
    #[field(versions = "5-7", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// The client's own note.
    pub metadata: Option<String>,
    /// 0 or the error.
    pub error_code: i16,
}

/// One group's positions.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseGroup {
    /// The group.
    pub group_id: String,
    /// Positions by topic.
    pub topics: Vec<OffsetFetchResponseTopics>,
    /// 0 or the error of the whole group.
    pub error_code: i16,
}

/// Positions in one topic, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponseTopics {
    /// Its name.
    #[field(versions = "8-9", ignorable)]
    pub name: String,
    /// Its id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Positions by partition.
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

/// The position in one partition, from version 8 on.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetFetchResponsePartitions {
    /// The partition.
    pub partition_index: i32,
    /// Offset of the next record to read; -1 if none is stored.
    pub committed_offset: i64,
    /// Leader epoch stored with it; -1 if unknown.
    #[field(default = -1)]
    pub committed_leader_epoch: i32,
    /// The client's own note.
    pub metadata: Option<String>,
    /// 0 or the error.
    pub error_code: i16,
}

impl Request for OffsetFetchRequest {
    const KEY: ApiKey = ApiKey::OffsetFetch;
    type Response = OffsetFetchResponse;
}
