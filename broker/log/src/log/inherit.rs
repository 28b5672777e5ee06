//! What a copy of a log takes over from it beside the records.

use std::sync::atomic::Ordering;

use super::Log;

impl Log {
    /// Takes over what `other` knows and its records alone do not tell: producers whose records are
    /// gone, leader epochs without records, the log start. Both must have the same records.
    ///
    /// Its checkpoints go on from the other's: where it lands the log may have been at the last clean
    /// stop, and what was known of it then must not count as newer.
    pub(crate) fn inherit(&mut self, other: &Self) {
        self.producers = other.producers.clone();
        self.publish_unstable();
        *self.shared.epochs.write() = other.shared.epochs.read().clone();
        let start = other.shared.log_start.load(Ordering::Acquire);
        self.shared.log_start.store(start, Ordering::Release);
        self.generation = self.generation.max(other.generation);
        self.be_fenced_like(other);
    }

    /// Refuses appends of the leader epochs that `other` refuses.
    pub(crate) fn be_fenced_like(&mut self, other: &Self) {
        self.fence = other.fence;
    }
}
