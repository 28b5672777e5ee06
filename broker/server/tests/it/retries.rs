//! A batch of an idempotent producer that comes once more, after the five that are remembered.

use std::time::Duration;

use freshet_records::Producer;
use freshet_types::TopicId;
use freshet_wire::produce::{PartitionProduceData, PartitionProduceResponse, TopicProduceData};
use freshet_wire::{ErrorCode, InitProducerIdRequest, ProduceRequest};

use crate::replicas::{Ask, create, one, three, until};
use crate::rig::{NODE, Raw, Rig, batch_of};

const LATE: i16 = ErrorCode::RequestTimedOut.code();
const DUPLICATE: i16 = ErrorCode::DuplicateSequenceNumber.code();
const OUT_OF_ORDER: i16 = ErrorCode::OutOfOrderSequenceNumber.code();

fn session(raw: &mut Raw) -> Producer {
    let told = raw.latest(&InitProducerIdRequest {
        transactional_id: None,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    });
    assert_eq!(told.error_code, 0, "{told:?}");
    Producer {
        id: told.producer_id,
        epoch: told.producer_epoch,
        base_sequence: 0,
    }
}

/// The record of a sequence, for the only partition, whose producer has time.
fn record(topic: TopicId, producer: Producer, sequence: i32, acks: i16) -> ProduceRequest {
    let producer = Producer {
        base_sequence: sequence,
        ..producer
    };
    ProduceRequest {
        acks,
        timeout_ms: 20_000,
        topic_data: vec![TopicProduceData {
            topic_id: topic,
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(batch_of(producer, b"value")),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

fn placed(told: &PartitionProduceResponse) -> (i16, i64) {
    (told.error_code, told.base_offset)
}

#[test]
fn what_is_older_than_five_batches_is_a_duplicate_without_an_offset() {
    let rig = Rig::start(&[]);
    let mut raw = rig.connect();
    let topic = create(&mut raw, "t", &[NODE]);
    let producer = session(&mut raw);
    let mut put = |sequence, acks| one(raw.latest(&record(topic, producer, sequence, acks)));
    for sequence in 0..8 {
        let told = put(sequence, -1);
        assert_eq!(placed(&told), (0, sequence.into()), "{told:?}");
    }
    for acks in [-1, 1] {
        for sequence in 0..3 {
            let told = put(sequence, acks);
            assert_eq!(placed(&told), (DUPLICATE, -1), "{told:?}");
            let rest = (told.log_append_time_ms, told.log_start_offset);
            assert_eq!(rest, (-1, -1));
        }
        assert_eq!(placed(&put(3, acks)), (0, 3), "remembered");
        assert_eq!(placed(&put(9, acks)), (OUT_OF_ORDER, -1), "a gap");
    }
    // Who waits for no answer is not cut off for it.
    raw.send(&record(topic, producer, 0, 0));
    let told = one(raw.latest(&record(topic, producer, 8, -1)));
    assert_eq!(placed(&told), (0, 8), "nothing was stored twice");
    let counted = rig.series("freshet_topic_produced_records_total{topic=\"t\"}");
    assert_eq!(counted, Some(9.0), "nor counted");
}

#[test]
fn with_all_acks_it_is_told_once_it_is_committed() {
    let (rig, _) = three(&[]);
    let (mut producer, mut raw) = (rig.connect(), rig.connect());
    let topic = create(&mut raw, "t", &[NODE, 2]);
    let id = session(&mut raw);
    let hurried = |sequence| ProduceRequest {
        timeout_ms: 100,
        ..record(topic, id, sequence, -1)
    };
    for sequence in 0..7 {
        let told = one(producer.latest(&hurried(sequence)));
        assert_eq!(told.error_code, LATE, "the other replica has nothing yet");
    }
    // Sequences 0 and 1 are forgotten, and so below offset 2.
    let told = one(producer.latest(&hurried(0)));
    assert_eq!(placed(&told), (LATE, -1));
    let told = one(producer.latest(&record(topic, id, 0, 1)));
    assert_eq!(placed(&told), (DUPLICATE, -1));
    let fetched = |raw: &mut Raw, end| Ask::replica(&rig, 2, topic, end).of(raw).high_watermark;
    until("the first is committed", || fetched(&mut raw, 1) == 1);
    let told = one(producer.latest(&hurried(0)));
    assert_eq!(
        placed(&told),
        (LATE, -1),
        "what lies below 2 is not committed"
    );
    std::thread::scope(|scope| {
        let patient = record(topic, id, 1, -1);
        let waits = scope.spawn(move || one(producer.latest(&patient)));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!waits.is_finished());
        until("all below 2 is committed", || fetched(&mut raw, 2) == 2);
        assert_eq!(placed(&waits.join().expect("it ended")), (DUPLICATE, -1));
    });
}
