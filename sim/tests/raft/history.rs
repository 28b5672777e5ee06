//! What was seen, and whether it can be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_types::{NodeId, Offset};
use parking_lot::Mutex;

use crate::machine::Image;

#[derive(Debug, Default)]
struct Seen {
    /// The one order, as far as anybody has seen it.
    agreed: Vec<u64>,
    /// What the list was at an offset, by its length, and in which term it got there.
    positions: BTreeMap<Offset, (i32, usize)>,
    /// The offset that each process showed last.
    shown: BTreeMap<Life, Offset>,
    /// Who led in which term.
    leaders: BTreeMap<i32, NodeId>,
    /// The term that each process knew last.
    epochs: BTreeMap<Life, i32>,
    /// The list had this length, as somebody was told.
    told: usize,
    /// Finished operations: begin, end, and what they say about the length of the list.
    operations: Vec<Operation>,
    trace: Vec<String>,
    flaws: Vec<String>,
}

/// One process of a node.
pub(crate) type Life = (NodeId, u64);

#[derive(Debug, Clone, Copy)]
struct Operation {
    begin: Duration,
    end: Duration,
    /// The list had at least this length at the operation, and no more than this before.
    at_least: usize,
    /// The number that it put at `at_least - 1`, if it put one.
    added: Option<u64>,
}

impl Seen {
    fn flaw(&mut self, flaw: String) {
        self.flaws.push(flaw);
    }

    fn finish(&mut self, operation: Operation) {
        self.told = self.told.max(operation.at_least);
        self.operations.push(operation);
    }
}

/// The history of one run. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(Arc<Mutex<Seen>>);

impl History {
    /// A node showed this list: what anybody has ever been shown stays, in one order.
    pub(crate) fn shown(&self, life: Life, image: &Image) {
        let mut seen = self.0.lock();
        let (node, numbers) = (life.0, image.numbers.as_slice());
        let (offset, epoch) = (image.position.offset, image.position.epoch);
        let before = seen.shown.insert(life, offset);
        if before.is_some_and(|before| before > offset) {
            seen.flaw(format!("{node} went back from {before:?} to {offset}"));
        }
        let here = (epoch, numbers.len());
        let there = *seen.positions.entry(offset).or_insert(here);
        if there != here && offset >= 0 {
            seen.flaw(format!(
                "{node} has {here:?} at {offset}, agreed was {there:?}"
            ));
        }
        let both = seen.agreed.len().min(numbers.len());
        if seen.agreed[..both] != numbers[..both] {
            let flaw = format!("{node} shows {numbers:?}, agreed was {:?}", seen.agreed);
            seen.flaw(flaw);
        } else if numbers.len() > both {
            seen.agreed = numbers.to_vec();
        }
    }

    /// A process knows of a term.
    pub(crate) fn knows(&self, life: Life, epoch: i32) {
        let mut seen = self.0.lock();
        let before = seen.epochs.insert(life, epoch);
        if before.is_some_and(|before| before > epoch) {
            let node = life.0;
            seen.flaw(format!("{node} went back from term {before:?} to {epoch}"));
        }
    }

    /// A node decides, on top of a list of this length.
    pub(crate) fn led(&self, node: NodeId, epoch: i32, len: usize) {
        let mut seen = self.0.lock();
        let leader = *seen.leaders.entry(epoch).or_insert(node);
        if leader != node {
            seen.flaw(format!("{leader} and {node} both led in term {epoch}"));
        }
        let told = seen.told;
        if len < told {
            seen.flaw(format!(
                "{node} leads in {epoch} with {len}, told were {told}"
            ));
        }
    }

    /// A number was said to be at `index`.
    pub(crate) fn added(&self, number: u64, index: usize, begin: Duration, end: Duration) {
        let mut seen = self.0.lock();
        if seen.agreed.get(index) != Some(&number) {
            let found = seen.agreed.get(index).copied();
            seen.flaw(format!(
                "{number} was told to be at {index}, where {found:?} is"
            ));
        }
        seen.finish(Operation {
            begin,
            end,
            at_least: index + 1,
            added: Some(number),
        });
    }

    /// The list was said to have this length.
    pub(crate) fn counted(&self, count: usize, begin: Duration, end: Duration) {
        let mut seen = self.0.lock();
        let known = seen.agreed.len();
        if known < count {
            seen.flaw(format!("{count} were told, where {known} were agreed to"));
        }
        seen.finish(Operation {
            begin,
            end,
            at_least: count,
            added: None,
        });
    }

    /// What cannot be, as soon as it is.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.0.lock().flaws.first().cloned().map_or(Ok(()), Err)
    }

    pub(crate) fn note(&self, at: Duration, what: &str) {
        self.0
            .lock()
            .trace
            .push(format!("{:>8} {what}", at.as_millis()));
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        self.0.lock().trace.clone()
    }

    pub(crate) fn finished(&self) -> usize {
        self.0.lock().operations.len()
    }

    /// Whether the operations could have happened one at a time, each at a moment between its begin
    /// and its end. Positions in the list give the order, so a sweep over time is enough.
    pub(crate) fn judge(&self, at_the_end: &[u64]) -> Result<(), String> {
        self.check()?;
        let seen = self.0.lock();
        if !at_the_end.starts_with(&seen.agreed) {
            return Err(format!(
                "{at_the_end:?} at the end, agreed was {:?}",
                seen.agreed
            ));
        }
        let mut by_end = seen.operations.clone();
        by_end.sort_by_key(|operation| operation.end);
        let mut by_begin = seen.operations.clone();
        by_begin.sort_by_key(|operation| operation.begin);
        let (mut ended, mut floor) = (by_end.iter().peekable(), 0);
        for operation in &by_begin {
            while let Some(before) = ended.next_if(|before| before.end < operation.begin) {
                floor = floor.max(before.at_least);
            }
            let before = operation.at_least - usize::from(operation.added.is_some());
            if before < floor {
                return Err(format!(
                    "{operation:?} began when the list had {floor} already"
                ));
            }
            if let Some(number) = operation.added
                && at_the_end.get(operation.at_least - 1) != Some(&number)
            {
                return Err(format!("{number} is not at {}", operation.at_least - 1));
            }
        }
        Ok(())
    }
}
