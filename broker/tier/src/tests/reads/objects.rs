//! Segments become objects, and damage does not.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use freshet_env::Objects;
use freshet_env::objects::{MemoryObjects, ObjectBody, ObjectFailure, ObjectWait};
use freshet_records::BatchError;
use freshet_types::{ErrorKind, Timestamp};
use proptest::prelude::*;

use super::super::support::{HERE, epochs, id};
use super::bucket::{Faulty, Stone, joined, made, source, stone, stones};
use crate::object::{
    CHUNK_BYTES, ComposeError, Composed, Footer, SectionKind, SegmentBytes, SegmentObject,
    SegmentSource, UploadError, VerifyError, check_whole, upload, verify,
};

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn compose(source: SegmentSource) -> Result<(Composed, Bytes), ComposeError> {
    wait(made(source))
}

/// Bytes that count what is read of them.
#[derive(Clone)]
struct Disk {
    bytes: Bytes,
    read: Arc<AtomicU64>,
}

impl Disk {
    fn of(bytes: Bytes) -> Self {
        let read = Arc::default();
        Self { bytes, read }
    }
}

impl SegmentBytes for Disk {
    fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&self, range: Range<u64>, memory: BytesMut) -> ObjectWait<'_, BytesMut> {
        self.read
            .fetch_add(range.end - range.start, Ordering::Relaxed);
        self.bytes.read(range, memory)
    }
}

