//! APIs about the cluster and its topics.

use freshet_types::TopicId;
use freshet_wire::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use freshet_wire::create_topics::{CreatableTopic, CreatableTopicConfig, CreatableTopicResult};
use freshet_wire::delete_topics::{DeletableTopicResult, DeleteTopicState};
use freshet_wire::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsTopic};
use freshet_wire::describe_topic_partitions::TopicRequest;
use freshet_wire::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use freshet_wire::{
    ApiKey, ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeLogDirsRequest, DescribeTopicPartitionsRequest, ErrorCode,
    MetadataRequest,
};

use super::{ABSENT, ABSENT_ID, Case, Stage, expect};
use crate::rig::NODE;

pub(super) const CASES: &[Case] = &[
    Case {
        key: ApiKey::ApiVersions,
        plain: |stage, version| {
            let request = ApiVersionsRequest {
                client_software_name: "test".to_owned(),
                client_software_version: "1".to_owned(),
                ..ApiVersionsRequest::default()
            };
            let told = stage.raw.call(version, &request);
            expect(told.error_code, ErrorCode::None);
            assert_eq!(told.api_keys.len(), freshet_server::served().count());
        },
        absent: |stage, version| {
            let elsewhere = [(Some(ABSENT), -1), (None, NODE + 1), (Some(ABSENT), NODE)];
            for (cluster, node_id) in elsewhere.into_iter().chain([(None, NODE)]) {
                let request = ApiVersionsRequest {
                    client_software_name: "test".to_owned(),
                    client_software_version: "1".to_owned(),
                    cluster_id: cluster.map(str::to_owned),
                    node_id,
                };
                let told = stage.raw.call(version, &request);
                let is_meant = version < 5 || (cluster, node_id) == (None, NODE);
                let code = match is_meant {
                    true => ErrorCode::None,
                    false => ErrorCode::RebootstrapRequired,
                };
                expect(told.error_code, code);
            }
        },
    },
    Case {
        key: ApiKey::Metadata,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let by_name = metadata(stage, version, Some(&topic), TopicId::ZERO);
            expect(by_name.error_code, ErrorCode::None);
            assert_eq!(by_name.partitions[0].leader_id, NODE);
            if version >= 12 {
                let id = stage.id;
                let by_id = metadata(stage, version, None, id);
                expect(by_id.error_code, ErrorCode::None);
                assert_eq!(by_id.name, Some(topic));
            }
            let all = MetadataRequest {
                topics: (version == 0).then(Vec::new),
                include_topic_authorized_operations: version >= 8,
                include_cluster_authorized_operations: (8..=10).contains(&version),
                ..MetadataRequest::default()
            };
            let told = stage.raw.call(version, &all);
            assert_eq!(told.brokers[0].node_id, NODE);
            assert!(told.topics.len() > 1);
        },
        absent: |stage, version| {
            let by_name = metadata(stage, version, Some(ABSENT), TopicId::ZERO);
            expect(by_name.error_code, ErrorCode::UnknownTopicOrPartition);
            if version >= 12 {
                let by_id = metadata(stage, version, None, ABSENT_ID);
                expect(by_id.error_code, ErrorCode::UnknownTopicId);
            }
        },
    },
    Case {
        key: ApiKey::CreateTopics,
        plain: |stage, version| {
            let name = stage.new_name();
            let told = create(stage, version, &name, "retention.ms");
            expect(told.error_code, ErrorCode::None);
            if version >= 5 {
                assert_eq!((told.num_partitions, told.replication_factor), (2, 1));
            }
            assert_eq!(told.topic_id.is_zero(), version < 7);
            let again = create(stage, version, &name, "retention.ms");
            expect(again.error_code, ErrorCode::TopicAlreadyExists);
        },
        absent: |stage, version| {
            let name = stage.new_name();
            let told = create(stage, version, &name, ABSENT);
            expect(told.error_code, ErrorCode::InvalidConfig);
        },
    },
    Case {
        key: ApiKey::DeleteTopics,
        plain: |stage, version| {
            let (name, _) = stage.new_topic();
            let told = delete(stage, version, Some(&name), TopicId::ZERO);
            expect(told.error_code, ErrorCode::None);
            if version >= 6 {
                let (name, id) = stage.new_topic();
                let told = delete(stage, version, None, id);
                expect(told.error_code, ErrorCode::None);
                assert_eq!(told.name, Some(name));
            }
        },
        absent: |stage, version| {
            let told = delete(stage, version, Some(ABSENT), TopicId::ZERO);
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
            if version >= 6 {
                let told = delete(stage, version, None, ABSENT_ID);
                expect(told.error_code, ErrorCode::UnknownTopicId);
            }
        },
    },
    Case {
        key: ApiKey::CreatePartitions,
        plain: |stage, version| {
            let (name, _) = stage.new_topic();
            expect(grow(stage, version, &name).error_code, ErrorCode::None);
        },
        absent: |stage, version| {
            let told = grow(stage, version, ABSENT);
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::DescribeCluster,
        plain: |stage, version| {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations: true,
                include_fenced_brokers: version >= 2,
                ..DescribeClusterRequest::default()
            };
            let told = stage.raw.call(version, &request);
            expect(told.error_code, ErrorCode::None);
            assert_eq!(told.brokers[0].broker_id, NODE);
        },
        absent: |stage, version| {
            if version >= 1 {
                let request = DescribeClusterRequest {
                    endpoint_type: 9,
                    ..DescribeClusterRequest::default()
                };
                let told = stage.raw.call(version, &request);
                expect(told.error_code, ErrorCode::UnsupportedEndpointType);
            }
        },
    },
    Case {
        key: ApiKey::DescribeTopicPartitions,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let told = describe(stage, version, &topic);
            expect(told, ErrorCode::None);
        },
        absent: |stage, version| {
            let told = describe(stage, version, ABSENT);
            expect(told, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::DescribeLogDirs,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let held = log_dirs(stage, version, &topic);
            assert!(held[0].partitions[0].partition_size > 0);
        },
        absent: |stage, version| {
            assert_eq!(log_dirs(stage, version, ABSENT), []);
        },
    },
];

