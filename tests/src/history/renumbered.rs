//! What a client has written twice by its own choice.
//!
//! When a later batch of any partition is refused because an earlier one was (out of order), librdkafka
//! begins another epoch for all partitions and numbers anew what it has no answer to, also where that may
//! be stored already (`rd_kafka_handle_idempotent_Produce_error`, "skipped sequence numbers"; 2.16). A
//! leader cannot know such a batch. The same epoch twice is a broker's fault.

use std::collections::{HashMap, HashSet};

use super::{Anomaly, Write};

/// How the batch of a record is numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// The producer's id.
    pub(crate) producer: i64,
    /// The epoch that it had.
    pub(crate) epoch: i16,
}

/// The places of records that were numbered anew: all but the first of each. A record that is twice in
/// any other way has none. `numbered` tells of a place, unless its writer never numbers anew.
pub(crate) fn renumbered(
    anomalies: &[Anomaly],
    numbered: impl Fn(&Write) -> Option<Numbered>,
) -> HashSet<Write> {
    let mut copies: HashMap<u64, Vec<Write>> = HashMap::new();
    for anomaly in anomalies {
        if let Anomaly::Duplicate { first, second } = anomaly {
            copies
                .entry(first.value)
                .or_default()
                .extend([first, second]);
        }
    }
    let mut later = HashSet::new();
    for mut places in copies.into_values() {
        places.sort_by_key(|place| (place.partition, place.offset));
        places.dedup();
        // Nothing is ever numbered anew for another partition.
        let is_together = places.iter().all(|it| it.partition == places[0].partition);
        let numbers: Option<Vec<Numbered>> = places.iter().map(&numbered).collect();
        let follows = |pair: &[Numbered]| {
            pair[0].producer == pair[1].producer && pair[0].epoch < pair[1].epoch
        };
        if is_together && numbers.is_some_and(|numbers| numbers.windows(2).all(follows)) {
            later.extend(places.into_iter().skip(1));
        }
    }
    later
}

/// Whether an anomaly is nothing but such a place.
pub(crate) fn is_renumbering(anomaly: &Anomaly, later: &HashSet<Write>) -> bool {
    match anomaly {
        // Whoever waits may be told of either place first.
        Anomaly::Duplicate { first, second } => later.contains(first) || later.contains(second),
        Anomaly::Reordered { second, .. } => later.contains(second),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::History;

    fn at(value: u64, offset: i64) -> Write {
        Write {
            value,
            partition: 0,
            offset,
        }
    }

    /// What is left of the anomalies of a log, of which it is told how each record is numbered.
    fn left(log: &[(Write, Option<(i64, i16)>)]) -> Vec<Anomaly> {
        let all: Vec<Write> = log.iter().map(|(write, _)| *write).collect();
        let history = History {
            sent: all.iter().map(|write| write.value).collect(),
            last_read: all,
            ..History::default()
        };
        let numbered = |write: &Write| {
            let (_, told) = log.iter().find(|(place, _)| place == write)?;
            told.map(|(producer, epoch)| Numbered { producer, epoch })
        };
        let mut anomalies = history.check();
        let later = renumbered(&anomalies, numbered);
        anomalies.retain(|anomaly| !is_renumbering(anomaly, &later));
        anomalies
    }

    const OLD: Option<(i64, i16)> = Some((7, 0));
    const NEW: Option<(i64, i16)> = Some((7, 1));
    const NEWER: Option<(i64, i16)> = Some((7, 2));

    #[test]
    fn a_later_epoch_is_forgiven_as_often_as_it_comes() {
        let twice = [
            (at(1, 0), OLD),
            (at(2, 1), OLD),
            (at(1, 2), NEW),
            (at(2, 3), NEW),
        ];
        assert_eq!(left(&twice), []);
        let thrice = [(at(1, 0), OLD), (at(1, 1), NEW), (at(1, 2), NEWER)];
        assert_eq!(left(&thrice), []);
    }

    #[test]
    fn whichever_place_was_told_first_the_later_is_forgiven() {
        let [old, new] = [at(1, 0), at(1, 5)];
        for (first, second) in [(old, new), (new, old)] {
            let told = [Anomaly::Duplicate { first, second }];
            let epoch = |write: &Write| Numbered {
                producer: 7,
                epoch: i16::from(*write == new),
            };
            let later = renumbered(&told, |write| Some(epoch(write)));
            assert_eq!(later, HashSet::from([new]));
            assert!(is_renumbering(&told[0], &later));
        }
    }

    #[test]
    fn the_same_epoch_twice_is_not_forgiven() {
        assert_eq!(left(&[(at(1, 0), OLD), (at(1, 1), OLD)]).len(), 1);
        // Nor beside a renumbering of the same record, on either side of it.
        let after = [(at(1, 0), OLD), (at(1, 1), NEW), (at(1, 2), NEW)];
        assert_eq!(left(&after).len(), 2);
        let before = [(at(1, 0), OLD), (at(1, 1), OLD), (at(1, 2), NEW)];
        assert_eq!(left(&before).len(), 2);
    }

    #[test]
    fn an_epoch_that_falls_another_producer_or_an_unknown_one_is_not_forgiven() {
        for (first, second) in [(NEW, OLD), (OLD, Some((8, 1))), (OLD, None), (None, NEW)] {
            let told = left(&[(at(1, 0), first), (at(1, 1), second)]);
            assert_eq!(told.len(), 1, "{first:?}, {second:?}");
        }
    }

    #[test]
    fn another_partition_is_not_forgiven() {
        let elsewhere = Write {
            partition: 1,
            ..at(1, 1)
        };
        assert_eq!(left(&[(at(1, 0), OLD), (elsewhere, NEW)]).len(), 1);
    }

    #[test]
    fn only_what_was_numbered_anew_may_be_out_of_order() {
        // 3 before 2, of which neither is a copy, although there is one of each.
        let first = [
            (at(3, 0), OLD),
            (at(2, 1), OLD),
            (at(2, 2), NEW),
            (at(3, 3), NEW),
        ];
        let (later, sooner) = (at(3, 0), at(2, 1));
        let expected = Anomaly::Reordered {
            first: later,
            second: sooner,
        };
        assert_eq!(left(&first), [expected]);
    }

    #[test]
    fn a_renumbering_hides_no_wrong_order_behind_it() {
        // 4 comes after 5, with a copy of 3 between them.
        let hidden = [
            (at(3, 0), OLD),
            (at(5, 1), OLD),
            (at(3, 2), NEW),
            (at(4, 3), NEW),
        ];
        let expected = Anomaly::Reordered {
            first: at(5, 1),
            second: at(4, 3),
        };
        assert_eq!(left(&hidden), [expected]);
    }
}
