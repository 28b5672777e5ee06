//! Async client of Kafka's protocol, for the operator, the CLI and the benches.
//!
//! | Part | What it does |
//! |---|---|
//! | [`Client`] | connections, the picture of the cluster, the way to leaders and coordinators, retries |
//! | [`Admin`] | topics, settings, groups, offsets, brokers, moves of partitions, controllers |
//! | [`Producer`] | batches by partition; retries that neither lose, duplicate nor reorder |
//! | [`Consumer`] | reads chosen partitions from an offset or a time |
//! | [`Connection`] | one connection to one broker, for those who know which |
//! | [`Survey`], [`Drain`], [`Fill`] | brokers and partitions at one moment; where those of a broker could go, and which a new one gets |
//! | [`Security`] | TLS and passwords, as Kafka's own clients are told of them |
//! | [`GroupConsumer`] | shares topics with the other members of a classic group |
//!
//! Every queue is bounded: requests of a connection, bytes of the producer, bytes of the consumer.
//! Every failure is a [`ClientError`], which tells who has to act and whether to try again.
//!
//! ```no_run
//! use std::time::Duration;
//! use freshet_client::{
//!     Client, ClientConfig, Consumer, ConsumerConfig, NewTopic, Producer, ProducerConfig,
//!     ProducerRecord, Start,
//! };
//!
//! # async fn run() -> Result<(), freshet_client::ClientError> {
//! let client = Client::connect(ClientConfig::new(["127.0.0.1:9092"])).await?;
//! client.admin().create_topic(&NewTopic::new("orders").partitions(3)).await?;
//!
//! let producer = Producer::start(&client, ProducerConfig::default()).await?;
//! let record = ProducerRecord {
//!     topic: "orders".into(),
//!     key: Some("7".into()),
//!     value: Some("hello".into()),
//!     ..ProducerRecord::default()
//! };
//! let delivery = producer.send_and_wait(record).await?;
//!
//! let mut consumer = Consumer::new(&client, ConsumerConfig::default());
//! consumer.assign(("orders".into(), delivery.partition), Start::Offset(delivery.offset));
//! for record in consumer.poll(Duration::from_secs(1)).await? {
//!     println!("{} {:?}", record.offset, record.value);
//! }
//! # Ok(())
//! # }
//! ```

mod admin;
mod cluster;
mod config;
mod connection;
mod consumer;
mod drain;
mod error;
mod fill;
mod group;
mod producer;
#[cfg(test)]
mod samples;
mod survey;

pub use admin::{
    Admin, ClusterDescription, ClusterNode, ConfigChange, ConfigEntry, ConfigOperation,
    ConfigSource, CreatedTopic, Election, FeatureLevel, Floors, FoundOffset, GroupDescription,
    GroupListing, GroupMember, GroupOffset, LogDir, LogDirPartition, NewGroupOffset, NewTopic,
    NewVoter, NoPlace, OffsetSpec, OngoingMove, Outcomes, PartitionCopies, Placement,
    PlacementBroker, QuorumDescription, QuorumReplica, Reassignment, Resource, RestoredTopic,
    TierStanding, TierState, TopicPartition, UncleanElection,
};
pub use cluster::{Broker, Client, ClusterView, Lane, PartitionView, TopicView};
pub use config::{ClientConfig, Security, SecurityError, SecurityRead, WallClock};
pub use connection::{Connection, Pending};
pub use consumer::{Consumer, ConsumerConfig, ConsumerRecord, Reset, Start};
pub use drain::{Drain, Move};
pub use error::ClientError;
pub use fill::Fill;
pub use freshet_wire::ErrorCode;
pub use group::{
    Assignor, ConsumerProtocolAssignment, ConsumerProtocolSubscription, GroupConfig, GroupConsumer,
    MemberView, Shares, TopicPartitions,
};
pub use producer::{
    Acks, Delivery, Producer, ProducerConfig, ProducerRecord, Receipt, murmur2, partition_for_key,
};
pub use survey::{Disks, Held, NoCopies, Seen, Survey, partition_name};
