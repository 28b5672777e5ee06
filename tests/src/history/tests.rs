//! Each anomaly as one small history, and planted into histories made from seeds.

use proptest::prelude::*;

use super::*;
use crate::bits::Bits;

fn at(value: u64, offset: i64) -> Write {
    Write {
        value,
        partition: 0,
        offset,
    }
}

fn good() -> History {
    let writes: Vec<Write> = (0..5).map(|n| at(n + 100, n as i64)).collect();
    History {
        sent: (100..110).collect(),
        acked: writes.clone(),
        polls: vec![writes.clone()],
        last_read: writes,
        ..History::default()
    }
}

#[test]
fn a_good_history_has_no_anomaly() {
    assert_eq!(good().check(), []);
}

#[test]
fn an_unacknowledged_write_may_be_there() {
    let mut history = good();
    history.last_read.push(at(105, 5));
    assert_eq!(history.check(), []);
}

#[test]
fn gaps_between_offsets_are_no_skip_where_no_record_is_known() {
    let mut history = good();
    let jump = at(105, 9);
    history.acked.push(jump);
    history.polls[0].push(jump);
    history.last_read.push(jump);
    assert_eq!(history.check(), []);
}

#[test]
fn an_acknowledged_write_that_was_passed_over_is_lost() {
    let mut history = good();
    history.last_read.remove(2);
    history.polls.clear();
    assert_eq!(history.check(), [Anomaly::LostWrite(at(102, 2))]);
}

/// A leader knows of an old duplicate that it is stored, and not where.
#[test]
fn a_write_that_was_acknowledged_without_a_place_must_be_there() {
    let mut history = good();
    history.acked[2].offset = -1;
    assert_eq!(history.check(), []);
    history.last_read.remove(2);
    history.polls.clear();
    assert_eq!(history.check(), [Anomaly::LostWrite(at(102, -1))]);
}

#[test]
fn an_acknowledged_write_missing_at_the_end_is_unseen() {
    let mut history = good();
    history.last_read.pop();
    assert_eq!(history.check(), [Anomaly::Unseen(at(104, 4))]);
}

#[test]
fn a_truncated_and_rewritten_offset_is_inconsistent() {
    let mut history = good();
    history.last_read[4] = at(105, 4);
    let wanted = Anomaly::InconsistentOffsets {
        partition: 0,
        offset: 4,
        first: 104,
        second: 105,
    };
    assert!(history.check().contains(&wanted));
}

#[test]
fn a_retried_write_at_two_offsets_is_a_duplicate() {
    let mut history = good();
    history.last_read.push(at(104, 5));
    let wanted = Anomaly::Duplicate {
        first: at(104, 4),
        second: at(104, 5),
    };
    assert_eq!(history.check(), [wanted]);
}

#[test]
fn a_consumer_that_jumps_over_a_record_skips() {
    let mut history = good();
    history.polls[0].remove(2);
    let wanted = Anomaly::PollSkip {
        from: at(101, 1),
        to: at(103, 3),
        skipped: 2,
    };
    assert_eq!(history.check(), [wanted]);
}

#[test]
fn a_consumer_that_begins_late_is_found_where_it_asked_for_the_beginning() {
    let mut history = good();
    history.polls[0].remove(0);
    assert_eq!(history.check(), []);
    history.replays = vec![history.last_read[..2].to_vec(), history.polls[0].clone()];
    let wanted = Anomaly::LateBeginning {
        first: at(101, 1),
        skipped: 0,
    };
    assert_eq!(history.check(), [wanted]);
    // What it was shown is held against the rest as well.
    history.replays = vec![vec![at(100, 0), at(102, 2)]];
    let wanted = Anomaly::PollSkip {
        from: at(100, 0),
        to: at(102, 2),
        skipped: 1,
    };
    assert_eq!(history.check(), [wanted]);
}

/// Times of 100 and on, but the third record is older than the second: a producer sent it again.
fn timed() -> History {
    let mut history = good();
    history.times = [
        (100, 1000),
        (101, 1020),
        (102, 1010),
        (103, 1030),
        (104, 1040),
    ]
    .into();
    history
}

fn asked(asked: i64, found: Option<(i64, i64)>) -> Lookup {
    Lookup {
        partition: 0,
        asked,
        end: 5,
        found,
    }
}

#[test]
fn by_time_the_first_record_that_is_as_late_is_found() {
    let mut history = timed();
    history.lookups = vec![
        asked(0, Some((0, 1000))),
        asked(1001, Some((1, 1020))),
        asked(1010, Some((1, 1020))),
        asked(1021, Some((3, 1030))),
        asked(1040, Some((4, 1040))),
        asked(1041, None),
    ];
    assert_eq!(history.check(), []);
}

