//! The partitions of one fetch or session, and which of them must be looked at.
//!
//! A partition with nothing left to read and nothing new to tell is watched instead of looked at:
//! it becomes due again when it moves, or when the client asks for something else. So an idle
//! partition costs a fetch nothing, however many of them a session holds.

use std::sync::Arc;

use freshet_partition::{Partition, Seen, Watch, Watcher};
use freshet_types::PartitionId;

use super::{Named, Position, Told};

/// One partition on the agenda.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) named: Arc<Named>,
    pub(crate) partition: PartitionId,
    pub(crate) position: Position,
    pub(crate) told: Told,
    /// Smaller is served first.
    pub(crate) turn: u64,
    is_due: bool,
    watch: Option<Watch>,
}

/// See the module. Items are named by slots, which stay the same for their whole life.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    slots: Vec<Option<Item>>,
    free: Vec<usize>,
    /// Slots of all items that are due, and maybe some that are not any more.
    due: Vec<usize>,
    next_turn: u64,
    /// Told the slots of watched partitions that moved.
    watcher: Arc<Watcher>,
}

impl Agenda {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest item is served last, and is due.
    pub(super) fn add(
        &mut self,
        named: &Arc<Named>,
        partition: PartitionId,
        position: Position,
    ) -> usize {
        let item = Item {
            named: Arc::clone(named),
            partition,
            position,
            told: Told::NOTHING,
            turn: self.take_turn(),
            is_due: false,
            watch: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(item);
                slot
            }
            None => {
                self.slots.push(Some(item));
                self.slots.len() - 1
            }
        };
        self.make_due(slot);
        slot
    }

    /// The client wants something else from a partition.
    pub(super) fn update(&mut self, slot: usize, position: Position) {
        if let Some(item) = self.item_mut(slot)
            && item.position != position
        {
            item.position = position;
            self.make_due(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: usize) {
        if self.slots[slot].take().is_some() {
            self.free.push(slot);
        }
    }

    /// The item of a slot that is taken.
    pub(crate) fn item(&self, slot: usize) -> Option<&Item> {
        self.slots.get(slot).and_then(Option::as_ref)
    }

    pub(crate) fn item_mut(&mut self, slot: usize) -> Option<&mut Item> {
        self.slots.get_mut(slot).and_then(Option::as_mut)
    }

    /// Has an item looked at in the next round.
    pub(crate) fn make_due(&mut self, slot: usize) {
        if let Some(item) = self.item_mut(slot)
            && !item.is_due
        {
            item.is_due = true;
            self.due.push(slot);
        }
    }

    pub(super) fn make_all_due(&mut self) {
        (0..self.slots.len()).for_each(|slot| self.make_due(slot));
    }

    /// Who has had data is served after all others from now on (KIP-227).
    pub(crate) fn move_to_back(&mut self, slot: usize) {
        let turn = self.take_turn();
        if let Some(item) = self.item_mut(slot) {
            item.turn = turn;
        }
    }

    fn take_turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }

    /// All that must be looked at, in the order in which it is served; none of it is due any more.
    pub(crate) fn take_due(&mut self) -> Vec<usize> {
        for slot in self.watcher.take() {
            // The slot may have been given to another partition meanwhile: one look too many.
            if let Some(item) = self.item_mut(slot) {
                item.watch = None;
            }
            self.make_due(slot);
        }
        let mut due = std::mem::take(&mut self.due);
        // A slot can be in there for an item that is gone as well: the first one counts.
        due.retain(|&slot| {
            self.item_mut(slot)
                .is_some_and(|item| std::mem::take(&mut item.is_due))
        });
        due.sort_by_key(|&slot| self.item(slot).map(|item| item.turn));
        due
    }

    /// Watches an item's partition, which was as `seen` when it was looked at. False if
    /// it has moved since.
    pub(crate) fn watch(&mut self, slot: usize, partition: &Partition, seen: Seen) -> bool {
        let watcher = Arc::clone(&self.watcher);
        let Some(item) = self.item_mut(slot) else {
            return true;
        };
        if item.watch.is_none() {
            item.watch = partition.watch(seen, &watcher, slot);
        }
        item.watch.is_some()
    }

    /// What to wait for when all has been looked at.
    pub(crate) fn watcher(&self) -> Arc<Watcher> {
        Arc::clone(&self.watcher)
    }
}
