//! What no client library shows: bare requests, and the answers that clients rely on.
//!
//! Every case also runs against Apache Kafka (`FRESHET_TEST_PEER=kafka`), so what is asserted here
//! is what Kafka does.
#![allow(
    clippy::disallowed_methods,
    reason = "black-box tests drive real processes by the real clock and the real file system"
)]

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use freshet_records::{Batches, Codec, NO_PRODUCER, Producer};
use freshet_tests::{Broker, Kind, Raw, Suite, batch, fetch_request, now_ms, produce_request};
use freshet_wire::delete_records::{DeleteRecordsPartition, DeleteRecordsTopic};
use freshet_wire::{
    ApiVersionsRequest, DeleteRecordsRequest, DescribeQuorumRequest, FindCoordinatorRequest,
    InitProducerIdRequest, MetadataRequest, describe_quorum,
};

const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
const UNSUPPORTED_VERSION: i16 = 35;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const MESSAGE_TOO_LARGE: i16 = 10;
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
const INVALID_RECORD: i16 = 87;
const INVALID_TOPIC: i16 = 17;
const POLICY_VIOLATION: i16 = 44;

type Case = fn(&mut Broker) -> Result<()>;

const CASES: [(&str, Case); 19] = [
    (
        "api_versions_answers_a_version_that_nobody_knows",
        api_versions_unknown,
    ),
    (
        "api_versions_says_produce_begins_at_0",
        api_versions_concession,
    ),
    ("pipelined_requests_are_answered_in_order", pipelined),
    (
        "pipelined_produces_are_appended_in_order",
        produced_in_order,
    ),
    ("acks_0_is_never_answered", acks_zero),
    ("hostile_frames_cost_only_their_connection", hostile_frames),
    ("a_length_alone_keeps_nobody_waiting", length_alone),
    (
        "records_are_deleted_only_where_old_ones_leave",
        undeletable_records,
    ),
    ("a_batch_is_refused_for_its_fault", faulty_batches),
    ("a_batch_above_max_message_bytes_is_refused", too_large),
    ("zstd_before_produce_7_is_refused", old_zstd),
    ("a_repeated_batch_is_written_once", repeated_batch),
    ("a_gap_in_sequences_is_refused", sequence_gap),
    ("an_old_producer_epoch_is_fenced", old_epoch),
    ("sequences_are_known_after_a_kill", sequences_after_kill),
    ("a_fetch_gives_a_whole_batch_above_its_limit", whole_batch),
    ("a_fetch_waits_for_bytes", long_poll),
    ("offsets_by_time_and_by_name", offsets_by_time),
    ("the_quorum_is_told_in_every_version", quorum_versions),
];

fn main() -> ExitCode {
    let mut suite = Suite::default();
    for (name, case) in CASES {
        suite.with_broker(name, None, case);
    }
    suite.run()
}

fn create(broker: &Broker, topic: &str, configs: &[(&str, &str)]) -> Result<Raw> {
    let mut raw = Raw::connect(broker.bootstrap())?;
    raw.create_topic(topic, &[&[("retention.ms", "-1")], configs].concat())?;
    Ok(raw)
}

/// One uncompressed batch of one record, outside of any session.
fn single(value: &[u8]) -> Result<Bytes> {
    batch(Codec::None, NO_PRODUCER, &[(now_ms(), value)])
}

/// A new idempotent producer.
fn session(raw: &mut Raw) -> Result<Producer> {
    let request = InitProducerIdRequest {
        transaction_timeout_ms: 60_000,
        ..Default::default()
    };
    let mut told = raw.latest(&request)?;
    while told.error_code == COORDINATOR_LOAD_IN_PROGRESS {
        thread::sleep(Duration::from_millis(50));
        told = raw.latest(&request)?;
    }
    ensure!(
        told.error_code == 0 && told.producer_id >= 0,
        "no producer id: {told:?}"
    );
    Ok(Producer {
        id: told.producer_id,
        epoch: told.producer_epoch,
        base_sequence: 0,
    })
}

/// A batch of `count` records in a session.
fn in_session(producer: Producer, sequence: i32, count: usize) -> Result<Bytes> {
    let producer = Producer {
        base_sequence: sequence,
        ..producer
    };
    batch(Codec::None, producer, &vec![(now_ms(), &b"x"[..]); count])
}

