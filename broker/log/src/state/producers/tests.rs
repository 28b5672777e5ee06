//! Kafka's idempotence rules as tables.

use freshet_records::{Attributes, BatchHeader, HEADER_BYTES};
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_000);

fn header(id: ProducerId, epoch: ProducerEpoch, sequence: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: 0,
        size_bytes: HEADER_BYTES,
        leader_epoch: 0,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: count - 1,
        base_timestamp: Timestamp(0),
        max_timestamp: Timestamp(0),
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        record_count: count,
    }
}

fn at(offset: Offset, header: BatchHeader) -> BatchHeader {
    BatchHeader {
        base_offset: offset,
        ..header
    }
}

fn transactional(header: BatchHeader) -> BatchHeader {
    BatchHeader {
        attributes: header.attributes.with_transactional(true),
        ..header
    }
}

fn marker(id: ProducerId, epoch: ProducerEpoch) -> BatchHeader {
    let header = transactional(header(id, epoch, -1, 1));
    BatchHeader {
        attributes: header.attributes.with_control(true),
        ..header
    }
}

fn stored(headers: &[BatchHeader]) -> Producers {
    let mut producers = Producers::default();
    for header in headers {
        producers.apply(header, NOW, 100);
    }
    producers
}

#[derive(Debug, PartialEq)]
enum Expect {
    New,
    DuplicateAt(Offset),
    DuplicateBelow(Offset),
    Gap,
    OldEpoch,
}

