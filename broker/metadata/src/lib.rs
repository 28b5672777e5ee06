//! Pure metadata machine: topics, configs, brokers, producer id blocks.
//!
//! Floor 2: no clock, no randomness, no IO. The quorum hosts [`MetadataMachine`]; everybody else
//! reads [`MetadataImage`] and asks with the requests here.
//!
//! ```text
//! CreateTopics{..} ─► quorum ─► MetadataMachine::decide ─► [Record] ─► log ─► apply ─► image ─► reply
//! ```

mod decide;
mod error;
mod features;
mod guard;
mod machine;
mod record;
mod replicas;
mod request;
mod sessions;
mod state;
mod stored;

pub use error::{MetadataError, Outcome};
pub use features::{FEATURES, Feature, KRAFT_VERSION};
#[cfg(feature = "simulation")]
pub use guard::{Guard, without};
pub use machine::{MetadataMachine, MetadataOptions, MetadataTimer, SessionOptions};
pub use record::{ConfigResource, Record};
pub use request::{
    AllocateProducerIds, AlterConfigs, AlterPartitions, AlterResource, Ask, AssignDirectories,
    AssignedPartition, BrokerState, ConfigChange, ConfigEdit, ConfigOp, ConfigTarget, CordonBroker,
    CreatePartitions, CreateTopics, CreatedTopic, DeleteTopics, DeletedTopic, ElectLeaders,
    ElectedLeader, FeatureUpdate, FenceBroker, Heartbeat, MorePartitions, NewTopic, PartitionName,
    PastLife, ProducerIdBlock, ProposedIsr, Reassign, Reassignment, RegisterBroker, Reply, Request,
    RestoreTopics, RestoredTopic, TopicRef, UnregisterBroker, UpdateFeatures,
};
pub use state::{
    Broker, BrokerListener, Changes, ConfigOwner, DirectoryId, FeatureRange, KeptTopic,
    MetadataImage, Partition, Risk, StopRisk, Topic, UncleanCause, UncleanElection,
};

#[cfg(test)]
mod tests;