fn api_versions_unknown(broker: &mut Broker) -> Result<()> {
    let mut raw = Raw::connect(broker.bootstrap())?;
    // Key 18, version 99, correlation id 7, no client id, no tags; the body is anybody's guess.
    raw.bytes(&[
        0, 0, 0, 15, 0, 18, 0, 99, 0, 0, 0, 7, 0xff, 0xff, 0, 1, 2, 3, 4,
    ])?;
    let told = raw.receive::<ApiVersionsRequest>(0, 7)?;
    ensure!(
        told.error_code == UNSUPPORTED_VERSION,
        "error {}",
        told.error_code
    );
    let own = told
        .api_keys
        .iter()
        .find(|api| api.api_key == 18)
        .context("ApiVersions itself")?;
    ensure!(
        own.min_version == 0 && own.max_version >= 3,
        "its own range is {own:?}"
    );
    // The connection is still good.
    let told = raw.call(3, &software())?;
    ensure!(told.error_code == 0, "after it: error {}", told.error_code);
    Ok(())
}

fn software() -> ApiVersionsRequest {
    ApiVersionsRequest {
        client_software_name: "raw".to_owned(),
        client_software_version: "1".to_owned(),
        ..Default::default()
    }
}

fn api_versions_concession(broker: &mut Broker) -> Result<()> {
    let mut raw = Raw::connect(broker.bootstrap())?;
    let told = raw.call(3, &software())?;
    let produce = told
        .api_keys
        .iter()
        .find(|api| api.api_key == 0)
        .context("Produce")?;
    ensure!(
        (produce.min_version, produce.max_version) == (0, 13),
        "Produce: {produce:?}"
    );
    Ok(())
}

fn pipelined(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-pipelined", &[])?;
    let mut slow = fetch_request("raw-pipelined", 0, 1000);
    (slow.max_wait_ms, slow.min_bytes) = (800, 1);
    let started = Instant::now();
    let first = raw.send(12, &slow)?;
    let second = raw.send(3, &software())?;
    let third = raw.send(12, &MetadataRequest::default())?;
    raw.receive::<freshet_wire::FetchRequest>(12, first)?;
    ensure!(
        started.elapsed() > Duration::from_millis(700),
        "the long poll did not wait"
    );
    raw.receive::<ApiVersionsRequest>(3, second)?;
    raw.receive::<MetadataRequest>(12, third)?;
    Ok(())
}

fn produced_in_order(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-order", &[])?;
    let ids: Vec<i32> = (0..40_u8)
        .map(|n| raw.send(12, &produce_request("raw-order", single(&[n])?, -1)))
        .collect::<Result<_>>()?;
    for (wanted, id) in (0..).zip(ids) {
        let told = raw.receive::<freshet_wire::ProduceRequest>(12, id)?;
        let told = &told.responses[0].partition_responses[0];
        ensure!(
            (told.error_code, told.base_offset) == (0, wanted),
            "batch {wanted}: {told:?}"
        );
    }
    Ok(())
}

