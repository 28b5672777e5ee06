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
    Gap,
    OldEpoch,
}

fn verdict(producers: &Producers, header: &BatchHeader) -> Expect {
    match producers.check(header, Origin::Client) {
        Ok(None) => Expect::New,
        Ok(Some(stored)) => Expect::DuplicateAt(stored.base_offset),
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

#[test]
fn only_five_batches_are_remembered() {
    let batches: Vec<_> = (0..6).map(|i| at(i.into(), header(1, 0, i, 1))).collect();
    let history = stored(&batches);
    assert_eq!(verdict(&history, &header(1, 0, 0, 1)), Expect::Gap);
    assert_eq!(
        verdict(&history, &header(1, 0, 1, 1)),
        Expect::DuplicateAt(1)
    );
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
                prop_assert_eq!(again.map(|b| b.base_offset), Some(batch.base_offset));
            }
        }
    }

    #[test]
    fn strange_snapshots_never_panic(bytes: Vec<u8>) {
        let _ = Producers::from_snapshot(&bytes);
    }
}
