//! Checks what producers and consumers saw while brokers were killed, cut off and paused.
//!
//! Offsets give the order of versions for free, so every check is linear in the length of the
//! history (after one sort of the offsets); no search for an order is needed. A write whose fate
//! is unknown (given up, or still waiting at the end) may be there or not, but at most once.

mod check;
mod renumbered;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;

pub(crate) use renumbered::{Numbered, is_renumbering, renumbered};

/// The numbers of a writer's values are below the next multiple of this, so no value is sent twice
/// and a value names its writer.
pub const WRITER: u64 = 1_000_000_000;

/// One acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Write {
    /// The value; no two writes have the same.
    pub value: u64,
    /// The partition that took it.
    pub partition: i32,
    /// The offset that was promised; -1 where only that it is stored was (a duplicate of long ago).
    pub offset: i64,
}

impl Write {
    /// Whether it was said where it is.
    pub(crate) fn has_place(&self) -> bool {
        self.offset >= 0
    }

    pub(crate) fn writer(&self) -> u64 {
        self.value / WRITER
    }
}

/// One record that a consumer was shown.
pub type Read = Write;

/// A question for the first record of some time or later, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookup {
    /// The partition that was asked about.
    pub partition: i32,
    /// The time that was asked for, in milliseconds since 1970.
    pub asked: i64,
    /// Where the partition ended for whoever answered, when it was asked: what is before must be found.
    pub end: i64,
    /// The offset and the time of what was found, if anything was.
    pub found: Option<(i64, i64)>,
}

/// What one run saw.
#[derive(Debug, Default, Clone)]
pub struct History {
    /// Every value that was ever handed to a producer.
    pub sent: HashSet<u64>,
    /// What was acknowledged.
    pub acked: Vec<Write>,
    /// Writers without idempotence: what they retry may be there twice and out of order.
    pub loose: HashSet<u64>,
    /// For each consumer that kept its assignment: what it was shown, in its order.
    pub polls: Vec<Vec<Read>>,
    /// The same of those who began at the first record of each partition that they were shown any of.
    pub replays: Vec<Vec<Read>>,
    /// The whole topic, read after the last fault.
    pub last_read: Vec<Read>,
    /// The same from each broker that keeps a copy, by the broker's id.
    pub copies: Vec<(i32, Vec<Read>)>,
    /// By broker and partition: where a copy begins that does not begin at 0.
    pub starts: HashMap<(i32, i32), i64>,
    /// The time that each value was sent with, in milliseconds since 1970; needed for the next only.
    pub times: HashMap<u64, i64>,
    /// What was asked for by time.
    pub lookups: Vec<Lookup>,
}

/// Something that must not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// Acknowledged, but a reader that came past its offset never saw it there.
    LostWrite(Write),
    /// Acknowledged, but not there at the end, although nothing later was read either.
    Unseen(Write),
    /// A consumer was shown it, but it is not there at the end.
    Vanished(Read),
    /// It is in the topic, but not in this broker's copy.
    CopyMisses {
        /// The broker.
        node: i32,
        /// What it lacks.
        write: Write,
    },
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
    /// Two values of one writer are in a partition the other way round than they were sent.
    Reordered {
        /// At the lower offset, but sent later.
        first: Write,
        /// At the higher offset.
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
    /// A consumer that asked for the beginning was shown this first although there is something before.
    LateBeginning {
        /// Where it began.
        first: Read,
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
    /// By time another record was found than the first that is as late as that, or none.
    WrongTime {
        /// The question and its answer.
        lookup: Lookup,
        /// What the answer should have been: an offset and its time.
        due: Option<(i64, i64)>,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self:?}")
    }
}
