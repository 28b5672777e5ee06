//! APIs that change who keeps and leads partitions, who votes, and what the cluster can do.

use freshet_wire::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use freshet_wire::alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use freshet_wire::elect_leaders::TopicPartitions;
use freshet_wire::list_partition_reassignments::ListPartitionReassignmentsTopics;
use freshet_wire::update_features::FeatureUpdateKey;
use freshet_wire::{
    AddRaftVoterRequest, AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, ApiKey,
    DescribeLogDirsRequest, DescribeQuorumRequest, ElectLeadersRequest, ErrorCode,
    ListPartitionReassignmentsRequest, RemoveRaftVoterRequest, UnregisterBrokerRequest,
    UpdateFeaturesRequest, UpdateFeaturesResponse, add_raft_voter, describe_quorum,
};

use super::{ABSENT, Case, Stage, expect};
use crate::rig::NODE;

const FEATURE: &str = "eligible.leader.replicas.version";

pub(super) const CASES: &[Case] = &[
    Case {
        key: ApiKey::AlterPartitionReassignments,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let told = reassign(stage, version, &topic, Some(vec![NODE]));
            expect(told, ErrorCode::None);
            let told = reassign(stage, version, &topic, None);
            expect(told, ErrorCode::NoReassignmentInProgress);
        },
        absent: |stage, version| {
            let told = reassign(stage, version, ABSENT, Some(vec![NODE]));
            expect(told, ErrorCode::UnknownTopicOrPartition);
            let topic = stage.topic.clone();
            let told = reassign(stage, version, &topic, Some(vec![99]));
            expect(told, ErrorCode::InvalidReplicaAssignment);
        },
    },
    Case {
        key: ApiKey::ListPartitionReassignments,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            assert_eq!(listed(stage, version, Some(&topic)), 0);
            assert_eq!(listed(stage, version, None), 0);
        },
        absent: |stage, version| assert_eq!(listed(stage, version, Some(ABSENT)), 0),
    },
    Case {
        key: ApiKey::ElectLeaders,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let told = elect(stage, version, &topic, 0);
            expect(told, ErrorCode::ElectionNotNeeded);
            if version >= 1 {
                let told = elect(stage, version, &topic, 1);
                expect(told, ErrorCode::ElectionNotNeeded);
            }
            let all = ElectLeadersRequest {
                topic_partitions: None,
                ..ElectLeadersRequest::default()
            };
            let told = stage.raw.call(version, &all);
            assert_eq!(told.replica_election_results, []);
        },
        absent: |stage, version| {
            let told = elect(stage, version, ABSENT, 0);
            expect(told, ErrorCode::UnknownTopicOrPartition);
            if version >= 1 {
                let request = ElectLeadersRequest {
                    election_type: 9,
                    ..ElectLeadersRequest::default()
                };
                let told = stage.raw.call(version, &request);
                expect(told.error_code, ErrorCode::InvalidRequest);
            }
        },
    },
    Case {
        key: ApiKey::UnregisterBroker,
        plain: |stage, version| {
            let request = UnregisterBrokerRequest { broker_id: NODE };
            let told = stage.raw.call(version, &request);
            expect(told.error_code, ErrorCode::PolicyViolation);
            assert!(told.error_message.is_some_and(|m| m.contains("alive")));
        },
        absent: |stage, version| {
            let request = UnregisterBrokerRequest { broker_id: 99 };
            let told = stage.raw.call(version, &request);
            expect(told.error_code, ErrorCode::BrokerIdNotRegistered);
        },
    },
    Case {
        key: ApiKey::UpdateFeatures,
        plain: |stage, version| {
            let told = finalize(stage, version, (FEATURE, 1), 1);
            expect(told.error_code, ErrorCode::None);
            assert_eq!(told.results.len(), usize::from(version < 2));
            let told = finalize(stage, version, (FEATURE, 0), 2);
            expect(told.error_code, ErrorCode::InvalidUpdateVersion);
        },
        absent: |stage, version| {
            let told = finalize(stage, version, (ABSENT, 1), 1);
            expect(told.error_code, ErrorCode::InvalidUpdateVersion);
            if version >= 1 {
                let told = finalize(stage, version, (FEATURE, 1), 9);
                expect(told.error_code, ErrorCode::InvalidRequest);
            }
        },
    },
    Case {
        key: ApiKey::DescribeQuorum,
        plain: |stage, version| {
            let told = quorum(stage, version, "__cluster_metadata");
            expect(told.error_code, ErrorCode::None);
            assert_eq!(told.leader_id, NODE);
            let voter = &told.current_voters[0];
            assert_eq!(voter.replica_id, NODE);
            assert!(voter.log_end_offset > 0 && voter.log_end_offset == told.high_watermark);
            assert_eq!(voter.last_caught_up_timestamp > 0, version >= 1);
        },
        absent: |stage, version| {
            let told = quorum(stage, version, ABSENT);
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::AddRaftVoter,
        plain: |stage, version| {
            expect(
                add_voter(stage, version, None),
                ErrorCode::UnsupportedVersion,
            );
        },
        absent: |stage, version| {
            let told = add_voter(stage, version, Some(ABSENT));
            expect(told, ErrorCode::InconsistentClusterId);
        },
    },
    Case {
        key: ApiKey::RemoveRaftVoter,
        plain: |stage, version| {
            let told = remove_voter(stage, version, None);
            expect(told, ErrorCode::UnsupportedVersion);
        },
        absent: |stage, version| {
            let told = remove_voter(stage, version, Some(ABSENT));
            expect(told, ErrorCode::InconsistentClusterId);
        },
    },
    Case {
        key: ApiKey::AlterReplicaLogDirs,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let dirs = DescribeLogDirsRequest { topics: None };
            let dir = stage.raw.latest(&dirs).results.remove(0).log_dir;
            // It lies there already.
            expect(move_to(stage, version, &dir, &topic), ErrorCode::None);
            let told = move_to(stage, version, "/nowhere", &topic);
            expect(told, ErrorCode::LogDirNotFound);
        },
        absent: |stage, version| {
            let dirs = DescribeLogDirsRequest { topics: None };
            let dir = stage.raw.latest(&dirs).results.remove(0).log_dir;
            let told = move_to(stage, version, &dir, ABSENT);
            expect(told, ErrorCode::UnknownTopicOrPartition);
        },
    },
];

