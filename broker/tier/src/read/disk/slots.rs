//! Which slot of the file has what, and what has to go for something else.
//!
//! While slots are free everything has one. Then only what comes a second time: so a replay that is
//! made once costs no write, and throws out nothing. What goes is found by a clock: what was used
//! since the hand was there last stays for another round.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State<K> {
    Free,
    /// It is being written, or was forgotten while somebody read it.
    Taken,
    Has(K),
}

#[derive(Debug)]
struct Slot<K> {
    state: State<K>,
    len_bytes: usize,
    /// Since the hand was there last.
    is_used: bool,
    readers: usize,
}

/// Where a thing lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) len_bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slots<K> {
    /// Those that were taken at least once.
    slots: Vec<Slot<K>>,
    room: usize,
    free: Vec<usize>,
    places: HashMap<K, usize>,
    hand: usize,
    refused: Refused<K>,
    held_bytes: u64,
}

impl<K: Copy + Eq + Hash> Slots<K> {
    /// `room` of them.
    pub(super) fn new(room: usize) -> Self {
        Self {
            slots: Vec::new(),
            room,
            free: Vec::new(),
            places: HashMap::new(),
            hand: 0,
            refused: Refused::new(room),
            held_bytes: 0,
        }
    }

    /// Bytes of things.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Where a thing lies. It stays there until [`Slots::leave`].
    pub(super) fn enter(&mut self, key: &K) -> Option<Place> {
        let slot = *self.places.get(key)?;
        let entry = &mut self.slots[slot];
        entry.is_used = true;
        entry.readers += 1;
        let len_bytes = entry.len_bytes;
        Some(Place { slot, len_bytes })
    }

    /// A reader is done.
    pub(super) fn leave(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        entry.readers -= 1;
        if entry.readers == 0 && entry.state == State::Taken {
            self.set_free(slot);
        }
    }

    /// Whether a thing that comes by is to be written.
    pub(super) fn wants(&mut self, key: &K) -> bool {
        if self.places.contains_key(key) {
            return false;
        }
        !self.free.is_empty() || self.slots.len() < self.room || self.refused.again(*key)
    }

    /// A slot to write to; then it is filled, or given back. `None` if all are being read.
    pub(super) fn take(&mut self) -> Option<usize> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.slots.len() < self.room => {
                self.slots.push(Slot {
                    state: State::Free,
                    len_bytes: 0,
                    is_used: false,
                    readers: 0,
                });
                self.slots.len() - 1
            }
            None => self.clear_one()?,
        };
        self.slots[slot].state = State::Taken;
        Some(slot)
    }

    /// Takes the slot away from what was not used for longest, about.
    fn clear_one(&mut self) -> Option<usize> {
        // The first round finds all used, the second one somebody.
        for _ in 0..2 * self.slots.len() {
            let slot = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let entry = &mut self.slots[slot];
            let State::Has(key) = entry.state else {
                continue;
            };
            if std::mem::take(&mut entry.is_used) || entry.readers > 0 {
                continue;
            }
            self.held_bytes -= entry.len_bytes as u64;
            self.places.remove(&key);
            return Some(slot);
        }
        None
    }

    /// The thing is in a slot that was taken, unless it is in another one already.
    pub(super) fn fill(&mut self, slot: usize, key: K, len_bytes: usize) {
        if self.places.contains_key(&key) {
            return self.set_free(slot);
        }
        let entry = &mut self.slots[slot];
        entry.state = State::Has(key);
        entry.len_bytes = len_bytes;
        entry.is_used = false;
        self.places.insert(key, slot);
        self.held_bytes += len_bytes as u64;
    }

    /// A slot that was taken has nothing.
    pub(super) fn set_free(&mut self, slot: usize) {
        self.slots[slot].state = State::Free;
        self.free.push(slot);
    }

    /// What a slot has is no good.
    pub(super) fn forget(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        let State::Has(key) = entry.state else {
            return;
        };
        self.places.remove(&key);
        self.held_bytes -= entry.len_bytes as u64;
        entry.state = State::Taken;
        if entry.readers == 0 {
            self.set_free(slot);
        }
    }
}

/// The last things that were refused, as many as there are slots: what comes again later than that
/// would not have been kept so long.
#[derive(Debug)]
struct Refused<K> {
    room: usize,
    keys: HashSet<K>,
    order: VecDeque<K>,
}

