//! Pure metadata machine: topics, configs, brokers, producer id blocks.
//!
//! Floor 2: no clock, no randomness, no IO. The quorum hosts [`MetadataMachine`]; everybody else
//! reads [`MetadataImage`] and asks with the requests here.
//!
//! ```text
//! CreateTopics{..} ─► quorum ─► MetadataMachine::decide ─► [Record] ─► log ─► apply ─► image ─► reply
//! ```

mod changes;
mod decide;
mod error;
mod image;
mod machine;
mod placement;
mod record;
mod request;
mod shards;
mod stored;

pub use changes::Changes;
pub use error::{MetadataError, Outcome};
pub use image::{
    Broker, BrokerListener, ConfigOwner, DirectoryId, MetadataImage, Partition, Topic,
};
pub use machine::{MetadataMachine, MetadataOptions};
pub use record::{ConfigResource, Record};
pub use request::{
    AllocateProducerIds, AlterConfigs, AlterResource, Ask, ConfigChange, ConfigEdit, ConfigOp,
    ConfigTarget, CreatePartitions, CreateTopics, CreatedTopic, DeleteTopics, DeletedTopic,
    FeatureUpdate, MorePartitions, NewTopic, ProducerIdBlock, RegisterBroker, Reply, Request,
    TopicRef, UpdateFeatures,
};

#[cfg(test)]
mod tests;
