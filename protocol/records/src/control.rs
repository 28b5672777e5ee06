//! Control records: what brokers write into partitions for readers, never shown to applications.
//!
//! A control batch holds one record. Its key is `version i16, type i16`, its value depends on the
//! type; an end-of-transaction marker's is `version i16, coordinator epoch i32`.

use bytes::{Buf, BufMut};
use freshet_types::{ProducerEpoch, ProducerId, Timestamp};

use crate::builder::{NO_PRODUCER, NewRecord};
use crate::{Batch, BatchBuilder, BatchError, Codec, Producer, Record};

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControlType {
    /// The producer's open transaction is aborted.
    Abort,
    /// The producer's open transaction is committed.
    Commit,
    /// A type of Kafka's metadata quorum (2 and up), or one that is newer than this code.
    Other(i16),
}

impl ControlType {
    /// The number in the key.
    pub fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::Other(id) => id,
        }
    }

    /// Reads the key of a control record. Newer versions of the key may only be longer.
    pub fn parse(record: &Record) -> Result<Self, BatchError> {
        let mut key = record.key.as_deref().unwrap_or_default();
        let version = key.try_get_i16().map_err(|_| MALFORMED_KEY)?;
        let id = key.try_get_i16().map_err(|_| MALFORMED_KEY)?;
        if version < 0 {
            return Err(MALFORMED_KEY);
        }
        Ok(match id {
            0 => Self::Abort,
            1 => Self::Commit,
            id => Self::Other(id),
        })
    }

    /// The key of such a record.
    pub fn key(self) -> [u8; 4] {
        let mut key = [0; 4];
        key[2..].copy_from_slice(&self.id().to_be_bytes());
        key
    }
}

const MALFORMED_KEY: BatchError = BatchError::MalformedRecord {
    index: 0,
    what: "its control key is malformed",
};

/// Ends a transaction in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// Commit, or else abort.
    pub commit: bool,
    /// Epoch of the transaction coordinator that decided; older ones are fenced.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The control batch that ends the transaction of a producer. Markers have no sequence.
    pub fn batch(
        self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        now: Timestamp,
    ) -> Result<Batch, BatchError> {
        let kind = if self.commit {
            ControlType::Commit
        } else {
            ControlType::Abort
        };
        let mut value = [0; 6];
        (&mut value[2..]).put_i32(self.coordinator_epoch);
        let mut builder = BatchBuilder::new(Codec::None)
            .producer(Producer {
                id: producer_id,
                epoch: producer_epoch,
                ..NO_PRODUCER
            })
            .transactional()
            .control();
        builder.push(&NewRecord {
            timestamp: now,
            key: Some(&kind.key()),
            value: Some(&value),
            headers: &[],
        })?;
        builder.finish()
    }

    /// Reads a control record; `None` when it is of another type.
    pub fn parse(record: &Record) -> Result<Option<Self>, BatchError> {
        let commit = match ControlType::parse(record)? {
            ControlType::Abort => false,
            ControlType::Commit => true,
            ControlType::Other(_) => return Ok(None),
        };
        let mut value = record.value.as_deref().unwrap_or_default();
        let version = value.try_get_i16();
        match (version, value.try_get_i32()) {
            (Ok(0..), Ok(coordinator_epoch)) => Ok(Some(Self {
                commit,
                coordinator_epoch,
            })),
            _ => Err(BatchError::MalformedRecord {
                index: 0,
                what: "its transaction marker is malformed",
            }),
        }
    }
}
