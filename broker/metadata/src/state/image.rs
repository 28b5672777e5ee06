//! The cluster at one moment, as everybody reads it.
//!
//! An image never changes. It is cheap to clone and shares with its predecessor all that is the
//! same, so a reader may keep one for as long as it likes and compare it with a later one
//! ([`MetadataImage::changes_since`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use freshet_settings::{Layers, Overrides, SecurityProtocol, StaticSettings};
use freshet_types::{
    LeaderEpoch, NodeId, PartitionId, Position, ProducerId, Timestamp, TopicId, TopicName,
    TopicPartition,
};
use serde::{Deserialize, Serialize};

use super::shards::{Shards, name_shard};

/// 16 random bytes that name a log directory for its whole life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct DirectoryId(pub [u8; 16]);

impl DirectoryId {
    /// Not assigned to a directory yet (KIP-858's reserved zero).
    pub const UNASSIGNED: Self = Self([0; 16]);
    /// The broker's copy cannot be used (KIP-858's reserved one): out of reach, until the broker says
    /// in which directory it began anew.
    pub const LOST: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

/// Where clients reach a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// The levels of a feature that a broker can work with, both ends included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureRange {
    /// The feature.
    pub name: String,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
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
    /// Registered, but neither leading nor in sync: its session ended, or it is not ready yet.
    pub fenced: bool,
    /// It wants to stop: nothing new is given to it, and what it leads moves away.
    pub stopping: bool,
    /// It keeps what it has and takes no new replicas.
    pub cordoned: bool,
    /// Its log directories that take no new replicas (KIP-1066).
    pub cordoned_directories: Vec<DirectoryId>,
    /// Its log directories whose disk has become slow; see [`MetadataImage::is_impaired`].
    pub slow_directories: Vec<DirectoryId>,
    /// Its log directories whose disk has no room for producers.
    pub full_directories: Vec<DirectoryId>,
    /// What it can work with; empty for one that did not say.
    pub features: Vec<FeatureRange>,
    /// The last epoch in which it served, that is, was not fenced; -1 before that. What is on its
    /// disk can be trusted only if its disk knows of that epoch.
    pub served_epoch: i64,
    /// Processes of this number that another one has replaced, the latest last: what they asked may
    /// still arrive.
    pub replaced: Vec<[u8; 16]>,
}

impl Broker {
    /// Whether it may lead and be in sync.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.stopping
    }

    /// Whether new replicas may be put on it.
    pub fn takes_replicas(&self) -> bool {
        !self.cordoned && (self.directories.is_empty() || self.open_directories().next().is_some())
    }

    /// Directories that take new replicas.
    pub fn open_directories(&self) -> impl Iterator<Item = DirectoryId> + '_ {
        let open = |id: &&DirectoryId| !self.cordoned_directories.contains(id);
        self.directories.iter().filter(open).copied()
    }

    /// Whether a replica in `directory` is within reach.
    pub fn has_online(&self, directory: DirectoryId) -> bool {
        directory == DirectoryId::UNASSIGNED || self.directories.contains(&directory)
    }

    /// Whether `directory` is among `these` of its directories; a replica that is assigned to none yet
    /// may be in any, so then all must be.
    fn is_among(&self, directory: DirectoryId, these: &[DirectoryId]) -> bool {
        if directory == DirectoryId::UNASSIGNED {
            return !these.is_empty() && self.directories.iter().all(|id| these.contains(id));
        }
        these.contains(&directory)
    }

    /// Whether a replica in `directory` is better led by another broker. `by_speed` says whether it
    /// counts that a disk is slow, see [`slowness_counts`].
    pub(crate) fn is_impaired(&self, directory: DirectoryId, by_speed: bool) -> bool {
        self.is_among(directory, &self.full_directories)
            || (by_speed && self.is_among(directory, &self.slow_directories))
    }

    /// Directories that take new replicas and that nobody would have reason to leave.
    pub(crate) fn well_directories(
        &self,
        by_speed: bool,
    ) -> impl Iterator<Item = DirectoryId> + '_ {
        let well = move |id: &DirectoryId| !self.is_impaired(*id, by_speed);
        self.open_directories().filter(well)
    }

    /// Whether new replicas find such a one, as far as it has said what it has.
    pub(crate) fn has_well_directory(&self, by_speed: bool) -> bool {
        self.directories.is_empty() || self.well_directories(by_speed).next().is_some()
    }

    /// Whether a disk of it is slow or full.
    pub fn is_unwell(&self) -> bool {
        !self.slow_directories.is_empty() || !self.full_directories.is_empty()
    }

    /// The listener of a name.
    pub fn listener(&self, name: &str) -> Option<&BrokerListener> {
        self.listeners.iter().find(|listener| listener.name == name)
    }
}

