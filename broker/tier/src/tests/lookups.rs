//! What readers find, against the plain way to find it.

use freshet_types::{Offset, Timestamp};
use proptest::prelude::*;

use super::support::{Shard, epochs, id, stored};
use crate::machine::Ask;
use crate::manifest::EpochEnd;

/// Segments of these lengths, one after the other, with these timestamps.
fn shard(lengths: &[(i64, i64)]) -> Shard {
    let mut shard = Shard::claimed();
    let mut start = 0;
    for (n, (length, time)) in (1..).zip(lengths) {
        let mut stored = stored(n, start, start + length);
        stored.max_timestamp = Timestamp(*time);
        shard.append(1, stored).unwrap();
        start += length;
    }
    shard
}

#[test]
fn epochs_end_as_in_a_log() {
    let mut shard = Shard::with(&[]);
    shard
        .ask(9, Ask::Claim(super::support::log(0, 0, 1000)))
        .unwrap();
    for (n, start, end, history) in [
        (1, 10, 20, &[(2, 0)][..]),
        (2, 20, 40, &[(2, 0), (4, 30)]),
        (3, 40, 50, &[(4, 30), (7, 45)]),
    ] {
        if n == 1 {
            shard.ask(9, Ask::MoveStart { log_start: 10 }).unwrap();
        }
        let mut stored = stored(n, start, end);
        stored.epochs = epochs(history);
        shard.append(9, stored).unwrap();
    }
    let manifest = shard.manifest();
    assert_eq!(manifest.epochs(), epochs(&[(2, 0), (4, 30), (7, 45)]));
    let table = [(1, Some((1, 0))), (2, Some((2, 30))), (3, Some((2, 30)))];
    let table = table
        .into_iter()
        .chain([(4, Some((4, 45))), (7, None), (8, None)]);
    for (asked, end) in table {
        let end = end.map(|(epoch, end_offset)| EpochEnd { epoch, end_offset });
        assert_eq!(manifest.end_of_epoch(asked), end, "{asked}");
    }
}

#[test]
fn an_empty_manifest_shows_nothing() {
    let shard = Shard::claimed();
    let manifest = shard.manifest();
    assert!(manifest.at(0).is_none());
    assert!(manifest.since_time(Timestamp(0)).next().is_none());
    assert!(manifest.end_of_epoch(0).is_none());
    assert_eq!((manifest.remote_end(), manifest.size_bytes()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_offset_has_the_segment_that_holds_it(
        lengths in prop::collection::vec((1..20i64, 0..1i64), 0..20),
        log_start in 0..100i64,
    ) {
        let mut shard = shard(&lengths);
        let end = shard.manifest().remote_end();
        let log_start = log_start.min(end);
        shard.ask(1, Ask::MoveStart { log_start }).unwrap();
        let manifest = shard.manifest();
        for offset in -1..end + 2 {
            let holds = |start: Offset, end: Offset| start <= offset && offset < end;
            let plain = manifest.segments().iter().find(|s| holds(s.start, s.end));
            let plain = plain.filter(|_| offset >= log_start);
            prop_assert_eq!(manifest.at(offset), plain);
        }
    }

    #[test]
    fn a_time_has_all_segments_that_may_hold_it(
        lengths in prop::collection::vec((1..5i64, 0..30i64), 0..20),
        time in 0..32i64,
        drop in 0..10i64,
    ) {
        let mut shard = shard(&lengths);
        let log_start = drop.min(shard.manifest().remote_end());
        shard.ask(1, Ask::MoveStart { log_start }).unwrap();
        let manifest = shard.manifest();
        let plain = manifest.segments().iter().filter(|s| s.max_timestamp.0 >= time);
        prop_assert!(manifest.since_time(Timestamp(time)).eq(plain));
    }

    #[test]
    fn generations_keep_the_lookups(cut in 1..5u8) {
        let mut shard = shard(&[(10, 5), (10, 9), (10, 1), (10, 7), (10, 3)]);
        let removed: Vec<u8> = (1..=cut).collect();
        let end = i64::from(cut) * 10;
        shard.rewrite(&[stored(99, 0, end)], &removed).unwrap();
        for offset in 0..50 {
            let found = shard.manifest().at(offset).unwrap();
            prop_assert_eq!(found.id == id(99), offset < end);
        }
    }
}
