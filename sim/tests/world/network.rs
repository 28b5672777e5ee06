//! What lies between hosts: messages are late, lost, doubled and reordered; lines are cut, one way
//! or both.

use std::collections::{BTreeMap, BTreeSet};

use freshet_sim::{Throws, Weather};

/// Hosts by number: nodes first, then clients.
pub(crate) type Host = usize;

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    cut: BTreeSet<(Host, Host)>,
    /// Lines that stand still until then, and bring everything after that.
    held: BTreeMap<(Host, Host), u64>,
    /// Whom the agreed log does not reach, though all else does.
    pub(crate) deaf: BTreeSet<Host>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            weather: Weather::FINE,
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            deaf: BTreeSet::new(),
        }
    }

    pub(crate) fn cut(&mut self, from: Host, to: Host) {
        self.cut.insert((from, to));
    }

    /// Nobody hears a host any more, and it hears nobody.
    pub(crate) fn isolate(&mut self, host: Host, all: usize) {
        for other in (0..all).filter(|other| *other != host) {
            self.cut(host, other);
            self.cut(other, host);
        }
    }

    pub(crate) fn hold(&mut self, from: Host, to: Host, until: u64) {
        self.held.insert((from, to), until);
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.held.clear();
        self.deaf.clear();
    }

    pub(crate) fn is_open(&self, from: Host, to: Host) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// After how many milliseconds a message arrives: never, once or twice.
    pub(crate) fn delays(&self, now: u64, line: (Host, Host), throws: &mut Throws) -> Vec<u64> {
        let (from, to) = line;
        if from == to {
            return vec![0];
        }
        let Weather {
            loss_percent,
            double_percent,
            delay_ms: (least, most),
        } = self.weather;
        let held = self
            .held
            .get(&line)
            .map_or(0, |until| until.saturating_sub(now));
        let delay = held + throws.between(least, most);
        let lost = loss_percent > 0 && throws.chance(loss_percent);
        if lost || !self.is_open(from, to) {
            return Vec::new();
        }
        if double_percent > 0 && throws.chance(double_percent) {
            // A copy that was held up somewhere, perhaps for very long.
            let late = throws.between(least, most * 4 + 1);
            return vec![delay, late];
        }
        vec![delay]
    }
}