impl<K: Copy + Eq + Hash> Refused<K> {
    fn new(room: usize) -> Self {
        Self {
            room,
            keys: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// Whether it was here before; else it was now.
    fn again(&mut self, key: K) -> bool {
        if !self.keys.insert(key) {
            return true;
        }
        self.order.push_back(key);
        if self.order.len() > self.room
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes it, if it is wanted.
    fn offer(slots: &mut Slots<u32>, key: u32) -> bool {
        let wanted = slots.wants(&key);
        if wanted && let Some(slot) = slots.take() {
            slots.fill(slot, key, 10);
        }
        wanted
    }

    /// Reads it, if it is there.
    fn read(slots: &mut Slots<u32>, key: u32) -> bool {
        let place = slots.enter(&key);
        place.map(|place| slots.leave(place.slot)).is_some()
    }

    #[test]
    fn a_replay_throws_nothing_out_and_writes_nothing() {
        let mut slots = Slots::new(4);
        assert!((0..4).all(|key| offer(&mut slots, key)));
        assert!((4..1000).all(|key| !offer(&mut slots, key)));
        assert!((0..4).all(|key| read(&mut slots, key)));
        assert_eq!(slots.held_bytes(), 40);
        // One that is repeated is kept, from the second time on.
        assert!(!offer(&mut slots, 7));
        assert!(offer(&mut slots, 7));
        assert!(read(&mut slots, 7));
        assert!(!offer(&mut slots, 7), "it is there");
    }

    #[test]
    fn what_is_used_stays_for_another_round() {
        let mut slots = Slots::new(3);
        (0..3).for_each(|key| assert!(offer(&mut slots, key)));
        assert!(read(&mut slots, 0) && read(&mut slots, 2));
        for key in [8, 8] {
            offer(&mut slots, key);
        }
        let there: Vec<u32> = (0..9).filter(|key| read(&mut slots, *key)).collect();
        assert_eq!(there, [0, 2, 8]);
    }

    #[test]
    fn what_is_read_stays_where_it_is() {
        let mut slots = Slots::new(2);
        assert!(offer(&mut slots, 0) && offer(&mut slots, 1));
        let zero = slots.enter(&0).unwrap();
        let one = slots.enter(&1).unwrap();
        assert_eq!(slots.take(), None);
        // Forgotten while it is read: nobody else finds it, and nobody writes there.
        slots.forget(one.slot);
        assert!(!read(&mut slots, 1));
        assert_eq!(slots.take(), None);
        slots.leave(one.slot);
        assert_eq!(slots.take(), Some(one.slot));
        slots.set_free(one.slot);
        slots.leave(zero.slot);
        assert!(read(&mut slots, 0));
        assert_eq!(slots.held_bytes(), 10);
    }

    /// What somebody does.
    #[derive(Debug, Clone)]
    enum Step {
        Offer(u32),
        /// What is written fails.
        Fail(u32),
        Enter(u32),
        Leave,
        Forget,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..12_u32).prop_map(Step::Offer),
            1 => (0..12_u32).prop_map(Step::Fail),
            3 => (0..12_u32).prop_map(Step::Enter),
            3 => Just(Step::Leave),
            1 => Just(Step::Forget),
        ]
    }

    proptest! {
        /// No slot has two things, none is written while it is read, and none is lost.
        #[test]
        fn slots_are_never_shared(room in 1..5_usize, steps in prop::collection::vec(step(), 1..80)) {
            let mut slots = Slots::new(room);
            let mut disk = vec![None; room];
            let mut reading: Vec<(u32, Place)> = Vec::new();
            for step in steps {
                match step {
                    Step::Offer(key) if slots.wants(&key) => if let Some(slot) = slots.take() {
                        prop_assert!(reading.iter().all(|(_, place)| place.slot != slot));
                        disk[slot] = Some(key);
                        slots.fill(slot, key, 1);
                    }
                    Step::Fail(key) if slots.wants(&key) => if let Some(slot) = slots.take() {
                        disk[slot] = None;
                        slots.set_free(slot);
                    }
                    Step::Enter(key) => reading.extend(slots.enter(&key).map(|place| (key, place))),
                    Step::Leave => if let Some((key, place)) = reading.pop() {
                        prop_assert_eq!(disk[place.slot], Some(key));
                        slots.leave(place.slot);
                    }
                    Step::Forget => if let Some((_, place)) = reading.last() {
                        slots.forget(place.slot);
                    }
                    Step::Offer(_) | Step::Fail(_) => {}
                }
                prop_assert!(slots.held_bytes() <= room as u64);
            }
            for (_, place) in reading {
                slots.leave(place.slot);
            }
            let taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
            prop_assert_eq!(taken.len(), room);
        }
    }
}
