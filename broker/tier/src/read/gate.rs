//! Who may ask the store next.
//!
//! So many requests are under way and no more. Clients that wait take turns, one request each, so
//! one that asks for a hundred partitions does not stand before one that asks for a single one. What
//! nobody has asked for yet (prefetch) has the places that are left, half of them at most: it delays
//! a client by no more than the request that was sent already.
//!
//! Nor may one that asks for thousands fill the room in which all wait: a client may have no more waiting
//! than there is room left for others. The first that wants it all gets half of the room, the next one half
//! of the rest, and whoever comes then finds some. The rejected way, an equal share for each, would either be
//! small for who is alone, or be gone with a few.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::error::ColdError;

/// In whose name the store is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Turn {
    /// A client's: it waits for it.
    Client(u64),
    /// Nobody's: it may turn out useful.
    Spare,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    queues: Mutex<Queues>,
}

#[derive(Debug, Default)]
struct Queues {
    places: usize,
    /// How many clients' requests may wait, of all together. Of spare ones, as many as there are places.
    room: usize,
    busy: usize,
    /// Of the busy ones, those that nobody waits for.
    spare: usize,
    /// Clients with somebody waiting, in the order of their turns.
    turns: VecDeque<u64>,
    waiting: HashMap<u64, VecDeque<oneshot::Sender<Pass>>>,
    spare_waiting: VecDeque<oneshot::Sender<Pass>>,
    count: usize,
}

/// Requests to the store at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLoad {
    /// How many may be under way.
    pub places: usize,
    /// How many are.
    pub busy: usize,
    /// How many wait for that, in clients' names.
    pub waiting: usize,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    is_spare: bool,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.leave(self.is_spare);
    }
}

impl Gate {
    pub(super) fn new(places: usize, room: usize) -> Self {
        let gate = Self {
            queues: Mutex::default(),
        };
        gate.set(places, room);
        gate
    }

    fn set(&self, places: usize, room: usize) {
        let mut queues = self.queues.lock();
        queues.places = places.max(2);
        queues.room = room;
    }

    /// Has so many places from now on; those that are too many are not given again.
    pub(super) fn resize(self: &Arc<Self>, places: usize, room: usize) {
        self.set(places, room);
        self.call();
    }

    /// Waits for a place. Who gives up waiting leaves nothing behind.
    pub(super) async fn enter(self: &Arc<Self>, turn: Turn) -> Result<Pass, ColdError> {
        let (call, called) = oneshot::channel();
        {
            let mut queues = self.queues.lock();
            match turn {
                Turn::Spare => {
                    let waiting = queues.spare_waiting.len();
                    if waiting >= queues.places {
                        return Err(ColdError::Busy { waiting });
                    }
                    queues.spare_waiting.push_back(call);
                }
                Turn::Client(client) => {
                    queues.must_have_room(client)?;
                    queues.line_up(client, call);
                }
            }
        }
        self.call();
        called.await.map_err(|_| ColdError::unanswered("a turn"))
    }

    /// How it stands now.
    pub(super) fn load(&self) -> GateLoad {
        let queues = self.queues.lock();
        GateLoad {
            places: queues.places,
            busy: queues.busy,
            waiting: queues.count,
        }
    }

    /// Lets in whoever is next, while there are places.
    fn call(self: &Arc<Self>) {
        loop {
            let (call, is_spare) = {
                let mut queues = self.queues.lock();
                match queues.next() {
                    Some(next) => next,
                    None => return,
                }
            };
            let gate = Arc::clone(self);
            // If nobody waits any more, the pass comes back, and is dropped here: outside of the lock.
            drop(call.send(Pass { gate, is_spare }));
        }
    }

    fn leave(self: &Arc<Self>, is_spare: bool) {
        {
            let mut queues = self.queues.lock();
            queues.busy -= 1;
            queues.spare -= usize::from(is_spare);
        }
        self.call();
    }
}

impl Queues {
    /// Refuses a client that has as many waiting as there is room left.
    fn must_have_room(&mut self, client: u64) -> Result<(), ColdError> {
        // Who has given up counts no more.
        if !self.has_room(client) && (self.sweep() == 0 || !self.has_room(client)) {
            let waiting = self.count;
            return Err(ColdError::Busy { waiting });
        }
        Ok(())
    }

    fn has_room(&self, client: u64) -> bool {
        let own = self.waiting.get(&client).map_or(0, VecDeque::len);
        own < self.room.saturating_sub(self.count)
    }

    fn line_up(&mut self, client: u64, call: oneshot::Sender<Pass>) {
        let queue = self.waiting.entry(client).or_default();
        if queue.is_empty() {
            self.turns.push_back(client);
        }
        queue.push_back(call);
        self.count += 1;
    }

    /// Forgets clients' requests that nobody waits for any more; says how many.
    fn sweep(&mut self) -> usize {
        let before = self.count;
        self.waiting.retain(|_, queue| {
            queue.retain(|call| !call.is_closed());
            !queue.is_empty()
        });
        self.turns
            .retain(|client| self.waiting.contains_key(client));
        self.count = self.waiting.values().map(VecDeque::len).sum();
        before - self.count
    }

    fn next(&mut self) -> Option<(oneshot::Sender<Pass>, bool)> {
        if self.busy >= self.places {
            return None;
        }
        let next = match self.next_client() {
            Some(call) => (call, false),
            None if self.spare < self.places / 2 => {
                let live = std::iter::from_fn(|| self.spare_waiting.pop_front());
                (live.into_iter().find(|call| !call.is_closed())?, true)
            }
            None => return None,
        };
        self.busy += 1;
        self.spare += usize::from(next.1);
        Some(next)
    }

    /// The oldest of the client whose turn it is, who then stands at the end.
    fn next_client(&mut self) -> Option<oneshot::Sender<Pass>> {
        while let Some(client) = self.turns.pop_front() {
            let Some(queue) = self.waiting.get_mut(&client) else {
                continue;
            };
            let mut next = None;
            while let Some(call) = queue.pop_front() {
                self.count -= 1;
                if !call.is_closed() {
                    next = Some(call);
                    break;
                }
            }
            if queue.is_empty() {
                self.waiting.remove(&client);
            } else {
                self.turns.push_back(client);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
