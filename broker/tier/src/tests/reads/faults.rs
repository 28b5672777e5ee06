//! A store that fails, and objects that are damaged: the right error, never wrong bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{MemoryObjects, ObjectFailure};
use freshet_records::crc32c;
use freshet_records::envelope::{Kind, seal};
use freshet_types::{ErrorKind, Retry, Timestamp};
use proptest::prelude::*;

use super::super::support::HERE;
use super::bucket::{Fault, Tiered, from, joined, plain, settle, stones};
use crate::object::{Footer, SectionKind, Sums};
use crate::read::ColdError;

async fn tiered() -> Tiered {
    Tiered::whole(stones(40, 100_000)).await
}

async fn stored(tiered: &Tiered) -> Vec<u8> {
    let key = tiered.key(1, 0);
    let len = tiered.objects.inner.head(&key).await.unwrap().len_bytes;
    tiered
        .objects
        .inner
        .get_range(&key, 0..len)
        .await
        .unwrap()
        .to_vec()
}

#[tokio::test]
async fn trouble_passes_and_is_worth_another_try() {
    let tiered = tiered().await;
    let past = tiered.past();
    for (failure, kind) in [
        (ObjectFailure::Throttled, ErrorKind::Busy),
        (ObjectFailure::Unanswered, ErrorKind::Unavailable),
        (ObjectFailure::Unreachable, ErrorKind::Unavailable),
        (ObjectFailure::Denied, ErrorKind::Unavailable),
        // No such bucket, say: the object is as long as it should be.
        (ObjectFailure::Invalid, ErrorKind::Unavailable),
    ] {
        let reader = tiered.reader(plain());
        tiered.objects.fault(&[Fault::Fail(failure)]);
        let error = reader.read(&past, &from(3, 1000)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (kind, Retry::After),
            "{error}"
        );
        let got = reader.read(&past, &from(3, 1000)).await.unwrap();
        assert_eq!(got.chunks.concat(), tiered.stones[3].bytes);
        assert_eq!(reader.counters().failed.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_or_flipped_is_asked_for_again_once() {
    let tiered = tiered().await;
    let past = tiered.past();
    let sound = tiered.stones[3].bytes.clone();
    // The first request is for the object's end, the second for the chunk.
    let good = [Fault::Cut(0)];
    for fault in [
        Fault::Cut(1),
        Fault::Cut(400),
        Fault::Flip(0),
        Fault::Flip(7),
        Fault::Flip(314_159),
    ] {
        for first in [&good[..], &[]] {
            let reader = tiered.reader(plain());
            let once: Vec<Fault> = first.iter().copied().chain([fault]).collect();
            tiered.objects.fault(&once);
            let got = reader.read(&past, &from(3, 1000)).await.unwrap();
            assert_eq!(got.chunks.concat(), sound, "{fault:?}");
        }
        let reader = tiered.reader(plain());
        tiered.objects.fault(&[good[0], fault, fault]);
        let error = reader.read(&past, &from(3, 1000)).await.unwrap_err();
        assert!(matches!(error, ColdError::Damaged { .. }), "{error}");
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Corrupt, Retry::Never)
        );
        let got = reader.read(&past, &from(3, 1000)).await.unwrap();
        assert_eq!(got.chunks.concat(), sound, "what was damaged is not kept");
    }
}

#[tokio::test]
async fn a_missing_object_is_no_end_of_the_log() {
    let tiered = tiered().await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    tiered.objects.delete(&tiered.key(1, 0)).await.unwrap();
    let error = reader.read(&past, &from(3, 1000)).await.unwrap_err();
    assert_eq!(
        error,
        ColdError::Missing {
            key: tiered.key(1, 0)
        }
    );
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = reader
        .find_time(&past, Timestamp(5), 40, 1)
        .await
        .unwrap_err();
    assert!(matches!(error, ColdError::Missing { .. }));
}

#[tokio::test]
async fn a_short_object_is_damaged_where_it_is_cut() {
    let tiered = tiered().await;
    let past = tiered.past();
    let whole = stored(&tiered).await;
    for len in [0, 1, 300_000, whole.len() - 1] {
        let key = tiered.key(1, 0);
        let cut = Bytes::copy_from_slice(&whole[..len]);
        tiered.objects.inner.damage(&key, cut);
        let error = tiered
            .reader(plain())
            .read(&past, &from(3, 1000))
            .await
            .unwrap_err();
        assert!(matches!(error, ColdError::Damaged { .. }), "{len}: {error}");
    }
}

/// Damage in one chunk: the others are read, and a read that runs into it gives what is in front.
#[tokio::test]
async fn other_offsets_stay_readable() {
    let tiered = tiered().await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    let mut whole = stored(&tiered).await;
    whole[1_500_000] ^= 1;
    tiered.objects.inner.damage(&tiered.key(1, 0), whole.into());
    let one = tiered.stones[0].bytes.len();
    let in_front = (1 << 20) / one;
    let got = reader.read(&past, &from(0, 4 << 20)).await.unwrap();
    assert_eq!(got.chunks.concat(), joined(&tiered.stones[..in_front]));
    let at = i64::try_from(in_front).unwrap();
    let error = reader.read(&past, &from(at, 4 << 20)).await.unwrap_err();
    assert!(
        matches!(
            error,
            ColdError::Damaged {
                position: 1_048_576,
                ..
            }
        ),
        "{error}"
    );
    let behind = (2 << 20) / one + 1;
    let got = reader
        .read(&past, &from(i64::try_from(behind).unwrap(), 1000))
        .await
        .unwrap();
    assert_eq!(got.chunks.concat(), tiered.stones[behind].bytes);
}

#[tokio::test]
async fn the_object_of_another_segment_is_not_read() {
    let tiered = Tiered::new(stones(20, 1000), &[0..10, 10..20]).await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    let (first, second) = (tiered.key(1, 0), tiered.key(2, 10));
    let objects = &tiered.objects.inner;
    let len = objects.head(&second).await.unwrap().len_bytes;
    let other = objects.get_range(&second, 0..len).await.unwrap();
    objects.damage(&first, other);
    let error = reader.read(&past, &from(3, 1000)).await.unwrap_err();
    assert!(
        matches!(&error, ColdError::Damaged { what, .. } if what.contains("another segment")),
        "{error}"
    );
}

/// The runtime of cold reads ends, or a request is never answered and its reader goes away.
#[tokio::test]
async fn who_waits_for_nobody_is_told_or_gone() {
    let tiered = tiered().await;
    let past = tiered.past();
    let objects: Arc<dyn Objects> = Arc::<super::bucket::Faulty>::clone(&tiered.objects);
    let nowhere: crate::read::Spawn = Arc::new(drop);
    let layout = tiered.layout.clone();
    let reader = crate::read::ColdReader::new(objects, layout, nowhere, plain(), None);
    let error = reader.read(&past, &from(3, 1000)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Unavailable, Retry::After)
    );

    let reader = tiered.reader(plain());
    tiered.objects.fault(&[Fault::Silent]);
    let waits = {
        let (reader, past) = (reader.clone(), past.clone());
        tokio::spawn(async move { reader.read(&past, &from(3, 1000)).await })
    };
    settle().await;
    assert!(!waits.is_finished());
    waits.abort();
    // The same object hangs with its request; other places are free.
    assert_eq!(tiered.objects.asked().len(), 1);
}

