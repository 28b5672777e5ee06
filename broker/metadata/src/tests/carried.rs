//! Requests and replies go to the active controller and back as JSON: everything must arrive as it
//! was sent. The lists are checked to have every variant there is.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use freshet_settings::{SecurityProtocol, SettingError};
use freshet_types::{NodeId, TopicId, TopicName, TopicPartition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::*;

const NODE: NodeId = NodeId(7);
const AT: TopicPartition = TopicPartition {
    topic: TopicId([0xfe; 16]),
    partition: 3,
};

fn arrives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(sent: &T) {
    let bytes = serde_json::to_vec(sent).expect("written");
    assert_eq!(&serde_json::from_slice::<T>(&bytes).expect("read"), sent);
}

/// The name of a variant: JSON has it first.
fn variant<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value).expect("written") {
        serde_json::Value::String(name) => name,
        serde_json::Value::Object(map) => map.keys().next().expect("one").clone(),
        other => panic!("not an enum: {other}"),
    }
}

fn all_arrive<T>(sent: &[T], variants: &[&str])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    sent.iter().for_each(arrives);
    let have: BTreeSet<_> = sent.iter().map(variant).collect();
    let want: BTreeSet<_> = variants.iter().map(ToString::to_string).collect();
    assert_eq!(have, want);
}

/// The variants of an enum, by a match that does not compile when one is missing.
macro_rules! variants {
    ($of:ident: $($name:ident)*) => {{
        #[allow(dead_code)]
        fn every(value: &$of) {
            match value { $($of::$name { .. } => (),)* }
        }
        [$(stringify!($name)),*]
    }};
}

fn partition() -> Partition {
    Partition {
        replicas: vec![NODE, NodeId(8)],
        directories: vec![DirectoryId([1; 16]), DirectoryId::UNASSIGNED],
        isr: vec![NODE],
        eligible: vec![NodeId(8)],
        last_known_eligible: Vec::new(),
        adding: vec![NodeId(9)],
        removing: Vec::new(),
        leader: Some(NODE),
        leader_epoch: 4,
        partition_epoch: i32::MAX,
    }
}

fn named() -> PartitionName {
    PartitionName {
        topic: "t \"ü\" \u{0}".to_owned(),
        partition: -1,
    }
}

fn of_brokers() -> Vec<Request> {
    let register = RegisterBroker {
        node: NODE,
        incarnation: [0xab; 16],
        listeners: vec![BrokerListener {
            name: "EXT".to_owned(),
            host: "::1".to_owned(),
            port: u16::MAX,
            protocol: SecurityProtocol::SaslSsl,
        }],
        rack: Some("a".to_owned()),
        directories: vec![DirectoryId([9; 16])],
        features: vec![FeatureRange {
            name: "f".to_owned(),
            min: 0,
            max: i16::MAX,
        }],
        past: PastLife::Crashed(i64::MAX),
    };
    let heartbeat = Heartbeat {
        node: NODE,
        epoch: i64::MIN,
        version: u64::MAX,
        wants_fence: true,
        wants_shutdown: false,
        offline_directories: vec![DirectoryId([2; 16])],
        cordoned_directories: Vec::new(),
        slow_directories: Vec::new(),
        full_directories: Vec::new(),
    };
    let lives = [PastLife::None, PastLife::Clean(5)].map(|past| RegisterBroker {
        past,
        ..register.clone()
    });
    let mut all: Vec<Request> = lives.into_iter().map(Into::into).collect();
    all.extend([
        register.into(),
        heartbeat.into(),
        UnregisterBroker { node: NODE }.into(),
        CordonBroker {
            node: NODE,
            cordoned: true,
        }
        .into(),
        FenceBroker {
            node: NODE,
            epoch: i64::MAX,
        }
        .into(),
        AllocateProducerIds { count: 1000 }.into(),
        UpdateFeatures {
            updates: vec![FeatureUpdate {
                name: "f".to_owned(),
                level: -1,
                allow_downgrade: true,
            }],
            validate_only: false,
        }
        .into(),
    ]);
    all
}

