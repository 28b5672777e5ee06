//! The bytes in the topic and in the bucket, held against files: `golden/<kind>.hex`. A change here is
//! a new version of a format, with a page in `docs/formats/tier.md` and a reader for the old one.

use std::path::Path;

use bytes::Bytes;
use freshet_env::objects::whole;
use freshet_env::{Disk, SystemDisk};
use freshet_records::{BatchBuilder, Codec, NewRecord};
use freshet_types::{Machine, Offset, StoredRecord, Timestamp};

use super::support::{HERE, Shard, epochs, id, stored};
use crate::machine::{Ask, Purpose, Record};
use crate::manifest::Manifest;
use crate::object::{Footer, Section, SectionKind, SegmentObject, SegmentSource};

fn golden(kind: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{kind}.hex"));
    let text = SystemDisk.read_small(&path, 1 << 20).unwrap_or_default();
    String::from_utf8(text).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Lines of hex: one for each record, or of 32 bytes.
fn assert_golden(kind: &str, lines: &[String]) {
    let now = lines.join("\n");
    assert!(golden(kind).trim() == now, "{kind} is now\n{now}");
}

fn folded(bytes: &[u8]) -> Vec<String> {
    bytes.chunks(32).map(hex).collect()
}

/// Some of everything.
fn shard() -> Shard {
    let mut shard = Shard::with(&[(0, 100), (100, 200), (200, 300)]);
    shard.rewrite(&[stored(4, 100, 300)], &[2, 3]).unwrap();
    shard.ask(1, Ask::MoveStart { log_start: 100 }).unwrap();
    shard.export();
    shard.doomed();
    shard.now += 3_600_000;
    assert_eq!(shard.doomed(), [1, 2, 3]);
    shard.ask(1, Ask::Collected { ids: vec![id(2)] }).unwrap();
    let mut next = stored(5, 300, 400);
    next.epochs = epochs(&[(0, 20), (1, 310)]);
    shard.append(1, next).unwrap();
    shard
        .begin(1, &stored(6, 400, 500), Purpose::Append)
        .unwrap();
    shard
        .begin(1, &stored(7, 400, 500), Purpose::Append)
        .unwrap();
    shard.ask(1, Ask::Abandon { ids: vec![id(7)] }).unwrap();
    shard
}

#[test]
fn records() {
    let mut shard = shard();
    let mut lines: Vec<String> = shard.records.iter().map(|r| hex(&r.to_bytes())).collect();
    lines.push("# a snapshot".to_owned());
    let snapshot = shard.machine.snapshot();
    lines.extend(snapshot.iter().map(|r| hex(&r.to_bytes())));
    lines.push("# a deleted topic".to_owned());
    let keep_objects = false;
    shard.ask(1, Ask::Delete { keep_objects }).unwrap();
    lines.extend(shard.records.last().map(|r| hex(&r.to_bytes())));
    assert_golden("records", &lines);
    for line in golden("records")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let record = Record::from_bytes(&bytes(line)).unwrap();
        assert_eq!(record.partition, HERE);
        assert_eq!(hex(&record.to_bytes()), line);
    }
}

#[test]
fn manifest() {
    let shard = shard();
    let exported = shard.manifest().export(HERE);
    assert_golden("manifest", &folded(&exported.bytes));
    let (partition, manifest) = Manifest::restore(&bytes(&golden("manifest"))).unwrap();
    assert_eq!(partition, HERE);
    assert_eq!(manifest.segments(), shard.manifest().segments());
    assert_eq!(manifest.export(HERE), exported);
}

#[test]
fn footer() {
    let section = |kind, range, crc| Section { kind, range, crc };
    let footer = Footer {
        partition: HERE,
        id: id(3),
        leader_epoch: 5,
        generation: 1,
        start: 100,
        end: 200,
        max_timestamp: Timestamp(1234),
        epochs: epochs(&[(2, 90), (5, 150)]),
        sections: vec![
            section(SectionKind::Batches, 0..1000, 7),
            section(SectionKind::Index, 1000..1100, 8),
            section(SectionKind::ProducersBefore, 1100..1140, 9),
            section(SectionKind::ProducersAfter, 1140..1180, 10),
            section(SectionKind::Aborted, 1180..1180, 0),
        ],
    };
    let written = footer.to_bytes();
    assert_golden("footer", &folded(&written));
    let tail = bytes(&golden("footer"));
    let object_bytes = 1180 + tail.len() as u64;
    assert_eq!(Footer::from_tail(&tail, object_bytes), Ok(footer));
}

fn batch(base: Offset, epoch: i32, time: i64) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None).at(base, epoch);
    let record = NewRecord {
        timestamp: Timestamp(time),
        value: Some(b"freshet"),
        ..NewRecord::default()
    };
    builder.push(&record).unwrap();
    builder.finish().unwrap().bytes().clone()
}

/// A whole segment object: every section, as the uploader writes it.
#[tokio::test]
async fn segment() {
    let batches = [
        batch(100, 2, 1_000),
        batch(150, 5, 900),
        batch(170, 5, 1_234),
    ];
    let source = SegmentSource {
        partition: HERE,
        id: id(3),
        leader_epoch: 5,
        generation: 1,
        start: 100,
        end: 200,
        epochs: epochs(&[(2, 90), (5, 150)]),
        batches: Box::new(Bytes::from(batches.concat())),
        producers: Bytes::from_static(b"producers"),
        aborted: Bytes::from_static(b"aborted"),
        spacing: 100,
    };
    let mut object = SegmentObject::new(source).unwrap();
    let written = whole(&mut object).await.unwrap();
    assert_golden("segment", &folded(&written));
    let read = bytes(&golden("segment"));
    let footer = Footer::from_tail(&read, read.len() as u64).unwrap();
    assert_eq!(footer, object.ended().unwrap().footer);
}