#[tokio::test]
async fn sections_are_as_stored() {
    let mut tiered = Tiered::new(stones(20, 1000), &[0..10, 10..20]).await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    assert_eq!(
        reader.aborted(&past, 3, 1).await,
        Ok(Bytes::from(vec![1; 64]))
    );
    assert_eq!(
        reader.aborted(&past, 13, 1).await,
        Ok(Bytes::from(vec![2; 64]))
    );
    assert_eq!(
        reader
            .producers_after(&past, past.manifest.remote_end() - 1, 1)
            .await,
        Ok(Bytes::from(vec![2; 100]))
    );
    let before = tiered.objects.asked().len();
    reader.aborted(&past, 3, 2).await.unwrap();
    assert_eq!((before, tiered.objects.asked().len()), (5, 0), "kept");
    // An unclean leader has cut the last segment's end off.
    let mut claim = super::super::support::log(0, 0, 15);
    claim.epochs = super::super::support::epochs(&[(1, 0), (2, 15)]);
    claim.log_end = 16;
    claim.unclean = Some(2);
    tiered
        .shard
        .ask(2, crate::machine::Ask::Claim(claim))
        .unwrap();
    let past = tiered.past();
    assert_eq!(past.manifest.remote_end(), 15);
    let error = reader
        .producers_after(&past, past.manifest.remote_end() - 1, 1)
        .await
        .unwrap_err();
    assert!(matches!(error, ColdError::NoSection { .. }), "{error}");
    let got = reader.read(&past, &from(10, 1 << 20)).await.unwrap();
    assert_eq!(
        (got.next_offset, got.chunks.concat()),
        (15, joined(&tiered.stones[10..15]).to_vec())
    );
    let outside = reader.read(&past, &from(15, 1 << 20)).await.unwrap_err();
    assert!(matches!(outside, ColdError::OutOfRange { .. }), "{outside}");
}

