//! What is built is read back, under every codec.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bytes::Bytes;
use freshet_records::{
    Attributes, Batch, BatchBuilder, BatchError, Batches, Codec, Compression, ControlType,
    EndTxnMarker, HEADER_BYTES, Header, NewRecord, PREFIX_BYTES, Producer, Record, RecordIter,
    Rules, TimestampType, inspect, prefix, recompress,
};
use freshet_types::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const CAP: usize = 64 << 20;

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..most).prop_map(Bytes::from)
}

prop_compose! {
    fn header()(name in bytes(8), value in option::of(bytes(16))) -> Header {
        Header { name, value }
    }
}

prop_compose! {
    fn record()(
        timestamp in prop_oneof![any::<i64>(), 1_700_000_000_000..1_800_000_000_000_i64],
        key in option::of(bytes(20)),
        value in option::of(prop_oneof![
            bytes(200),
            (any::<u8>(), 0..200_000_usize).prop_map(|(b, n)| Bytes::from(vec![b; n])),
        ]),
        headers in vec(header(), 0..3),
    ) -> Record {
        Record { offset: 0, timestamp: Timestamp(timestamp), key, value, headers }
    }
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    vec(record(), 1..12).prop_map(|mut records| {
        for (offset, record) in (0..).zip(&mut records) {
            record.offset = offset;
        }
        records
    })
}

fn codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(Codec::ALL.to_vec())
}

fn build(compression: impl Into<Compression>, records: &[Record]) -> Batch {
    let mut builder = BatchBuilder::new(compression);
    for record in records {
        builder
            .push(&NewRecord {
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &record.headers,
            })
            .unwrap();
    }
    builder.finish().unwrap()
}

fn read(batch: &Batch) -> Vec<Record> {
    let records: RecordIter = batch.records(CAP).unwrap();
    records.collect::<Result<_, _>>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_come_back_as_they_were(records in records(), codec in codec()) {
        let batch = build(codec, &records);
        prop_assert_eq!(batch.check_crc(), Ok(()));
        prop_assert_eq!(batch.header().check_produced(), Ok(()));
        prop_assert_eq!(batch.header().attributes.codec(), Some(codec));
        let latest = records.iter().map(|r| r.timestamp).max().unwrap();
        prop_assert_eq!(batch.header().max_timestamp, latest.max(Timestamp::NONE));
        prop_assert_eq!(read(&batch), records);
    }

    #[test]
    fn recompression_keeps_records_and_header(
        records in records(),
        from in codec(),
        to in codec(),
        level in option::of(-10..30),
    ) {
        let batch = build(from, &records);
        let again = recompress(&batch, Compression { codec: to, level }, CAP).unwrap();
        prop_assert_eq!(again.check_crc(), Ok(()));
        prop_assert_eq!(read(&again), records);
        let mut header = *again.header();
        header.attributes = header.attributes.with_codec(from);
        header.crc = batch.header().crc;
        header.size_bytes = batch.header().size_bytes;
        prop_assert_eq!(&header, batch.header());
    }

    #[test]
    fn append_time_holds_for_all_records(records in records(), codec in codec(), now: i64) {
        let batch = build(codec, &records);
        let header = batch.header().with_log_append_time(Timestamp(now));
        let stored = [&header.encode()[..], &batch.body()].concat();
        let stored = Batch::parse(&stored.into()).unwrap();
        prop_assert_eq!(stored.check_crc(), Ok(()));
        prop_assert_eq!(stored.header().attributes.timestamp_type(), TimestampType::LogAppendTime);
        for (was, is) in records.iter().zip(read(&stored)) {
            prop_assert_eq!(is.timestamp, Timestamp(now));
            prop_assert_eq!(&is.value, &was.value);
        }
    }

    #[test]
    fn a_leaders_prefix_leaves_the_checksum_alone(
        records in records(),
        offset in 0..i64::MAX / 2,
        epoch: i32,
    ) {
        let batch = build(Codec::None, &records);
        let fresh = prefix(offset, epoch, batch.header().size_bytes);
        let stored = [&fresh[..], &batch.bytes()[PREFIX_BYTES..]].concat();
        let stored = Batch::parse(&stored.into()).unwrap();
        prop_assert_eq!(stored.check_crc(), Ok(()));
        prop_assert_eq!(stored.header().base_offset, offset);
        prop_assert_eq!(stored.header().leader_epoch, epoch);
        prop_assert_eq!(read(&stored)[0].offset, offset);
    }

    #[test]
    fn headers_round_trip(fields in vec(any::<u8>(), HEADER_BYTES)) {
        let mut fields = fields;
        fields[16] = 2;
        fields[8] &= 0x7f; // positive length and counts
        fields[11] |= 0x3f;
        fields[23] &= 0x7f;
        fields[57] &= 0x7f;
        let header = freshet_records::BatchHeader::parse(&fields).unwrap();
        prop_assert_eq!(&header.encode()[..], &fields[..]);
    }
}