fn metadata(
    stage: &mut Stage,
    version: i16,
    name: Option<&str>,
    topic_id: TopicId,
) -> MetadataResponseTopic {
    let topic = MetadataRequestTopic {
        topic_id,
        name: name.map(str::to_owned),
    };
    let request = MetadataRequest {
        topics: Some(vec![topic]),
        allow_auto_topic_creation: version < 4,
        ..MetadataRequest::default()
    };
    stage.raw.call(version, &request).topics.remove(0)
}

fn create(stage: &mut Stage, version: i16, name: &str, setting: &str) -> CreatableTopicResult {
    let config = CreatableTopicConfig {
        name: setting.to_owned(),
        value: Some("60000".to_owned()),
    };
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: name.to_owned(),
            num_partitions: 2,
            replication_factor: 1,
            configs: vec![config],
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    stage.raw.call(version, &request).topics.remove(0)
}

fn delete(
    stage: &mut Stage,
    version: i16,
    name: Option<&str>,
    topic_id: TopicId,
) -> DeletableTopicResult {
    let name = name.map(str::to_owned);
    let mut request = DeleteTopicsRequest {
        timeout_ms: 10_000,
        ..DeleteTopicsRequest::default()
    };
    if version >= 6 {
        request.topics = vec![DeleteTopicState { name, topic_id }];
    } else {
        request.topic_names.extend(name);
    }
    stage.raw.call(version, &request).responses.remove(0)
}

fn grow(stage: &mut Stage, version: i16, name: &str) -> CreatePartitionsTopicResult {
    let request = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name.to_owned(),
            count: 3,
            assignments: None,
        }],
        timeout_ms: 10_000,
        validate_only: false,
    };
    stage.raw.call(version, &request).results.remove(0)
}

fn describe(stage: &mut Stage, version: i16, name: &str) -> i16 {
    let topic = TopicRequest {
        name: name.to_owned(),
    };
    let request = DescribeTopicPartitionsRequest {
        topics: vec![topic],
        ..DescribeTopicPartitionsRequest::default()
    };
    stage.raw.call(version, &request).topics[0].error_code
}

fn log_dirs(stage: &mut Stage, version: i16, topic: &str) -> Vec<DescribeLogDirsTopic> {
    let wanted = DescribableLogDirTopic {
        topic: topic.to_owned(),
        partitions: vec![0],
    };
    let request = DescribeLogDirsRequest {
        topics: Some(vec![wanted]),
    };
    let mut told = stage.raw.call(version, &request);
    let dir = told.results.remove(0);
    expect(dir.error_code, ErrorCode::None);
    dir.topics
}
