//! What can be asked of the metadata, and what comes back.

use std::sync::Arc;

use freshet_settings::Overrides;
use freshet_types::{LeaderEpoch, NodeId, PartitionId, ProducerId, TopicId, TopicName};
use serde::{Deserialize, Serialize};

use crate::error::Outcome;
use crate::state::Partition;

mod brokers;
mod replicas;

pub use brokers::{
    BrokerState, CordonBroker, FenceBroker, Heartbeat, PastLife, RegisterBroker, UnregisterBroker,
};
pub use replicas::{
    AlterPartitions, AssignDirectories, AssignedPartition, ElectLeaders, ElectedLeader,
    PartitionName, ProposedIsr, Reassign, Reassignment,
};

/// Ties a request to the type of its answer, so that callers need not match on [`Reply`].
///
/// ```text
/// let reply = quorum.propose(CreateTopics { .. }.into()).await?;
/// let outcomes = CreateTopics::answer(reply);
/// ```
pub trait Ask: Into<Request> {
    /// What comes back.
    type Answer;

    /// Takes the answer out of the machine's reply.
    ///
    /// # Panics
    /// `reply` belongs to another kind of request: a bug of the host.
    fn answer(reply: Reply) -> Self::Answer;
}

macro_rules! asks {
    ($($name:ident => $answer:ty),* $(,)?) => {
        /// A request to [`crate::MetadataMachine`].
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Request {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        /// The reply to a [`Request`]; the variant of the same name.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Reply {
            $(#[doc = concat!("Answer to [`", stringify!($name), "`].")] $name($answer),)*
        }

        $(
            impl From<$name> for Request {
                fn from(request: $name) -> Self {
                    Self::$name(request)
                }
            }

            impl Ask for $name {
                type Answer = $answer;

                fn answer(reply: Reply) -> $answer {
                    match reply {
                        Reply::$name(answer) => answer,
                        other => unreachable!("asked {}, got {other:?}", stringify!($name)),
                    }
                }
            }
        )*
    };
}

asks! {
    RegisterBroker => Outcome<i64>,
    Heartbeat => Outcome<BrokerState>,
    UnregisterBroker => Outcome<()>,
    CordonBroker => Outcome<()>,
    FenceBroker => Outcome<()>,
    CreateTopics => Vec<Outcome<CreatedTopic>>,
    RestoreTopics => Vec<Outcome<CreatedTopic>>,
    DeleteTopics => Vec<Outcome<DeletedTopic>>,
    CreatePartitions => Vec<Outcome<()>>,
    AlterConfigs => Vec<Outcome<()>>,
    AllocateProducerIds => Outcome<ProducerIdBlock>,
    UpdateFeatures => Outcome<()>,
    AlterPartitions => Outcome<Vec<Outcome<Arc<Partition>>>>,
    Reassign => Vec<Outcome<()>>,
    ElectLeaders => Vec<ElectedLeader>,
    AssignDirectories => Outcome<Vec<Outcome<()>>>,
}

/// Creates topics; each succeeds or fails alone. Answers come in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopics {
    /// Which.
    pub topics: Vec<NewTopic>,
    /// Check, change nothing.
    pub validate_only: bool,
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its name, unchecked.
    pub name: String,
    /// 16 random bytes from the caller.
    pub id: TopicId,
    /// -1 takes `num.partitions`, or what the assignments say.
    pub partitions: i32,
    /// -1 takes `default.replication.factor`, or what the assignments say.
    pub replication_factor: i16,
    /// Explicit replicas of each partition, the preferred leader first; empty lets us choose.
    pub assignments: Vec<(PartitionId, Vec<NodeId>)>,
    /// Settings by name; a value of `None` is refused.
    pub configs: Vec<(String, Option<String>)>,
}

/// Creates topics that a cluster had whose disks are lost; each succeeds or fails alone. Answers come in
/// the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreTopics {
    /// Which.
    pub topics: Vec<RestoredTopic>,
    /// The version of the metadata is above this from now on, so that what is called by it goes on.
    pub version: u64,
    /// Producer ids below this are handed out: logs that come back know them.
    pub producer_id: ProducerId,
    /// Check, change nothing.
    pub validate_only: bool,
}

/// A topic to be created as one that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredTopic {
    /// As it was, with its id.
    pub topic: NewTopic,
    /// Its partitions begin in this epoch: above all that clients and object storage know of.
    pub leader_epoch: LeaderEpoch,
}

/// What was created, or would have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    /// Its id; zero for a dry run.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas each has.
    pub replication_factor: i16,
    /// The settings it was created with.
    pub configs: Overrides,
}

/// Deletes topics; each succeeds or fails alone. Answers come in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopics {
    /// Which.
    pub topics: Vec<TopicRef>,
}

/// A topic as clients name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicRef {
    /// By name, unchecked.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedTopic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
}

/// Adds partitions to topics; each succeeds or fails alone. Answers come in the order of the
/// request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    /// Which.
    pub topics: Vec<MorePartitions>,
    /// Check, change nothing.
    pub validate_only: bool,
}

/// How many partitions a topic shall have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MorePartitions {
    /// Which topic.
    pub name: String,
    /// How many in all; must be more than there are.
    pub count: i32,
    /// Replicas of each new partition, the preferred leader first; `None` lets us choose.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

/// Changes settings of resources; each resource succeeds or fails as a whole. Answers come in the
/// order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterConfigs {
    /// What is changed.
    pub resources: Vec<AlterResource>,
    /// Check, change nothing.
    pub validate_only: bool,
}

/// Changes to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterResource {
    /// Which.
    pub target: ConfigTarget,
    /// How.
    pub change: ConfigChange,
}

/// Something that has settings.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConfigTarget {
    /// A topic, by name.
    Topic(String),
    /// A broker.
    Broker(NodeId),
    /// All brokers: the default of each.
    Cluster,
    /// A group, which need not exist.
    Group(String),
    /// A client metrics subscription.
    ClientMetrics(String),
}

/// How the settings of a resource change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigChange {
    /// These are all it has; others go back to their defaults (AlterConfigs).
    Replace(Vec<(String, Option<String>)>),
    /// One by one (IncrementalAlterConfigs, KIP-339).
    Edit(Vec<ConfigEdit>),
}

/// One change to one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEdit {
    /// Its name.
    pub name: String,
    /// What is done.
    pub op: ConfigOp,
    /// With what; `None` is refused except for [`ConfigOp::Delete`].
    pub value: Option<String>,
}

/// What is done to a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOp {
    /// Replace the value.
    Set,
    /// Go back to the default.
    Delete,
    /// Add items to a list; those that are there stay once.
    Append,
    /// Take items out of a list.
    Subtract,
}

/// A broker needs producer ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateProducerIds {
    /// How many, at least 1.
    pub count: i32,
}

/// Producer ids that nobody else gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    /// The first.
    pub first: ProducerId,
    /// How many.
    pub count: i32,
}

/// Finalizes feature levels; all succeed or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateFeatures {
    /// Which.
    pub updates: Vec<FeatureUpdate>,
    /// Check, change nothing.
    pub validate_only: bool,
}

/// One feature's new level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureUpdate {
    /// Its name.
    pub name: String,
    /// The level; 0 takes the feature away.
    pub level: i16,
    /// Whether the level may go down.
    pub allow_downgrade: bool,
}
