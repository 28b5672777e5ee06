//! Timers of one machine: at most one per key, earliest first.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use freshet_types::{Millis, Timer};

/// Pending timers. Setting, clearing and firing cost O(log n).
#[derive(Debug)]
pub(super) struct Timers<K> {
    by_key: HashMap<K, (Millis, u64)>,
    by_time: BTreeSet<(Millis, u64)>,
    keys: HashMap<u64, K>,
    next: u64,
}

impl<K: Hash + Eq + Clone> Timers<K> {
    pub(super) fn new() -> Self {
        Self {
            by_key: HashMap::new(),
            by_time: BTreeSet::new(),
            keys: HashMap::new(),
            next: 0,
        }
    }

    /// Sets, moves or clears a timer.
    pub(super) fn set(&mut self, timer: Timer<K>) {
        if let Some(old) = self.by_key.remove(&timer.key) {
            self.by_time.remove(&old);
            self.keys.remove(&old.1);
        }
        let Some(at) = timer.at else { return };
        let slot = (at, self.next);
        self.next += 1;
        self.by_time.insert(slot);
        self.keys.insert(slot.1, timer.key.clone());
        self.by_key.insert(timer.key, slot);
    }

    /// When the next timer is due.
    pub(super) fn next_at(&self) -> Option<Millis> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the next timer that is due at `now`.
    pub(super) fn due(&mut self, now: Millis) -> Option<K> {
        let slot = *self.by_time.first().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&slot);
        let key = self.keys.remove(&slot.1)?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_setting_replaces_an_earlier_one_and_none_clears() {
        let mut timers = Timers::new();
        let set = |key, at: Option<u64>| Timer {
            key,
            at: at.map(Millis),
        };
        timers.set(set("a", Some(10)));
        timers.set(set("b", Some(5)));
        timers.set(set("a", Some(3)));
        assert_eq!(timers.next_at(), Some(Millis(3)));
        assert_eq!(timers.due(Millis(2)), None);
        assert_eq!(timers.due(Millis(9)), Some("a"));
        timers.set(set("b", None));
        assert_eq!(timers.due(Millis(99)), None);
        assert_eq!(timers.next_at(), None);
    }
}
