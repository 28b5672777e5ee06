//! What was seen, and whether it can be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_types::NodeId;
use parking_lot::Mutex;

#[derive(Debug, Default)]
struct Seen {
    /// The one order, as far as anybody has seen it.
    agreed: Vec<u64>,
    /// Who led in which term.
    leaders: BTreeMap<i32, NodeId>,
    /// Finished operations: begin, end, and what they say about the length of the list.
    operations: Vec<Operation>,
    trace: Vec<String>,
    flaws: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Operation {
    begin: Duration,
    end: Duration,
    /// The list had at least this length at the operation, and no more than this before.
    at_least: usize,
    /// The number that it put at `at_least - 1`, if it put one.
    added: Option<u64>,
}

/// The history of one run. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct History(Arc<Mutex<Seen>>);

impl History {
    /// A node showed this list: what anybody has ever been shown stays, in one order.
    pub(crate) fn shown(&self, node: NodeId, numbers: &[u64]) {
        let mut seen = self.0.lock();
        let both = seen.agreed.len().min(numbers.len());
        if seen.agreed[..both] != numbers[..both] {
            let flaw = format!("{node} shows {numbers:?}, agreed was {:?}", seen.agreed);
            seen.flaws.push(flaw);
        } else if numbers.len() > both {
            seen.agreed = numbers.to_vec();
        }
    }

    pub(crate) fn led(&self, node: NodeId, epoch: i32) {
        let mut seen = self.0.lock();
        let leader = *seen.leaders.entry(epoch).or_insert(node);
        if leader != node {
            seen.flaws
                .push(format!("{leader} and {node} both led in term {epoch}"));
        }
    }

    /// A number was said to be at `index`.
    pub(crate) fn added(&self, number: u64, index: usize, begin: Duration, end: Duration) {
        let (at_least, added) = (index + 1, Some(number));
        self.0.lock().operations.push(Operation {
            begin,
            end,
            at_least,
            added,
        });
    }

    /// The list was said to have this length.
    pub(crate) fn counted(&self, count: usize, begin: Duration, end: Duration) {
        let (at_least, added) = (count, None);
        self.0.lock().operations.push(Operation {
            begin,
            end,
            at_least,
            added,
        });
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
        let seen = self.0.lock();
        if let Some(flaw) = seen.flaws.first() {
            return Err(flaw.clone());
        }
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
