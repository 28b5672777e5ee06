//! The bytes on disk, held against files: `golden/<kind>.hex`. A change here is a new version of a
//! format, with a page in `docs/formats/log.md` and a reader for the old one.

use std::path::Path;

use freshet_env::{Disk, SystemDisk};
use freshet_records::envelope::index::{Entries, Entry, MaxTime, StoredIndex};
use freshet_records::{Attributes, BatchHeader, HEADER_BYTES};
use freshet_types::{Timestamp, TopicId, TopicPartition};

use crate::LogName;
use crate::state::committed;
use crate::state::life::Life;
use crate::state::stop::StopRow;
use crate::state::{Checkpoint, Epochs, Producers, SealedSegment, StopImage};

fn golden(kind: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{kind}.hex"));
    let text = SystemDisk.read_small(&path, 1 << 20).unwrap();
    let digits: Vec<u8> = text.into_iter().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn assert_golden(kind: &str, bytes: &[u8]) {
    let lines = bytes
        .chunks(32)
        .map(|line| line.iter().map(|b| format!("{b:02x}")).collect());
    let hex: Vec<String> = lines.collect();
    assert!(golden(kind) == bytes, "{kind} is now\n{}", hex.join("\n"));
}

fn checkpoint() -> Checkpoint {
    let mut epochs = Epochs::default();
    epochs.assign(3, 100);
    epochs.assign(5, 250);
    Checkpoint {
        generation: 7,
        topic_id: TopicId([0xab; 16]),
        log_start: 120,
        durable_end: 300,
        segment: 200,
        position: 4096,
        has_producers: true,
        epochs,
        sealed: vec![SealedSegment {
            base: 100,
            size_bytes: 8192,
        }],
    }
}

/// One producer after so many batches of two records.
fn producers(batches: i32) -> Producers {
    let mut producers = Producers::default();
    for i in 0..batches {
        let header = BatchHeader {
            base_offset: 298 + 2 * i64::from(i),
            size_bytes: HEADER_BYTES,
            leader_epoch: 5,
            crc: 0,
            attributes: Attributes(0).with_transactional(true),
            last_offset_delta: 1,
            base_timestamp: Timestamp(1000),
            max_timestamp: Timestamp(1001),
            producer_id: 42,
            producer_epoch: 2,
            base_sequence: 8 + 2 * i,
            record_count: 2,
        };
        producers.apply(&header, Timestamp(2000), 10);
    }
    producers
}

#[test]
fn state() {
    assert_golden("state", &checkpoint().to_file());
    assert_eq!(Checkpoint::from_file(&golden("state")), Ok(checkpoint()));
}

#[test]
fn producer_snapshot() {
    assert_golden("producers", &producers(7).snapshot());
    let read = Producers::from_snapshot(&golden("producers"));
    assert_eq!(read.unwrap().snapshot(), producers(7).snapshot());
}

/// Version 1 does not tell what was stored before the batches that it lists.
#[test]
fn producer_snapshot_of_old() {
    let read = Producers::from_snapshot(&golden("producers-1"));
    assert_eq!(read, Ok(producers(1)));
}

#[test]
fn stop_image() {
    let mut image = StopImage::default();
    let row = StopRow {
        clean: true,
        zeroed: 0,
        checkpoint: checkpoint(),
        producers: producers(1).snapshot(),
    };
    let name = LogName::parse("orders-2").unwrap();
    image.rows.insert(name, row);
    assert_golden("stop", &image.to_file());
    assert_eq!(StopImage::from_file(&golden("stop")), Ok(image));
}

#[test]
fn index() {
    let entry = |delta, position, max_before| Entry {
        delta,
        position,
        max_before: Timestamp(max_before),
    };
    let file = || StoredIndex {
        covers: 10_000,
        entries: Entries {
            list: vec![entry(0, 0, i64::MIN), entry(17, 4200, 1001)],
            spacing: 4096,
            max: Some(MaxTime {
                timestamp: Timestamp(1005),
                position: 4200,
            }),
        },
    };
    assert_golden("index", &file().to_bytes());
    assert_eq!(StoredIndex::from_bytes(&golden("index")), Ok(file()));
}

#[test]
fn broker_epoch() {
    let file = Life::Clean(0x0102_0304);
    assert_golden("life", &file.to_file());
    assert_eq!(Life::from_file(&golden("life")), Ok(file));
}

#[test]
fn high_watermarks() {
    let at = |partition| TopicPartition {
        topic: TopicId([7; 16]),
        partition,
    };
    let rows = [(at(0), 0x0102_0304), (at(3), 5)];
    let file = committed::to_file(&rows);
    assert_golden("committed", &file);
    assert_eq!(committed::from_file(&golden("committed")), Ok(rows.into()));
}
