//! What is read, against the log that was tiered.

use std::ops::Range;

use freshet_records::{BatchHeader, HEADER_BYTES};
use freshet_types::{Offset, Timestamp};
use proptest::prelude::*;

use super::bucket::{Stone, Tiered, from, joined, plain, stone};
use crate::machine::Ask;
use crate::manifest::Manifest;
use crate::read::{ColdError, ColdSpec, ReadLimits};

/// Batches: what lacks in front of them, their timestamps, the size of a value.
type Drawn = (i64, Vec<i64>, usize);

fn drawn() -> impl Strategy<Value = Drawn> {
    let size =
        prop_oneof![4 => 0..300usize, 1 => 50_000..200_000usize, 1 => 400_000..1_200_000usize];
    let times = prop::collection::vec(0..60i64, 1..4);
    (prop_oneof![3 => Just(0), 1 => 1..4i64], times, size)
}

/// A log in segments that begins there, or at its end.
async fn begun_at(
    log_start: Offset,
    log: Vec<Stone>,
    segments: &[Range<usize>],
) -> (Tiered, Offset) {
    let mut tiered = Tiered::new(log, segments).await;
    let log_start = log_start.min(tiered.shard.manifest().remote_end());
    tiered.shard.ask(1, Ask::MoveStart { log_start }).unwrap();
    (tiered, log_start)
}

fn lay(drawn: &[Drawn]) -> Vec<Stone> {
    let mut next = 0;
    let mut log = Vec::new();
    for (gap, times, size) in drawn {
        let laid = stone(next + gap, times, *size);
        next = laid.next;
        log.push(laid);
    }
    log
}

/// Segments over `count` batches: each begins in front of where the one before ends, or there.
fn cut(count: usize, cuts: &[(usize, usize)]) -> Vec<Range<usize>> {
    let mut segments: Vec<Range<usize>> = Vec::new();
    let mut end = 0;
    for (length, overlap) in cuts {
        if end == count {
            break;
        }
        let start = end - (*overlap).min(end);
        end = (end + length).min(count);
        segments.push(start..end);
    }
    if end < count {
        segments.push(end..count);
    }
    segments
}

/// What a log would answer: the batches that hold the offset and follow, as far as the limits go.
fn expected<'a>(manifest: &Manifest, log: &'a [Stone], spec: &ColdSpec) -> &'a [Stone] {
    let first = log.partition_point(|stone| stone.next <= spec.from);
    let Some(stone) = log.get(first) else {
        return &[];
    };
    let holds = |end: Offset| stone.next <= end;
    let segment = manifest
        .segments()
        .iter()
        .find(|segment| holds(segment.end));
    let upper = segment.map_or(0, |segment| segment.end.min(spec.upper_bound));
    let (mut last, mut bytes) = (first, 0);
    while let Some(stone) = log.get(last) {
        bytes += stone.bytes.len();
        let must = last == first && spec.at_least_one;
        if stone.next > upper || (bytes > spec.max_bytes && !must) {
            break;
        }
        last += 1;
    }
    &log[first..last]
}

/// The plain way to find a record by time.
fn first_at(log: &[Stone], bounds: &Range<Offset>, target: i64) -> Option<(Offset, i64)> {
    let records = log
        .iter()
        .flat_map(|stone| (stone.base..).zip(stone.times.iter()));
    let mut counted = records.filter(|(offset, _)| bounds.contains(offset));
    counted
        .find(|(_, time)| **time >= target)
        .map(|(offset, time)| (offset, *time))
}

async fn check(tiered: &Tiered, reads: &[(i64, usize, i64, bool)]) -> Result<(), TestCaseError> {
    let past = tiered.past();
    let manifest = &past.manifest;
    let end = manifest.remote_end();
    let reader = tiered.reader(ReadLimits {
        requests: 3,
        ..ReadLimits::default()
    });
    for (at, max_bytes, upper, at_least_one) in reads {
        let spec = ColdSpec {
            from: at % (end + 3),
            max_bytes: *max_bytes,
            upper_bound: upper % (end + 3),
            at_least_one: *at_least_one,
            client: 7,
        };
        let got = reader.read(&past, &spec).await;
        if spec.from < manifest.log_start() || spec.from >= end {
            let outside = matches!(got, Err(ColdError::OutOfRange { .. }));
            prop_assert!(outside, "{:?}", got);
            continue;
        }
        let got = got.unwrap();
        let wanted = match spec.upper_bound <= spec.from {
            true => &[],
            false => expected(manifest, &tiered.stones, &spec),
        };
        let bytes = joined(wanted);
        prop_assert_eq!(got.bytes, bytes.len());
        prop_assert_eq!(got.chunks.concat(), bytes.to_vec());
        let next = wanted.last().map_or(spec.from, |last| last.next);
        prop_assert_eq!(got.next_offset, next);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn reads_are_those_of_the_log(
        drawn in prop::collection::vec(drawn(), 1..24),
        cuts in prop::collection::vec((1..8usize, 0..3usize), 0..6),
        log_start in 0..20i64,
        reads in prop::collection::vec(
            (0..1000i64, prop_oneof![0..400usize, 0..3_000_000usize], 0..1000i64, any::<bool>()),
            1..24,
        ),
    ) {
        let log = lay(&drawn);
        let segments = cut(log.len(), &cuts);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (tiered, _) = begun_at(log_start, log, &segments).await;
            check(&tiered, &reads).await
        })?;
    }

    #[test]
    fn times_are_those_of_the_log(
        drawn in prop::collection::vec(drawn(), 1..20),
        cuts in prop::collection::vec((1..8usize, 0..3usize), 0..6),
        log_start in 0..20i64,
        lookups in prop::collection::vec((0..62i64, 0..60i64), 1..12),
    ) {
        let log = lay(&drawn);
        let segments = cut(log.len(), &cuts);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (tiered, log_start) = begun_at(log_start, log, &segments).await;
            let (past, reader) = (tiered.past(), tiered.reader(plain()));
            for (target, upper) in lookups {
                let bounds = log_start..upper;
                let found = reader.find_time(&past, Timestamp(target), upper, 1).await.unwrap();
                let found = found.map(|found| (found.offset, found.timestamp.0));
                prop_assert_eq!(found, first_at(&tiered.stones, &bounds, target));
                // Batch headers tell the maximum: bounds are those of batches here.
                let border = |at: Offset| {
                    let next = tiered.stones.iter().map(|stone| stone.next).find(|next| *next >= at);
                    next.unwrap_or(Offset::MAX)
                };
                let upper = border(upper);
                let bounds = log_start..upper;
                let inside = tiered.stones.iter().filter(|stone| {
                    stone.next > log_start && stone.next <= upper
                });
                let largest = inside.flat_map(|stone| stone.times.iter().copied()).max();
                let wanted = largest.and_then(|most| first_at(&tiered.stones, &bounds, most));
                let found = reader.find_max_time(&past, upper, 1).await.unwrap();
                prop_assert_eq!(found.map(|found| (found.offset, found.timestamp.0)), wanted);
            }
            Ok(())
        })?;
    }
}