#[test]
fn an_object_holds_what_its_footer_says() {
    let stones = stones(40, 100_000);
    let batches = joined(&stones);
    let (object, bytes) = compose(source(3, &stones, 0, 40)).unwrap();
    let footer = Footer::from_tail(&bytes, bytes.len() as u64).unwrap();
    assert_eq!(footer, object.footer);
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

/// Parts are cut within headers, batches, chunks and the end, and are full but for the last one.
#[test]
fn parts_may_be_of_any_size() {
    let mut stones = stones(400, 100);
    stones.push(stone(400, &[400], 2 << 20));
    let (_, bytes) = compose(source(1, &stones, 0, 401)).unwrap();
    let border = joined(&stones).len() as u64;
    for size in [
        61,
        777,
        100_000,
        CHUNK_BYTES + 7,
        border - 1,
        border,
        border + 1,
        1 << 40,
    ] {
        let mut object = SegmentObject::new(source(1, &stones, 0, 401)).unwrap();
        let mut got = Vec::new();
        loop {
            let part = wait(object.part(size)).unwrap().concat();
            let len = part.len() as u64;
            got.extend(part);
            if len < size {
                break;
            }
        }
        assert!(got == bytes, "parts of {size}");
        assert!(wait(object.part(size)).unwrap().concat().is_empty());
        assert_eq!(object.ended().unwrap().size_bytes, bytes.len() as u64);
    }
}

#[test]
fn a_large_batch_and_a_cleaned_segment_are_objects_too() {
    let large = [stone(0, &[5], 3 << 20), stone(7, &[9, 8], 10)];
    let (object, _) = compose(source(1, &large, 0, 20)).unwrap();
    assert_eq!(object.stored().max_timestamp, Timestamp(9));
    let (nothing, bytes) = compose(source(1, &[], 0, 20)).unwrap();
    assert_eq!(nothing.stored().max_timestamp, Timestamp::NONE);
    assert!(Footer::from_tail(&bytes, bytes.len() as u64).is_ok());
}

/// Two parts are in memory: what was sent is read into again, unless somebody still holds it.
#[test]
fn a_segment_is_read_once_into_the_memory_of_two_parts() {
    let stones = stones(60, 100_000);
    let disk = Disk::of(joined(&stones));
    let with_disk = || {
        let mut source = source(1, &stones, 0, 60);
        source.batches = Box::new(disk.clone());
        SegmentObject::new(source).unwrap()
    };
    let mut object = with_disk();
    let (mut places, mut before) = (BTreeSet::new(), Vec::new());
    for _ in 0..5 {
        let part = wait(object.part(CHUNK_BYTES)).unwrap();
        places.insert(part[0].as_ptr());
        before = part;
    }
    assert_eq!((places.len(), before.len()), (2, 1));
    let mut object = with_disk();
    let held: Vec<_> = (0..6)
        .flat_map(|_| wait(object.part(CHUNK_BYTES)).unwrap())
        .collect();
    assert_eq!(held.concat()[..disk.bytes.len()], disk.bytes);
    let read = disk.read.load(Ordering::Relaxed);
    assert_eq!(read, 5 * CHUNK_BYTES + disk.len_bytes());
}

/// The last bit of the batches is wrong when all before has been sent.
#[test]
fn what_is_damaged_at_its_end_is_not_stored() {
    let stones = stones(30, 100_000);
    let mut bytes = joined(&stones).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let objects = MemoryObjects::default();
    let error = wait(upload(&objects, "o", with(bytes, &stones))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        matches!(
            error,
            UploadError::Compose(ComposeError::Damaged { offset: 29, .. })
        ),
        "{error}"
    );
    assert!(wait(objects.head("o")).is_err());
}

/// An answer that is lost is asked after if all was sent, and only then.
#[test]
fn a_lost_answer_is_asked_after() {
    let stones = stones(30, 100_000);
    let objects = Faulty::default();
    objects.lose_put(false);
    let stored = wait(upload(&objects, "o", source(1, &stones, 0, 30)));
    let len_bytes = wait(objects.head("o")).unwrap().len_bytes;
    assert_eq!(stored.unwrap().size_bytes, len_bytes);
    objects.lose_put(true);
    let error = wait(upload(&objects, "p", source(1, &stones, 0, 30))).unwrap_err();
    assert!(
        matches!(&error, UploadError::Store(e) if e.failure == ObjectFailure::Unanswered),
        "{error}"
    );
    let error = wait(upload(&objects, "o", source(2, &stones, 0, 30))).unwrap_err();
    assert!(
        matches!(error, UploadError::Verify(VerifyError::Other { .. })),
        "another one has the name: {error}"
    );
}

fn refused(source: SegmentSource) -> ComposeError {
    compose(source).unwrap_err()
}

fn with(bytes: Vec<u8>, stones: &[Stone]) -> SegmentSource {
    let end = stones.last().unwrap().next;
    let mut source = source(1, stones, 0, end);
    source.batches = Box::new(Bytes::from(bytes));
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
    // A length that claims more than there is: nothing is waited for.
    let many = super::bucket::stones(30, 100_000);
    let mut long = joined(&many).to_vec();
    long[8] = 0x70;
    let disk = Disk::of(long.into());
    let mut source = with(Vec::new(), &many);
    source.batches = Box::new(disk.clone());
    let mut object = SegmentObject::new(source).unwrap();
    wait(object.part(100)).unwrap_err();
    assert!(matches!(
        object.ended(),
        Err(Some(ComposeError::Damaged {
            offset: 0,
            position: 0,
            ..
        }))
    ));
    assert_eq!(disk.read.load(Ordering::Relaxed), 100);
    // One that ends within a header.
    let mut cut = joined(&stones).to_vec();
    cut.truncate(second + 60);
    let error = refused(with(cut, &stones));
    assert!(
        matches!(error, ComposeError::Damaged { offset: 1, position, what: BatchError::Truncated { .. } } if position == here),
        "{error}"
    );
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
    let (object, bytes) = compose(source(1, &stones, 0, 30)).unwrap();
    let (other, _) = compose(source(2, &stones, 0, 30)).unwrap();
    let objects = MemoryObjects::default();
    let missing = wait(verify(&objects, "o", &object)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    wait(objects.put_new("o", &mut bytes.clone())).unwrap();
    assert_eq!(wait(verify(&objects, "o", &object)), Ok(()));
    assert_eq!(
        wait(check_whole(&objects, "o")).as_ref(),
        Ok(&object.footer)
    );
    let wrong = wait(verify(&objects, "o", &other)).unwrap_err();
    assert!(matches!(wrong, VerifyError::Other { .. }), "{wrong}");

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
        let composed = compose(with(bytes, &stones));
        prop_assert!(composed.is_err() || (12..16).contains(&in_batch), "{in_batch}");
    }
}