/// How many others are in sync before a copy on an unwell disk is waited for no more, where `needed` are
/// needed in any case: what is acknowledged survives the loss of one more disk.
pub(crate) fn enough_without(needed: usize) -> usize {
    needed.max(2)
}

/// Whether it means something that a broker's disk is slow: only beside brokers whose disks are not.
/// While more than half of those in service are slow, it is their common storage or their load, and
/// leaders that move would only slow down the rest.
pub(crate) fn slowness_counts<'a>(brokers: impl Iterator<Item = &'a Arc<Broker>>) -> bool {
    let (mut active, mut slow) = (0, 0);
    for broker in brokers.filter(|broker| broker.is_active()) {
        active += 1;
        slow += usize::from(!broker.slow_directories.is_empty());
    }
    slow * 2 <= active
}

/// Who keeps and leads one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

impl Partition {
    /// The directory of a replica.
    pub fn directory(&self, node: NodeId) -> Option<DirectoryId> {
        let at = self.replicas.iter().position(|replica| *replica == node)?;
        self.directories.get(at).copied()
    }

    /// Replicas that a finished reassignment leaves, in order of preference.
    pub fn target(&self) -> impl Iterator<Item = NodeId> + '_ {
        let stays = |node: &&NodeId| !self.removing.contains(node);
        self.replicas.iter().filter(stays).copied()
    }

    /// Whether a reassignment is under way.
    pub fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// Replicas known to have all that was acknowledged.
    pub fn clean(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.isr.iter().chain(&self.eligible).copied()
    }
}

/// Why somebody led who may miss acknowledged records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UncleanCause {
    /// `unclean.leader.election.enable` allows it.
    Config,
    /// An administrator asked for it.
    Request,
    /// Nobody clean was left, and the last one that was came back from a crash that may have cost
    /// the records its disk had not confirmed.
    LastKnown,
}

/// The audit record of an election that may have lost acknowledged records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncleanElection {
    /// Of which partition.
    pub at: TopicPartition,
    /// Who leads.
    pub leader: NodeId,
    /// Since which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Why.
    pub cause: UncleanCause,
    /// When, by the controller's clock.
    pub time: Timestamp,
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

/// A topic that is deleted, and what it had in object storage is not: all that is needed to have it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions it had.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication_factor: i16,
    /// The latest leader epoch of any partition.
    pub leader_epoch: LeaderEpoch,
    /// Settings of its own, and that it tiered if that was the brokers' default.
    pub configs: Overrides,
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
    pub(crate) unclean: Arc<VecDeque<Arc<UncleanElection>>>,
    pub(crate) unclean_applied: u64,
    pub(crate) deleted: Arc<VecDeque<TopicId>>,
    /// Those of them that left something in object storage.
    pub(crate) kept: Arc<BTreeMap<TopicId, Arc<KeptTopic>>>,
    pub(crate) version: u64,
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
            unclean: Arc::default(),
            unclean_applied: 0,
            deleted: Arc::default(),
            kept: Arc::default(),
            version: 0,
        }
    }
}

impl MetadataImage {
    /// How far the metadata log is in here.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How many records made this image. Grows with every change, alike on every node; brokers
    /// report it in heartbeats.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The latest elections that may have lost records, the oldest first; at most 100.
    pub fn unclean_elections(&self) -> impl Iterator<Item = &Arc<UncleanElection>> {
        self.unclean.iter()
    }