/// A footer that is sound by its checksum and says this of itself.
fn forged(footer: &Footer, bytes: &[u8], change: impl Fn(&mut Footer)) -> Vec<u8> {
    let mut forged = footer.clone();
    change(&mut forged);
    let old = footer.to_bytes().len();
    let mut object = bytes[..bytes.len() - old].to_vec();
    object.extend(forged.to_bytes());
    object
}

#[tokio::test]
async fn footers_that_contradict_their_object_are_refused() {
    let tiered = tiered().await;
    let past = tiered.past();
    let bytes = stored(&tiered).await;
    let footer = Footer::from_tail(&bytes, bytes.len() as u64).unwrap();
    type Change = fn(&mut Footer);
    let changes: [Change; 6] = [
        |footer| footer.id.0[0] ^= 1,
        |footer| footer.end = 39,
        |footer| footer.generation = 1,
        // Batches that claim what is the index, so that the sums and the index do not fit them.
        |footer| {
            let until = footer.sections[1].range.end;
            footer.sections[0].range.end = until;
            footer.sections[1].range.start = until;
        },
        // An index of megabytes.
        |footer| {
            footer.sections[0].range.end = 1000;
            footer.sections[1].range.start = 1000;
        },
        |footer| footer.sections[4].kind = SectionKind::ProducersBefore,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let forged = forged(&footer, &bytes, change);
        assert_eq!(forged.len(), bytes.len());
        tiered
            .objects
            .inner
            .damage(&tiered.key(1, 0), forged.into());
        tiered.objects.asked();
        let error = tiered
            .reader(plain())
            .read(&past, &from(3, 1000))
            .await
            .unwrap_err();
        assert!(matches!(error, ColdError::Damaged { .. }), "{n}: {error}");
        let asked = tiered.objects.asked();
        assert!(
            asked
                .iter()
                .all(|range| range.end - range.start <= 256 << 10),
            "{asked:?}"
        );
    }
}

/// The object with one byte of its batches changed, and every sum of ours made to fit.
fn laundered(footer: &Footer, bytes: &[u8], at: usize) -> Vec<u8> {
    let mut object = bytes.to_vec();
    object[at] ^= 1;
    let mut sums = Sums::default();
    let end = usize::try_from(footer.sections[0].range.end).unwrap();
    sums.add(&object[..end]);
    let mut forged = footer.clone();
    forged.sections[0].crc = sums.finish();
    let section = forged.sections.last_mut().unwrap();
    assert_eq!(section.kind, SectionKind::Sums);
    section.crc = crc32c(&sums.to_bytes());
    object.truncate(usize::try_from(section.range.start).unwrap());
    object.extend(sums.to_bytes());
    object.extend(forged.to_bytes());
    object
}

