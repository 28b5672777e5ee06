//! OffsetCommit (key 8): stores a group's positions.
//!
//! Sources: KIP-211 (no retention time from version 5 on), KIP-320 (leader epoch), KIP-345 (static
//! members), KIP-848 (member epoch), KIP-516 (topic ids from version 10 on).

use freshet_codec::Message;
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Positions to store.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequest {
    /// The group.
    pub group_id: String,
    /// Generation of a classic group, epoch of a KIP-848 member, or -1 from a consumer outside
    /// of any group.
    #[field(default = -1)]
    pub generation_id_or_member_epoch: i32,
    /// The member, or empty.
    pub member_id: String,
    /// Its static name.
    #[field(versions = "7+")]
    pub group_instance_id: Option<String>,
    /// Milliseconds to keep the positions; -1 means the broker's setting.
    #[field(versions = "2-4", default = -1, ignorable)]
    pub retention_time_ms: i64,
    /// Positions by topic.
    pub topics: Vec<OffsetCommitRequestTopic>,
}

/// Positions in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitRequestTopic {
    /// Its name.
    #[field(versions = "2-9", ignorable)]
    pub name: String,
    /// Its id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Positions by partition.
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

/// The position in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitRequestPartition {
    /// The partition.
    pub partition_index: i32,
    /// Offset of the next record to read.
    pub committed_offset: i64,
    /// Leader epoch of the last record read; -1 if unknown.
    #[field(versions = "6+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    /// The client's own note.
    pub committed_metadata: Option<String>,
}

/// The outcome of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    /// Outcome by topic.
    pub topics: Vec<OffsetCommitResponseTopic>,
}

/// The outcome in one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitResponseTopic {
    /// Its name.
    #[field(versions = "2-9", ignorable)]
    pub name: String,
    /// Its id.
    #[field(versions = "10+", ignorable)]
    pub topic_id: TopicId,
    /// Outcome by partition.
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

/// The outcome in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct OffsetCommitResponsePartition {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error.
    pub error_code: i16,
}

impl Request for OffsetCommitRequest {
    const KEY: ApiKey = ApiKey::OffsetCommit;
    type Response = OffsetCommitResponse;
}
