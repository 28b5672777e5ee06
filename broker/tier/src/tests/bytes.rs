//! Bytes that nobody wrote are refused, without a panic.

use freshet_types::{StoredRecord, Timestamp};
use proptest::prelude::*;

use super::support::{HERE, Shard, epochs, id};
use crate::machine::{Answer, Record, Request, said_from_bytes, said_to_bytes};
use crate::manifest::Manifest;
use crate::object::{Footer, Section, SectionKind};
use freshet_records::envelope::EnvelopeError;

fn records() -> Vec<Vec<u8>> {
    let shard = Shard::with(&[(0, 100), (100, 200)]);
    shard.records.iter().map(StoredRecord::to_bytes).collect()
}

fn exported() -> Vec<u8> {
    let shard = Shard::with(&[(0, 100), (100, 200)]);
    shard.manifest().export(HERE).bytes
}

fn footer() -> Footer {
    Footer {
        partition: HERE,
        id: id(1),
        leader_epoch: 1,
        generation: 0,
        start: 0,
        end: 10,
        max_timestamp: Timestamp(5),
        epochs: epochs(&[(1, 0)]),
        sections: vec![Section {
            kind: SectionKind::Batches,
            range: 0..50,
            crc: 1,
        }],
    }
}

#[test]
fn a_count_beyond_the_bytes_is_refused() {
    // An `Abandoned` that claims 2^32 - 1 ids.
    let mut bytes = vec![0, 4, 0, 0];
    bytes.extend([7; 16]);
    bytes.extend([0, 0, 0, 2]);
    bytes.extend([0xff; 4]);
    let error = Record::from_bytes(&bytes).unwrap_err();
    assert!(error.what.contains("more entries than bytes"), "{error}");
}

#[test]
fn a_later_version_is_named() {
    let mut record = records().remove(0);
    record[3] = 1;
    let error = Record::from_bytes(&record).unwrap_err();
    assert!(error.what.contains("version 1"), "{error}");
    record[3] = 0;
    record[1] = 99;
    assert!(Record::from_bytes(&record).is_err());
}

#[test]
fn sections_fill_the_object() {
    let bytes = footer().to_bytes();
    let whole = 50 + bytes.len() as u64;
    assert_eq!(Footer::from_tail(&bytes, whole), Ok(footer()));
    assert!(Footer::from_tail(&bytes, whole + 1).is_err());
    assert!(Footer::from_tail(&bytes, whole - 1).is_err());
    let short = Footer::from_tail(&bytes[1..], whole);
    assert!(matches!(short, Err(EnvelopeError::Length { .. })));
    assert_eq!(Footer::length(&bytes, whole), Some(bytes.len() as u64));
    let mut more = vec![1, 2, 3];
    more.extend(&bytes);
    assert_eq!(Footer::from_tail(&more, whole), Ok(footer()));
}

proptest! {
    #[test]
    fn strange_bytes_never_panic(bytes: Vec<u8>, object_bytes: u64) {
        let _ = Record::from_bytes(&bytes);
        let _ = Manifest::restore(&bytes);
        let _ = Request::from_bytes(&bytes);
        let _ = said_from_bytes(&bytes);
        let _ = Footer::from_tail(&bytes, object_bytes);
    }

    #[test]
    fn a_damaged_word_between_brokers_is_refused_or_another_one(
        at: prop::sample::Index, to: u8,
    ) {
        let shard = Shard::with(&[(0, 100), (100, 200)]);
        let manifest = Box::new(shard.manifest().clone());
        let mut said = said_to_bytes(&Ok(Answer::Claimed(manifest)));
        let at = at.index(said.len());
        prop_assert!(said_from_bytes(&said[..at]).is_err());
        said[at] = to;
        if let Ok(read) = said_from_bytes(&said) {
            prop_assert_eq!(said_to_bytes(&read), said);
        }
    }

    #[test]
    fn a_flip_or_a_cut_of_a_manifest_is_seen(at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = exported();
        let at = at.index(bytes.len());
        prop_assert!(Manifest::restore(&bytes[..at]).is_err());
        bytes[at] ^= 1 << bit;
        prop_assert!(Manifest::restore(&bytes).is_err());
    }

    #[test]
    fn a_flip_of_a_footer_is_seen(at: prop::sample::Index, bit in 0..8u8) {
        let mut bytes = footer().to_bytes();
        let whole = 50 + bytes.len() as u64;
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Footer::from_tail(&bytes, whole).is_err());
    }

    #[test]
    fn a_damaged_record_is_refused_or_another_record(
        which: prop::sample::Index, at: prop::sample::Index, to: u8,
    ) {
        let mut record = which.get(&records()).clone();
        let at = at.index(record.len());
        prop_assert!(Record::from_bytes(&record[..at]).is_err());
        record[at] = to;
        if let Ok(read) = Record::from_bytes(&record) {
            prop_assert_eq!(read.to_bytes(), record);
        }
    }
}
