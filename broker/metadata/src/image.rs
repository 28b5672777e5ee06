//! The cluster at one moment, as everybody reads it.
//!
//! An image never changes. It is cheap to clone and shares with its predecessor all that is the
//! same, so a reader may keep one for as long as it likes and compare it with a later one
//! ([`MetadataImage::changes_since`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_settings::{Overrides, SecurityProtocol};
use freshet_types::{
    LeaderEpoch, NodeId, PartitionId, Position, ProducerId, TopicId, TopicName, TopicPartition,
};

use crate::shards::{Shards, name_shard};

/// 16 random bytes that name a log directory for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DirectoryId(pub [u8; 16]);

impl DirectoryId {
    /// Not assigned to a directory yet (KIP-858's reserved zero).
    pub const UNASSIGNED: Self = Self([0; 16]);
}

/// Where clients reach a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerListener {
    /// The listener's name, in upper case.
    pub name: String,
    /// Host name or address that clients can reach.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it speaks.
    pub protocol: SecurityProtocol,
}

/// A registered broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its number.
    pub node: NodeId,
    /// Counts registrations in the cluster.
    pub epoch: i64,
    /// Random bits of its present process.
    pub incarnation: [u8; 16],
    /// Where clients reach it.
    pub listeners: Vec<BrokerListener>,
    /// Where it stands.
    pub rack: Option<String>,
    /// Its log directories that are online.
    pub directories: Vec<DirectoryId>,
    /// Registered, but not to be given work.
    pub fenced: bool,
}

impl Broker {
    /// The listener of a name.
    pub fn listener(&self, name: &str) -> Option<&BrokerListener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

/// Who keeps and leads one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The brokers that keep it, the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The log directory of each replica, in the order of `replicas`.
    pub directories: Vec<DirectoryId>,
    /// Replicas in sync.
    pub isr: Vec<NodeId>,
    /// Replicas out of sync that still have everything acknowledged (KIP-966).
    pub eligible: Vec<NodeId>,
    /// Who was eligible before nobody was.
    pub last_known_eligible: Vec<NodeId>,
    /// Replicas that a reassignment adds.
    pub adding: Vec<NodeId>,
    /// Replicas that a reassignment takes away.
    pub removing: Vec<NodeId>,
    /// Who leads; `None` while nobody can.
    pub leader: Option<NodeId>,
    /// Counts leaders.
    pub leader_epoch: LeaderEpoch,
    /// Counts changes of any field.
    pub partition_epoch: i32,
}

/// One life of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its partitions; the index is the partition's number.
    pub partitions: Vec<Arc<Partition>>,
    /// Settings of its own.
    pub configs: Arc<Overrides>,
}

impl Topic {
    /// One partition.
    pub fn partition(&self, partition: PartitionId) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// Partitions with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, &Arc<Partition>)> {
        (0..).zip(&self.partitions)
    }
}

/// Resources other than topics that have settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigOwner {
    /// All brokers.
    Cluster,
    /// One broker.
    Broker(NodeId),
    /// A group.
    Group(String),
    /// A client metrics subscription.
    ClientMetrics(String),
}

/// The cluster at one position of the metadata log.
#[derive(Debug, Clone)]
pub struct MetadataImage {
    pub(crate) position: Position,
    pub(crate) topics: Shards<TopicId, Arc<Topic>>,
    pub(crate) names: Shards<TopicName, TopicId>,
    pub(crate) partitions: usize,
    pub(crate) brokers: Arc<BTreeMap<NodeId, Arc<Broker>>>,
    pub(crate) next_broker_epoch: i64,
    pub(crate) configs: Arc<BTreeMap<ConfigOwner, Arc<Overrides>>>,
    pub(crate) features: Arc<BTreeMap<String, i16>>,
    pub(crate) next_producer_id: ProducerId,
}

impl Default for MetadataImage {
    /// A cluster without anything.
    fn default() -> Self {
        Self {
            position: Position::START,
            topics: Shards::default(),
            names: Shards::default(),
            partitions: 0,
            brokers: Arc::default(),
            next_broker_epoch: 1,
            configs: Arc::default(),
            features: Arc::default(),
            next_producer_id: 0,
        }
    }
}

impl MetadataImage {
    /// How far the metadata log is in here.
    pub fn position(&self) -> Position {
        self.position
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get_in(name_shard(name), name)?)
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// One partition.
    pub fn partition(&self, at: TopicPartition) -> Option<&Arc<Partition>> {
        self.topics.get(&at.topic)?.partition(at.partition)
    }

    /// All topics, in an order that only depends on their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.iter().filter_map(|(_, id)| self.topics.get(id))
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions there are in all topics.
    pub fn partition_count(&self) -> usize {
        self.partitions
    }

    /// All registered brokers by number.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<Broker>> {
        self.brokers.values()
    }

    /// A registered broker.
    pub fn broker(&self, node: NodeId) -> Option<&Arc<Broker>> {
        self.brokers.get(&node)
    }

    /// Settings of a resource that is no topic; empty when it has none.
    pub fn configs(&self, owner: &ConfigOwner) -> Arc<Overrides> {
        self.configs.get(owner).cloned().unwrap_or_default()
    }

    /// All resources other than topics that have settings.
    pub fn config_owners(&self) -> impl Iterator<Item = (&ConfigOwner, &Arc<Overrides>)> {
        self.configs.iter()
    }

    /// Finalized feature levels by name.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }
}
