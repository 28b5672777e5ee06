//! The state behind all handles of a disk, and the gate that every call goes through.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::fault::{Effect, Fault, Op, eio, no_space, power_is_off};
use super::tree::{NodeId, Tree};
use crate::Dice;

const PAGE_BYTES: u64 = 4096;

#[derive(Debug)]
pub(super) struct World {
    dice: Dice,
    pub(super) tree: Tree,
    pub(super) faults: Vec<Fault>,
    pub(super) struck: u64,
    pub(super) changes: u64,
    pub(super) off_at: Option<u64>,
    pub(super) capacity_bytes: u64,
    pub(super) short_percent: u64,
    pub(super) cold_percent: u64,
    pub(super) locks: BTreeSet<NodeId>,
    /// Calls that wait to be resumed.
    pub(super) stalled: u64,
    /// How often they were.
    pub(super) resumed: u64,
    on: bool,
    boot: u64,
    /// Calls by path, so that dice do not depend on how threads interleave.
    calls: BTreeMap<String, u64>,
    warmed: BTreeSet<(NodeId, u64)>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed),
            tree: Tree::new(),
            faults: Vec::new(),
            struck: 0,
            changes: 0,
            off_at: None,
            capacity_bytes: 1 << 40,
            short_percent: 0,
            cold_percent: 0,
            locks: BTreeSet::new(),
            stalled: 0,
            resumed: 0,
            on: true,
            boot: 0,
            calls: BTreeMap::new(),
            warmed: BTreeSet::new(),
        }
    }

    pub(super) fn is_boot(&self, boot: u64) -> bool {
        self.boot == boot
    }

    pub(super) fn is_on(&self, boot: u64) -> bool {
        self.on && self.is_boot(boot)
    }

    /// Runs one call of a process with its effect. The body does what the effect leaves of it;
    /// errors that need nothing done are answered here.
    pub(super) fn run<T>(
        &mut self,
        op: Op,
        effect: Option<Effect>,
        body: impl FnOnce(&mut Self, Option<Effect>) -> io::Result<T>,
    ) -> io::Result<T> {
        match effect {
            Some(Effect::NoSpace) => return Err(no_space()),
            Some(Effect::Eio) if !matches!(op, Op::Write | Op::Sync) => return Err(eio()),
            _ => {}
        }
        let done = body(self, effect);
        if effect == Some(Effect::PowerOff) {
            self.on = false;
            return Err(power_is_off());
        }
        done
    }

    /// Counts a call and says what goes wrong with it.
    pub(super) fn effect(&mut self, op: Op, path: &str) -> Option<Effect> {
        if op.changes() {
            self.changes += 1;
            if self.off_at.is_some_and(|at| self.changes >= at) {
                return Some(Effect::PowerOff);
            }
        }
        let strikes = |fault: &mut Fault| fault.strikes(op, path).then_some(fault.effect);
        let effect = self.faults.iter_mut().find_map(strikes);
        self.struck += u64::from(effect.is_some());
        effect
    }

    /// How much of `wanted` bytes a read or write gets done, at least one.
    pub(super) fn portion(&mut self, path: &str, wanted: usize, effect: Option<Effect>) -> usize {
        if wanted < 2 {
            return wanted;
        }
        if matches!(effect, Some(Effect::Short | Effect::Eio)) {
            return wanted / 2;
        }
        let dice = self.next_dice(path);
        if dice.chance(self.short_percent, "short") {
            1 + dice.below(wanted as u64 - 1, "length") as usize
        } else {
            wanted
        }
    }

    /// Dice for one more call on a path.
    pub(super) fn next_dice(&mut self, path: &str) -> Dice {
        let calls = self.calls.entry(path.to_owned()).or_default();
        *calls += 1;
        self.dice.of((self.boot, path, *calls))
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity_bytes.saturating_sub(self.tree.used_bytes())
    }

    /// How many bytes from `position` on are in the page cache, `wanted` at most.
    pub(super) fn cached_bytes(
        &self,
        (node, path): (NodeId, &str),
        position: u64,
        wanted: usize,
    ) -> usize {
        let end = position + wanted as u64;
        let dice = self.dice.of((self.boot, path));
        let cold = |page: &u64| {
            dice.chance(self.cold_percent, page) && !self.warmed.contains(&(node, *page))
        };
        let pages = position / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        let end = pages
            .into_iter()
            .find(cold)
            .map_or(end, |page| page * PAGE_BYTES);
        end.saturating_sub(position) as usize
    }

    pub(super) fn warm(&mut self, node: NodeId, position: u64, count: usize) {
        if self.cold_percent == 0 {
            return;
        }
        let end = (position + count as u64).div_ceil(PAGE_BYTES);
        for page in position / PAGE_BYTES..end {
            self.warmed.insert((node, page));
        }
    }

    pub(super) fn crash(&mut self) {
        let dice = self.dice.of(("crash", self.boot));
        self.tree.crash(dice);
        self.warmed.clear();
    }

    /// Another process takes over: handles, locks and waiting faults of the old one are gone.
    pub(super) fn reboot(&mut self) -> u64 {
        self.boot += 1;
        self.on = true;
        self.off_at = None;
        self.faults.clear();
        self.locks.clear();
        self.calls.clear();
        self.boot
    }
}
