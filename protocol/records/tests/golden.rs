//! Batches written by Kafka's Java client are read, and what we know of their writer holds.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use bytes::Bytes;
use freshet_records::{
    Batch, BatchBuilder, Codec, EndTxnMarker, Header, NewRecord, Producer, Record, Rules, inspect,
};
use freshet_types::Timestamp;

const CAP: usize = 1 << 20;

fn hex(text: &str) -> Bytes {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    let pairs = digits.chunks(2);
    pairs.map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn batch(text: &str) -> Batch {
    let bytes = hex(text);
    let batch = Batch::parse(&bytes).unwrap();
    assert_eq!(batch.bytes(), &bytes, "one batch, whole");
    assert_eq!(batch.check_crc(), Ok(()));
    let header = batch.header();
    assert_eq!((header.base_offset, header.leader_epoch), (42, 5));
    assert_eq!((header.producer_id, header.producer_epoch), (4000, 3));
    batch
}

fn pattern(length: usize) -> Bytes {
    (0..length).map(|i| (i % 251) as u8).collect()
}

fn expected(big: usize) -> Vec<Record> {
    let record = |offset, millis: i64, key: Option<&'static str>, value: Option<Bytes>| Record {
        offset,
        timestamp: Timestamp(1_700_000_000_000 + millis),
        key: key.map(Bytes::from),
        value,
        headers: vec![],
    };
    let mut records = vec![
        record(42, 1000, Some("k0"), Some("v0".into())),
        record(43, 999, None, Some(Bytes::new())),
        record(44, 1002, Some(""), None),
        record(45, 1001, Some("big"), Some(pattern(big))),
    ];
    records[2].headers = vec![
        Header::new("h1", "x"),
        Header {
            name: "h2".into(),
            value: None,
        },
        Header::new("h1", ""),
    ];
    records
}

fn read(batch: &Batch) -> Vec<Record> {
    let records = batch.records(CAP).unwrap();
    records.collect::<Result<_, _>>().unwrap()
}

#[test]
fn every_codec_of_the_java_client_is_read() {
    for (codec, text, big) in [
        (Codec::None, include_str!("golden/none.hex"), 100),
        (Codec::Gzip, include_str!("golden/gzip.hex"), 70_000),
        (Codec::Snappy, include_str!("golden/snappy.hex"), 70_000),
        (Codec::Lz4, include_str!("golden/lz4.hex"), 70_000),
        (Codec::Zstd, include_str!("golden/zstd.hex"), 70_000),
        (Codec::Zstd, include_str!("golden/zstd-22.hex"), 70_000),
    ] {
        let batch = batch(text);
        let header = batch.header();
        assert_eq!(header.attributes.codec(), Some(codec));
        assert!(header.attributes.is_transactional());
        assert_eq!(header.check_produced(), Ok(()));
        assert_eq!((header.base_sequence, header.last_sequence()), (17, 20));
        assert_eq!((header.record_count, header.last_offset()), (4, 45));
        assert_eq!(header.base_timestamp, Timestamp(1_700_000_001_000));
        assert_eq!(header.max_timestamp, Timestamp(1_700_000_001_002));
        assert_eq!(read(&batch), expected(big), "{codec:?}");
        let rules = Rules {
            keys_required: false,
            timestamps: None,
            cap_bytes: CAP,
        };
        let seen = inspect(&batch, &rules).unwrap();
        assert_eq!(seen.max_timestamp, header.max_timestamp);
        assert_eq!(seen.offset_of_max_timestamp, 2);
    }
}

#[test]
fn an_uncompressed_batch_is_built_byte_for_byte_as_java_builds_it() {
    let java = batch(include_str!("golden/none.hex"));
    let mut builder = BatchBuilder::new(Codec::None)
        .at(42, 5)
        .producer(Producer {
            id: 4000,
            epoch: 3,
            base_sequence: 17,
        })
        .transactional();
    for record in &expected(100) {
        builder
            .push(&NewRecord {
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &record.headers,
            })
            .unwrap();
    }
    assert_eq!(builder.finish().unwrap().bytes(), java.bytes());
}

#[test]
fn append_time_is_stamped_as_java_stamps_it() {
    let java = batch(include_str!("golden/log-append-time.hex"));
    let now = Timestamp(1_700_000_009_999);
    for record in read(&java) {
        assert_eq!(record.timestamp, now);
    }
    let created = batch(include_str!("golden/none.hex"));
    let stamped = created.header().with_log_append_time(now);
    assert_eq!(stamped.attributes, java.header().attributes);
    assert_eq!(stamped.max_timestamp, java.header().max_timestamp);
}

#[test]
fn markers_of_the_java_broker_are_read_and_written_alike() {
    for (commit, text) in [
        (true, include_str!("golden/commit.hex")),
        (false, include_str!("golden/abort.hex")),
    ] {
        let java = batch(text);
        let marker = EndTxnMarker {
            commit,
            coordinator_epoch: 12,
        };
        assert!(java.header().attributes.is_control());
        assert_eq!(EndTxnMarker::parse(&read(&java)[0]), Ok(Some(marker)));
        let ours = marker.batch(4000, 3, Timestamp(1_700_000_001_000)).unwrap();
        assert_eq!(ours.bytes()[16..], java.bytes()[16..]);
    }
}

#[test]
fn snappy_as_librdkafka_writes_it_is_read() {
    // One raw block without framing.
    let java = batch(include_str!("golden/none.hex"));
    let raw = snap::raw::Encoder::new()
        .compress_vec(&java.body())
        .unwrap();
    let mut header = *java.header();
    header.attributes = header.attributes.with_codec(Codec::Snappy);
    header.size_bytes = 61 + raw.len();
    let bytes = [&header.encode()[..], &raw].concat();
    assert_eq!(read(&Batch::parse(&bytes.into()).unwrap()), expected(100));
}
