//! Why a metadata request is refused.

use std::borrow::Cow;

use freshet_settings::SettingError;
use freshet_types::{ErrorKind, LeaderEpoch, NodeId, PartitionId, TopicId, TopicNameError};
use serde::{Deserialize, Serialize};

/// The outcome of one item of a request.
pub type Outcome<T> = Result<T, MetadataError>;

/// Why a metadata request, or one item of it, is refused. Nothing of the item has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum MetadataError {
    /// The topic name breaks Kafka's rules.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// The name differs from an existing one only in `.` and `_`, which metrics cannot tell apart.
    #[error(
        "topic {name} would collide in metric names with {existing}: '.' and '_' count as the same"
    )]
    Collision {
        /// The wished name.
        name: String,
        /// The topic that is there.
        existing: String,
    },
    /// There is a topic of that name.
    #[error("topic {name} already exists")]
    TopicExists {
        /// Its name.
        name: String,
    },
    /// There is no topic of that name.
    #[error("there is no topic {name:?}")]
    UnknownTopic {
        /// What was asked for, cut to 300 characters.
        name: String,
    },
    /// There is no topic of that id.
    #[error("there is no topic with id {id}")]
    UnknownTopicId {
        /// What was asked for.
        id: TopicId,
    },
    /// `delete.topic.enable` is false.
    #[error("topics cannot be deleted: delete.topic.enable is false")]
    DeletionDisabled,
    /// A number of partitions that cannot be.
    #[error("{reason}")]
    Partitions {
        /// What was asked for and what would be right.
        reason: String,
    },
    /// A replication factor that cannot be.
    #[error("{reason}")]
    ReplicationFactor {
        /// What was asked for and what would be right.
        reason: String,
    },
    /// An explicit assignment that cannot be.
    #[error("{reason}")]
    Assignment {
        /// What was asked for and what would be right.
        reason: String,
    },
    /// The request contradicts itself.
    #[error("{reason}")]
    Request {
        /// In which way.
        reason: String,
    },
    /// A setting is refused.
    #[error(transparent)]
    Config(#[from] SettingError),
    /// A limit of the cluster would be exceeded.
    #[error("the cluster would have {would} {what}: {setting} allows {limit}")]
    Limit {
        /// "topics", "partitions".
        what: Cow<'static, str>,
        /// How many there would be.
        would: usize,
        /// The bound.
        limit: usize,
        /// The setting that sets it.
        setting: Cow<'static, str>,
    },
    /// No broker of that number is registered.
    #[error("broker {node} is not registered")]
    UnknownBroker {
        /// What was asked for.
        node: NodeId,
    },
    /// The request carries another epoch than the broker has.
    #[error("broker {node} asks as epoch {epoch}, and is at {present}")]
    StaleBroker {
        /// Who asks.
        node: NodeId,
        /// The epoch it knows.
        epoch: i64,
        /// Its present epoch.
        present: i64,
    },
    /// Another process is that broker, and alive.
    #[error("broker {node} is another process, whose session is alive")]
    DuplicateBroker {
        /// The number that both claim.
        node: NodeId,
    },
    /// The broker cannot work with a feature level that the cluster uses.
    #[error("broker {node} cannot work with level {level} of feature {name}")]
    BrokerFeature {
        /// Which broker.
        node: NodeId,
        /// The feature.
        name: String,
        /// The level in use.
        level: i16,
    },
    /// The broker is alive or keeps replicas.
    #[error("broker {node} cannot go: {reason}")]
    BrokerInUse {
        /// Which.
        node: NodeId,
        /// What it still does.
        reason: String,
    },
    /// There is no partition of that number.
    #[error("there is no partition {name}-{partition}")]
    UnknownPartition {
        /// The topic, by name or id.
        name: String,
        /// What was asked for.
        partition: PartitionId,
    },
    /// The leader knows of an older leader epoch.
    #[error("leader epoch {epoch} is over: {present} is the present one")]
    StaleLeader {
        /// The epoch it knows.
        epoch: LeaderEpoch,
        /// The present epoch.
        present: LeaderEpoch,
    },
    /// The partition has changed since.
    #[error("partition epoch {epoch} is over: {present} is the present one")]
    StalePartition {
        /// The epoch it knows.
        epoch: i32,
        /// The present epoch.
        present: i32,
    },
    /// The leader knows what is not decided here yet: it heard of another controller.
    #[error("this controller does not know of epoch {epoch} yet")]
    Behind {
        /// The leader or partition epoch it knows.
        epoch: i32,
    },
    /// A replica cannot be in sync: it is fenced, stopping or of another epoch.
    #[error("replica {node} cannot be in sync: {reason}")]
    IneligibleReplica {
        /// Which.
        node: NodeId,
        /// Why not.
        reason: Cow<'static, str>,
    },
    /// There is nothing to cancel.
    #[error("no reassignment is under way")]
    NoReassignment,
    /// The partition has the leader that was asked for.
    #[error("no election is needed")]
    ElectionNotNeeded,
    /// The preferred leader is not in sync, or away.
    #[error("the preferred leader {node} is not available")]
    PreferredUnavailable {
        /// Who it is.
        node: NodeId,
    },
    /// Nobody is there who could lead.
    #[error("no replica is there that could lead")]
    NobodyEligible,
    /// A feature level that this version does not know or that cannot be left.
    #[error("feature {name} cannot be set to level {level}: {reason}")]
    Feature {
        /// The feature.
        name: String,
        /// The wished level.
        level: i16,
        /// Why not.
        reason: String,
    },
    /// All 2^63 producer ids are handed out.
    #[error("no producer ids are left")]
    ProducerIdsExhausted,
}

impl MetadataError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name(_)
            | Self::Collision { .. }
            | Self::DeletionDisabled
            | Self::Partitions { .. }
            | Self::ReplicationFactor { .. }
            | Self::Assignment { .. }
            | Self::Request { .. }
            | Self::Limit { .. }
            | Self::Feature { .. }
            | Self::BrokerFeature { .. } => ErrorKind::Invalid,
            Self::Config(error) => error.kind(),
            Self::TopicExists { .. }
            | Self::DuplicateBroker { .. }
            | Self::BrokerInUse { .. }
            | Self::IneligibleReplica { .. }
            | Self::ElectionNotNeeded => ErrorKind::Conflict,
            Self::StaleBroker { .. } | Self::StaleLeader { .. } | Self::StalePartition { .. } => {
                ErrorKind::Fenced
            }
            Self::Behind { .. } | Self::PreferredUnavailable { .. } | Self::NobodyEligible => {
                ErrorKind::Unavailable
            }
            Self::UnknownTopic { .. }
            | Self::UnknownTopicId { .. }
            | Self::UnknownBroker { .. }
            | Self::UnknownPartition { .. }
            | Self::NoReassignment => ErrorKind::NotFound,
            Self::ProducerIdsExhausted => ErrorKind::Internal,
        }
    }
}
