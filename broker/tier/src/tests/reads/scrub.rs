//! What a scrub says of objects that are sound, damaged, cut, gone, or another's.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::ObjectFailure;
use freshet_types::{ErrorKind, Timestamp};
use proptest::prelude::*;

use super::super::support::{HERE, epochs, id};
use super::bucket::{Fault, Tiered, joined, stones};
use crate::object::{CHUNK_BYTES, SectionKind, VerifyError, check_bytes, check_named};
use crate::segment::Segment;

async fn tiered() -> Tiered {
    Tiered::whole(stones(30, 100_000)).await
}

fn named(tiered: &Tiered) -> Segment {
    tiered.shard.manifest().segments()[0].clone()
}

async fn stored(tiered: &Tiered) -> Vec<u8> {
    let (key, len) = (tiered.key(1, 0), named(tiered).size_bytes);
    let bytes = tiered.objects.inner.get_range(&key, 0..len).await;
    bytes.unwrap().to_vec()
}

/// All that a scrub looks at.
async fn scrub(tiered: &Tiered, segment: &Segment) -> Result<u64, VerifyError> {
    let (key, read) = (tiered.key(1, 0), AtomicU64::new(0));
    let footer = check_named(&*tiered.objects, &key, HERE, segment).await?;
    check_bytes(&*tiered.objects, &key, &footer, &read).await?;
    Ok(read.into_inner())
}

#[tokio::test]
async fn a_sound_object_is_read_once_and_a_chunk_at_a_time() {
    let tiered = tiered().await;
    let segment = named(&tiered);
    let read = scrub(&tiered, &segment).await.unwrap();
    assert!(read < segment.size_bytes && read > joined(&tiered.stones).len() as u64);
    let asked = tiered.objects.asked();
    let largest = asked.iter().map(|range| range.end - range.start).max();
    assert_eq!(largest, Some(CHUNK_BYTES));
}

#[tokio::test]
async fn an_answer_that_was_damaged_on_its_way_is_no_damage() {
    let tiered = tiered().await;
    let segment = named(&tiered);
    scrub(&tiered, &segment).await.unwrap();
    let requests = tiered.objects.asked().len();
    for fault in [Fault::Flip(7), Fault::Cut(3)] {
        for request in 0..requests {
            let mut faults = vec![Fault::Cut(0); request];
            faults.push(fault);
            tiered.objects.fault(&faults);
            let scrubbed = scrub(&tiered, &segment).await;
            assert!(scrubbed.is_ok(), "{fault:?} of {request}: {scrubbed:?}");
        }
    }
}

#[tokio::test]
async fn a_store_that_refuses_damages_nothing() {
    let tiered = tiered().await;
    let segment = named(&tiered);
    scrub(&tiered, &segment).await.unwrap();
    for request in 0..tiered.objects.asked().len() {
        let mut faults = vec![Fault::Cut(0); request];
        faults.push(Fault::Fail(ObjectFailure::Unreachable));
        tiered.objects.fault(&faults);
        let error = scrub(&tiered, &segment).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test]
async fn the_chunk_that_is_damaged_is_told() {
    let tiered = tiered().await;
    let mut bytes = stored(&tiered).await;
    bytes[2_000_000] ^= 1;
    tiered.objects.inner.damage(&tiered.key(1, 0), bytes.into());
    let error = scrub(&tiered, &named(&tiered)).await.unwrap_err();
    let VerifyError::Section { kind, range, .. } = &error else {
        panic!("{error}");
    };
    let chunk = CHUNK_BYTES..2 * CHUNK_BYTES;
    assert_eq!((*kind, range), (SectionKind::Batches, &chunk));
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn what_is_cut_or_gone_is_seen_by_a_look() {
    let tiered = tiered().await;
    let (key, segment) = (tiered.key(1, 0), named(&tiered));
    let bytes = Bytes::from(stored(&tiered).await);
    let longer = [&bytes[..], b"x"].concat();
    for other in [bytes.slice(..bytes.len() - 1), longer.into(), Bytes::new()] {
        tiered.objects.inner.damage(&key, other);
        let error = check_named(&*tiered.objects, &key, HERE, &segment).await;
        assert!(
            matches!(error, Err(VerifyError::Length { .. })),
            "{error:?}"
        );
    }
    tiered.objects.delete(&key).await.unwrap();
    let error = check_named(&*tiered.objects, &key, HERE, &segment).await;
    assert!(
        matches!(error, Err(VerifyError::Missing { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn footer_and_manifest_say_the_same() {
    let tiered = tiered().await;
    let (key, segment) = (tiered.key(1, 0), named(&tiered));
    let change = |change: fn(&mut Segment)| {
        let mut segment = segment.clone();
        change(&mut segment);
        segment
    };
    // What is hidden of it is no contradiction.
    let less = change(|segment| (segment.start, segment.end) = (5, 9));
    assert!(scrub(&tiered, &less).await.is_ok());
    for (other, expected) in [
        (change(|s| s.id = id(9)), "its id"),
        (change(|s| s.generation = 1), "its generation"),
        (change(|s| s.object_start = 1), "its offsets"),
        (change(|s| s.end += 1), "its offsets"),
        (
            change(|s| s.max_timestamp = Timestamp(0)),
            "its largest timestamp",
        ),
        (change(|s| s.epochs = epochs(&[(1, 1)])), "its epochs"),
    ] {
        match check_named(&*tiered.objects, &key, HERE, &other).await {
            Err(VerifyError::Disagrees { what, .. }) => assert_eq!(what, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let mut elsewhere = HERE;
    elsewhere.partition += 1;
    let error = check_named(&*tiered.objects, &key, elsewhere, &segment).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flip_is_found(at: prop::sample::Index, bit in 0..8u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(async {
            let tiered = Tiered::whole(stones(6, 50)).await;
            let mut bytes = stored(&tiered).await;
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            tiered.objects.inner.damage(&tiered.key(1, 0), bytes.into());
            let read = AtomicU64::new(0);
            let segment = named(&tiered);
            let key = tiered.key(1, 0);
            let footer = check_named(&*tiered.objects, &key, HERE, &segment).await?;
            let checked = check_bytes(&*tiered.objects, &key, &footer, &read).await;
            assert!(read.load(Ordering::Relaxed) > 0);
            checked
        });
        prop_assert_eq!(found.map_err(|error| error.kind()), Err(ErrorKind::Corrupt));
    }
}
