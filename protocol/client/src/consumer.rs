//! Reading records from chosen partitions.
//!
//! ```text
//! poll ──► starts looked up ──► one fetch per broker, long-polled, in the background
//!   ▲                                          │
//!   └── records, decoded one by one ◄── chunks, one behind the one being read
//! ```
//!
//! While the caller works on one chunk of a partition the next is already asked for: positions move
//! on by batch headers alone, before any record is decoded.

mod aborted;
mod chunk;
mod fetch;
mod position;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_records::Header;
use freshet_types::{LeaderEpoch, NodeId, Offset, PartitionId, Timestamp};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::cluster::Lane;
use crate::{Client, ClientError, OffsetSpec, TopicPartition};
use chunk::Chunk;
use fetch::Fetched;
use position::Positions;

/// Settings of a [`Consumer`].
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Whether records of open and aborted transactions are left out.
    pub read_committed: bool,
    /// How long a broker may wait for `min_bytes`.
    pub max_wait: Duration,
    /// Bytes worth an answer before `max_wait` is over.
    pub min_bytes: i32,
    /// Bytes of one answer; one batch may exceed it.
    pub max_bytes: i32,
    /// Bytes of one partition in an answer; one batch may exceed it.
    pub partition_max_bytes: i32,
    /// Records that one `poll` hands out.
    pub max_records: usize,
    /// Bytes that may wait to be read; more stop fetching.
    pub buffer_bytes: usize,
    /// Bytes that one batch may have decompressed.
    pub batch_cap_bytes: usize,
    /// Whether checksums are compared.
    pub check_crc: bool,
    /// Where to go on when a position is gone from the log.
    pub reset: Reset,
}

/// Where to go on when there is no position, or it is gone from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// At the log's start.
    Earliest,
    /// At its end.
    Latest,
    /// Nowhere: tell the caller.
    Fail,
}

/// Where to start reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the log's start.
    Earliest,
    /// Behind the last record.
    Latest,
    /// At an offset.
    Offset(Offset),
    /// At the first record of this time or later; behind the last record when there is none.
    At(Timestamp),
}

impl Start {
    /// Where to look it up, or the offset itself.
    fn spec(self) -> Result<OffsetSpec, Offset> {
        match self {
            Self::Earliest => Ok(OffsetSpec::Earliest),
            Self::Latest => Ok(OffsetSpec::Latest),
            Self::At(time) => Ok(OffsetSpec::At(time)),
            Self::Offset(offset) => Err(offset),
        }
    }
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            read_committed: false,
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 16 * 1024 * 1024,
            partition_max_bytes: 1024 * 1024,
            max_records: 1000,
            buffer_bytes: 64 * 1024 * 1024,
            batch_cap_bytes: 256 * 1024 * 1024,
            check_crc: true,
            reset: Reset::Latest,
        }
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// Epoch of the leader that wrote it; -1 if unknown.
    pub leader_epoch: LeaderEpoch,
    /// Key, or null.
    pub key: Option<Bytes>,
    /// Value, or null.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
}

/// Reads the partitions it was given. One owner; see [`GroupConsumer`](crate::GroupConsumer) for
/// sharing topics with others.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    lane: Arc<Lane>,
    positions: Positions,
    fetches: JoinSet<Fetched>,
    /// Brokers with a fetch under way.
    busy: HashSet<NodeId>,
    chunks: VecDeque<Chunk>,
}

impl Consumer {
    /// A consumer without partitions.
    pub fn new(client: &Client, config: ConsumerConfig) -> Self {
        Self {
            client: client.clone(),
            config,
            lane: Arc::new(client.lane()),
            positions: Positions::default(),
            fetches: JoinSet::new(),
            busy: HashSet::new(),
            chunks: VecDeque::new(),
        }
    }

    /// Starts to read a partition, or goes on elsewhere in it.
    pub fn assign(&mut self, partition: TopicPartition, start: Start) {
        self.chunks.retain(|chunk| chunk.partition != partition);
        self.positions.set(partition, start);
    }

    /// Stops reading a partition.
    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.chunks.retain(|chunk| chunk.partition != *partition);
        self.positions.remove(partition);
    }

    /// Changes how many records one `poll` hands out.
    pub fn set_max_records(&mut self, count: usize) {
        self.config.max_records = count;
    }

    /// The partitions it reads.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.positions
            .iter()
            .map(|(partition, _)| partition.clone())
            .collect()
    }

    /// The offset of the next record that `poll` will hand out, once it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition)?.next
    }

    /// Partitions with the offset of the next record and the leader epoch of the last one.
    pub fn positions(&self) -> impl Iterator<Item = (&TopicPartition, Offset, LeaderEpoch)> {
        self.positions
            .iter()
            .filter_map(|(p, at)| Some((p, at.next?, at.last_epoch)))
    }

    /// The end of the partition as the last answer told: the high watermark, or the last stable
    /// offset when only committed records are read.
    pub fn end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition)?.end
    }

    /// Waits for records, at most `max_wait`; an empty answer means that none came. May be dropped
    /// while it waits: no record is lost.
    pub async fn poll(&mut self, max_wait: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + max_wait;
        loop {
            self.look_up_starts().await?;
            self.start_fetches();
            let records = self.drain()?;
            if !records.is_empty() {
                // The next chunk is on its way while the caller works.
                self.start_fetches();
                return Ok(records);
            }
            let retry_at = self
                .positions
                .next_retry(Instant::now())
                .unwrap_or(deadline);
            match timeout_at(deadline.min(retry_at), self.fetches.join_next()).await {
                Ok(Some(fetched)) => {
                    let fetched = fetched.map_err(|_| ClientError::Closed("the consumer"))?;
                    self.take_in(fetched).await?;
                }
                // Nothing to wait for: no partition, or all of them pause.
                Ok(None) => tokio::time::sleep_until(deadline.min(retry_at)).await,
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                return self.drain();
            }
        }
    }

    /// Decodes what has come, up to `max_records`.
    fn drain(&mut self) -> Result<Vec<ConsumerRecord>, ClientError> {
        let mut records = Vec::new();
        while let Some(chunk) = self.chunks.front_mut() {
            let Some(at) = self.positions.get_mut(&chunk.partition) else {
                self.chunks.pop_front();
                continue;
            };
            let more = match chunk.read(&mut records, &mut at.next, &self.config) {
                Ok(more) => more,
                Err(error) => {
                    // Asked for again, and told again: nothing is skipped in silence.
                    at.fetch = at.next;
                    let partition = chunk.partition.clone();
                    self.chunks.retain(|chunk| chunk.partition != partition);
                    return if records.is_empty() {
                        Err(error)
                    } else {
                        Ok(records)
                    };
                }
            };
            at.last_epoch = chunk.last_epoch;
            if !more {
                self.chunks.pop_front();
            }
            if records.len() >= self.config.max_records {
                break;
            }
        }
        Ok(records)
    }
}
