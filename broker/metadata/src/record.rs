//! What the metadata log holds. Layout and rules of change: `docs/formats/metadata.md`.
//!
//! A record is a whole thing (this broker, this partition as it is from now on), never a
//! difference, so that replay needs no history and a snapshot is made of the same records.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use freshet_codec::Message;
use freshet_types::{
    NodeId, PartitionId, ProducerId, StoredRecord, StoredRecordError, TopicId, TopicName,
    TopicPartition,
};

use crate::state::{Broker, KeptTopic, Partition, UncleanElection};
use crate::stored;

/// One durable change of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A broker is, from now on, like this.
    Broker(Arc<Broker>),
    /// A broker is registered no more.
    BrokerGone {
        /// Its number.
        node: NodeId,
    },
    /// The next registration gets this broker epoch. Only in snapshots: else it follows from
    /// [`Record::Broker`].
    NextBrokerEpoch(i64),
    /// A topic begins, without partitions and settings.
    Topic {
        /// Its id.
        id: TopicId,
        /// Its name.
        name: TopicName,
    },
    /// A partition is, from now on, like this. New ones come in the order of their numbers.
    Partition {
        /// Which.
        at: TopicPartition,
        /// As it is.
        partition: Arc<Partition>,
    },
    /// A topic ends, with its partitions and settings.
    TopicDeleted {
        /// Its id.
        id: TopicId,
        /// What it was, if what it has in object storage stays there.
        kept: Option<Arc<KeptTopic>>,
    },
    /// A setting of a resource is, from now on, this.
    Config {
        /// Whose.
        resource: ConfigResource,
        /// Which setting.
        name: String,
        /// Its value; `None` takes it away.
        value: Option<String>,
    },
    /// Producer ids below this are handed out.
    NextProducerId(ProducerId),
    /// A feature has this level; 0 takes it away.
    Feature {
        /// Its name.
        name: String,
        /// Its level.
        level: i16,
    },
    /// An election may have lost acknowledged records. Says so, changes nothing else.
    UncleanElection(Arc<UncleanElection>),
    /// This many records made the state. Only in snapshots, at their end.
    Version(u64),
}

/// Something that has settings, as the log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic.
    Topic(TopicId),
    /// A broker.
    Broker(NodeId),
    /// All brokers.
    Cluster,
    /// A group.
    Group(String),
    /// A client metrics subscription.
    ClientMetrics(String),
}

impl Record {
    pub(crate) fn partition(topic: TopicId, number: PartitionId, partition: Partition) -> Self {
        let at = TopicPartition {
            topic,
            partition: number,
        };
        Self::Partition {
            at,
            partition: Arc::new(partition),
        }
    }
}

/// Two bytes of kind, two bytes of version, then the struct of that kind, flexible.
impl StoredRecord for Record {
    fn to_bytes(&self) -> Vec<u8> {
        let (kind, body) = stored::encode(self);
        let body = body.expect("every length is checked before a record is decided");
        let mut bytes = Vec::with_capacity(2 + body.len());
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, StoredRecordError> {
        let mut bytes = Bytes::copy_from_slice(bytes);
        if bytes.len() < 2 {
            return Err(stored::unreadable("it has no kind"));
        }
        let kind = bytes.get_i16();
        stored::decode(kind, bytes)
    }
}

/// Reads a stored struct that says which kind it is part of when it cannot.
pub(crate) fn read<M: Message>(bytes: Bytes) -> Result<M, StoredRecordError> {
    M::from_stored(bytes).map_err(|error| stored::unreadable(format!("{}: {error}", M::NAME)))
}
