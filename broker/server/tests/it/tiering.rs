//! Topics that tier, on a broker without object storage.

use std::time::{Duration, Instant};

use freshet_types::TopicId;
use freshet_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use freshet_wire::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use freshet_wire::{DeleteRecordsRequest, ErrorCode, IncrementalAlterConfigsRequest};

use crate::replicas::{Ask, end, until};
use crate::rig::{Raw, Rig};

fn delete(raw: &mut Raw, offset: i64, timeout_ms: i32) -> i16 {
    let request = DeleteRecordsRequest {
        timeout_ms,
        topics: vec![DeleteRecordsTopic {
            name: "t".to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset,
            }],
        }],
    };
    let mut told = raw.latest(&request).topics.remove(0).partitions;
    told.remove(0).error_code
}

fn tier(raw: &mut Raw) {
    let config = AlterableConfig {
        name: "remote.storage.enable".to_owned(),
        config_operation: 0,
        value: Some("true".to_owned()),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".to_owned(),
            configs: vec![config],
        }],
        validate_only: false,
    };
    let told = raw.latest(&request).responses.remove(0);
    assert_eq!(told.error_code, 0, "{told:?}");
}

fn code(raw: &mut Raw, topic: TopicId, offset: i64) -> i16 {
    Ask::consumer(topic, offset).of(raw).error_code
}

#[test]
fn without_object_storage_nobody_is_told_to_wait_for_what_may_be_there() {
    // Controllers believe in it, and this broker has not opened any.
    let rig = Rig::start(&[
        ("remote.log.storage.system.enable", "true"),
        ("remote.log.storage.url", "file:///bucket"),
    ]);
    let mut raw = rig.connect();
    let topic = raw.create("t", 1);
    for _ in 0..3 {
        raw.produce(topic, 0, b"value");
    }
    assert_eq!(delete(&mut raw, 2, 10_000), 0);
    let gone = ErrorCode::OffsetOutOfRange.code();
    assert_eq!(code(&mut raw, topic, 0), gone);
    tier(&mut raw);
    let storage = ErrorCode::KafkaStorageError.code();
    until("the topic tiers here", || {
        code(&mut raw, topic, 0) == storage
    });
    assert_eq!(code(&mut raw, topic, 2), 0, "that is on the disk");
    assert_eq!(end(&mut raw, 11, "t", -2), (storage, -1), "the start");
    assert_eq!(end(&mut raw, 11, "t", 0), (storage, -1), "a time");
    assert_eq!(end(&mut raw, 11, "t", -1), (0, 3), "the end");
    let begun = Instant::now();
    assert_eq!(delete(&mut raw, 3, 20_000), storage);
    assert!(begun.elapsed() < Duration::from_secs(10), "it waits");
}
