//! The real journal: one partition of an internal topic, led by this broker.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use freshet_log::Origin;
use freshet_records::{Batch, BatchBuilder, BatchError, Batches, Codec, NewRecord};
use freshet_types::{ErrorKind, LeaderEpoch, Offset};
use tokio::sync::oneshot;

use super::journal::{AppendWait, Entry, Journal, JournalError, Replayed};
use crate::partition::{Acks, Isolation, Partition, Produce, ReadError};

/// Entries of one append are cut into batches of about this size.
const BATCH_BYTES: usize = 512 << 10;
/// Bytes read at once while replaying.
const REPLAY_BYTES: usize = 1 << 20;
/// Decompressed size of one stored batch that replay accepts.
const REPLAY_BATCH_BYTES: usize = 64 << 20;

/// See the module.
#[derive(Debug, Clone)]
pub struct PartitionJournal {
    partition: Arc<Partition>,
    /// The journal is one leader's: in another epoch somebody else may have written to it.
    leader_epoch: LeaderEpoch,
}

impl PartitionJournal {
    /// The partition must be led by this broker.
    pub fn new(partition: Arc<Partition>) -> Self {
        let leader_epoch = partition.leader_epoch();
        Self {
            partition,
            leader_epoch,
        }
    }
}

impl PartitionJournal {
    fn is_present(&self) -> bool {
        self.partition.leads() && self.partition.leader_epoch() == self.leader_epoch
    }

    /// Waits until all that the leaders before this one have written is committed or gone.
    async fn settled(&self) -> Result<(), JournalError> {
        let watcher = Arc::default();
        loop {
            let seen = self.partition.seen(Isolation::ReadUncommitted);
            if !self.is_present() {
                let why = "another broker leads it now".to_owned();
                return Err(unreachable(why));
            }
            if self.partition.is_settled() {
                return Ok(());
            }
            let watch = self.partition.watch(seen, &watcher, 0);
            if watch.is_some() {
                watcher.told().await;
                watcher.take();
            }
        }
    }
}

impl Journal for PartitionJournal {
    async fn replay(&self, each: Replayed<'_>) -> Result<(), JournalError> {
        self.settled().await?;
        let ends = self.partition.ends();
        let mut at = ends.log_start;
        while at < ends.high_watermark {
            let slice = self
                .partition
                .read(at, REPLAY_BYTES, Isolation::ReadCommitted, true)
                .await
                .map_err(|error| unreadable(&error))?;
            if slice.fetched.next_offset <= at {
                break;
            }
            let next = slice.fetched.next_offset;
            let batches = slice.fetched.into_one();
            replay_batches(batches, at, each).map_err(|error| damaged(&error))?;
            at = next;
        }
        Ok(())
    }

    fn room(&self) -> Result<(), JournalError> {
        let may = self
            .partition
            .may_produce(Acks::All, Some(self.leader_epoch));
        may.map_err(|error| appending(error.kind(), error.to_string()))?;
        let room = self.partition.log().room(Origin::Coordinator);
        room.map_err(|error| appending(error.kind(), error.to_string()))
    }

    fn append(&self, entries: Vec<Entry>) -> AppendWait {
        let batches = match batches(&entries) {
            Ok(batches) => batches,
            Err(error) => return Box::pin(async move { Err(damaged(&error)) }),
        };
        let (tell, told) = oneshot::channel();
        self.partition.produce(Produce {
            frame_bytes: batches.len(),
            batch: batches,
            origin: Origin::Coordinator,
            acks: Acks::All,
            leader_epoch: Some(self.leader_epoch),
            done: Box::new(move |result| drop(tell.send(result))),
        });
        Box::pin(async move {
            match told.await {
                Ok(Ok(appended)) => Ok(appended.base_offset),
                Ok(Err(error)) => Err(appending(error.kind(), error.to_string())),
                Err(_) => Err(appending(
                    ErrorKind::Unavailable,
                    "the log is closed".to_owned(),
                )),
            }
        })
    }

    fn trim(&self, offset: Offset) {
        if !self.is_present() {
            return;
        }
        let name = self.partition.name().clone();
        let done = move |result: Result<Offset, freshet_log::LogError>| {
            if let Err(error) = result {
                tracing::warn!(log = %name, %error, "cannot drop records below the snapshot");
            }
        };
        if let Err(busy) = self.partition.begin_trim(offset, Box::new(done)) {
            tracing::warn!(log = %self.partition.name(), error = %busy, "snapshot kept with its past");
        }
    }
}

fn replay_batches(bytes: Bytes, from: Offset, each: Replayed<'_>) -> Result<(), BatchError> {
    for batch in Batches::new(bytes) {
        let batch = batch?;
        batch.check_crc()?;
        if batch.header().attributes.is_control() {
            continue;
        }
        for record in batch.records(REPLAY_BATCH_BYTES)? {
            let record = record?;
            // The batch that holds the log start comes whole; what lies before was trimmed.
            if record.offset >= from
                && let Some(key) = &record.key
            {
                each(key, record.value.as_deref());
            }
        }
    }
    Ok(())
}

fn batches(entries: &[Entry]) -> Result<Bytes, BatchError> {
    let mut bytes = BytesMut::new();
    let mut builder = BatchBuilder::new(Codec::None);
    for entry in entries {
        if builder.record_count() > 0 && builder.size_bytes() >= BATCH_BYTES {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(Codec::None));
            bytes.extend_from_slice(Batch::bytes(&full.finish()?));
        }
        builder.push(&NewRecord {
            timestamp: entry.timestamp,
            key: Some(&entry.key),
            value: entry.value.as_deref(),
            headers: &[],
        })?;
    }
    bytes.extend_from_slice(builder.finish()?.bytes());
    Ok(bytes.freeze())
}

fn appending(kind: ErrorKind, why: String) -> JournalError {
    JournalError {
        doing: "appending to",
        why,
        kind,
    }
}

fn unreachable(why: String) -> JournalError {
    JournalError {
        doing: "reading",
        why,
        kind: ErrorKind::Unavailable,
    }
}

fn unreadable(error: &ReadError) -> JournalError {
    JournalError {
        doing: "reading",
        why: error.to_string(),
        kind: error.kind(),
    }
}

fn damaged(error: &BatchError) -> JournalError {
    JournalError {
        doing: "reading or writing",
        why: error.to_string(),
        kind: ErrorKind::Corrupt,
    }
}
