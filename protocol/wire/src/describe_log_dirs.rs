//! DescribeLogDirs (key 35): what each log directory of a broker holds.
//!
//! Sources: KIP-113, KIP-827 (volume sizes), KIP-1066 (cordoned directories).

use freshet_codec::Message;

use crate::{ApiKey, Request};

/// Asks about log directories.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsRequest {
    /// Topics of interest; null means all of them.
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

/// A topic of interest.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribableLogDirTopic {
    /// Its name.
    pub topic: String,
    /// Its partitions of interest.
    pub partitions: Vec<i32>,
}

/// The directories.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[message(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    /// Milliseconds the client is muted because of a quota.
    pub throttle_time_ms: i32,
    /// 0 or the error of the whole request.
    #[field(versions = "3+", ignorable)]
    pub error_code: i16,
    /// The directories.
    pub results: Vec<DescribeLogDirsResult>,
}

/// One directory.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsResult {
    /// 0 or its error, for example KAFKA_STORAGE_ERROR when it is offline.
    pub error_code: i16,
    /// Its absolute path.
    pub log_dir: String,
    /// What it holds, by topic.
    pub topics: Vec<DescribeLogDirsTopic>,
    /// Bytes of its volume; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    /// Bytes of its volume that can still be used; -1 if unknown.
    #[field(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
    /// Whether new partitions are kept away from it.
    #[field(versions = "5+", ignorable)]
    pub is_cordoned: bool,
    /// Ours: its disk has become slow.
    #[field(versions = "2+", tag = 10000, ignorable)]
    pub is_slow: bool,
    /// Ours: its disk has no room for producers.
    #[field(versions = "2+", tag = 10001, ignorable)]
    pub is_full: bool,
    /// Ours: bytes of its volume that producers must leave free.
    #[field(versions = "2+", tag = 10002, ignorable)]
    pub reserve_bytes: i64,
}

/// What a directory holds of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsTopic {
    /// Its name.
    pub name: String,
    /// By partition.
    pub partitions: Vec<DescribeLogDirsPartition>,
}

/// What a directory holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
pub struct DescribeLogDirsPartition {
    /// The partition.
    pub partition_index: i32,
    /// Bytes of its segments.
    pub partition_size: i64,
    /// Records between its log end and the high watermark (for a future copy: the current copy's
    /// log end).
    pub offset_lag: i64,
    /// Whether this is a copy that will replace the current one.
    pub is_future_key: bool,
}

impl Request for DescribeLogDirsRequest {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    type Response = DescribeLogDirsResponse;
}
