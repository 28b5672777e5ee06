//! Bytes written out by hand from the protocol's rules, for versions that no oracle in these tests
//! knows (Kafka 4.2 and later) and for the frames every client sends first.

#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use bytes::Bytes;
use freshet_codec::{Message, Reader, Writer};
use freshet_types::TopicId;
use freshet_wire::*;

fn golden<M: Message + PartialEq + std::fmt::Debug>(message: &M, version: i16, parts: &[&[u8]]) {
    let expected = parts.concat();
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    assert_eq!(
        writer.finish().into_bytes(),
        expected,
        "{} v{version}",
        M::NAME
    );
    let mut reader = Reader::new(Bytes::from(expected));
    assert_eq!(M::decode(&mut reader, version).as_ref(), Ok(message));
    assert_eq!(reader.expect_end(), Ok(()));
}

const ID: TopicId = TopicId(*b"0123456789abcdef");

#[test]
fn api_versions_5() {
    let request = ApiVersionsRequest {
        client_software_name: "java".into(),
        client_software_version: "4.4.0".into(),
        cluster_id: Some("lkc".into()),
        node_id: 2,
    };
    golden(
        &request,
        5,
        &[b"\x05java", b"\x064.4.0", b"\x04lkc", b"\0\0\0\x02", b"\0"],
    );
    golden(
        &ApiVersionsRequest {
            cluster_id: None,
            node_id: -1,
            ..request
        },
        5,
        &[b"\x05java", b"\x064.4.0", b"\0", b"\xff\xff\xff\xff", b"\0"],
    );

    let response = ApiVersionsResponse {
        error_code: ErrorCode::RebootstrapRequired.code(),
        api_keys: vec![api_versions::ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 5,
        }],
        throttle_time_ms: 3,
        supported_features: vec![api_versions::SupportedFeatureKey {
            name: "f".into(),
            min_version: 0,
            max_version: 2,
        }],
        finalized_features_epoch: 9,
        finalized_features: vec![api_versions::FinalizedFeatureKey {
            name: "f".into(),
            max_version_level: 2,
            min_version_level: 1,
        }],
        zk_migration_ready: false,
    };
    golden(
        &response,
        5,
        &[
            b"\0\x81",
            b"\x02\0\x12\0\0\0\x05\0",
            b"\0\0\0\x03",
            b"\x03",
            b"\0\x08\x02\x02f\0\0\0\x02\0",
            b"\x01\x08\0\0\0\0\0\0\0\x09",
            b"\x02\x08\x02\x02f\0\x02\0\x01\0",
        ],
    );
}

#[test]
fn api_versions_0_is_what_an_unknown_version_gets() {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![api_versions::ApiVersion {
            api_key: 18,
            min_version: 0,
            max_version: 5,
        }],
        ..Default::default()
    };
    golden(
        &response,
        0,
        &[b"\0\x23", b"\0\0\0\x01", b"\0\x12\0\0\0\x05"],
    );
}

#[test]
fn list_offsets_11() {
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: 1,
        topics: vec![list_offsets::ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![list_offsets::ListOffsetsPartition {
                partition_index: 1,
                current_leader_epoch: 4,
                timestamp: list_offsets::EARLIEST_PENDING_UPLOAD,
            }],
        }],
        timeout_ms: 30_000,
        wants_tiers: false,
    };
    golden(
        &request,
        11,
        &[
            b"\xff\xff\xff\xff\x01",
            b"\x02\x02t",
            b"\x02\0\0\0\x01\0\0\0\x04\xff\xff\xff\xff\xff\xff\xff\xfa\0",
            b"\0",
            b"\0\0\x75\x30\0",
        ],
    );
    let response = ListOffsetsResponse {
        throttle_time_ms: 0,
        topics: vec![list_offsets::ListOffsetsTopicResponse {
            name: "t".into(),
            partitions: vec![list_offsets::ListOffsetsPartitionResponse {
                partition_index: 1,
                offset: 77,
                leader_epoch: 4,
                ..Default::default()
            }],
        }],
    };
    golden(
        &response,
        11,
        &[
            b"\0\0\0\0\x02\x02t",
            b"\x02\0\0\0\x01\0\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\0\0\0\0\0\0\0\x4d\0\0\0\x04\0",
            b"\0\0",
        ],
    );
}