fn acks_zero(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-acks-0", &[])?;
    raw.send(12, &produce_request("raw-acks-0", single(b"one")?, 0))?;
    // The next answer must be the one to the next request.
    raw.call(3, &software())?;
    for _ in 0..100 {
        if raw.offset_at("raw-acks-0", -1)?.2 == 1 {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    anyhow::bail!("the record never arrived")
}

fn hostile_frames(broker: &mut Broker) -> Result<()> {
    let mut bystander = Raw::connect(broker.bootstrap())?;
    bystander.call(3, &software())?;
    let hostile: [(&str, &[u8]); 5] = [
        ("a negative length", &[0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
        ("a length of 2 GiB", &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3]),
        (
            "an unknown key",
            &[0, 0, 0, 10, 0x7f, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff],
        ),
        // Metadata 12 with an array of 268 million topics in a frame of 20 bytes.
        (
            "a huge array",
            &[
                0, 0, 0, 16, 0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0x7f, 0,
            ],
        ),
        (
            "a body cut short",
            &[0, 0, 0, 11, 0, 1, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0],
        ),
    ];
    for (what, bytes) in hostile {
        let mut raw = Raw::connect(broker.bootstrap())?;
        raw.bytes(bytes)?;
        let answer = raw.frame().with_context(|| format!("after {what}"))?;
        ensure!(answer.is_none(), "{what} was answered: {answer:?}");
    }
    bystander.call(3, &software()).context("the bystander")?;
    Ok(())
}

fn length_alone(broker: &mut Broker) -> Result<()> {
    // A hundred connections claim a hundred megabytes each, and send none of them.
    let mut claims = Vec::new();
    for _ in 0..100 {
        let mut claim = Raw::connect(broker.bootstrap())?;
        claim.bytes(&100_000_000_i32.to_be_bytes())?;
        claims.push(claim);
    }
    let mut raw = create(broker, "raw-beside", &[])?;
    let big = batch(Codec::None, NO_PRODUCER, &[(now_ms(), &[7; 500_000])])?;
    let told = raw.produce("raw-beside", big)?;
    ensure!((told.error_code, told.base_offset) == (0, 0), "{told:?}");
    Ok(())
}

fn undeletable_records(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-kept", &[("cleanup.policy", "compact")])?;
    let find = FindCoordinatorRequest {
        coordinator_keys: vec!["raw-group".to_owned()],
        ..Default::default()
    };
    for _ in 0..100 {
        if raw.call(4, &find)?.coordinators[0].error_code == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let all = |topic: &str| DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.to_owned(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: 0,
                offset: -1,
            }],
        }],
        timeout_ms: 10_000,
    };
    for (topic, wanted) in [
        ("raw-kept", POLICY_VIOLATION),
        ("__consumer_offsets", INVALID_TOPIC),
    ] {
        let told = raw.latest(&all(topic))?;
        let code = told.topics[0].partitions[0].error_code;
        ensure!(code == wanted, "{topic}: {told:?}");
    }
    Ok(())
}

fn faulty_batches(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-faulty", &[])?;
    let good = single(b"good")?;
    let spoil = |at: usize, value: u8| {
        let mut spoilt = good.to_vec();
        spoilt[at] = value;
        Bytes::from(spoilt)
    };
    let two = [&good[..], &good[..]].concat();
    let control = freshet_records::BatchBuilder::new(Codec::None).control();
    let control = {
        let mut control = control;
        control.push(&freshet_records::NewRecord {
            key: Some(&[0, 0, 0, 1]),
            value: Some(&[0, 0, 0, 0, 0, 0]),
            ..Default::default()
        })?;
        control.finish()?.bytes().clone()
    };
    let faults = [
        (
            "a flipped bit in the record",
            spoil(good.len() - 2, 0xff),
            &[CORRUPT_MESSAGE][..],
        ),
        (
            "a wrong checksum",
            spoil(17, good[17] ^ 1),
            &[CORRUPT_MESSAGE],
        ),
        (
            "half a batch",
            good.slice(..good.len() / 2),
            &[CORRUPT_MESSAGE, INVALID_RECORD],
        ),
        ("two batches", Bytes::from(two), &[INVALID_RECORD]),
        ("a control batch", control, &[INVALID_RECORD]),
        ("nothing at all", Bytes::new(), &[INVALID_RECORD]),
    ];
    for (what, records, wanted) in faults {
        let told = raw.produce("raw-faulty", records);
        let told = told.with_context(|| format!("the connection after {what}"))?;
        ensure!(wanted.contains(&told.error_code), "{what}: {told:?}");
        ensure!(told.base_offset == -1, "{what} got an offset: {told:?}");
    }
    let told = raw.produce("raw-faulty", good.clone())?;
    ensure!(
        (told.error_code, told.base_offset) == (0, 0),
        "the good one: {told:?}"
    );
    let told = raw.produce("raw-nowhere", good)?;
    ensure!(
        told.error_code == UNKNOWN_TOPIC_OR_PARTITION,
        "no such topic: {told:?}"
    );
    Ok(())
}

fn too_large(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-large", &[("max.message.bytes", "2000")])?;
    let told = raw.produce("raw-large", single(&[7; 3000])?)?;
    ensure!(told.error_code == MESSAGE_TOO_LARGE, "{told:?}");
    // What counts is what is stored: compressed, the same record fits.
    let squeezed = batch(Codec::Lz4, NO_PRODUCER, &[(now_ms(), &[7; 3000])])?;
    let told = raw.produce("raw-large", squeezed)?;
    ensure!(told.error_code == 0, "compressed: {told:?}");
    Ok(())
}

