//! FetchSnapshot (key 59): reads a snapshot of the metadata log, piece by piece.
//!
//! Sources: KIP-630, KIP-853 (directory ids and endpoints, from version 1 on).

use freshet_codec::{Message, Payload};

use crate::{ApiKey, Request};

/// Asks for pieces.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct FetchSnapshotRequest {
    /// The cluster the replica means, if it knows.
    #[field(tag = 0)]
    pub cluster_id: Option<String>,
    /// The replica that asks.
    #[field(default = -1)]
    pub replica_id: i32,
    /// Bytes of all pieces together, at most.
    #[field(default = i32::MAX)]
    pub max_bytes: i32,
    /// The pieces by topic.
    pub topics: Vec<TopicSnapshot>,
}

/// The pieces for one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicSnapshot {
    /// The topic.
    pub name: String,
    /// The pieces by partition.
    pub partitions: Vec<PartitionSnapshot>,
}

/// The piece for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionSnapshot {
    /// The partition.
    pub partition: i32,
    /// The leader epoch the replica knows; -1 if none.
    pub current_leader_epoch: i32,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The byte at which the piece starts.
    pub position: i64,
    /// The directory the replica keeps its log in; zero if it does not say.
    #[field(versions = "1+", tag = 0, ignorable)]
    pub replica_directory_id: [u8; 16],
}

/// Names a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct SnapshotId {
    /// The offset up to which it holds the state.
    pub end_offset: i64,
    /// The epoch at that offset.
    pub epoch: i32,
}

/// The pieces.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct FetchSnapshotResponse {
    /// Milliseconds the client is muted because of a quota.
    #[field(ignorable)]
    pub throttle_time_ms: i32,
    /// 0 or the error of the whole request.
    pub error_code: i16,
    /// The pieces by topic.
    pub topics: Vec<TopicSnapshotResponse>,
    /// Where the leaders named in the partitions can be reached; empty in version 0.
    #[field(versions = "1+", tag = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

/// The pieces of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct TopicSnapshotResponse {
    /// The topic.
    pub name: String,
    /// The pieces by partition.
    pub partitions: Vec<PartitionSnapshotResponse>,
}

/// The piece of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct PartitionSnapshotResponse {
    /// The partition.
    pub index: i32,
    /// 0 or the error.
    pub error_code: i16,
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// The leader to turn to instead; absent when both of its fields are 0.
    #[field(tag = 0)]
    pub current_leader: LeaderIdAndEpoch,
    /// Bytes of the whole snapshot.
    pub size: i64,
    /// The byte at which the piece starts.
    pub position: i64,
    /// The piece. It may start and end in the middle of a record batch.
    pub unaligned_records: Payload,
}

/// A partition's leader.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1 if unknown.
    pub leader_id: i32,
    /// The largest epoch known.
    pub leader_epoch: i32,
}

/// Where a node can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct NodeEndpoint {
    /// The node.
    pub node_id: i32,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
}

impl Request for FetchSnapshotRequest {
    const KEY: ApiKey = ApiKey::FetchSnapshot;
    type Response = FetchSnapshotResponse;
}
