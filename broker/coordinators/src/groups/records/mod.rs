//! What is stored about groups, and Kafka's `__consumer_offsets` format of it.
//!
//! A key starts with an i16 that says what the record is about: 0 and 1 an offset, 2 a classic
//! group; a value starts with its own i16 version. No value (a tombstone) forgets the key. Source:
//! Apache Kafka 4.4, `group-coordinator/src/main/resources/common/message`. Tools read this topic
//! (lag exporters, Burrow), so the bytes are Kafka's, held by golden tests.

mod stored;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use freshet_types::{ErrorKind, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};

pub(crate) use subscription::subscribed_topics;

/// One durable change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An offset of a group is committed, or forgotten.
    Offset {
        /// Whose.
        group: Arc<str>,
        /// Of which topic.
        topic: Arc<str>,
        /// Of which partition.
        partition: PartitionId,
        /// `None` forgets it.
        value: Option<OffsetValue>,
    },
    /// A classic group has a new generation or other members, or is forgotten.
    Group {
        /// Which.
        group: Arc<str>,
        /// `None` forgets it.
        value: Option<Arc<GroupValue>>,
    },
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetValue {
    /// The next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read; -1 when unknown.
    pub leader_epoch: LeaderEpoch,
    /// Free text of the client.
    pub metadata: Box<str>,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// When it shall be forgotten, if the client said so.
    pub expires_at: Option<Timestamp>,
    /// The topic's id; [`TopicId::ZERO`] when unknown.
    pub topic_id: TopicId,
}

/// A classic group between two rebalances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupValue {
    /// Class of protocols; `None` for a group that never had members.
    pub protocol_type: Option<Arc<str>>,
    /// Counts rebalances.
    pub generation: i32,
    /// The chosen protocol; `None` without members.
    pub protocol: Option<Arc<str>>,
    /// Member id of the leader; `None` without members.
    pub leader: Option<Arc<str>>,
    /// Since when it is in this state; `None` in records of old brokers.
    pub changed_at: Option<Timestamp>,
    /// In the order of their ids.
    pub members: Vec<MemberValue>,
}

/// A member between two rebalances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberValue {
    /// Its id.
    pub member_id: Arc<str>,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// What it calls itself.
    pub client_id: Arc<str>,
    /// Where it comes from.
    pub client_host: Arc<str>,
    /// How long a rebalance waits for it; -1 in records of old brokers: the session timeout.
    pub rebalance_timeout_ms: i32,
    /// Silence after which it is taken for dead.
    pub session_timeout_ms: i32,
    /// What it said under the chosen protocol.
    pub subscription: Bytes,
    /// What it was told to do.
    pub assignment: Bytes,
}

/// A stored record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record of __consumer_offsets cannot be read: {what}: {error}")]
pub struct RecordError {
    /// Which part.
    pub what: &'static str,
    /// What is wrong with it.
    pub error: freshet_codec::DecodeError,
}

impl RecordError {
    /// Always [`ErrorKind::Corrupt`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

impl Record {
    /// Key and value as Kafka stores them.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        match self {
            Self::Offset {
                group,
                topic,
                partition,
                value,
            } => (
                stored::offset_key(group, topic, *partition),
                value.as_ref().map(stored::offset_value),
            ),
            Self::Group { group, value } => (
                stored::group_key(group),
                value.as_ref().map(|value| stored::group_value(value)),
            ),
        }
    }

    /// Reads a record back. `Ok(None)` for kinds of records that are not known here, as Kafka
    /// 4.x writes them for other kinds of groups.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self>, RecordError> {
        stored::decode(key, value)
    }

    /// When the change was decided, where the record says so.
    pub fn decided_at(&self) -> Option<Timestamp> {
        match self {
            Self::Offset { value, .. } => value.as_ref().map(|value| value.committed_at),
            Self::Group { value, .. } => value.as_ref().and_then(|value| value.changed_at),
        }
    }
}