/// The batches' own checksums count as well.
#[tokio::test]
async fn a_batch_that_nobody_should_have_stored_is_not_handed_out() {
    let tiered = tiered().await;
    let (past, bytes) = (tiered.past(), stored(&tiered).await);
    let footer = Footer::from_tail(&bytes, bytes.len() as u64).unwrap();
    let one = tiered.stones[0].bytes.len();
    // In the body of the second batch, in its length, and in its format byte.
    for at in [one + 5000, one + 9, one + 8, one + 16] {
        let object = laundered(&footer, &bytes, at);
        assert_eq!(object.len(), bytes.len());
        tiered
            .objects
            .inner
            .damage(&tiered.key(1, 0), object.into());
        let reader = tiered.reader(plain());
        let first = reader.read(&past, &from(0, 1 << 20)).await.unwrap();
        assert_eq!(first.chunks.concat(), tiered.stones[0].bytes, "{at}");
        let error = reader.read(&past, &from(1, 1000)).await.unwrap_err();
        let here = one as u64;
        assert!(
            matches!(error, ColdError::Damaged { position, .. } if position == here),
            "{at}: {error}"
        );
        let time = reader.find_time(&past, Timestamp(1), 40, 1).await;
        assert!(matches!(time, Err(ColdError::Damaged { .. })), "{time:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Anything at all at the object's end.
    #[test]
    fn strange_ends_never_panic(body: Vec<u8>, sealed: bool, trailer in prop::option::of(any::<u32>())) {
        const FOOTER: Kind = Kind { magic: *b"FRTO", version: 1 };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let tiered = Tiered::whole(stones(4, 100)).await;
            let whole = stored(&tiered).await;
            let mut end = if sealed { seal(FOOTER, &body) } else { body };
            let length = trailer.unwrap_or(u32::try_from(end.len()).unwrap());
            end.extend(length.to_be_bytes());
            let keep = whole.len().saturating_sub(end.len());
            let object = [&whole[..keep], &end].concat();
            tiered.objects.inner.damage(&tiered.key(1, 0), object.into());
            let error = tiered.reader(plain()).read(&tiered.past(), &from(1, 10)).await.unwrap_err();
            prop_assert!(matches!(error, ColdError::Damaged { .. }), "{}", error);
            Ok(())
        })?;
    }

    /// One flipped bit anywhere in the stored object: a read gives what was written, or an error.
    #[test]
    fn a_flip_never_gives_wrong_bytes(at: prop::sample::Index, bit in 0..8u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let tiered = Tiered::whole(stones(6, 300)).await;
            let mut whole = stored(&tiered).await;
            let at = at.index(whole.len());
            whole[at] ^= 1 << bit;
            let batches = joined(&tiered.stones).len();
            tiered.objects.inner.damage(&tiered.key(1, 0), whole.into());
            let reader = tiered.reader(plain());
            for n in 0..6 {
                match reader.read(&tiered.past(), &from(n, 1)).await {
                    Ok(got) => {
                        let stone = &tiered.stones[usize::try_from(n).unwrap()];
                        prop_assert!(at >= batches, "one chunk: nothing of it passes");
                        prop_assert_eq!(got.chunks.concat(), stone.bytes.to_vec());
                    }
                    Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn names_are_asked_for_as_the_layout_has_them() {
    let tiered = Tiered::whole(stones(4, 100)).await;
    let empty = MemoryObjects::default();
    assert!(empty.head(&tiered.key(1, 0)).await.is_err());
    tiered
        .reader(plain())
        .read(&tiered.past(), &from(0, 10))
        .await
        .unwrap();
    let asked: Vec<String> = tiered
        .objects
        .gets
        .lock()
        .iter()
        .map(|(key, _)| key.clone())
        .collect();
    assert!(
        asked
            .iter()
            .all(|key| tiered.layout.parse(HERE, key).is_some()),
        "{asked:?}"
    );
}

/// What is wrong with one of several chunks that came together harms no other one.
#[tokio::test]
async fn of_several_chunks_that_came_together_only_the_damaged_one_is_asked_for_again() {
    let tiered = tiered().await;
    let past = tiered.past();
    let good = Fault::Cut(0);
    // In the middle of the second chunk of three; the last one is short.
    let damaged = [Fault::Flip(1_500_000), Fault::Cut(1_000)];
    for fault in damaged {
        // The object's end, then its first chunk and the others, whichever is asked for first.
        for faults in [[good, good, fault], [good, fault, good]] {
            let reader = tiered.reader(plain());
            tiered.objects.asked();
            tiered.objects.fault(&faults);
            let got = reader.read(&past, &from(0, 8 << 20)).await.unwrap();
            assert_eq!(got.chunks.concat(), joined(&tiered.stones), "{fault:?}");
            assert_eq!(reader.counters().damaged.load(Ordering::Relaxed), 1);
            let asked = tiered.objects.asked();
            assert_eq!(asked.len(), 4, "{asked:?}");
        }
    }
    // One request that fails is everybody's trouble, and is over with it.
    let reader = tiered.reader(plain());
    let refused = Fault::Fail(ObjectFailure::Throttled);
    tiered.objects.fault(&[good, refused, refused]);
    let first = reader.read(&past, &from(0, 8 << 20)).await;
    assert_eq!(first.unwrap_err().kind(), ErrorKind::Busy);
    let got = reader.read(&past, &from(0, 8 << 20)).await.unwrap();
    assert_eq!(got.chunks.concat(), joined(&tiered.stones));
}