/// A batch larger than a chunk, and headers across borders, in one walk from end to end.
#[tokio::test]
async fn a_consumer_reads_all_of_it() {
    let mut log = vec![stone(0, &[1], 3_500_000)];
    for n in 1..400 {
        let size = usize::try_from(n * 7919 % 20_000).unwrap();
        log.push(stone(n, &[n], size));
    }
    let tiered = Tiered::new(log, &[0..150, 100..300, 300..400]).await;
    let reader = tiered.reader(ReadLimits::default());
    let past = tiered.past();
    for max_bytes in [1, 5_000, 700_000] {
        let mut bytes = Vec::new();
        let mut at = 0;
        while at < past.manifest.remote_end() {
            let got = reader.read(&past, &from(at, max_bytes)).await.unwrap();
            assert!(got.next_offset > at);
            at = got.next_offset;
            bytes.extend(got.chunks.concat());
        }
        assert_eq!(bytes, joined(&tiered.stones), "{max_bytes}");
    }
}

/// Segments whose last records were cleaned away, and one that is empty: the next one is read.
#[tokio::test]
async fn cleaned_ends_lead_on() {
    use super::bucket::source;
    use crate::object::upload;
    let stones = [stone(0, &[1], 10), stone(30, &[2], 10)];
    let mut tiered = Tiered::new(stones.to_vec(), &[]).await;
    for (n, list, start, end) in [
        (1, &stones[..1], 0, 10),
        (2, &[], 10, 20),
        (3, &stones[1..], 20, 40),
    ] {
        let (key, source) = (tiered.key(n, start), source(n, list, start, end));
        let stored = upload(&*tiered.objects, &key, source).await.unwrap();
        tiered.shard.append(1, stored).unwrap();
    }
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    for at in [1, 9, 10, 15, 20, 30] {
        let got = reader.read(&past, &from(at, 1000)).await.unwrap();
        assert_eq!(
            (got.next_offset, got.chunks.concat()),
            (31, stones[1].bytes.to_vec()),
            "{at}"
        );
    }
    // Behind the last batch there is nothing in the bucket: the local log goes on at its end.
    let got = reader.read(&past, &from(35, 1000)).await.unwrap();
    assert_eq!((got.bytes, got.next_offset), (0, 40));
    let mut bounded = from(5, 1000);
    bounded.upper_bound = 20;
    let got = reader.read(&past, &bounded).await.unwrap();
    assert_eq!((got.bytes, got.next_offset), (0, 5));
}

/// Batches that the leader stamped: records share a time, also those that do not count.
#[tokio::test]
async fn append_times_count_within_the_bounds() {
    let stamped = |base, time| {
        let mut stone = stone(base, &[1, 2, 3], 10);
        let header = BatchHeader::parse(&stone.bytes).unwrap();
        let header = header.with_log_append_time(Timestamp(time));
        stone.bytes = [&header.encode()[..], &stone.bytes[HEADER_BYTES..]]
            .concat()
            .into();
        stone
    };
    let mut tiered = Tiered::whole(vec![stamped(0, 50), stamped(3, 60), stamped(6, 55)]).await;
    for (log_start, target, upper, wanted) in [
        (0, 40, 9, Some((0, 50))),
        (0, 51, 9, Some((3, 60))),
        (3, 40, 9, Some((3, 60))),
        (4, 40, 9, Some((4, 60))),
        (4, 40, 4, None),
        (6, 56, 9, None),
        (6, 40, 9, Some((6, 55))),
    ] {
        tiered.shard.ask(1, Ask::MoveStart { log_start }).unwrap();
        let (past, reader) = (tiered.past(), tiered.reader(plain()));
        let found = reader
            .find_time(&past, Timestamp(target), upper, 1)
            .await
            .unwrap();
        let found = found.map(|found| (found.offset, found.timestamp.0));
        assert_eq!(found, wanted, "{log_start} {target} {upper}");
    }
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    let most = reader.find_max_time(&past, 9, 1).await.unwrap().unwrap();
    assert_eq!(
        (most.offset, most.timestamp.0, most.leader_epoch),
        (6, 55, 1)
    );
}