#[test]
fn many_batches_are_walked_over_to_a_torn_end() {
    let record = Record {
        offset: 0,
        timestamp: Timestamp(5),
        key: None,
        value: Some(Bytes::from_static(b"v")),
        headers: vec![],
    };
    let batch = build(Codec::Lz4, &[record]);
    let size = batch.bytes().len();
    let mut log = [batch.bytes().as_ref(), batch.bytes(), batch.bytes()].concat();
    log.truncate(3 * size - 1);
    let mut batches = Batches::new(log.into());
    assert_eq!(batches.next(), Some(Ok(batch.clone())));
    assert_eq!(batches.next(), Some(Ok(batch)));
    assert_eq!(
        batches.next(),
        Some(Err(BatchError::Truncated {
            needed_bytes: size,
            present_bytes: size - 1
        }))
    );
    assert_eq!(batches.next(), None);
    assert_eq!(batches.position(), 2 * size);
}

#[test]
fn sequences_wrap_to_zero() {
    let mut builder = BatchBuilder::new(Codec::None).producer(Producer {
        id: 7,
        epoch: 0,
        base_sequence: i32::MAX - 1,
    });
    for _ in 0..4 {
        builder.push(&NewRecord::default()).unwrap();
    }
    let batch = builder.finish().unwrap();
    assert_eq!(batch.header().last_sequence(), 1);
}

#[test]
fn markers_say_how_a_transaction_ended() {
    for commit in [true, false] {
        let marker = EndTxnMarker {
            commit,
            coordinator_epoch: 12,
        };
        let batch = marker.batch(4000, 3, Timestamp(99)).unwrap();
        let attributes = batch.header().attributes;
        assert!(attributes.is_control() && attributes.is_transactional());
        assert_eq!(batch.header().base_sequence, -1);
        let record = &read(&batch)[0];
        assert_eq!(EndTxnMarker::parse(record), Ok(Some(marker)));
        assert_eq!(ControlType::parse(record).unwrap().id(), i16::from(commit));
        assert!(matches!(
            batch.header().check_produced(),
            Err(BatchError::Forbidden { .. })
        ));
    }
}

#[test]
fn topic_rules_name_the_records_that_break_them() {
    let record = |key: Option<&'static str>, timestamp| Record {
        offset: 0,
        timestamp: Timestamp(timestamp),
        key: key.map(Bytes::from),
        value: None,
        headers: vec![],
    };
    let records = [
        record(Some("a"), 10),
        record(None, 30),
        record(Some("b"), 30),
        record(None, 20),
    ];
    let batch = build(Codec::Zstd, &records);
    let mut rules = Rules {
        keys_required: false,
        timestamps: None,
        cap_bytes: CAP,
    };
    let seen = inspect(&batch, &rules).unwrap();
    assert_eq!(
        (seen.max_timestamp, seen.offset_of_max_timestamp),
        (Timestamp(30), 1)
    );
    rules.timestamps = Some(15..=25);
    match inspect(&batch, &rules) {
        Err(BatchError::Timestamps { faults }) => {
            assert_eq!(
                faults.iter().map(|f| f.index).collect::<Vec<_>>(),
                [0, 1, 2]
            );
        }
        other => panic!("{other:?}"),
    }
    rules.keys_required = true;
    match inspect(&batch, &rules) {
        Err(BatchError::Records { faults }) => {
            assert_eq!(faults.iter().map(|f| f.index).collect::<Vec<_>>(), [1, 3]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_codecs_are_named() {
    for id in 5..8 {
        let attributes = Attributes(id);
        assert_eq!(attributes.codec(), None);
        assert_eq!(i16::from(attributes.codec_id()), id);
    }
    for codec in Codec::ALL {
        assert_eq!(Codec::from_name(codec.name()), Some(codec));
        assert_eq!(Codec::from_id(codec.id()), Some(codec));
    }
}