#[test]
fn by_time_another_record_or_none_is_wrong() {
    let due = Some((1, 1020));
    for found in [Some((0, 1000)), Some((2, 1010)), Some((1, 1019)), None] {
        let mut history = timed();
        let lookup = asked(1010, found);
        history.lookups.push(lookup);
        assert_eq!(history.check(), [Anomaly::WrongTime { lookup, due }]);
    }
    let mut history = timed();
    let lookup = asked(1041, Some((4, 1040)));
    history.lookups.push(lookup);
    assert_eq!(history.check(), [Anomaly::WrongTime { lookup, due: None }]);
}

#[test]
fn by_time_nothing_is_found_that_came_after_the_question() {
    let mut history = timed();
    let lookup = Lookup {
        end: 3,
        ..asked(1030, None)
    };
    history.lookups.push(lookup);
    assert_eq!(history.check(), []);
    let lookup = Lookup { end: 4, ..lookup };
    history.lookups[0] = lookup;
    let due = Some((3, 1030));
    assert_eq!(history.check(), [Anomaly::WrongTime { lookup, due }]);
}

#[test]
fn a_consumer_that_goes_back_is_nonmonotonic() {
    let mut history = good();
    history.polls[0].insert(3, at(101, 1));
    let wanted = Anomaly::NonmonotonicPoll {
        from: at(102, 2),
        to: at(101, 1),
    };
    assert_eq!(history.check()[0], wanted);
}

#[test]
fn a_value_that_nobody_sent_is_a_phantom() {
    let mut history = good();
    history.sent.remove(&104);
    assert!(history.check().contains(&Anomaly::Phantom(at(104, 4))));
}

#[test]
fn a_retry_of_a_loose_writer_is_no_duplicate_but_must_be_where_it_was_acknowledged() {
    let mut history = good();
    history.loose.insert(0);
    history.last_read.push(at(103, 5));
    assert_eq!(history.check(), []);
    history.polls.clear();
    history.last_read.remove(3);
    assert_eq!(history.check(), [Anomaly::LostWrite(at(103, 3))]);
}

#[test]
fn what_a_consumer_was_shown_must_stay() {
    let mut history = good();
    history.polls[0].push(at(105, 5));
    assert_eq!(history.check(), [Anomaly::Vanished(at(105, 5))]);
}

#[test]
fn a_copy_that_lacks_a_record_is_named() {
    let mut history = good();
    history.copies = vec![
        (1, history.last_read.clone()),
        (3, history.last_read.clone()),
    ];
    history.copies[1].1.remove(2);
    let wanted = Anomaly::CopyMisses {
        node: 3,
        write: at(102, 2),
    };
    assert_eq!(history.check(), [wanted]);
}

#[test]
fn values_in_the_wrong_order_are_reordered_unless_their_writer_is_loose() {
    let (first, second) = (at(102, 0), at(101, 1));
    let mut history = History {
        sent: [101, 102].into(),
        acked: vec![second, first],
        last_read: vec![first, second],
        ..History::default()
    };
    assert_eq!(history.check(), [Anomaly::Reordered { first, second }]);
    history.loose.insert(0);
    assert_eq!(history.check(), []);
}

/// A history as a run without faults would leave it: some writers, some partitions, some writes
/// without an answer that are there or not, and consumers that began anywhere.
fn run(bits: &mut Bits) -> History {
    let mut history = History::default();
    let (writers, partitions) = (1 + bits.below(3), 1 + bits.below(4));
    let mut ends = vec![0; partitions as usize];
    let mut next: Vec<u64> = (0..writers).map(|writer| (writer + 1) * WRITER).collect();
    for _ in 0..20 + bits.below(200) {
        let writer = bits.below(writers) as usize;
        let partition = bits.below(partitions) as usize;
        let value = next[writer];
        next[writer] += 1;
        history.sent.insert(value);
        let answered = bits.below(10) > 0;
        if answered || bits.below(2) == 0 {
            let write = Write {
                value,
                partition: partition as i32,
                offset: ends[partition],
            };
            // Some offsets hold no record: those of markers, or of records that were compacted away.
            ends[partition] += 1 + i64::from(bits.below(20) == 0);
            history.last_read.push(write);
            history.acked.extend(answered.then_some(write));
        }
    }
    for _ in 0..bits.below(3) {
        let from = bits.below(history.last_read.len() as u64) as usize;
        history.polls.push(history.last_read[from..].to_vec());
    }
    let copies = bits.below(4) as i32;
    history.copies = (0..copies)
        .map(|node| (node, history.last_read.clone()))
        .collect();
    history
}