fn verdict(producers: &Producers, header: &BatchHeader) -> Expect {
    match producers.check(header, Origin::Client) {
        Ok(None) => Expect::New,
        Ok(Some(Repeat::Remembered(stored))) => Expect::DuplicateAt(stored.base_offset),
        Ok(Some(Repeat::Below(end))) => Expect::DuplicateBelow(end),
        Err(AppendError::OutOfOrderSequence { .. }) => Expect::Gap,
        Err(AppendError::InvalidProducerEpoch { .. }) => Expect::OldEpoch,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn sequences_are_judged_as_kafka_does() {
    // Producer 7, epoch 2: sequences 0-9 at offset 100, 10-14 at 110, 15 at 115.
    let history = stored(&[
        at(100, header(7, 2, 0, 10)),
        at(110, header(7, 2, 10, 5)),
        at(115, header(7, 2, 15, 1)),
    ]);
    let table = [
        ("next", header(7, 2, 16, 3), Expect::New),
        ("gap", header(7, 2, 17, 1), Expect::Gap),
        ("last again", header(7, 2, 15, 1), Expect::DuplicateAt(115)),
        ("first again", header(7, 2, 0, 10), Expect::DuplicateAt(100)),
        ("same start, other count", header(7, 2, 10, 4), Expect::Gap),
        ("new epoch from 0", header(7, 3, 0, 1), Expect::New),
        ("new epoch, same numbers", header(7, 3, 15, 1), Expect::Gap),
        ("old epoch", header(7, 1, 16, 1), Expect::OldEpoch),
        ("stranger, anywhere", header(8, 0, 99, 1), Expect::New),
        ("not idempotent", header(-1, -1, -1, 1), Expect::New),
    ];
    for (name, batch, expected) in table {
        assert_eq!(verdict(&history, &batch), expected, "{name}");
    }
}

/// So many batches of ten, the first with this sequence at offset 1000.
fn tens(epoch: ProducerEpoch, first: i32, batches: i32) -> Vec<BatchHeader> {
    let sequences = (0..batches).map(|i| first.wrapping_add(10 * i) & i32::MAX);
    let offsets = (0..).map(|i| 1000 + 10 * i);
    let batches = offsets.zip(sequences);
    let batches = batches.map(|(offset, sequence)| at(offset, header(1, epoch, sequence, 10)));
    batches.collect()
}

#[test]
fn five_batches_are_remembered_and_older_ones_known_to_be_stored() {
    // Sequences 100-179; those from 130 on are remembered.
    let history = stored(&tens(4, 100, 8));
    let old = || Expect::DuplicateBelow(1030);
    let table = [
        (
            "the oldest remembered",
            header(1, 4, 130, 10),
            Expect::DuplicateAt(1030),
        ),
        ("the newest forgotten", header(1, 4, 120, 10), old()),
        ("the first of all", header(1, 4, 100, 10), old()),
        ("parts of two", header(1, 4, 115, 10), old()),
        ("all that is forgotten", header(1, 4, 100, 30), old()),
        ("one record", header(1, 4, 129, 1), old()),
        ("into what is remembered", header(1, 4, 129, 2), Expect::Gap),
        ("all, and the next", header(1, 4, 100, 90), Expect::Gap),
        ("from before the first", header(1, 4, 99, 2), Expect::Gap),
        ("before the first", header(1, 4, 90, 10), Expect::Gap),
        ("other bounds inside", header(1, 4, 130, 9), Expect::Gap),
        ("ahead", header(1, 4, 181, 10), Expect::Gap),
        ("far ahead", header(1, 4, i32::MAX, 10), Expect::Gap),
        ("next", header(1, 4, 180, 10), Expect::New),
        ("epoch before", header(1, 3, 110, 10), Expect::OldEpoch),
        ("epoch behind", header(1, 5, 110, 10), Expect::Gap),
    ];
    for (name, batch, expected) in table {
        assert_eq!(verdict(&history, &batch), expected, "{name}");
    }
    let exactly_five = stored(&tens(4, 100, 5));
    assert_eq!(verdict(&exactly_five, &header(1, 4, 90, 10)), Expect::Gap);
}

#[test]
fn what_is_older_is_known_across_the_end_of_sequences() {
    // MAX-14 to MAX-5, MAX-4 to 4, 5 to 14 are forgotten; 15 to 64 are remembered.
    let history = stored(&tens(0, i32::MAX - 14, 8));
    let old = || Expect::DuplicateBelow(1030);
    let table = [
        ("before the end", header(1, 0, i32::MAX - 14, 10), old()),
        ("across it", header(1, 0, i32::MAX - 4, 10), old()),
        ("behind it", header(1, 0, 5, 10), old()),
        ("to its last record", header(1, 0, i32::MAX, 1), old()),
        ("all", header(1, 0, i32::MAX - 14, 30), old()),
        (
            "from before the first",
            header(1, 0, i32::MAX - 15, 2),
            Expect::Gap,
        ),
        (
            "into what is remembered",
            header(1, 0, i32::MAX, 17),
            Expect::Gap,
        ),
        (
            "remembered",
            header(1, 0, 15, 10),
            Expect::DuplicateAt(1030),
        ),
        ("next", header(1, 0, 65, 10), Expect::New),
    ];
    for (name, batch, expected) in table {
        assert_eq!(verdict(&history, &batch), expected, "{name}");
    }
}

#[test]
fn what_is_behind_is_never_taken_for_what_is_ahead() {
    // 32 of these are all sequences there are, and 16 the most that are known.
    let size = 1 << 26;
    let nth = |i: i64| {
        let sequence = i32::try_from(i % 32).unwrap() * size;
        at(i * i64::from(size), header(1, 0, sequence, size))
    };
    let mut history = Producers::default();
    for i in 0..80 {
        assert_eq!(verdict(&history, &nth(i)), Expect::New, "batch {i}");
        history.apply(&nth(i), NOW, 100);
    }
    // Each of the 32 once: those before 64 are the next ones but one, too.
    for i in 49..=80 {
        let expected = match i {
            64..75 => Expect::DuplicateBelow(nth(75).base_offset),
            75..80 => Expect::DuplicateAt(nth(i).base_offset),
            80 => Expect::New,
            _ => Expect::Gap,
        };
        assert_eq!(verdict(&history, &nth(i)), expected, "batch {i}");
    }
}

#[test]
fn an_epoch_knows_nothing_of_the_one_before() {
    let mut history = stored(&tens(0, 0, 8));
    assert_eq!(
        verdict(&history, &header(1, 0, 0, 10)),
        Expect::DuplicateBelow(1030)
    );
    history.apply(&at(1080, header(1, 1, 0, 10)), NOW, 100);
    assert_eq!(verdict(&history, &header(1, 1, 10, 10)), Expect::New);
    for batch in &tens(1, 10, 6) {
        history.apply(batch, NOW, 100);
    }
    // 0-19 are forgotten, of this epoch.
    assert_eq!(
        verdict(&history, &header(1, 1, 10, 10)),
        Expect::DuplicateBelow(1010)
    );
    assert_eq!(verdict(&history, &header(1, 0, 10, 10)), Expect::OldEpoch);
    assert_eq!(verdict(&history, &header(1, 1, i32::MAX, 2)), Expect::Gap);

    // A marker that bumps the epoch (KIP-890) ends it as well, one that does not has no sequence.
    history.apply(&at(1070, marker(1, 1)), NOW, 100);
    assert_eq!(
        verdict(&history, &header(1, 1, 10, 10)),
        Expect::DuplicateBelow(1010)
    );
    history.apply(&at(1071, marker(1, 2)), NOW, 100);
    assert_eq!(verdict(&history, &header(1, 1, 10, 10)), Expect::OldEpoch);
    assert_eq!(verdict(&history, &header(1, 2, 10, 10)), Expect::Gap);
    for batch in &tens(2, 0, 5) {
        history.apply(batch, NOW, 100);
    }
    assert_eq!(
        verdict(&history, &header(1, 2, i32::MAX - 9, 10)),
        Expect::Gap
    );
}

#[test]
fn old_batches_of_a_transaction_are_known_while_it_is_open() {
    let batches: Vec<_> = tens(0, 0, 8).into_iter().map(transactional).collect();
    let history = stored(&batches);
    assert_eq!(verdict(&history, &batches[0]), Expect::DuplicateBelow(1030));
    assert_eq!(
        verdict(&history, &transactional(header(1, 0, 80, 1))),
        Expect::New
    );
}

#[test]
fn a_replica_that_had_not_forgotten_a_producer_knows_nothing_behind_a_gap() {
    let mut history = stored(&tens(0, 0, 8));
    // The leader had forgotten it, and took it anywhere.
    let behind = at(2000, header(1, 0, 500, 10));
    history.apply(&behind, NOW, 100);
    // 40-79 and 500-509 are remembered: 0-39 count until the gap is reached.
    assert_eq!(
        verdict(&history, &header(1, 0, 30, 10)),
        Expect::DuplicateBelow(1040)
    );
    for i in 1..6 {
        history.apply(&at(2000 + i, header(1, 0, 509 + i as i32, 1)), NOW, 100);
    }
    assert_eq!(verdict(&history, &header(1, 0, 30, 10)), Expect::Gap);
    assert_eq!(verdict(&history, &header(1, 0, 495, 5)), Expect::Gap);
    assert_eq!(verdict(&history, &behind), Expect::DuplicateBelow(2001));
}

#[test]
fn a_snapshot_keeps_what_is_older() {
    let history = stored(&tens(4, 100, 8));
    let mut back = Producers::from_snapshot(&history.snapshot()).unwrap();
    assert_eq!(back.snapshot(), history.snapshot());
    back.apply(&at(1080, header(1, 4, 180, 10)), NOW, 100);
    assert_eq!(
        verdict(&back, &header(1, 4, 100, 40)),
        Expect::DuplicateBelow(1040)
    );
    assert_eq!(verdict(&back, &header(1, 4, 99, 2)), Expect::Gap);
}

#[test]
fn a_snapshot_with_an_impossible_past_is_refused() {
    for (batches, before) in [(8, MOST_STORED + 1), (4, 1)] {
        let mut history = stored(&tens(4, 100, batches));
        let mut known = history.iter().next().unwrap().1.clone();
        known.before = before;
        history.restore(1, known);
        assert!(
            Producers::from_snapshot(&history.snapshot()).is_err(),
            "{before}"
        );
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let history = stored(&[at(5, header(1, 0, i32::MAX, 1))]);
    assert_eq!(verdict(&history, &header(1, 0, 0, 1)), Expect::New);
    let across = stored(&[at(5, header(1, 0, i32::MAX - 1, 4))]);
    assert_eq!(verdict(&across, &header(1, 0, 2, 1)), Expect::New);
    assert_eq!(
        verdict(&across, &header(1, 0, i32::MAX - 1, 4)),
        Expect::DuplicateAt(5)
    );
}

#[test]
fn replicas_and_coordinators_pass_without_sequences() {
    let history = stored(&[at(5, header(1, 3, 8, 1))]);
    let old = header(1, 2, 50, 1);
    assert_eq!(history.check(&old, Origin::Replica), Ok(None));
    let gap = header(1, 3, 50, 1);
    assert_eq!(history.check(&gap, Origin::Coordinator), Ok(None));
    let fenced = history.check(&old, Origin::Coordinator).unwrap_err();
    assert!(matches!(fenced, AppendError::InvalidProducerEpoch { .. }));
}

#[test]
fn transactions_open_and_close() {
    let mut history = stored(&[
        at(10, transactional(header(1, 0, 0, 1))),
        at(11, transactional(header(2, 0, 0, 1))),
        at(12, transactional(header(1, 0, 1, 1))),
    ]);
    assert_eq!(history.first_unstable(), Some(10));
    let plain = history.check(&header(1, 0, 2, 1), Origin::Client);
    let expected = AppendError::InvalidTransactionState { producer: 1 };
    assert_eq!(plain, Err(expected));

    // The marker bumps the epoch (KIP-890): the next sequence is 0 again.
    history.apply(&at(13, marker(1, 1)), NOW, 100);
    assert_eq!(history.first_unstable(), Some(11));
    assert_eq!(verdict(&history, &header(1, 1, 2, 1)), Expect::Gap);
    assert_eq!(verdict(&history, &header(1, 1, 0, 1)), Expect::New);
    history.apply(&at(14, marker(2, 0)), NOW, 100);
    assert_eq!(history.first_unstable(), None);
}

#[test]
fn the_longest_idle_is_forgotten_first_but_no_open_transaction() {
    let mut history = Producers::default();
    history.apply(&at(0, transactional(header(1, 0, 0, 1))), NOW, 2);
    history.apply(&at(1, header(2, 0, 0, 1)), NOW, 2);
    history.apply(&at(2, header(3, 0, 0, 1)), NOW, 2);
    let ids: Vec<_> = history.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [1, 3]);
    history.apply(&at(3, transactional(header(3, 0, 1, 1))), NOW, 2);
    history.apply(&at(4, transactional(header(4, 0, 0, 1))), NOW, 2);
    assert_eq!(history.iter().len(), 3, "all have open transactions");
}

#[test]
fn idle_producers_expire() {
    let mut history = stored(&[
        at(0, header(1, 0, 0, 1)),
        at(1, transactional(header(2, 0, 0, 1))),
    ]);
    history.expire(Timestamp(NOW.0 + 9), 10);
    assert_eq!(history.iter().len(), 2);
    history.expire(Timestamp(NOW.0 + 10), 10);
    let ids: Vec<_> = history.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [2]);
    assert_eq!(verdict(&history, &header(1, 0, 77, 1)), Expect::New);
}

#[test]
fn snapshots_keep_everything() {
    let mut history = stored(&[
        at(10, transactional(header(1, 4, i32::MAX, 3))),
        at(13, header(9, 0, 0, 1)),
        at(14, marker(2, 0)),
    ]);
    let back = Producers::from_snapshot(&history.snapshot()).unwrap();
    assert!(back.iter().eq(history.iter()) || back.iter().len() == 3);
    assert_eq!(back.first_unstable(), Some(10));
    assert_eq!(back.snapshot(), history.snapshot());
    history.apply(&at(20, marker(1, 4)), NOW, 100);
    assert_ne!(back.snapshot(), history.snapshot());
}

#[test]
fn a_producer_twice_in_a_snapshot_is_kept_once() {
    let history = stored(&[at(0, header(1, 0, 0, 1))]);
    let known = history.iter().next().unwrap().1.clone();
    let mut twice = Producers::default();
    twice.restore(1, known.clone());
    twice.restore(1, known);
    assert_eq!(twice.iter().len(), 1);
}

proptest! {
    /// Whatever a client sends, stored sequences of one epoch follow each other without a gap, and
    /// sending a stored batch again is a duplicate or refused, never stored twice.
    #[test]
    fn no_gap_and_no_double(tries in prop::collection::vec((0..3i16, 0..30i32, 1..4i32), 1..200)) {
        let mut producers = Producers::default();
        let mut end = 0;
        let mut last: Option<(ProducerEpoch, i32)> = None;
        for (epoch, sequence, count) in tries {
            let batch = at(end, header(1, epoch, sequence, count));
            if let Ok(None) = producers.check(&batch, Origin::Client) {
                match last {
                    Some((e, s)) if e == epoch => prop_assert_eq!(sequence, s + 1),
                    Some((e, _)) => {
                        prop_assert!(epoch > e);
                        prop_assert_eq!(sequence, 0);
                    }
                    None => {}
                }
                producers.apply(&batch, NOW, 10);
                end += i64::from(count);
                last = Some((epoch, batch.last_sequence()));
                let again = producers.check(&batch, Origin::Client).unwrap();
                let Some(Repeat::Remembered(stored)) = again else {
                    panic!("{again:?}");
                };
                prop_assert_eq!(stored.base_offset, batch.base_offset);
            }
        }
    }

    /// Nothing is called stored that is not, on a leader that forgets producers and on a replica that
    /// does not; and what a leader has stored since it knows the producer is never refused as a gap
    /// but for its bounds.
    #[test]
    fn what_is_called_a_duplicate_is_stored(
        tries in prop::collection::vec((0..2i16, 0..40i32, 1..6i32, 0..60u8), 1..300),
    ) {
        let (mut leader, mut replica) = (Producers::default(), Producers::default());
        let mut all: HashMap<(ProducerEpoch, i32), Offset> = HashMap::new();
        let mut end = 0;
        for (epoch, steps_back, count, chance) in tries {
            if chance == 0 {
                leader = Producers::default();
            }
            // A leader that has forgotten the producer takes it with a gap.
            let last = replica.iter().next().map_or(0, |(_, known)| known.last_sequence());
            let sequence = (last + 5 - steps_back).max(0);
            let batch = at(end, header(1, epoch, sequence, count));
            for side in [&leader, &replica] {
                if let Ok(Some(Repeat::Below(below))) = side.check(&batch, Origin::Client) {
                    for sequence in sequence..sequence + count {
                        let offset = all.get(&(epoch, sequence));
                        prop_assert!(offset.is_some_and(|offset| *offset < below));
                    }
                }
            }
            if let Ok(None) = leader.check(&batch, Origin::Client) {
                leader.apply(&batch, NOW, 10);
                replica.apply(&batch, NOW, 10);
                for (offset, sequence) in (end..).zip(sequence..sequence + count) {
                    all.entry((epoch, sequence)).or_insert(offset);
                }
                end += i64::from(count);
            }
        }
    }

    #[test]
    fn strange_snapshots_never_panic(bytes: Vec<u8>) {
        let _ = Producers::from_snapshot(&bytes);
    }
}
