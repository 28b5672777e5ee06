//! Segments become objects, and damage does not.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{MemoryObjects, ObjectBody, ObjectFailure, ObjectWait};
use freshet_records::BatchError;
use freshet_types::{ErrorKind, Timestamp};
use proptest::prelude::*;

use super::super::support::{HERE, epochs, id};
use super::bucket::{Stone, joined, source, stone, stones};
use crate::object::{
    CHUNK_BYTES, ComposeError, Footer, SectionKind, SegmentObject, SegmentSource, VerifyError,
    check_whole, compose, verify,
};

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn whole(object: &SegmentObject) -> Bytes {
    wait(object.part(0..object.len_bytes())).unwrap()
}

/// Bytes that count what is read of them, and change on demand.
struct Disk {
    bytes: Bytes,
    changed: Bytes,
    read: AtomicU64,
    largest: AtomicU64,
    /// From so many bytes read on it gives the changed ones.
    turns: u64,
}

impl Disk {
    fn sound(bytes: Bytes) -> Self {
        Self {
            changed: bytes.clone(),
            read: AtomicU64::new(0),
            largest: AtomicU64::new(0),
            turns: u64::MAX,
            bytes,
        }
    }
}

impl ObjectBody for Disk {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn part(&self, range: Range<u64>) -> ObjectWait<'_, Bytes> {
        let len = range.end - range.start;
        let before = self.read.fetch_add(len, Ordering::Relaxed);
        self.largest.fetch_max(len, Ordering::Relaxed);
        let now = if before >= self.turns {
            &self.changed
        } else {
            &self.bytes
        };
        now.part(range)
    }
}

#[test]
fn an_object_holds_what_its_footer_says() {
    let stones = stones(40, 100_000);
    let batches = joined(&stones);
    let object = wait(compose(source(3, &stones, 0, 40))).unwrap();
    let bytes = whole(&object);
    let footer = Footer::from_tail(&bytes, bytes.len() as u64).unwrap();
    assert_eq!(&footer, object.footer());
    let section = |kind| {
        let range = &footer.section(kind).unwrap().range;
        bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap())
    };
    assert_eq!(section(SectionKind::Batches), batches);
    assert_eq!(section(SectionKind::ProducersAfter), vec![3; 100]);
    assert_eq!(section(SectionKind::Aborted), vec![3; 64]);
    assert_eq!(section(SectionKind::Sums).len(), 4 * 4);
    let stored = object.stored();
    assert_eq!((stored.start, stored.end, stored.id), (0, 40, id(3)));
    assert_eq!(stored.size_bytes, bytes.len() as u64);
    assert_eq!(stored.max_timestamp, Timestamp(39));
    assert_eq!((footer.partition, stored.epochs), (HERE, epochs(&[(1, 0)])));
}

#[test]
fn any_part_is_a_part_of_the_whole() {
    let stones = stones(12, 300_000);
    let object = wait(compose(source(1, &stones, 0, 12))).unwrap();
    let bytes = whole(&object);
    let len = bytes.len() as u64;
    let border = joined(&stones).len() as u64;
    for range in [
        0..1,
        5..CHUNK_BYTES + 7,
        CHUNK_BYTES..2 * CHUNK_BYTES,
        border - 1..border + 1,
        border..border,
        border + 3..len,
        len..len,
    ] {
        let part = wait(object.part(range.clone())).unwrap();
        let expected = wait(bytes.part(range.clone())).unwrap();
        assert_eq!(part, expected, "{range:?}");
    }
    for bad in [Range { start: 2, end: 1 }, len..len + 1, 0..len + 1] {
        let error = wait(object.part(bad)).unwrap_err();
        assert_eq!(error.failure, ObjectFailure::Invalid);
    }
}

#[test]
fn a_large_batch_and_a_cleaned_segment_are_objects_too() {
    let large = [stone(0, &[5], 3 << 20), stone(7, &[9, 8], 10)];
    let object = wait(compose(source(1, &large, 0, 20))).unwrap();
    assert_eq!(object.stored().max_timestamp, Timestamp(9));
    let nothing = wait(compose(source(1, &[], 0, 20))).unwrap();
    assert_eq!(nothing.stored().max_timestamp, Timestamp::NONE);
    let bytes = whole(&nothing);
    assert!(Footer::from_tail(&bytes, bytes.len() as u64).is_ok());
}

#[test]
fn a_segment_is_read_in_pieces() {
    let stones = stones(60, 100_000);
    let disk = Arc::new(Disk::sound(joined(&stones)));
    let mut source = source(1, &stones, 0, 60);
    source.batches = Arc::<Disk>::clone(&disk);
    wait(compose(source)).unwrap();
    assert_eq!(disk.largest.load(Ordering::Relaxed), CHUNK_BYTES);
    let again = disk.read.load(Ordering::Relaxed) - disk.len_bytes();
    assert!(again <= 7 * 100_100, "{again}");
}

/// A bit that flips between the check and the put is not stored.
#[test]
fn what_changes_after_the_check_is_not_sent() {
    let stones = stones(5, 1000);
    let bytes = joined(&stones);
    let mut changed = bytes.to_vec();
    // A base offset: no batch's own checksum covers it.
    changed[7] ^= 1;
    let disk = Disk {
        read: AtomicU64::new(0),
        largest: AtomicU64::new(0),
        turns: bytes.len() as u64,
        changed: changed.into(),
        bytes,
    };
    let mut source = source(1, &stones, 0, 5);
    source.batches = Arc::new(disk);
    let object = wait(compose(source)).unwrap();
    let objects = MemoryObjects::default();
    let error = wait(objects.put_new("o", &object)).unwrap_err();
    assert!(error.why.contains("has changed"), "{error}");
    assert!(wait(objects.head("o")).is_err());
}