fn of_topics() -> Vec<Request> {
    let configs = vec![
        ("k".to_owned(), None),
        ("l".to_owned(), Some("v".to_owned())),
    ];
    let targets = [
        ConfigTarget::Topic("t".to_owned()),
        ConfigTarget::Broker(NODE),
        ConfigTarget::Cluster,
        ConfigTarget::Group("g".to_owned()),
        ConfigTarget::ClientMetrics("m".to_owned()),
    ];
    let edits = [
        ConfigOp::Set,
        ConfigOp::Delete,
        ConfigOp::Append,
        ConfigOp::Subtract,
    ];
    let edits = edits.map(|op| ConfigEdit {
        name: "n".to_owned(),
        op,
        value: None,
    });
    let replace = AlterResource {
        target: ConfigTarget::Cluster,
        change: ConfigChange::Replace(configs.clone()),
    };
    let edit = targets.map(|target| AlterResource {
        target,
        change: ConfigChange::Edit(edits.to_vec()),
    });
    vec![
        CreateTopics {
            topics: vec![NewTopic {
                name: "a/b".to_owned(),
                id: AT.topic,
                partitions: -1,
                replication_factor: -1,
                assignments: vec![(0, vec![NODE])],
                configs,
            }],
            validate_only: true,
        }
        .into(),
        RestoreTopics {
            topics: vec![RestoredTopic {
                topic: NewTopic::default(),
                leader_epoch: 7,
            }],
            version: u64::MAX,
            producer_id: i64::MAX,
            validate_only: false,
        }
        .into(),
        DeleteTopics {
            topics: vec![TopicRef::Name("t".to_owned()), TopicRef::Id(AT.topic)],
        }
        .into(),
        CreatePartitions {
            topics: vec![MorePartitions {
                name: "t".to_owned(),
                count: 9,
                assignments: Some(vec![vec![NODE]]),
            }],
            validate_only: false,
        }
        .into(),
        AlterConfigs {
            resources: edit.into_iter().chain([replace]).collect(),
            validate_only: false,
        }
        .into(),
    ]
}

fn of_replicas() -> Vec<Request> {
    vec![
        AlterPartitions {
            node: NODE,
            broker_epoch: 5,
            partitions: vec![ProposedIsr {
                at: AT,
                leader_epoch: 1,
                partition_epoch: 2,
                isr: vec![(NODE, -1), (NodeId(8), 6)],
            }],
        }
        .into(),
        Reassign {
            changes: [None, Some(vec![NODE])]
                .map(|replicas| Reassignment {
                    partition: named(),
                    replicas,
                })
                .into(),
            allow_factor_change: false,
        }
        .into(),
        ElectLeaders {
            unclean: true,
            partitions: Some(vec![named()]),
        }
        .into(),
        ElectLeaders {
            unclean: false,
            partitions: None,
        }
        .into(),
        AssignDirectories {
            node: NODE,
            broker_epoch: 5,
            replicas: vec![AssignedPartition {
                at: AT,
                directory: DirectoryId([3; 16]),
                whole: true,
            }],
        }
        .into(),
    ]
}

#[test]
fn every_request_arrives_as_it_was_sent() {
    let all = [of_brokers(), of_topics(), of_replicas()].concat();
    let variants = variants!(Request:
        RegisterBroker Heartbeat UnregisterBroker CordonBroker FenceBroker CreateTopics
        RestoreTopics DeleteTopics CreatePartitions AlterConfigs AllocateProducerIds UpdateFeatures
        AlterPartitions Reassign ElectLeaders AssignDirectories);
    all_arrive(&all, &variants);
}

#[test]
fn every_reply_arrives_as_it_was_sent() {
    let refused = || MetadataError::NobodyEligible;
    let name = TopicName::new("t").expect("legal");
    let created = CreatedTopic {
        id: AT.topic,
        name: name.clone(),
        partitions: 3,
        replication_factor: 2,
        configs: [("a".to_owned(), "b".to_owned())].into(),
    };
    let state = BrokerState {
        caught_up: true,
        fenced: false,
        may_stop: true,
    };
    let block = ProducerIdBlock {
        first: i64::MAX,
        count: 1,
    };
    let elected = |outcome| ElectedLeader {
        partition: named(),
        outcome,
    };
    let deleted = DeletedTopic { id: AT.topic, name };
    let all = [
        Reply::RegisterBroker(Ok(i64::MAX)),
        Reply::Heartbeat(Ok(state)),
        Reply::UnregisterBroker(Ok(())),
        Reply::CordonBroker(Err(refused())),
        Reply::FenceBroker(Ok(())),
        Reply::CreateTopics(vec![Ok(created.clone()), Err(refused())]),
        Reply::RestoreTopics(vec![Ok(created)]),
        Reply::DeleteTopics(vec![Ok(deleted)]),
        Reply::CreatePartitions(vec![Ok(()), Err(refused())]),
        Reply::AlterConfigs(Vec::new()),
        Reply::AllocateProducerIds(Ok(block)),
        Reply::UpdateFeatures(Ok(())),
        Reply::AlterPartitions(Ok(vec![Ok(Arc::new(partition())), Err(refused())])),
        Reply::AlterPartitions(Err(refused())),
        Reply::Reassign(vec![Ok(())]),
        Reply::ElectLeaders(vec![elected(Ok(NODE)), elected(Err(refused()))]),
        Reply::AssignDirectories(Ok(vec![Ok(())])),
    ];
    let variants = variants!(Reply:
        RegisterBroker Heartbeat UnregisterBroker CordonBroker FenceBroker CreateTopics
        RestoreTopics DeleteTopics CreatePartitions AlterConfigs AllocateProducerIds UpdateFeatures
        AlterPartitions Reassign ElectLeaders AssignDirectories);
    all_arrive(&all, &variants);
}

