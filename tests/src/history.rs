//! Checks what producers and consumers saw while the broker was being killed.
//!
//! Offsets give the order of versions for free, so every check is linear in the length of the
//! history (after one sort of the offsets); no search for an order is needed. A write whose fate
//! is unknown (given up, or still waiting at the end) may be there or not, but at most once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// One acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write {
    /// The value; no two writes have the same.
    pub value: u64,
    /// The partition that took it.
    pub partition: i32,
    /// The offset that was promised.
    pub offset: i64,
}

/// One record that a consumer was shown.
pub type Read = Write;

/// What one run saw.
#[derive(Debug, Default)]
pub struct History {
    /// Every value that was ever handed to a producer.
    pub sent: HashSet<u64>,
    /// What was acknowledged.
    pub acked: Vec<Write>,
    /// For each consumer that kept its assignment: what it was shown, in its order.
    pub polls: Vec<Vec<Read>>,
    /// The whole topic, read after the last fault.
    pub last_read: Vec<Read>,
}

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// Acknowledged, but a reader that came past its offset never saw it.
    LostWrite(Write),
    /// Acknowledged, but not there at the end, although nothing later was read either.
    Unseen(Write),
    /// One offset of one partition was seen with two values.
    InconsistentOffsets {
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// The value seen first.
        first: u64,
        /// The other value.
        second: u64,
    },
    /// One value at two places.
    Duplicate {
        /// The place seen first.
        first: Write,
        /// The other place.
        second: Write,
    },
    /// A consumer was shown `to` right after `from` although `skipped` lies between them.
    PollSkip {
        /// Where it was.
        from: Read,
        /// Where it went.
        to: Read,
        /// An offset known to hold a record.
        skipped: i64,
    },
    /// A consumer went back, or was shown the same offset twice.
    NonmonotonicPoll {
        /// Where it was.
        from: Read,
        /// Where it went.
        to: Read,
    },
    /// A value that nobody sent.
    Phantom(Read),
}

impl fmt::Display for Anomaly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}

impl History {
    /// All anomalies of the history; empty if it is a good one.
    pub fn check(&self) -> Vec<Anomaly> {
        let mut found = Vec::new();
        self.check_places(&mut found);
        self.check_lost(&mut found);
        let known = self.known_offsets();
        for poll in &self.polls {
            check_poll(poll, &known, &mut found);
        }
        found
    }

    fn everything(&self) -> impl Iterator<Item = &Write> {
        self.acked
            .iter()
            .chain(self.polls.iter().flatten())
            .chain(&self.last_read)
    }

    fn check_places(&self, found: &mut Vec<Anomaly>) {
        let mut by_place: HashMap<(i32, i64), u64> = HashMap::new();
        let mut by_value: HashMap<u64, Write> = HashMap::new();
        let mut told = HashSet::new();
        for &seen in self.everything() {
            let first = *by_place
                .entry((seen.partition, seen.offset))
                .or_insert(seen.value);
            if first != seen.value && told.insert((seen.partition, seen.offset)) {
                let Write {
                    partition,
                    offset,
                    value: second,
                } = seen;
                found.push(Anomaly::InconsistentOffsets {
                    partition,
                    offset,
                    first,
                    second,
                });
            }
            let first = *by_value.entry(seen.value).or_insert(seen);
            if first != seen {
                found.push(Anomaly::Duplicate {
                    first,
                    second: seen,
                });
            }
            if !self.sent.contains(&seen.value) {
                found.push(Anomaly::Phantom(seen));
            }
        }
    }

    fn check_lost(&self, found: &mut Vec<Anomaly>) {
        let mut highest: HashMap<i32, i64> = HashMap::new();
        let mut read = HashSet::new();
        for seen in &self.last_read {
            let top = highest.entry(seen.partition).or_insert(seen.offset);
            *top = seen.offset.max(*top);
            read.insert(seen.value);
        }
        for write in self
            .acked
            .iter()
            .filter(|write| !read.contains(&write.value))
        {
            let passed = highest
                .get(&write.partition)
                .is_some_and(|top| *top > write.offset);
            found.push(if passed {
                Anomaly::LostWrite(*write)
            } else {
                Anomaly::Unseen(*write)
            });
        }
    }

    /// For each partition the offsets that hold a record, in order.
    fn known_offsets(&self) -> BTreeMap<i32, Vec<i64>> {
        let mut known: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        for seen in self.everything() {
            known.entry(seen.partition).or_default().push(seen.offset);
        }
        for offsets in known.values_mut() {
            offsets.sort_unstable();
            offsets.dedup();
        }
        known
    }
}

fn check_poll(poll: &[Read], known: &BTreeMap<i32, Vec<i64>>, found: &mut Vec<Anomaly>) {
    let mut positions: HashMap<i32, Read> = HashMap::new();
    for &to in poll {
        let Some(from) = positions.insert(to.partition, to) else {
            continue;
        };
        if to.offset <= from.offset {
            found.push(Anomaly::NonmonotonicPoll { from, to });
            continue;
        }
        let offsets = known.get(&to.partition).map_or(&[][..], Vec::as_slice);
        let next = offsets.partition_point(|offset| *offset <= from.offset);
        if let Some(&skipped) = offsets.get(next).filter(|next| **next < to.offset) {
            found.push(Anomaly::PollSkip { from, to, skipped });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(history.check(), [Anomaly::LostWrite(at(102, 2))]);
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
        history.acked.pop();
        history.last_read[4] = at(105, 4);
        let wanted = Anomaly::InconsistentOffsets {
            partition: 0,
            offset: 4,
            first: 104,
            second: 105,
        };
        assert_eq!(history.check(), [wanted]);
    }

    #[test]
    fn a_retried_write_at_two_offsets_is_a_duplicate() {
        let mut history = good();
        history.last_read.push(at(103, 5));
        let wanted = Anomaly::Duplicate {
            first: at(103, 3),
            second: at(103, 5),
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
}