fn refused(source: SegmentSource) -> ComposeError {
    wait(compose(source)).unwrap_err()
}

fn with(bytes: Vec<u8>, stones: &[Stone]) -> SegmentSource {
    let end = stones.last().unwrap().next;
    let mut source = source(1, stones, 0, end);
    source.batches = Arc::new(Bytes::from(bytes));
    source
}

#[test]
fn damage_is_told_by_offset_and_byte() {
    let stones = stones(3, 500);
    let second = stones[0].bytes.len();
    let mut flipped = joined(&stones).to_vec();
    flipped[second + 100] ^= 1;
    let error = refused(with(flipped, &stones));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let here = second as u64;
    assert!(
        matches!(error, ComposeError::Damaged { offset: 1, position, what: BatchError::Crc { .. } } if position == here),
        "{error}"
    );
    let mut cut = joined(&stones).to_vec();
    cut.truncate(second + 30);
    let error = refused(with(cut, &stones));
    assert!(
        matches!(error, ComposeError::Damaged { offset: 1, position, what: BatchError::Truncated { .. } } if position == here),
        "{error}"
    );
    // A length that claims more than there is, in the first of many pieces: not read, refused.
    let many = super::bucket::stones(30, 100_000);
    let mut long = joined(&many).to_vec();
    long[8] = 0x70;
    let disk = Arc::new(Disk::sound(long.into()));
    let mut source = with(Vec::new(), &many);
    source.batches = Arc::<Disk>::clone(&disk);
    let error = refused(source);
    assert!(
        matches!(
            error,
            ComposeError::Damaged {
                offset: 0,
                position: 0,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(disk.largest.load(Ordering::Relaxed), CHUNK_BYTES);
}

#[test]
fn batches_of_other_offsets_are_refused() {
    let all = stones(4, 10);
    for (list, start, end) in [
        (&all[0..2], 0, 1),
        (&all[0..2], 1, 3),
        (&[all[1].clone(), all[0].clone()][..], 0, 4),
        (&[all[1].clone(), all[1].clone()][..], 0, 4),
    ] {
        let error = refused(source(1, list, start, end));
        assert!(matches!(error, ComposeError::Misplaced { .. }), "{error}");
    }
    let mut other = source(1, &all, 0, 4);
    other.epochs = epochs(&[(1, 1)]);
    assert!(matches!(refused(other), ComposeError::Malformed(_)));
    assert!(matches!(
        refused(source(1, &all, 4, 4)),
        ComposeError::Malformed(_)
    ));
}

#[test]
fn what_was_put_is_looked_at() {
    let stones = stones(30, 100_000);
    let object = wait(compose(source(1, &stones, 0, 30))).unwrap();
    let other = wait(compose(source(2, &stones, 0, 30))).unwrap();
    let objects = MemoryObjects::default();
    let missing = wait(verify(&objects, "o", &object)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    wait(objects.put_new("o", &object)).unwrap();
    assert_eq!(wait(verify(&objects, "o", &object)), Ok(()));
    assert_eq!(
        wait(check_whole(&objects, "o")).as_ref(),
        Ok(object.footer())
    );
    let wrong = wait(verify(&objects, "o", &other)).unwrap_err();
    assert!(matches!(wrong, VerifyError::Other { .. }), "{wrong}");

    let bytes = whole(&object);
    objects.damage("o", bytes.slice(..bytes.len() - 1));
    let short = wait(verify(&objects, "o", &object)).unwrap_err();
    assert!(matches!(short, VerifyError::Length { .. }), "{short}");
    for (at, kind) in [
        (2_000_000, SectionKind::Batches),
        (joined(&stones).len() + 20, SectionKind::Index),
    ] {
        let mut flipped = bytes.to_vec();
        flipped[at] ^= 1;
        objects.damage("o", flipped.into());
        assert_eq!(
            wait(verify(&objects, "o", &object)),
            Ok(()),
            "a scrub's work"
        );
        let found = wait(check_whole(&objects, "o")).unwrap_err();
        assert!(
            matches!(&found, VerifyError::Section { kind: told, .. } if *told == kind),
            "{found}"
        );
        assert_eq!(found.kind(), ErrorKind::Corrupt);
    }
    let mut flipped = bytes.to_vec();
    let last = flipped.len() - 20;
    flipped[last] ^= 1;
    objects.damage("o", flipped.into());
    let footer = wait(verify(&objects, "o", &object)).unwrap_err();
    assert!(matches!(footer, VerifyError::Footer { .. }), "{footer}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One flipped bit, anywhere in the batches: an error, or an object that tells other batches apart
    /// (the leader's epoch is under no checksum of the batch).
    #[test]
    fn a_flip_is_refused(at: prop::sample::Index, bit in 0..8u8) {
        let stones = stones(6, 50);
        let mut bytes = joined(&stones).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let in_batch = at % stones[0].bytes.len();
        let composed = wait(compose(with(bytes, &stones)));
        prop_assert!(composed.is_err() || (12..16).contains(&in_batch), "{in_batch}");
    }
}
