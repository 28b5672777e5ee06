//! Who may ask the store next.
//!
//! So many requests are under way and no more. Clients that wait take turns, one request each, so
//! one that asks for a hundred partitions does not stand before one that asks for a single one. What
//! nobody has asked for yet (prefetch) has the places that are left, half of them at most: it delays
//! a client by no more than the request that was sent already.

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
    /// How many clients' requests may wait. Of spare ones, as many as there are places.
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
            let (waiting, room) = match turn {
                Turn::Spare => (queues.spare_waiting.len(), queues.places),
                Turn::Client(_) => (queues.count, queues.room),
            };
            // Only clients give up, so only their queues can be made shorter.
            if waiting >= room && (turn == Turn::Spare || queues.sweep() == 0) {
                return Err(ColdError::Busy { waiting });
            }
            match turn {
                Turn::Spare => queues.spare_waiting.push_back(call),
                Turn::Client(client) => queues.line_up(client, call),
            }
        }
        self.call();
        called.await.map_err(|_| ColdError::unanswered("a turn"))
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
mod tests {
    use super::*;

    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// Lines up; says its name when it is in, and leaves.
    fn ask(gate: &Arc<Gate>, turn: Turn, told: &Arc<Mutex<Vec<Turn>>>) {
        let (gate, told) = (Arc::clone(gate), Arc::clone(told));
        tokio::spawn(async move {
            let pass = gate.enter(turn).await.unwrap();
            told.lock().push(turn);
            drop(pass);
        });
    }

    #[tokio::test]
    async fn clients_take_turns_and_spare_ones_come_last() {
        let gate = Arc::new(Gate::new(2, 100));
        let held = [
            gate.enter(Turn::Client(9)).await.unwrap(),
            gate.enter(Turn::Client(9)).await.unwrap(),
        ];
        let told = Arc::default();
        ask(&gate, Turn::Spare, &told);
        for client in [1, 1, 1, 1, 2, 3, 3] {
            ask(&gate, Turn::Client(client), &told);
        }
        settle().await;
        assert!(told.lock().is_empty());
        let [first, _second] = held;
        drop(first);
        settle().await;
        let order = [1, 2, 3, 1, 3, 1, 1].map(Turn::Client);
        assert_eq!(told.lock()[..7], order);
        assert_eq!(told.lock()[7..], [Turn::Spare]);
    }

    #[tokio::test]
    async fn places_are_not_lost_with_who_gives_up() {
        let gate = Arc::new(Gate::new(2, 3));
        let held = [
            gate.enter(Turn::Spare).await.unwrap(),
            gate.enter(Turn::Client(1)).await.unwrap(),
        ];
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.enter(Turn::Client(1)).await.map(drop) })
            })
            .collect();
        settle().await;
        let full = gate.enter(Turn::Client(2)).await.unwrap_err();
        assert_eq!(full, ColdError::Busy { waiting: 3 });
        waits.iter().for_each(|wait| wait.abort());
        settle().await;
        drop(held);
        let queues = gate.queues.lock();
        assert_eq!((queues.busy, queues.spare, queues.count), (0, 0, 0));
        assert!(queues.waiting.is_empty() && queues.turns.is_empty());
    }

    /// A client that has given up makes room for clients, and not for one more spare request.
    #[tokio::test]
    async fn spare_ones_have_a_bound_of_their_own() {
        let gate = Arc::new(Gate::new(2, 100));
        let _held = gate.enter(Turn::Spare).await.unwrap();
        let _busy = gate.enter(Turn::Client(1)).await.unwrap();
        let told = Arc::default();
        ask(&gate, Turn::Spare, &told);
        ask(&gate, Turn::Spare, &told);
        let waiter = Arc::clone(&gate);
        let gone = tokio::spawn(async move { waiter.enter(Turn::Client(1)).await.map(drop) });
        settle().await;
        gone.abort();
        settle().await;
        let full = gate.enter(Turn::Spare).await.unwrap_err();
        assert_eq!(full, ColdError::Busy { waiting: 2 });
    }

    #[tokio::test]
    async fn places_come_and_go() {
        let gate = Arc::new(Gate::new(2, 100));
        let held = [
            gate.enter(Turn::Client(9)).await.unwrap(),
            gate.enter(Turn::Client(9)).await.unwrap(),
        ];
        let told = Arc::default();
        ask(&gate, Turn::Client(1), &told);
        settle().await;
        assert!(told.lock().is_empty());
        gate.resize(3, 100);
        settle().await;
        assert_eq!(told.lock()[..], [Turn::Client(1)]);
        gate.resize(2, 0);
        let full = gate.enter(Turn::Client(1)).await.unwrap_err();
        assert_eq!(full, ColdError::Busy { waiting: 0 });
        drop(held);
        assert_eq!(gate.queues.lock().busy, 0);
    }

    #[tokio::test]
    async fn half_of_the_places_are_kept_for_clients() {
        let gate = Arc::new(Gate::new(4, 100));
        let told = Arc::default();
        let first = gate.enter(Turn::Spare).await.unwrap();
        let _second = gate.enter(Turn::Spare).await.unwrap();
        ask(&gate, Turn::Spare, &told);
        ask(&gate, Turn::Client(1), &told);
        settle().await;
        assert_eq!(told.lock()[..], [Turn::Client(1)]);
        drop(first);
        settle().await;
        assert_eq!(told.lock()[1..], [Turn::Spare]);
    }
}