    /// How many elections that may have lost records were applied here, to this image and those before
    /// it. A snapshot keeps only the latest, so nodes may differ in it, and it is less after one: for
    /// comparing two images of one node.
    pub fn unclean_applied(&self) -> u64 {
        self.unclean_applied
    }

    /// Whether it is agreed that a topic was deleted. False also for one that was never heard of, and
    /// for one whose deletion was long ago: the latest 10,000 are known.
    pub fn is_deleted(&self, id: TopicId) -> bool {
        self.deleted.contains(&id)
    }

    /// What a deleted topic was whose objects stay; `None` for one whose objects go, and wherever
    /// [`MetadataImage::is_deleted`] is false.
    pub fn kept(&self, id: TopicId) -> Option<&Arc<KeptTopic>> {
        self.kept.get(&id)
    }

    /// All of these that are remembered, by their ids.
    pub fn all_kept(&self) -> impl Iterator<Item = (TopicId, &Arc<KeptTopic>)> {
        self.kept.iter().map(|(id, kept)| (*id, kept))
    }

    /// Partitions that a reassignment is moving.
    pub fn moving(&self) -> impl Iterator<Item = (&Arc<Topic>, PartitionId, &Arc<Partition>)> {
        self.topics().flat_map(|topic| {
            let moving = topic.iter().filter(|(_, p)| p.is_moving());
            moving.map(move |(number, partition)| (topic, number, partition))
        })
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.names.get_in(name_shard(name), name)?)
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// What a topic is called, or was, if what it had in object storage is kept.
    pub fn topic_name(&self, id: TopicId) -> Option<&TopicName> {
        let present = self.topic_by_id(id).map(|topic| &topic.name);
        present.or_else(|| self.kept(id).map(|kept| &kept.name))
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

    /// Whether the copy that `node` keeps of a partition is on a disk that is full, or that is slow while
    /// those of most brokers are not: others lead then.
    pub fn is_impaired(&self, partition: &Partition, node: NodeId) -> bool {
        let broker = self.broker(node).filter(|broker| broker.is_unwell());
        let directory = partition.directory(node);
        broker.zip(directory).is_some_and(|(broker, directory)| {
            broker.is_impaired(directory, slowness_counts(self.brokers()))
        })
    }

    /// The registration of a broker whose replica of `at` may be in sync now, as far as this image knows: neither it
    /// nor its directory is away. `copies`: see [`MetadataImage::leaves_out`]. To propose others is in vain.
    pub fn may_be_in(
        &self,
        at: TopicPartition,
        node: NodeId,
        copies: (usize, usize),
    ) -> Option<i64> {
        let broker = self.broker(node).filter(|broker| broker.is_active())?;
        let directory = self.partition(at)?.directory(node)?;
        let is_here = broker.has_online(directory) && !self.leaves_out(at, node, copies);
        is_here.then_some(broker.epoch)
    }

    /// Whether a leader leaves `node` out of the set in sync although it may have everything: nobody waits
    /// for a disk that is unwell while enough others have what is acknowledged. `in_sync` are in that set,
    /// and the partition needs `needed`. While replicas move nobody is: a move ends when its target is in sync.
    pub fn leaves_out(
        &self,
        at: TopicPartition,
        node: NodeId,
        (in_sync, needed): (usize, usize),
    ) -> bool {
        in_sync >= enough_without(needed)
            && self.partition(at).is_some_and(|partition| {
                !partition.is_moving() && self.is_impaired(partition, node)
            })
    }

    /// Settings of a resource that is no topic; empty when it has none.
    pub fn configs(&self, owner: &ConfigOwner) -> Arc<Overrides> {
        self.configs.get(owner).cloned().unwrap_or_default()
    }

    /// The settings of one broker, over what it was started with.
    pub fn layers(&self, statics: &Arc<StaticSettings>, node: NodeId) -> Layers {
        Layers {
            cluster: self.configs(&ConfigOwner::Cluster),
            broker: self.configs(&ConfigOwner::Broker(node)),
            ..Layers::of(Arc::clone(statics))
        }
    }

    /// Producer ids below this have been handed out.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
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