#[test]
fn every_refusal_arrives_as_it_was_sent() {
    let text = || "why \u{1F980}".to_owned();
    let epochs = (5, 6);
    let all = [
        MetadataError::Name(TopicName::new("a/b").expect_err("illegal")),
        MetadataError::Collision {
            name: text(),
            existing: text(),
        },
        MetadataError::TopicExists { name: text() },
        MetadataError::UnknownTopic { name: text() },
        MetadataError::UnknownTopicId { id: AT.topic },
        MetadataError::DeletionDisabled,
        MetadataError::Partitions { reason: text() },
        MetadataError::ReplicationFactor { reason: text() },
        MetadataError::Assignment { reason: text() },
        MetadataError::Request { reason: text() },
        MetadataError::Config(SettingError::ReadOnly { name: "n".into() }),
        MetadataError::Limit {
            what: "topics".into(),
            would: 5,
            limit: usize::MAX,
            setting: Cow::Owned(text()),
        },
        MetadataError::UnknownBroker { node: NODE },
        MetadataError::StaleBroker {
            node: NODE,
            epoch: -1,
            present: i64::MAX,
        },
        MetadataError::DuplicateBroker { node: NODE },
        MetadataError::BrokerFeature {
            node: NODE,
            name: text(),
            level: 1,
        },
        MetadataError::BrokerInUse {
            node: NODE,
            reason: text(),
        },
        MetadataError::UnknownPartition {
            name: text(),
            partition: 9,
        },
        MetadataError::StaleLeader {
            epoch: epochs.0,
            present: epochs.1,
        },
        MetadataError::StalePartition {
            epoch: epochs.0,
            present: epochs.1,
        },
        MetadataError::Behind { epoch: 3 },
        MetadataError::IneligibleReplica {
            node: NODE,
            reason: "it is fenced".into(),
        },
        MetadataError::NoReassignment,
        MetadataError::ElectionNotNeeded,
        MetadataError::PreferredUnavailable { node: NODE },
        MetadataError::NobodyEligible,
        MetadataError::Feature {
            name: text(),
            level: -1,
            reason: text(),
        },
        MetadataError::ProducerIdsExhausted,
    ];
    let variants = variants!(MetadataError:
        Name Collision TopicExists UnknownTopic UnknownTopicId DeletionDisabled Partitions
        ReplicationFactor Assignment Request Config Limit UnknownBroker StaleBroker DuplicateBroker
        BrokerFeature BrokerInUse UnknownPartition StaleLeader StalePartition Behind
        IneligibleReplica NoReassignment ElectionNotNeeded PreferredUnavailable NobodyEligible
        Feature ProducerIdsExhausted);
    all_arrive(&all, &variants);
}

#[test]
fn every_refused_setting_arrives_as_it_was_sent() {
    let text = || "x".to_owned();
    let all = [
        SettingError::Unknown {
            name: text(),
            scope: "topic".into(),
            nearest: Some("retention.ms".into()),
        },
        SettingError::Value {
            name: "n".into(),
            value: text(),
            expected: text(),
        },
        SettingError::ReadOnly { name: "n".into() },
        SettingError::Contradiction {
            first: "a".into(),
            second: "b".into(),
            expected: text(),
        },
        SettingError::NotAList { name: "n".into() },
        SettingError::Syntax {
            place: text(),
            text: text(),
        },
    ];
    let variants = variants!(SettingError:
        Unknown Value ReadOnly Contradiction NotAList Syntax);
    all_arrive(&all, &variants);
}

#[test]
fn a_name_that_is_illegal_does_not_arrive() {
    assert!(serde_json::from_str::<TopicName>("\"a/b\"").is_err());
    assert!(serde_json::from_str::<TopicId>("\"short\"").is_err());
}
