//! The structs of `docs/formats/metadata.md`, and the way between them and [`Record`].
//!
//! All are flexible from version 0 on: a field is added as a tagged field, which older readers
//! skip, or with a new version, which older readers refuse.

use std::sync::Arc;

use bytes::Bytes;
use freshet_codec::{EncodeError, Message};
use freshet_settings::SecurityProtocol;
use freshet_types::{NodeId, StoredRecordError, Timestamp, TopicId, TopicName, TopicPartition};

use crate::record::{ConfigResource, Record, read};
use crate::state::{
    Broker, BrokerListener, DirectoryId, FeatureRange, KeptTopic, Partition, UncleanCause,
    UncleanElection,
};

const BROKER: i16 = 1;
const NEXT_BROKER_EPOCH: i16 = 2;
const TOPIC: i16 = 3;
const PARTITION: i16 = 4;
const TOPIC_DELETED: i16 = 5;
const CONFIG: i16 = 6;
const NEXT_PRODUCER_ID: i16 = 7;
const FEATURE: i16 = 8;
const BROKER_GONE: i16 = 9;
const UNCLEAN_ELECTION: i16 = 10;
const VERSION: i16 = 11;

const OF_TOPIC: i8 = 2;
const OF_BROKER: i8 = 4;
const OF_CLUSTER: i8 = 5;
const OF_CLIENT_METRICS: i8 = 16;
const OF_GROUP: i8 = 32;

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct BrokerRecord {
    node: i32,
    epoch: i64,
    incarnation: [u8; 16],
    listeners: Vec<ListenerPart>,
    rack: Option<String>,
    directories: Vec<[u8; 16]>,
    fenced: bool,
    #[field(tag = 0)]
    stopping: bool,
    #[field(tag = 1)]
    cordoned: bool,
    #[field(tag = 2)]
    cordoned_directories: Vec<[u8; 16]>,
    #[field(tag = 3)]
    features: Vec<FeaturePart>,
    #[field(tag = 4, default = -1)]
    served_epoch: i64,
    #[field(tag = 5)]
    replaced: Vec<[u8; 16]>,
    #[field(tag = 6)]
    slow_directories: Vec<[u8; 16]>,
    #[field(tag = 7)]
    full_directories: Vec<[u8; 16]>,
}

#[derive(Debug, PartialEq, Message)]
struct FeaturePart {
    name: String,
    min: i16,
    max: i16,
}

