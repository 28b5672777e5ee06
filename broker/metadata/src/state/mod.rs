//! What is agreed: the image, how records change it, and what can be read out of it.

mod apply;
mod changes;
mod holdings;
mod image;
mod risks;
mod shards;

pub use changes::Changes;
pub(crate) use holdings::Holdings;
pub use image::{
    Broker, BrokerListener, ConfigOwner, DirectoryId, FeatureRange, KeptTopic, MetadataImage,
    Partition, Topic, UncleanCause, UncleanElection,
};
pub(crate) use image::{enough_without, slowness_counts};
pub use risks::{Risk, StopRisk};
