//! Sending records.
//!
//! ```text
//! send ──► topic ──► partition queue: open batch ──► sealed batches ─┐
//!                    (one lock each)                                 ▼
//!              receipts ◄── outcomes ◄── node workers ◄── dispatcher (one task)
//! ```
//!
//! Each partition's batches carry sequence numbers of a producer session, given when a batch is
//! sealed. A batch that must be sent again keeps its number, and nothing new goes to its partition
//! until all that was under way has come back; so a retry neither duplicates nor reorders (KIP-98).
//! When a batch fails for good, its number is missing: the partition then waits until nothing is
//! under way and goes on in a new session, from 0.

mod accumulator;
mod batch;
mod dispatcher;
mod node;
mod partitioner;
mod queue;
mod request;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_records::{Compression, Header};
use freshet_types::{Offset, PartitionId, Timestamp};

use crate::{Client, ClientError};
use accumulator::Accumulator;
use batch::Fate;

pub use partitioner::{murmur2, partition_for_key};

/// Settings of a [`Producer`].
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// When a record counts as written.
    pub acks: Acks,
    /// Codec of the batches.
    pub compression: Compression,
    /// How long a batch waits for more records.
    pub linger: Duration,
    /// Bytes at which a batch is sealed, before compression.
    pub batch_bytes: usize,
    /// Bytes of records that may wait; more make [`Producer::send`] wait.
    pub buffer_bytes: usize,
    /// Largest request in bytes, and so the largest batch.
    pub max_request_bytes: usize,
    /// Longest time from `send` to the outcome.
    pub delivery_timeout: Duration,
    /// Requests under way to one broker. Brokers remember the last five batches of a session.
    pub max_in_flight: usize,
    /// Whether retries must neither duplicate nor reorder; only with [`Acks::All`].
    pub idempotent: bool,
}

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// When it is on its way; its offset is never known.
    None,
    /// When the leader has it.
    Leader,
    /// When every in-sync replica has it.
    All,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            compression: Compression::default(),
            linger: Duration::from_millis(5),
            batch_bytes: 64 * 1024,
            buffer_bytes: 32 * 1024 * 1024,
            max_request_bytes: 1024 * 1024,
            delivery_timeout: Duration::from_secs(120),
            max_in_flight: 5,
            idempotent: true,
        }
    }
}

impl ProducerConfig {
    fn is_idempotent(&self) -> bool {
        self.idempotent && self.acks == Acks::All
    }
}

/// A record to send.
#[derive(Debug, Clone, Default)]
pub struct ProducerRecord {
    /// The topic.
    pub topic: String,
    /// The partition; `None` lets the key decide, or spreads records without a key.
    pub partition: Option<PartitionId>,
    /// Key, or null.
    pub key: Option<Bytes>,
    /// Value, or null.
    pub value: Option<Bytes>,
    /// Headers, in order.
    pub headers: Vec<Header>,
    /// When it happened; `None` takes the time at which it is sent.
    pub timestamp: Option<Timestamp>,
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The partition.
    pub partition: PartitionId,
    /// Its offset; -1 when the broker cannot tell it (acks=0, or a duplicate of long ago).
    pub offset: Offset,
    /// The broker's time, where the topic uses it; otherwise -1.
    pub log_append_time: Timestamp,
}

/// The promise of an outcome. Dropping it does not take the record back.
#[derive(Debug)]
pub struct Receipt {
    fate: Arc<Fate>,
    /// Place in the batch.
    index: i64,
}

impl Receipt {
    /// Waits for the outcome.
    pub async fn delivered(self) -> Result<Delivery, ClientError> {
        let mut delivery = self.fate.wait().await?;
        if delivery.offset >= 0 {
            delivery.offset += self.index;
        }
        Ok(delivery)
    }
}

/// Sends records, in order within each partition. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Producer {
    accumulator: Arc<Accumulator>,
    _end: Arc<End>,
}

/// Ends the dispatcher with the last handle.
#[derive(Debug)]
struct End(Arc<Accumulator>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Producer {
    /// Starts a producer. An idempotent one asks for its session first.
    pub async fn start(client: &Client, config: ProducerConfig) -> Result<Self, ClientError> {
        let accumulator = Arc::new(Accumulator::new(client, config));
        if accumulator.config.is_idempotent() {
            let session = dispatcher::new_session(client).await?;
            accumulator.set_session(session);
        }
        dispatcher::spawn(client, &accumulator);
        let end = Arc::new(End(Arc::clone(&accumulator)));
        Ok(Self {
            accumulator,
            _end: end,
        })
    }

    /// Takes a record in; waits while the buffer is full. The order of calls is the order in each
    /// partition.
    pub async fn send(&self, record: ProducerRecord) -> Result<Receipt, ClientError> {
        self.accumulator.append(record).await
    }

    /// Sends a record and waits for its outcome.
    pub async fn send_and_wait(&self, record: ProducerRecord) -> Result<Delivery, ClientError> {
        self.send(record).await?.delivered().await
    }

    /// Waits until everything that was sent before has its outcome, and tells the first failure.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let mut outcome = Ok(());
        for fate in self.accumulator.seal_all() {
            outcome = outcome.and(fate.wait().await.map(drop));
        }
        outcome
    }
}
