//! The checks, each one pass over what was seen.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Anomaly, History, Read, Write};

type Place = (i32, i64);

fn place(write: &Write) -> Place {
    (write.partition, write.offset)
}

impl History {
    /// All anomalies of the history; empty if it is a good one.
    pub fn check(&self) -> Vec<Anomaly> {
        let mut found = Vec::new();
        self.check_places(&mut found);
        self.check_kept(&mut found);
        self.check_copies(&mut found);
        self.check_order(&mut found);
        let known = self.known_offsets();
        for poll in self.shown() {
            check_poll(poll, &known, &mut found);
        }
        for replay in &self.replays {
            check_beginnings(replay, &known, &mut found);
        }
        self.check_lookups(&mut found);
        found
    }

    /// What each consumer was shown.
    fn shown(&self) -> impl Iterator<Item = &Vec<Read>> {
        self.polls.iter().chain(&self.replays)
    }

    fn everything(&self) -> impl Iterator<Item = &Write> {
        self.acked
            .iter()
            .filter(|write| write.has_place())
            .chain(self.shown().flatten())
            .chain(&self.last_read)
            .chain(self.copies.iter().flat_map(|(_, copy)| copy))
    }

    /// One value to a place, one place to a value, and no value out of nowhere.
    fn check_places(&self, found: &mut Vec<Anomaly>) {
        let mut by_place: HashMap<Place, u64> = HashMap::new();
        let mut by_value: HashMap<u64, Write> = HashMap::new();
        let mut told: HashSet<Write> = HashSet::new();
        for &seen in self.everything() {
            let first = *by_place.entry(place(&seen)).or_insert(seen.value);
            let mut wrong = Vec::new();
            if first != seen.value {
                let Write {
                    partition,
                    offset,
                    value: second,
                } = seen;
                wrong.push(Anomaly::InconsistentOffsets {
                    partition,
                    offset,
                    first,
                    second,
                });
            }
            let first = *by_value.entry(seen.value).or_insert(seen);
            if first != seen && !self.loose.contains(&seen.writer()) {
                wrong.push(Anomaly::Duplicate {
                    first,
                    second: seen,
                });
            }
            if !self.sent.contains(&seen.value) {
                wrong.push(Anomaly::Phantom(seen));
            }
            // Everybody who was shown the same wrong thing would tell it again.
            if !wrong.is_empty() && told.insert(seen) {
                found.append(&mut wrong);
            }
        }
    }

    /// What was acknowledged, or shown to anybody, is in the topic at the end.
    fn check_kept(&self, found: &mut Vec<Anomaly>) {
        let mut highest: HashMap<i32, i64> = HashMap::new();
        let mut kept = HashSet::new();
        for seen in &self.last_read {
            let top = highest.entry(seen.partition).or_insert(seen.offset);
            *top = seen.offset.max(*top);
            kept.insert(*seen);
        }
        let mut missing = HashSet::new();
        let values: HashSet<(i32, u64)> = kept.iter().map(|w| (w.partition, w.value)).collect();
        let is_kept = |write: &&Write| match write.has_place() {
            true => kept.contains(*write),
            false => values.contains(&(write.partition, write.value)),
        };
        for write in self.acked.iter().filter(|write| !is_kept(write)) {
            let top = highest.get(&write.partition);
            let passed = top.is_some_and(|top| *top > write.offset);
            missing.insert(*write);
            found.push(if passed {
                Anomaly::LostWrite(*write)
            } else {
                Anomaly::Unseen(*write)
            });
        }
        for read in self.shown().flatten() {
            if !kept.contains(read) && missing.insert(*read) {
                found.push(Anomaly::Vanished(*read));
            }
        }
    }

    /// Each copy holds all of the topic, from where it begins; that it holds nothing else is seen by the places.
    fn check_copies(&self, found: &mut Vec<Anomaly>) {
        for (node, copy) in &self.copies {
            let held: HashSet<&Write> = copy.iter().collect();
            let has_begun = |write: &&Write| {
                let start = self.starts.get(&(*node, write.partition));
                start.is_none_or(|start| *start <= write.offset)
            };
            let due = self.last_read.iter().filter(has_begun);
            let missing = due.filter(|write| !held.contains(write));
            found.extend(missing.map(|write| Anomaly::CopyMisses {
                node: *node,
                write: *write,
            }));
        }
    }

    /// An idempotent writer's values are in each partition in the order in which they were sent.
    fn check_order(&self, found: &mut Vec<Anomaly>) {
        let mut sorted: Vec<&Write> = self.last_read.iter().collect();
        sorted.sort_by_key(|write| place(write));
        let mut latest: HashMap<(i32, u64), Write> = HashMap::new();
        let mut known = HashSet::new();
        for &second in sorted {
            if self.loose.contains(&second.writer()) {
                continue;
            }
            let is_again = !known.insert((second.partition, second.value));
            let newest = latest
                .entry((second.partition, second.writer()))
                .or_insert(second);
            let first = *newest;
            let is_late = first.value > second.value;
            if is_late {
                found.push(Anomaly::Reordered { first, second });
            }
            // What is there a second time may be forgiven, and must not hide what comes behind it.
            if !(is_late && is_again) {
                *newest = second;
            }
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

fn check_beginnings(replay: &[Read], known: &BTreeMap<i32, Vec<i64>>, found: &mut Vec<Anomaly>) {
    let mut begun = HashSet::new();
    let firsts = replay.iter().filter(|read| begun.insert(read.partition));
    for &first in firsts {
        let earliest = known.get(&first.partition).and_then(|all| all.first());
        if let Some(&skipped) = earliest.filter(|earliest| **earliest < first.offset) {
            found.push(Anomaly::LateBeginning { first, skipped });
        }
    }
}

/// By offset: the offset, its time, and the latest time up to there.
type Timeline = Vec<(i64, i64, i64)>;

impl History {
    /// Whoever asks by time is told of the first record that is as late as that.
    fn check_lookups(&self, found: &mut Vec<Anomaly>) {
        if self.lookups.is_empty() {
            return;
        }
        let lines = self.timelines();
        for &lookup in &self.lookups {
            let line = lines.get(&lookup.partition).map_or(&[][..], Vec::as_slice);
            let at = line.partition_point(|(_, _, latest)| *latest < lookup.asked);
            let due = line.get(at).map(|(offset, time, _)| (*offset, *time));
            let fine = match (lookup.found, due) {
                // It may have come since.
                (None, Some((offset, _))) => offset >= lookup.end,
                (found, due) => found == due,
            };
            if !fine {
                found.push(Anomaly::WrongTime { lookup, due });
            }
        }
    }

    fn timelines(&self) -> HashMap<i32, Timeline> {
        let mut lines: HashMap<i32, Timeline> = HashMap::new();
        for read in &self.last_read {
            if let Some(time) = self.times.get(&read.value) {
                let line = lines.entry(read.partition).or_default();
                line.push((read.offset, *time, *time));
            }
        }
        for line in lines.values_mut() {
            line.sort_unstable();
            let mut latest = i64::MIN;
            for (_, time, up_to) in line {
                latest = latest.max(*time);
                *up_to = latest;
            }
        }
        lines
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