#[test]
fn offset_commit_10() {
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: 3,
        member_id: "m".into(),
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            topic_id: ID,
            partitions: vec![offset_commit::OffsetCommitRequestPartition {
                partition_index: 1,
                committed_offset: 5,
                committed_leader_epoch: 2,
                committed_metadata: None,
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    golden(
        &request,
        10,
        &[
            b"\x02g\0\0\0\x03\x02m\0\x02",
            &ID.0,
            b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\x02\0\0",
            b"\0\0",
        ],
    );
}

#[test]
fn offset_fetch_10() {
    let request = OffsetFetchRequest {
        groups: vec![offset_fetch::OffsetFetchRequestGroup {
            group_id: "g".into(),
            member_id: Some("m".into()),
            member_epoch: 1,
            topics: Some(vec![offset_fetch::OffsetFetchRequestTopics {
                topic_id: ID,
                partition_indexes: vec![0, 1],
                ..Default::default()
            }]),
        }],
        require_stable: true,
        ..Default::default()
    };
    golden(
        &request,
        10,
        &[
            b"\x02\x02g\x02m\0\0\0\x01\x02",
            &ID.0,
            b"\x03\0\0\0\0\0\0\0\x01\0",
            b"\0",
            b"\x01\0",
        ],
    );
}

#[test]
fn describe_log_dirs_5() {
    let response = DescribeLogDirsResponse {
        results: vec![describe_log_dirs::DescribeLogDirsResult {
            log_dir: "/d".into(),
            total_bytes: 100,
            usable_bytes: 10,
            is_cordoned: true,
            ..Default::default()
        }],
        ..Default::default()
    };
    golden(
        &response,
        5,
        &[
            b"\0\0\0\0\0\0\x02",
            b"\0\0\x03/d\x01",
            b"\0\0\0\0\0\0\0\x64\0\0\0\0\0\0\0\x0a\x01\0",
            b"\0",
        ],
    );
    golden(&DescribeLogDirsRequest { topics: None }, 5, &[b"\0\0"]);
    // What is wrong with its disk, in tags of ours: 10000 and 10001. And what it keeps free: 10002.
    let unwell = DescribeLogDirsResponse {
        results: vec![describe_log_dirs::DescribeLogDirsResult {
            log_dir: "/d".into(),
            is_slow: true,
            is_full: true,
            reserve_bytes: 7,
            ..Default::default()
        }],
        ..Default::default()
    };
    golden(
        &unwell,
        5,
        &[
            b"\0\0\0\0\0\0\x02",
            b"\0\0\x03/d\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0",
            b"\x03\x90\x4e\x01\x01\x91\x4e\x01\x01\x92\x4e\x08\0\0\0\0\0\0\0\x07",
            b"\0",
        ],
    );
}

/// Elections are asked for, and told, in tags of ours.
#[test]
fn describe_cluster_2_with_unclean_elections() {
    let request = DescribeClusterRequest {
        include_unclean_elections: true,
        ..Default::default()
    };
    golden(&request, 2, &[b"\0\x01\0", b"\x01\x90\x4e\x01\x01"]);
    let election = describe_cluster::DescribeClusterUncleanElection {
        topic: Some("t".into()),
        topic_id: TopicId([7; 16]),
        partition_index: 2,
        leader_id: 3,
        leader_epoch: 4,
        cause: 1,
        timestamp_ms: 5,
    };
    let response = DescribeClusterResponse {
        cluster_id: "c".into(),
        unclean_elections: vec![election],
        ..Default::default()
    };
    golden(
        &response,
        2,
        &[
            b"\0\0\0\0\0\0\0\x01\x02c\xff\xff\xff\xff\x01\x80\0\0\0",
            b"\x01\x90\x4e\x29\x02",
            b"\x02t\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
            b"\0\0\0\x02\0\0\0\x03\0\0\0\x04\x01",
            b"\0\0\0\0\0\0\0\x05\0",
        ],
    );
}

#[test]
fn delete_groups_3() {
    let request = DeleteGroupsRequest {
        groups_names: vec!["g".into()],
    };
    golden(&request, 3, &[b"\x02\x02g\0"]);
    let response = DeleteGroupsResponse {
        throttle_time_ms: 0,
        results: vec![delete_groups::DeletableGroupResult {
            group_id: "g".into(),
            error_code: ErrorCode::GroupDeletionFailed.code(),
            error_message: Some("no".into()),
        }],
    };
    golden(&response, 3, &[b"\0\0\0\0\x02\x02g\0\x86\x03no\0\0"]);
}

#[test]
fn unregister_controller_0() {
    let request = UnregisterControllerRequest { controller_id: 3 };
    golden(&request, 0, &[b"\0\0\0\x03\0"]);
    let response = UnregisterControllerResponse {
        throttle_time_ms: 7,
        error_code: ErrorCode::NotController.code(),
        error_message: Some("no".into()),
    };
    golden(&response, 0, &[b"\0\0\0\x07\0\x29\x03no\0"]);
}

#[test]
fn broker_heartbeat_2() {
    let starting = BrokerHeartbeatRequest {
        broker_id: 1,
        broker_epoch: 5,
        current_metadata_offset: 9,
        want_fence: true,
        ..Default::default()
    };
    let plain = b"\0\0\0\x01\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x09\x01\0";
    golden(&starting, 2, &[plain, b"\0"]);
    let running = BrokerHeartbeatRequest {
        offline_log_dirs: vec![ID.0],
        cordoned_log_dirs: Some(Vec::new()),
        ..starting
    };
    golden(
        &running,
        2,
        &[plain, b"\x02", b"\0\x11\x02", &ID.0, b"\x01\x01\x01"],
    );
}

#[test]
fn add_raft_voter_1() {
    let request = AddRaftVoterRequest {
        timeout_ms: 1000,
        voter_id: 4,
        voter_directory_id: ID.0,
        listeners: vec![add_raft_voter::Listener {
            name: "C".into(),
            host: "h".into(),
            port: 0xfeed,
        }],
        ack_when_committed: false,
        ..Default::default()
    };
    golden(
        &request,
        1,
        &[
            b"\0\0\0\x03\xe8\0\0\0\x04",
            &ID.0,
            b"\x02\x02C\x02h\xfe\xed\0",
            b"\0\0",
        ],
    );
}

#[test]
fn produce_13_carries_a_topic_id() {
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1,
        topic_data: vec![produce::TopicProduceData {
            topic_id: ID,
            partition_data: vec![produce::PartitionProduceData {
                index: 2,
                records: Some(Bytes::from_static(b"batch")),
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    golden(
        &request,
        13,
        &[
            b"\0\xff\xff\0\0\0\x01\x02",
            &ID.0,
            b"\x02\0\0\0\x02\x06batch\0",
            b"\0",
            b"\0",
        ],
    );
}