fn old_zstd(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-zstd", &[])?;
    let records = batch(
        Codec::Zstd,
        NO_PRODUCER,
        &[(now_ms(), b"new codec, old request")],
    )?;
    let told = raw.call(6, &produce_request("raw-zstd", records.clone(), -1))?;
    let told = &told.responses[0].partition_responses[0];
    ensure!(
        told.error_code == UNSUPPORTED_COMPRESSION_TYPE,
        "version 6: {told:?}"
    );
    ensure!(
        raw.produce("raw-zstd", records)?.error_code == 0,
        "version 12"
    );
    Ok(())
}

fn repeated_batch(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-repeated", &[])?;
    let producer = session(&mut raw)?;
    for n in 0..5 {
        let told = raw.produce("raw-repeated", in_session(producer, n * 2, 2)?)?;
        ensure!(
            (told.error_code, told.base_offset) == (0, i64::from(n) * 2),
            "{told:?}"
        );
    }
    // Each of the last five is known, and its old offset is told.
    for n in 0..5 {
        let told = raw.produce("raw-repeated", in_session(producer, n * 2, 2)?)?;
        ensure!(
            (told.error_code, told.base_offset) == (0, i64::from(n) * 2),
            "again: {told:?}"
        );
    }
    ensure!(
        raw.offset_at("raw-repeated", -1)?.2 == 10,
        "something was written twice"
    );
    Ok(())
}

fn sequence_gap(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-gap", &[])?;
    let producer = session(&mut raw)?;
    ensure!(
        raw.produce("raw-gap", in_session(producer, 0, 3)?)?
            .error_code
            == 0,
        "the first"
    );
    let told = raw.produce("raw-gap", in_session(producer, 5, 1)?)?;
    ensure!(told.error_code == OUT_OF_ORDER_SEQUENCE, "a gap: {told:?}");
    // The same start with another length is not the same batch.
    let told = raw.produce("raw-gap", in_session(producer, 0, 2)?)?;
    ensure!(
        told.error_code == OUT_OF_ORDER_SEQUENCE,
        "another length: {told:?}"
    );
    ensure!(
        raw.produce("raw-gap", in_session(producer, 3, 1)?)?
            .error_code
            == 0,
        "the next"
    );
    Ok(())
}

fn old_epoch(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-epoch", &[])?;
    let producer = session(&mut raw)?;
    let newer = Producer {
        epoch: producer.epoch + 1,
        ..producer
    };
    ensure!(
        raw.produce("raw-epoch", in_session(producer, 0, 1)?)?
            .error_code
            == 0,
        "epoch 0"
    );
    let told = raw.produce("raw-epoch", in_session(newer, 4, 1)?)?;
    ensure!(
        told.error_code == OUT_OF_ORDER_SEQUENCE,
        "a new epoch begins at 0: {told:?}"
    );
    ensure!(
        raw.produce("raw-epoch", in_session(newer, 0, 1)?)?
            .error_code
            == 0,
        "epoch 1"
    );
    let told = raw.produce("raw-epoch", in_session(producer, 1, 1)?)?;
    ensure!(
        told.error_code == INVALID_PRODUCER_EPOCH,
        "the old epoch: {told:?}"
    );
    Ok(())
}

fn sequences_after_kill(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-killed", &[])?;
    let producer = session(&mut raw)?;
    // Kafka forgets producers by their records' timestamps; Freshet must not.
    let old = if broker.kind() == Kind::Kafka {
        now_ms()
    } else {
        1_700_000_000_000
    };
    let at = |sequence: i32| {
        let producer = Producer {
            base_sequence: sequence,
            ..producer
        };
        batch(Codec::None, producer, &[(old, b"kept")])
    };
    for n in 0..3 {
        ensure!(
            raw.produce("raw-killed", at(n)?)?.error_code == 0,
            "record {n}"
        );
    }
    broker.kill()?;
    broker.start_again()?;
    let mut raw = Raw::connect(broker.bootstrap())?;
    let started = Instant::now();
    while raw.offset_at("raw-killed", -1)?.0 != 0 && started.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(100));
    }
    let told = raw.produce("raw-killed", at(2)?)?;
    ensure!(
        (told.error_code, told.base_offset) == (0, 2),
        "repeated after the kill: {told:?}"
    );
    let told = raw.produce("raw-killed", at(5)?)?;
    ensure!(
        told.error_code == OUT_OF_ORDER_SEQUENCE,
        "a gap after the kill: {told:?}"
    );
    let told = raw.produce("raw-killed", at(3)?)?;
    ensure!(
        (told.error_code, told.base_offset) == (0, 3),
        "the next after the kill: {told:?}"
    );
    let other = session(&mut raw)?;
    ensure!(
        other.id != producer.id,
        "producer id {} was given out twice",
        other.id
    );
    Ok(())
}

