//! APIs about records.

use freshet_types::TopicId;
use freshet_wire::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsTopic,
};
use freshet_wire::fetch::{FetchPartition, FetchTopic, PartitionData};
use freshet_wire::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic,
};
use freshet_wire::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use freshet_wire::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use freshet_wire::{
    ApiKey, DeleteRecordsRequest, ErrorCode, FetchRequest, InitProducerIdRequest,
    ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};

use super::{ABSENT, ABSENT_ID, Case, Stage, expect};
use crate::rig::batch;

pub(super) const CASES: &[Case] = &[
    Case {
        key: ApiKey::Produce,
        plain: |stage, version| {
            let (name, id) = stage.new_topic();
            for (index, code) in [
                (0, ErrorCode::None),
                (7, ErrorCode::UnknownTopicOrPartition),
            ] {
                let told = produce(stage, version, (&name, id), index);
                expect(told.error_code, code);
                assert_eq!(told.base_offset, if index == 0 { 1 } else { -1 });
            }
        },
        absent: |stage, version| {
            let told = produce(stage, version, (ABSENT, ABSENT_ID), 0);
            expect(told.error_code, unknown_topic(version, 13));
        },
    },
    Case {
        key: ApiKey::Fetch,
        plain: |stage, version| {
            let (name, id) = (stage.topic.clone(), stage.id);
            for session_epoch in [-1, 0] {
                let told = fetch(stage, version, (&name, id), session_epoch);
                expect(told.error_code, ErrorCode::None);
                assert_eq!(told.high_watermark, 1);
                assert!(!told.records.is_empty());
            }
        },
        absent: |stage, version| {
            let told = fetch(stage, version, (ABSENT, ABSENT_ID), -1);
            expect(told.error_code, unknown_topic(version, 13));
        },
    },
    Case {
        key: ApiKey::ListOffsets,
        plain: |stage, version| {
            // What is asked, the first version that has it, the offset.
            let asked = [(-1, 0, 1), (-2, 0, 0), (0, 0, 0), (-3, 7, 0), (-4, 8, 0)];
            let asked = asked.into_iter().chain([(-5, 9, -1), (-6, 11, -1)]);
            for (timestamp, since, offset) in asked {
                let topic = stage.topic.clone();
                let told = list_offsets(stage, version, &topic, timestamp);
                if version < since {
                    expect(told.error_code, ErrorCode::UnsupportedVersion);
                } else {
                    expect(told.error_code, ErrorCode::None);
                    assert_eq!(told.offset, offset, "timestamp {timestamp}");
                }
            }
        },
        absent: |stage, version| {
            let told = list_offsets(stage, version, ABSENT, -1);
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::OffsetForLeaderEpoch,
        plain: |stage, version| {
            let topic = stage.topic.clone();
            let told = end_of_epoch(stage, version, &topic);
            expect(told.error_code, ErrorCode::None);
            assert_eq!((told.leader_epoch, told.end_offset), (0, 1));
        },
        absent: |stage, version| {
            let told = end_of_epoch(stage, version, ABSENT);
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::DeleteRecords,
        plain: |stage, version| {
            let (name, _) = stage.new_topic();
            let told = delete_records(stage, version, &name);
            expect(told.error_code, ErrorCode::None);
            assert_eq!(told.low_watermark, 1);
        },
        absent: |stage, version| {
            let told = delete_records(stage, version, ABSENT);
            expect(told.error_code, ErrorCode::UnknownTopicOrPartition);
        },
    },
    Case {
        key: ApiKey::InitProducerId,
        plain: |stage, version| {
            let told = stage.raw.call(version, &InitProducerIdRequest::default());
            expect(told.error_code, ErrorCode::None);
            assert!(told.producer_id >= 0 && told.producer_epoch == 0);
        },
        absent: |stage, version| {
            let request = InitProducerIdRequest {
                transactional_id: Some(ABSENT.to_owned()),
                transaction_timeout_ms: 1000,
                ..InitProducerIdRequest::default()
            };
            let told = stage.raw.call(version, &request);
            expect(
                told.error_code,
                ErrorCode::TransactionalIdAuthorizationFailed,
            );
        },
    },
];

/// The code for a topic that is not there, in an API that names topics by id since a version.
fn unknown_topic(version: i16, by_id_since: i16) -> ErrorCode {
    if version >= by_id_since {
        ErrorCode::UnknownTopicId
    } else {
        ErrorCode::UnknownTopicOrPartition
    }
}

fn produce(
    stage: &mut Stage,
    version: i16,
    (name, topic_id): (&str, TopicId),
    index: i32,
) -> PartitionProduceResponse {
    let topic = TopicProduceData {
        name: name.to_owned(),
        topic_id,
        partition_data: vec![PartitionProduceData {
            index,
            records: Some(batch(b"x")),
        }],
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![topic],
        ..ProduceRequest::default()
    };
    let mut told = stage.raw.call(version, &request);
    told.responses.remove(0).partition_responses.remove(0)
}

fn fetch(
    stage: &mut Stage,
    version: i16,
    (name, topic_id): (&str, TopicId),
    session_epoch: i32,
) -> PartitionData {
    let partition = FetchPartition {
        partition_max_bytes: 1000,
        ..FetchPartition::default()
    };
    let request = FetchRequest {
        min_bytes: 1,
        max_wait_ms: 1000,
        session_epoch,
        topics: vec![FetchTopic {
            topic: name.to_owned(),
            topic_id,
            partitions: vec![partition],
        }],
        ..FetchRequest::default()
    };
    let mut told = stage.raw.call(version, &request);
    expect(told.error_code, ErrorCode::None);
    assert_eq!(told.session_id != 0, version >= 7 && session_epoch == 0);
    told.responses.remove(0).partitions.remove(0)
}

fn list_offsets(
    stage: &mut Stage,
    version: i16,
    topic: &str,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let partition = ListOffsetsPartition {
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
        }],
        ..ListOffsetsRequest::default()
    };
    let mut told = stage.raw.call(version, &request);
    told.topics.remove(0).partitions.remove(0)
}

fn end_of_epoch(stage: &mut Stage, version: i16, topic: &str) -> EpochEndOffset {
    let request = OffsetForLeaderEpochRequest {
        topics: vec![OffsetForLeaderTopic {
            topic: topic.to_owned(),
            partitions: vec![OffsetForLeaderPartition::default()],
        }],
        ..OffsetForLeaderEpochRequest::default()
    };
    let mut told = stage.raw.call(version, &request);
    told.topics.remove(0).partitions.remove(0)
}

fn delete_records(stage: &mut Stage, version: i16, topic: &str) -> DeleteRecordsPartitionResult {
    let partition = DeleteRecordsPartition {
        partition_index: 0,
        offset: 1,
    };
    let request = DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
        }],
        timeout_ms: 10_000,
    };
    let mut told = stage.raw.call(version, &request);
    told.topics.remove(0).partitions.remove(0)
}
