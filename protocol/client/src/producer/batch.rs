//! A batch on its way, and its outcome.

use std::sync::{Arc, OnceLock};

use freshet_records::{
    Batch, BatchBuilder, BatchError, BatchHeader, CRC_FROM, NewRecord, Producer as Stamp, crc32c,
};
use freshet_types::{ProducerEpoch, ProducerId};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::Delivery;
use crate::ClientError;

/// A producer session: sequence numbers count within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
}

/// What becomes of a batch; shared by the receipts of its records.
#[derive(Debug, Default)]
pub(super) struct Fate {
    outcome: OnceLock<Result<Delivery, ClientError>>,
    decided: Notify,
}

impl Fate {
    /// Decides; only the first decision counts.
    pub(super) fn decide(&self, outcome: Result<Delivery, ClientError>) {
        let _ = self.outcome.set(outcome);
        self.decided.notify_waiters();
    }

    /// The outcome; the offset is the first record's.
    pub(super) async fn wait(&self) -> Result<Delivery, ClientError> {
        let decided = self.decided.notified();
        tokio::pin!(decided);
        // Listen first, look then: a decision in between is not missed.
        decided.as_mut().enable();
        if self.outcome.get().is_none() {
            decided.await;
        }
        self.outcome
            .get()
            .cloned()
            .unwrap_or(Err(ClientError::Closed("the producer")))
    }
}

/// A batch that still takes records.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    pub(super) since: Instant,
    pub(super) fate: Arc<Fate>,
    permit: OwnedSemaphorePermit,
}

impl OpenBatch {
    pub(super) fn new(builder: BatchBuilder, permit: OwnedSemaphorePermit, now: Instant) -> Self {
        Self {
            builder,
            since: now,
            fate: Arc::default(),
            permit,
        }
    }

    /// Adds a record's share of the buffer.
    pub(super) fn charge(&mut self, permit: OwnedSemaphorePermit) {
        self.permit.merge(permit);
    }

    pub(super) fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BatchError> {
        self.builder.push(record)
    }

    /// Compresses and numbers it.
    pub(super) fn seal(self, session: Option<Session>, sequence: i32) -> Sealing {
        let mut builder = self.builder;
        if let Some(session) = session {
            builder = builder.producer(stamp(session, sequence));
        }
        let count = builder.record_count();
        match builder.finish() {
            Ok(batch) => Ok(SealedBatch {
                batch,
                count,
                since: self.since,
                fate: self.fate,
                perhaps_written: false,
                retried: false,
                last: None,
                _permit: self.permit,
            }),
            Err(error) => {
                let what = "a batch cannot be written".to_owned();
                self.fate.decide(Err(ClientError::Records {
                    what,
                    source: error,
                }));
                Err(Unsealed)
            }
        }
    }
}

/// The outcome of sealing.
pub(super) type Sealing = Result<SealedBatch, Unsealed>;

/// A batch that could not be compressed; its receipts know.
#[derive(Debug)]
pub(super) struct Unsealed;

/// A batch that is ready to be sent, or sent.
#[derive(Debug)]
pub(super) struct SealedBatch {
    pub(super) batch: Batch,
    pub(super) count: i32,
    pub(super) since: Instant,
    pub(super) fate: Arc<Fate>,
    /// Whether a try ended without an answer: the records may be in the log.
    pub(super) perhaps_written: bool,
    /// Whether it was sent before under its present number.
    pub(super) retried: bool,
    /// Why the last try failed.
    pub(super) last: Option<Box<ClientError>>,
    _permit: OwnedSemaphorePermit,
}

impl SealedBatch {
    pub(super) fn size_bytes(&self) -> usize {
        self.batch.bytes().len()
    }

    pub(super) fn base_sequence(&self) -> i32 {
        self.batch.header().base_sequence
    }

    /// Numbers it anew, in another session.
    pub(super) fn restamp(&mut self, session: Session, sequence: i32) -> Result<(), BatchError> {
        let stamp = stamp(session, sequence);
        let header = BatchHeader {
            producer_id: stamp.id,
            producer_epoch: stamp.epoch,
            base_sequence: stamp.base_sequence,
            ..*self.batch.header()
        };
        let mut bytes = Vec::with_capacity(self.batch.bytes().len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&self.batch.body());
        let crc = crc32c(&bytes[CRC_FROM..]);
        bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        self.batch = Batch::parse(&bytes.into())?;
        self.retried = false;
        Ok(())
    }
}

fn stamp(session: Session, base_sequence: i32) -> Stamp {
    Stamp {
        id: session.id,
        epoch: session.epoch,
        base_sequence,
    }
}

/// The sequence `count` records after `sequence`; i32::MAX is followed by 0.
pub(super) fn advance(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(advance(0, 5), 5);
        assert_eq!(advance(i32::MAX, 1), 0);
        assert_eq!(advance(i32::MAX - 1, 4), 2);
    }

    #[tokio::test]
    async fn a_fate_decided_before_waiting_is_seen() {
        let fate = Fate::default();
        fate.decide(Err(ClientError::Closed("first")));
        fate.decide(Err(ClientError::Closed("second")));
        assert!(
            fate.wait()
                .await
                .is_err_and(|e| e.to_string() == "first is closed")
        );
    }
}