fn whole_batch(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-whole", &[])?;
    for n in 0..3_u8 {
        let value = vec![n; 5000];
        let records: Vec<(i64, &[u8])> = vec![(now_ms(), &value); 4];
        ensure!(
            raw.produce("raw-whole", batch(Codec::None, NO_PRODUCER, &records)?)?
                .error_code
                == 0
        );
    }
    // In the middle of the second batch, with room for a tenth of it.
    let told = raw.fetch("raw-whole", 6, 2000)?;
    ensure!(
        (told.error_code, told.high_watermark) == (0, 12),
        "{told:?}"
    );
    let bytes = told.records.into_bytes();
    let batches: Vec<_> = Batches::new(bytes).collect::<Result<_, _>>()?;
    ensure!(batches.len() == 1, "{} batches", batches.len());
    let header = batches[0].header();
    ensure!(
        (header.base_offset, header.last_offset()) == (4, 7),
        "the batch is {header:?}"
    );
    batches[0].check_crc()?;
    // At the end there is nothing, and it is an empty set, not null; beyond it is an error.
    let told = raw.fetch("raw-whole", 12, 2000)?;
    ensure!(
        told.error_code == 0 && told.records.is_empty(),
        "at the end: {told:?}"
    );
    for from in [13, -5] {
        let told = raw.fetch("raw-whole", from, 2000)?;
        ensure!(
            told.error_code == OFFSET_OUT_OF_RANGE,
            "from {from}: {told:?}"
        );
    }
    Ok(())
}

fn long_poll(broker: &mut Broker) -> Result<()> {
    let mut reader = create(broker, "raw-poll", &[])?;
    let mut writer = Raw::connect(broker.bootstrap())?;
    let mut request = fetch_request("raw-poll", 0, 100_000);
    (request.max_wait_ms, request.min_bytes) = (10_000, 1);
    let started = Instant::now();
    let id = reader.send(12, &request)?;
    thread::sleep(Duration::from_millis(300));
    ensure!(
        writer.produce("raw-poll", single(b"wake up")?)?.error_code == 0,
        "produce"
    );
    let told = reader.receive::<freshet_wire::FetchRequest>(12, id)?;
    let data = &told.responses[0].partitions[0];
    ensure!(!data.records.is_empty(), "woken without records: {data:?}");
    ensure!(
        started.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        started.elapsed()
    );
    Ok(())
}

fn offsets_by_time(broker: &mut Broker) -> Result<()> {
    let mut raw = create(broker, "raw-times", &[])?;
    let times = [1000, 3000, 2000, 5000, 4000];
    for time in times {
        let records = batch(Codec::None, NO_PRODUCER, &[(time, b"t")])?;
        ensure!(
            raw.produce("raw-times", records)?.error_code == 0,
            "produce at {time}"
        );
    }
    let cases = [
        // Asked time, told timestamp, told offset.
        (0, 1000, 0),
        (1000, 1000, 0),
        (1001, 3000, 1),
        (3001, 5000, 3),
        (5000, 5000, 3),
        (5001, -1, -1),
        (-2, -1, 0),
        (-1, -1, 5),
        (-3, 5000, 3),
    ];
    for (asked, timestamp, offset) in cases {
        let told = raw.offset_at("raw-times", asked)?;
        ensure!(
            told == (0, timestamp, offset),
            "asked {asked}: told {told:?}"
        );
    }
    Ok(())
}

/// Directory ids and addresses came with version 2; older ones are answered without.
fn quorum_versions(broker: &mut Broker) -> Result<()> {
    let mut raw = Raw::connect(broker.bootstrap())?;
    for version in 0..=2 {
        let request = DescribeQuorumRequest {
            topics: vec![describe_quorum::TopicData {
                topic_name: "__cluster_metadata".into(),
                partitions: vec![describe_quorum::PartitionData::default()],
            }],
        };
        let told = raw.call(version, &request)?;
        let voters = told
            .topics
            .first()
            .map(|t| t.partitions[0].current_voters.len());
        ensure!(
            told.error_code == 0 && voters == Some(1),
            "version {version}: {told:?}"
        );
    }
    Ok(())
}
