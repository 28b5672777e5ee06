//! Fetch (key 1): reads record batches, for consumers and for followers.
//!
//! The records of a response are shared buffers, which go to the socket without a copy. They are
//! never null, because librdkafka does not survive it (KAFKA-18646).
//!
//! Sources: KIP-74 (byte limits), KIP-98 (isolation, aborted transactions), KIP-227 (sessions),
//! KIP-320 (epochs), KIP-392 (nearest replica), KIP-516 (topic ids, from version 13 on), KIP-595
//! (diverging epoch), KIP-853 (directory ids), KIP-903 (replica state), KIP-951 (new leaders).

use freshet_codec::{Message, Payload};
use freshet_types::TopicId;

use crate::{ApiKey, Request};

/// Asks for batches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "4-18", flexible = "12+")]
pub struct FetchRequest {
    /// The cluster the follower means, if it knows.
    #[field(versions = "12+", tag = 0, ignorable)]
    pub cluster_id: Option<String>,
    /// The follower; -1 for a consumer.
    #[field(versions = "0-14", default = -1)]
    pub replica_id: i32,
    /// The follower; `replica_id` -1 for a consumer.
    #[field(versions = "15+", tag = 1)]
    pub replica_state: ReplicaState,
    /// Milliseconds to wait until there are `min_bytes`.
    pub max_wait_ms: i32,
    /// Bytes worth answering for.
    pub min_bytes: i32,
    /// Bytes of records at most. The first batch is returned even when it is larger.
    #[field(default = i32::MAX, ignorable)]
    pub max_bytes: i32,
    /// 0: all records. 1: only those of no transaction or of a committed one.
    #[field(ignorable)]
    pub isolation_level: i8,
    /// The session; 0 if there is none.
    #[field(versions = "7+", ignorable)]
    pub session_id: i32,
    /// Orders the requests of a session; 0 starts one, -1 ends it or does without.
    #[field(versions = "7+", default = -1, ignorable)]
    pub session_epoch: i32,
    /// What to read; in a session, only what has changed.
    pub topics: Vec<FetchTopic>,
    /// What to take out of the session.
    #[field(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    /// The consumer's rack; empty if unknown.
    #[field(versions = "11+", ignorable)]
    pub rack_id: String,
}

/// The follower that fetches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ReplicaState {
    /// Its id; -1 for a consumer.
    #[field(default = -1)]
    pub replica_id: i32,
    /// Its epoch; -1 if unknown.
    #[field(default = -1)]
    pub replica_epoch: i64,
}

/// What to read of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchTopic {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub topic: String,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// What to read by partition.
    pub partitions: Vec<FetchPartition>,
}

/// What to read of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchPartition {
    /// The partition.
    pub partition: i32,
    /// The leader epoch the client knows; -1 if none.
    #[field(versions = "9+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    /// Where to read.
    pub fetch_offset: i64,
    /// Epoch of the last record the client has; -1 if none.
    #[field(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    /// Where the follower's log starts; -1 for a consumer.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Bytes of records at most. The first batch is returned even when it is larger.
    pub partition_max_bytes: i32,
    /// The directory the follower writes to.
    #[field(versions = "17+", tag = 0, ignorable)]
    pub replica_directory_id: [u8; 16],
    /// The high watermark the follower knows: -1 if it does not, `i64::MAX` if it never tells.
    #[field(versions = "18+", tag = 1, default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

/// What to take out of a session.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct ForgottenTopic {
    /// The topic's name.
    #[field(versions = "7-12", ignorable)]
    pub topic: String,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The partitions.
    pub partitions: Vec<i32>,
}

/// Batches.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "4-18", flexible = "12+")]
pub struct FetchResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error of the whole request.
    #[field(versions = "7+", ignorable)]
    pub error_code: i16,
    /// The session; 0 if there is none.
    #[field(versions = "7+")]
    pub session_id: i32,
    /// The batches by topic.
    pub responses: Vec<FetchableTopicResponse>,
    /// Where the leaders named in the partitions can be reached.
    #[field(versions = "16+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The batches of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct FetchableTopicResponse {
    /// The topic's name.
    #[field(versions = "0-12", ignorable)]
    pub topic: String,
    /// The topic's id.
    #[field(versions = "13+", ignorable)]
    pub topic_id: TopicId,
    /// The batches by partition.
    pub partitions: Vec<PartitionData>,
}

/// The batches of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionData {
    /// The partition.
    pub partition_index: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The offset below which records are confirmed.
    pub high_watermark: i64,
    /// The offset below which every transaction is decided; -1 if unknown.
    #[field(default = -1, ignorable)]
    pub last_stable_offset: i64,
    /// Where the log starts; -1 if unknown.
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    /// Where the client's log departs from this one; absent (-1, -1) if it does not.
    #[field(versions = "12+", tag = 0)]
    pub diverging_epoch: EpochEndOffset,
    /// The leader to turn to instead.
    #[field(versions = "12+", tag = 1)]
    pub current_leader: LeaderIdAndEpoch,
    /// The snapshot to load first; only in the metadata log.
    #[field(versions = "12+", tag = 2)]
    pub snapshot_id: SnapshotId,
    /// Aborted transactions that overlap the records, for a reader at isolation level 1.
    #[field(ignorable)]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// A nearer replica to read from; -1 if there is none.
    #[field(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    /// Whole record batches.
    pub records: Payload,
}

/// The end of a leader epoch.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct EpochEndOffset {
    /// The largest epoch that is common.
    #[field(default = -1)]
    pub epoch: i32,
    /// Where it ends.
    #[field(default = -1)]
    pub end_offset: i64,
}

/// A partition's leader.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1 if unknown.
    #[field(default = -1)]
    pub leader_id: i32,
    /// Its epoch; -1 if unknown.
    #[field(default = -1)]
    pub leader_epoch: i32,
}

/// Names a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SnapshotId {
    /// The offset up to which it holds the state.
    #[field(default = -1)]
    pub end_offset: i64,
    /// The epoch at that offset.
    #[field(default = -1)]
    pub epoch: i32,
}

/// A transaction whose records a reader must drop.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct AbortedTransaction {
    /// The producer.
    pub producer_id: i64,
    /// The transaction's first offset.
    pub first_offset: i64,
}

/// Where a broker can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct NodeEndpoint {
    /// The broker.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

impl Request for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    type Response = FetchResponse;
}
