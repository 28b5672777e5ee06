//! Async client of Kafka's protocol, for the operator, the CLI and the benches.

mod admin;
mod cluster;
mod config;
mod connection;
mod consumer;
mod error;
mod group;
mod producer;

pub use admin::{
    Admin, ClusterDescription, ClusterNode, ConfigChange, ConfigEntry, ConfigOperation,
    ConfigSource, CreatedTopic, FoundOffset, GroupDescription, GroupListing, GroupMember,
    GroupOffset, LogDir, LogDirPartition, NewGroupOffset, NewTopic, OffsetSpec, Outcomes, Resource,
    TopicPartition,
};
pub use cluster::{Broker, Client, ClusterView, Lane, PartitionView, TopicView};
pub use config::{ClientConfig, WallClock};
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord, Reset, Start};
pub use error::ClientError;
pub use group::{
    Assignor, ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupConfig, GroupConsumer,
    MemberView, Shares, TopicPartitions,
};
pub use producer::{
    Acks, Delivery, Producer, ProducerConfig, ProducerRecord, Receipt, murmur2, partition_for_key,
};