/// Takes a record out of everything but the acknowledgements and the given keeper's polls.
fn forget(history: &mut History, gone: Write, polls_too: bool) {
    history.last_read.retain(|write| *write != gone);
    for (_, copy) in &mut history.copies {
        copy.retain(|write| *write != gone);
    }
    if polls_too {
        for poll in &mut history.polls {
            poll.retain(|write| *write != gone);
        }
    }
}

/// Plants one anomaly; `None` when this history has no room for it.
fn plant(kind: u64, history: &mut History, bits: &mut Bits) -> Option<fn(&Anomaly) -> bool> {
    let pick = |from: &[Write], bits: &mut Bits| {
        (!from.is_empty()).then(|| from[bits.below(from.len() as u64) as usize])
    };
    let tops = |history: &History, one: &Write| {
        let mut others = history.last_read.iter();
        !others.any(|other| other.partition == one.partition && other.offset > one.offset)
    };
    match kind {
        0 => {
            let gone = pick(&history.acked, bits).filter(|gone| !tops(history, gone))?;
            forget(history, gone, true);
            Some(|seen| matches!(seen, Anomaly::LostWrite(_)))
        }
        1 => {
            let last = history.acked.last().copied();
            let gone = last.filter(|gone| tops(history, gone))?;
            forget(history, gone, true);
            Some(|seen| matches!(seen, Anomaly::Unseen(_)))
        }
        2 => {
            let gone = pick(history.polls.first()?, bits)?;
            history.acked.retain(|write| *write != gone);
            forget(history, gone, false);
            Some(|seen| matches!(seen, Anomaly::Vanished(_)))
        }
        3 => {
            let at = bits.below(history.last_read.len() as u64) as usize;
            let (_, copy) = history.copies.first_mut()?;
            copy.remove(at);
            Some(|seen| matches!(seen, Anomaly::CopyMisses { .. }))
        }
        4 => {
            let (_, copy) = history.copies.first_mut()?;
            let at = bits.below(copy.len() as u64) as usize;
            copy[at].value = WRITER - 1;
            history.sent.insert(WRITER - 1);
            Some(|seen| matches!(seen, Anomaly::InconsistentOffsets { .. }))
        }
        5 => {
            let mut again = pick(&history.last_read, bits)?;
            again.offset = 1_000_000;
            history.last_read.push(again);
            Some(|seen| matches!(seen, Anomaly::Duplicate { .. }))
        }
        6 => {
            let late = pick(&history.last_read, bits)?;
            let value = late.writer() * WRITER + WRITER - 1;
            let early = Write {
                value,
                offset: -1,
                ..late
            };
            history.sent.insert(value);
            history.last_read.push(early);
            Some(|seen| matches!(seen, Anomaly::Reordered { .. }))
        }
        _ => plant_into_poll(kind, history, bits),
    }
}

fn plant_into_poll(
    kind: u64,
    history: &mut History,
    bits: &mut Bits,
) -> Option<fn(&Anomaly) -> bool> {
    let poll = history.polls.first_mut()?;
    let at = bits.below(poll.len() as u64) as usize;
    let partition = poll[at].partition;
    let shares = |others: &[Write]| others.iter().any(|other| other.partition == partition);
    match kind {
        7 => {
            (shares(&poll[..at]) && shares(&poll[at + 1..])).then_some(())?;
            poll.remove(at);
            Some(|seen| matches!(seen, Anomaly::PollSkip { .. }))
        }
        8 => {
            poll.push(poll[at]);
            Some(|seen| matches!(seen, Anomaly::NonmonotonicPoll { .. }))
        }
        _ => {
            history.sent.remove(&poll[at].value);
            Some(|seen| matches!(seen, Anomaly::Phantom(_)))
        }
    }
}

proptest! {
    #[test]
    fn a_run_without_faults_has_no_anomaly(seed: u64) {
        prop_assert_eq!(run(&mut Bits::new(seed)).check(), []);
    }

    #[test]
    fn every_kind_of_anomaly_that_is_planted_is_found(seed: u64) {
        for kind in 0..10 {
            let mut bits = Bits::new(seed ^ kind);
            let mut history = run(&mut bits);
            let Some(planted) = plant(kind, &mut history, &mut bits) else { continue };
            let found = history.check();
            prop_assert!(found.iter().any(planted), "kind {}: {:?}", kind, found);
        }
    }
}

/// The property above may skip a kind for want of room; over some seeds none is skipped always.
#[test]
fn there_is_room_for_every_kind() {
    for kind in 0..10 {
        let planted = (0..50).any(|seed| {
            let mut bits = Bits::new(seed);
            let mut history = run(&mut bits);
            plant(kind, &mut history, &mut bits).is_some()
        });
        assert!(planted, "kind {kind}");
    }
}