#[derive(Debug, PartialEq, Message)]
struct ListenerPart {
    name: String,
    host: String,
    port: u16,
    protocol: i16,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct NextBrokerEpochRecord {
    next: i64,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct TopicRecord {
    id: [u8; 16],
    name: String,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct PartitionRecord {
    topic: [u8; 16],
    partition: i32,
    replicas: Vec<i32>,
    directories: Vec<[u8; 16]>,
    isr: Vec<i32>,
    leader: i32,
    leader_epoch: i32,
    partition_epoch: i32,
    #[field(tag = 0)]
    eligible: Vec<i32>,
    #[field(tag = 1)]
    last_known_eligible: Vec<i32>,
    #[field(tag = 2)]
    adding: Vec<i32>,
    #[field(tag = 3)]
    removing: Vec<i32>,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct TopicDeletedRecord {
    id: [u8; 16],
    #[field(tag = 0)]
    kept: Option<KeptPart>,
}

#[derive(Debug, PartialEq, Message)]
struct KeptPart {
    name: String,
    partitions: i32,
    replication_factor: i16,
    leader_epoch: i32,
    configs: Vec<ValuePart>,
}

#[derive(Debug, PartialEq, Message)]
struct ValuePart {
    name: String,
    value: String,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct ConfigRecord {
    resource_type: i8,
    topic: [u8; 16],
    resource: String,
    name: String,
    value: Option<String>,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct NextProducerIdRecord {
    next: i64,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct FeatureRecord {
    name: String,
    level: i16,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct BrokerGoneRecord {
    node: i32,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct UncleanElectionRecord {
    topic: [u8; 16],
    partition: i32,
    leader: i32,
    leader_epoch: i32,
    cause: i8,
    time: i64,
}

#[derive(Debug, PartialEq, Message)]
#[message(versions = "0", flexible = "0+")]
struct VersionRecord {
    version: i64,
}

/// The kind of a record and its stored struct.
pub(crate) fn encode(record: &Record) -> (i16, Result<Bytes, EncodeError>) {
    match record {
        Record::Broker(broker) => (BROKER, broker_record(broker).to_stored(0)),
        Record::NextBrokerEpoch(next) => (
            NEXT_BROKER_EPOCH,
            NextBrokerEpochRecord { next: *next }.to_stored(0),
        ),
        Record::Topic { id, name } => {
            let stored = TopicRecord {
                id: id.0,
                name: name.as_str().to_owned(),
            };
            (TOPIC, stored.to_stored(0))
        }
        Record::Partition { at, partition } => {
            (PARTITION, partition_record(*at, partition).to_stored(0))
        }
        Record::TopicDeleted { id, kept } => {
            let kept = kept.as_deref().map(kept_part);
            let stored = TopicDeletedRecord { id: id.0, kept };
            (TOPIC_DELETED, stored.to_stored(0))
        }
        Record::Config {
            resource,
            name,
            value,
        } => (
            CONFIG,
            config_record(resource, name, value.as_ref()).to_stored(0),
        ),
        Record::NextProducerId(next) => (
            NEXT_PRODUCER_ID,
            NextProducerIdRecord { next: *next }.to_stored(0),
        ),
        Record::Feature { name, level } => (
            FEATURE,
            FeatureRecord {
                name: name.clone(),
                level: *level,
            }
            .to_stored(0),
        ),
        Record::BrokerGone { node } => {
            (BROKER_GONE, BrokerGoneRecord { node: node.0 }.to_stored(0))
        }
        Record::UncleanElection(election) => (
            UNCLEAN_ELECTION,
            unclean_election_record(election).to_stored(0),
        ),
        Record::Version(version) => {
            let version = i64::try_from(*version).unwrap_or(i64::MAX);
            (VERSION, VersionRecord { version }.to_stored(0))
        }
    }
}

/// The record of a kind and a stored struct.
pub(crate) fn decode(kind: i16, bytes: Bytes) -> Result<Record, StoredRecordError> {
    match kind {
        BROKER => read::<BrokerRecord>(bytes).and_then(broker),
        NEXT_BROKER_EPOCH => {
            read::<NextBrokerEpochRecord>(bytes).map(|r| Record::NextBrokerEpoch(r.next))
        }
        TOPIC => read::<TopicRecord>(bytes).and_then(|r| {
            let name = TopicName::new(&r.name).map_err(|e| unreadable(e.to_string()))?;
            Ok(Record::Topic {
                id: TopicId(r.id),
                name,
            })
        }),
        PARTITION => read::<PartitionRecord>(bytes).and_then(partition),
        TOPIC_DELETED => read::<TopicDeletedRecord>(bytes).and_then(|r| {
            let kept = r.kept.map(kept_topic).transpose()?;
            Ok(Record::TopicDeleted {
                id: TopicId(r.id),
                kept: kept.map(Arc::new),
            })
        }),
        CONFIG => read::<ConfigRecord>(bytes).and_then(config),
        NEXT_PRODUCER_ID => {
            read::<NextProducerIdRecord>(bytes).map(|r| Record::NextProducerId(r.next))
        }
        FEATURE => read::<FeatureRecord>(bytes).map(|r| Record::Feature {
            name: r.name,
            level: r.level,
        }),
        BROKER_GONE => read::<BrokerGoneRecord>(bytes).map(|r| Record::BrokerGone {
            node: NodeId(r.node),
        }),
        UNCLEAN_ELECTION => read::<UncleanElectionRecord>(bytes).and_then(unclean_election),
        VERSION => read::<VersionRecord>(bytes).and_then(|r| {
            let version = u64::try_from(r.version).map_err(|_| unreadable("a negative version"))?;
            Ok(Record::Version(version))
        }),
        other => Err(unreadable(format!(
            "kind {other} is not known: a newer version wrote it"
        ))),
    }
}

pub(crate) fn unreadable(what: impl Into<String>) -> StoredRecordError {
    StoredRecordError { what: what.into() }
}

fn broker_record(broker: &Broker) -> BrokerRecord {
    let listener = |l: &BrokerListener| ListenerPart {
        name: l.name.clone(),
        host: l.host.clone(),
        port: l.port,
        protocol: l.protocol.code(),
    };
    BrokerRecord {
        node: broker.node.0,
        epoch: broker.epoch,
        incarnation: broker.incarnation,
        listeners: broker.listeners.iter().map(listener).collect(),
        rack: broker.rack.clone(),
        directories: broker.directories.iter().map(|d| d.0).collect(),
        fenced: broker.fenced,
        stopping: broker.stopping,
        cordoned: broker.cordoned,
        cordoned_directories: broker.cordoned_directories.iter().map(|d| d.0).collect(),
        features: broker.features.iter().map(feature_part).collect(),
        served_epoch: broker.served_epoch,
        replaced: broker.replaced.clone(),
        slow_directories: broker.slow_directories.iter().map(|d| d.0).collect(),
        full_directories: broker.full_directories.iter().map(|d| d.0).collect(),
    }
}

fn feature_part(range: &FeatureRange) -> FeaturePart {
    FeaturePart {
        name: range.name.clone(),
        min: range.min,
        max: range.max,
    }
}

fn broker(stored: BrokerRecord) -> Result<Record, StoredRecordError> {
    let listener = |l: ListenerPart| {
        let protocol = SecurityProtocol::from_code(l.protocol)
            .ok_or_else(|| unreadable(format!("security protocol {} is not known", l.protocol)))?;
        Ok(BrokerListener {
            name: l.name,
            host: l.host,
            port: l.port,
            protocol,
        })
    };
    Ok(Record::Broker(Arc::new(Broker {
        node: NodeId(stored.node),
        epoch: stored.epoch,
        incarnation: stored.incarnation,
        listeners: stored
            .listeners
            .into_iter()
            .map(listener)
            .collect::<Result<_, _>>()?,
        rack: stored.rack,
        directories: directories(stored.directories),
        fenced: stored.fenced,
        stopping: stored.stopping,
        cordoned: stored.cordoned,
        cordoned_directories: directories(stored.cordoned_directories),
        features: stored.features.into_iter().map(feature_range).collect(),
        served_epoch: stored.served_epoch,
        replaced: stored.replaced,
        slow_directories: directories(stored.slow_directories),
        full_directories: directories(stored.full_directories),
    })))
}

fn directories(stored: Vec<[u8; 16]>) -> Vec<DirectoryId> {
    stored.into_iter().map(DirectoryId).collect()
}

fn feature_range(stored: FeaturePart) -> FeatureRange {
    FeatureRange {
        name: stored.name,
        min: stored.min,
        max: stored.max,
    }
}

fn unclean_election_record(election: &UncleanElection) -> UncleanElectionRecord {
    UncleanElectionRecord {
        topic: election.at.topic.0,
        partition: election.at.partition,
        leader: election.leader.0,
        leader_epoch: election.leader_epoch,
        cause: match election.cause {
            UncleanCause::Config => 0,
            UncleanCause::Request => 1,
            UncleanCause::LastKnown => 2,
        },
        time: election.time.0,
    }
}

fn unclean_election(stored: UncleanElectionRecord) -> Result<Record, StoredRecordError> {
    let cause = match stored.cause {
        0 => UncleanCause::Config,
        1 => UncleanCause::Request,
        2 => UncleanCause::LastKnown,
        other => return Err(unreadable(format!("cause {other} is not known"))),
    };
    Ok(Record::UncleanElection(Arc::new(UncleanElection {
        at: TopicPartition {
            topic: TopicId(stored.topic),
            partition: stored.partition,
        },
        leader: NodeId(stored.leader),
        leader_epoch: stored.leader_epoch,
        cause,
        time: Timestamp(stored.time),
    })))
}

fn kept_part(kept: &KeptTopic) -> KeptPart {
    let value = |(name, value): (&String, &String)| ValuePart {
        name: name.clone(),
        value: value.clone(),
    };
    KeptPart {
        name: kept.name.as_str().to_owned(),
        partitions: kept.partitions,
        replication_factor: kept.replication_factor,
        leader_epoch: kept.leader_epoch,
        configs: kept.configs.iter().map(value).collect(),
    }
}

fn kept_topic(stored: KeptPart) -> Result<KeptTopic, StoredRecordError> {
    let values = stored.configs.into_iter();
    Ok(KeptTopic {
        name: TopicName::new(&stored.name).map_err(|e| unreadable(e.to_string()))?,
        partitions: stored.partitions,
        replication_factor: stored.replication_factor,
        leader_epoch: stored.leader_epoch,
        configs: values.map(|part| (part.name, part.value)).collect(),
    })
}

fn partition_record(at: TopicPartition, partition: &Partition) -> PartitionRecord {
    let numbers = |nodes: &[NodeId]| nodes.iter().map(|n| n.0).collect();
    PartitionRecord {
        topic: at.topic.0,
        partition: at.partition,
        replicas: numbers(&partition.replicas),
        directories: partition.directories.iter().map(|d| d.0).collect(),
        isr: numbers(&partition.isr),
        leader: partition.leader.map_or(-1, |n| n.0),
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        eligible: numbers(&partition.eligible),
        last_known_eligible: numbers(&partition.last_known_eligible),
        adding: numbers(&partition.adding),
        removing: numbers(&partition.removing),
    }
}

fn partition(stored: PartitionRecord) -> Result<Record, StoredRecordError> {
    if stored.directories.len() != stored.replicas.len() || stored.partition < 0 {
        return Err(unreadable(
            "a partition's replicas and directories do not match",
        ));
    }
    let nodes = |numbers: Vec<i32>| numbers.into_iter().map(NodeId).collect();
    let partition = Partition {
        replicas: nodes(stored.replicas),
        directories: directories(stored.directories),
        isr: nodes(stored.isr),
        eligible: nodes(stored.eligible),
        last_known_eligible: nodes(stored.last_known_eligible),
        adding: nodes(stored.adding),
        removing: nodes(stored.removing),
        leader: (stored.leader >= 0).then_some(NodeId(stored.leader)),
        leader_epoch: stored.leader_epoch,
        partition_epoch: stored.partition_epoch,
    };
    Ok(Record::partition(
        TopicId(stored.topic),
        stored.partition,
        partition,
    ))
}

fn config_record(resource: &ConfigResource, name: &str, value: Option<&String>) -> ConfigRecord {
    let (resource_type, topic, resource) = match resource {
        ConfigResource::Topic(id) => (OF_TOPIC, id.0, String::new()),
        ConfigResource::Broker(node) => (OF_BROKER, [0; 16], node.to_string()),
        ConfigResource::Cluster => (OF_CLUSTER, [0; 16], String::new()),
        ConfigResource::Group(group) => (OF_GROUP, [0; 16], group.clone()),
        ConfigResource::ClientMetrics(name) => (OF_CLIENT_METRICS, [0; 16], name.clone()),
    };
    ConfigRecord {
        resource_type,
        topic,
        resource,
        name: name.to_owned(),
        value: value.cloned(),
    }
}

fn config(stored: ConfigRecord) -> Result<Record, StoredRecordError> {
    let resource = match stored.resource_type {
        OF_TOPIC => ConfigResource::Topic(TopicId(stored.topic)),
        OF_BROKER => {
            let node = stored
                .resource
                .parse()
                .map_err(|_| unreadable("a broker without number"))?;
            ConfigResource::Broker(NodeId(node))
        }
        OF_CLUSTER => ConfigResource::Cluster,
        OF_GROUP => ConfigResource::Group(stored.resource),
        OF_CLIENT_METRICS => ConfigResource::ClientMetrics(stored.resource),
        other => return Err(unreadable(format!("resource type {other} is not known"))),
    };
    Ok(Record::Config {
        resource,
        name: stored.name,
        value: stored.value,
    })
}