fn reassign(stage: &mut Stage, version: i16, topic: &str, replicas: Option<Vec<i32>>) -> i16 {
    let partition = ReassignablePartition {
        partition_index: 0,
        replicas,
    };
    let request = AlterPartitionReassignmentsRequest {
        topics: vec![ReassignableTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
        }],
        ..AlterPartitionReassignmentsRequest::default()
    };
    let told = stage.raw.call(version, &request);
    expect(told.error_code, ErrorCode::None);
    told.responses[0].partitions[0].error_code
}

fn listed(stage: &mut Stage, version: i16, topic: Option<&str>) -> usize {
    let wanted = |name: &str| ListPartitionReassignmentsTopics {
        name: name.to_owned(),
        partition_indexes: vec![0],
    };
    let request = ListPartitionReassignmentsRequest {
        topics: topic.map(|name| vec![wanted(name)]),
        ..ListPartitionReassignmentsRequest::default()
    };
    let told = stage.raw.call(version, &request);
    expect(told.error_code, ErrorCode::None);
    told.topics.len()
}

fn elect(stage: &mut Stage, version: i16, topic: &str, election_type: i8) -> i16 {
    let partitions = TopicPartitions {
        topic: topic.to_owned(),
        partitions: vec![0],
    };
    let request = ElectLeadersRequest {
        election_type,
        topic_partitions: Some(vec![partitions]),
        ..ElectLeadersRequest::default()
    };
    let told = stage.raw.call(version, &request);
    expect(told.error_code, ErrorCode::None);
    told.replica_election_results[0].partition_result[0].error_code
}

fn finalize(
    stage: &mut Stage,
    version: i16,
    (feature, level): (&str, i16),
    upgrade_type: i8,
) -> UpdateFeaturesResponse {
    let mut update = FeatureUpdateKey {
        feature: feature.to_owned(),
        max_version_level: level,
        ..FeatureUpdateKey::default()
    };
    if version == 0 {
        update.allow_downgrade = upgrade_type != 1;
    } else {
        update.upgrade_type = upgrade_type;
    }
    let request = UpdateFeaturesRequest {
        feature_updates: vec![update],
        ..UpdateFeaturesRequest::default()
    };
    stage.raw.call(version, &request)
}

fn quorum(stage: &mut Stage, version: i16, topic: &str) -> describe_quorum::PartitionDataResponse {
    let partition = describe_quorum::PartitionData { partition_index: 0 };
    let request = DescribeQuorumRequest {
        topics: vec![describe_quorum::TopicData {
            topic_name: topic.to_owned(),
            partitions: vec![partition],
        }],
    };
    let mut told = stage.raw.call(version, &request);
    expect(told.error_code, ErrorCode::None);
    told.topics.remove(0).partitions.remove(0)
}

fn add_voter(stage: &mut Stage, version: i16, cluster: Option<&str>) -> i16 {
    let listener = add_raft_voter::Listener {
        name: "CONTROLLER".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 9093,
    };
    let request = AddRaftVoterRequest {
        cluster_id: cluster.map(str::to_owned),
        timeout_ms: 1_000,
        voter_id: 2,
        listeners: vec![listener],
        ..AddRaftVoterRequest::default()
    };
    stage.raw.call(version, &request).error_code
}

fn remove_voter(stage: &mut Stage, version: i16, cluster: Option<&str>) -> i16 {
    let request = RemoveRaftVoterRequest {
        cluster_id: cluster.map(str::to_owned),
        voter_id: 2,
        ..RemoveRaftVoterRequest::default()
    };
    stage.raw.call(version, &request).error_code
}

fn move_to(stage: &mut Stage, version: i16, dir: &str, topic: &str) -> i16 {
    let request = AlterReplicaLogDirsRequest {
        dirs: vec![AlterReplicaLogDir {
            path: dir.to_owned(),
            topics: vec![AlterReplicaLogDirTopic {
                name: topic.to_owned(),
                partitions: vec![0],
            }],
        }],
    };
    let told = stage.raw.call(version, &request);
    told.results[0].partitions[0].error_code
}
