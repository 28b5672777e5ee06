//! Why a metadata request is refused.

use freshet_settings::SettingError;
use freshet_types::{ErrorKind, NodeId, TopicId, TopicNameError};

/// The outcome of one item of a request.
pub type Outcome<T> = Result<T, MetadataError>;

/// Why a metadata request, or one item of it, is refused. Nothing of the item has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
        what: &'static str,
        /// How many there would be.
        would: usize,
        /// The bound.
        limit: usize,
        /// The setting that sets it.
        setting: &'static str,
    },
    /// No broker of that number is registered.
    #[error("broker {node} is not registered")]
    UnknownBroker {
        /// What was asked for.
        node: NodeId,
    },
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
            | Self::Feature { .. } => ErrorKind::Invalid,
            Self::Config(error) => error.kind(),
            Self::TopicExists { .. } => ErrorKind::Conflict,
            Self::UnknownTopic { .. }
            | Self::UnknownTopicId { .. }
            | Self::UnknownBroker { .. } => ErrorKind::NotFound,
            Self::ProducerIdsExhausted => ErrorKind::Internal,
        }
    }
}
