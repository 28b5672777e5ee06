//! Who wants to hear that something about a partition has moved: fetches, and sessions of fetches.
//!
//! A watch tells once. Who was told looks at the partition and, if it found nothing to do, watches
//! again from what it saw; a move in between is not lost, because [`Waiters::register`] refuses a
//! watch from an older state. So a partition that moves a thousand times between two looks costs its
//! watcher one mark, and a watcher that never looks again costs the partition nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Watches many partitions and learns which of them have moved. The watcher's owner gives each of
/// them a token of its own choice.
#[derive(Debug, Default)]
pub struct Watcher {
    moved: Mutex<Vec<usize>>,
    bell: Notify,
}

impl Watcher {
    /// Tokens of the partitions that moved since the last call. Their watches have ended.
    pub fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *self.moved.lock())
    }

    /// Waits for a move. May also return for one that was taken already.
    pub async fn told(&self) {
        self.bell.notified().await;
    }

    fn tell(&self, token: usize) {
        self.moved.lock().push(token);
        self.bell.notify_one();
    }
}

/// The watches on one partition. A new one costs O(1), the end of one O(log watches) and a short
/// move in memory; a move of the partition with nobody watching costs two atomic operations.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// How often something moved.
    moves: AtomicU64,
    count: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    next_id: u64,
    /// By id, ascending.
    watches: Vec<(u64, Arc<Watcher>, usize)>,
    closed: bool,
}

impl Waiters {
    /// How often something moved. Read before the partition is looked at.
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::SeqCst)
    }

    /// Has `watcher` told `token` at the next move, unless the guard is dropped before. `None` if
    /// something has moved since `seen`, or nothing will ever move again.
    pub(crate) fn register(
        self: &Arc<Self>,
        seen: u64,
        watcher: &Arc<Watcher>,
        token: usize,
    ) -> Option<Watch> {
        let mut list = self.list.lock();
        // Before `moves` is read, as `wake` counts before it looks here: one of both sees the other.
        self.count.store(list.watches.len() + 1, Ordering::SeqCst);
        if list.closed || self.moves() != seen {
            self.count.store(list.watches.len(), Ordering::SeqCst);
            return None;
        }
        let id = list.next_id;
        list.next_id += 1;
        list.watches.push((id, Arc::clone(watcher), token));
        drop(list);
        Some(Watch {
            waiters: Arc::clone(self),
            id,
        })
    }

    /// Something has moved: tells all who watch, and ends their watches.
    pub(crate) fn wake(&self) {
        self.moves.fetch_add(1, Ordering::SeqCst);
        if self.count.load(Ordering::SeqCst) > 0 {
            let ended = self.end_all(&mut self.list.lock());
            tell(ended);
        }
    }

    /// The partition is gone: the last move.
    pub(crate) fn close(&self) {
        let mut list = self.list.lock();
        list.closed = true;
        self.moves.fetch_add(1, Ordering::SeqCst);
        let ended = self.end_all(&mut list);
        drop(list);
        tell(ended);
    }

    fn end_all(&self, list: &mut List) -> Vec<(u64, Arc<Watcher>, usize)> {
        self.count.store(0, Ordering::SeqCst);
        std::mem::take(&mut list.watches)
    }
}

/// Not under the lock: who is told comes here at once to watch again.
fn tell(ended: Vec<(u64, Arc<Watcher>, usize)>) {
    for (_, watcher, token) in ended {
        watcher.tell(token);
    }
}

/// A watch on one partition; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    waiters: Arc<Waiters>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut list = self.waiters.list.lock();
        if let Ok(at) = list.watches.binary_search_by_key(&self.id, |(id, ..)| *id) {
            list.watches.remove(at);
            let left = list.watches.len();
            self.waiters.count.store(left, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_dropped_watch_is_forgotten_and_a_live_one_tells_once() {
        let waiters = Arc::new(Waiters::default());
        let watcher = Arc::new(Watcher::default());
        let watch = |token| waiters.register(waiters.moves(), &watcher, token);
        let (_kept, dropped) = (watch(1), watch(2));
        drop(dropped);
        waiters.wake();
        waiters.wake();
        let limit = Duration::from_secs(1);
        tokio::time::timeout(limit, watcher.told())
            .await
            .expect("told");
        assert_eq!(watcher.take(), [1]);
        assert!(waiters.list.lock().watches.is_empty());
        let _again = watch(3);
        waiters.wake();
        assert_eq!(watcher.take(), [3]);
    }

    #[test]
    fn a_watch_from_an_older_state_is_refused() {
        let waiters = Arc::new(Waiters::default());
        let watcher = Arc::new(Watcher::default());
        let seen = waiters.moves();
        waiters.wake();
        assert!(waiters.register(seen, &watcher, 0).is_none());
        assert_eq!(waiters.count.load(Ordering::SeqCst), 0);
        let kept = waiters.register(waiters.moves(), &watcher, 0);
        assert!(kept.is_some());
        waiters.close();
        assert_eq!(watcher.take(), [0]);
        let after = waiters.register(waiters.moves(), &watcher, 0);
        assert!(after.is_none(), "nothing moves any more");
    }

    #[test]
    fn no_move_is_lost_between_a_look_and_the_watch() {
        const MOVES: u64 = 20_000;
        let waiters = Arc::new(Waiters::default());
        let watcher = Arc::new(Watcher::default());
        std::thread::scope(|scope| {
            let moving = scope.spawn(|| (0..MOVES).for_each(|_| waiters.wake()));
            'looks: loop {
                let seen = waiters.moves();
                let Some(_watch) = waiters.register(seen, &watcher, 0) else {
                    continue;
                };
                while watcher.take().is_empty() {
                    if moving.is_finished() {
                        let is_told = !watcher.take().is_empty();
                        assert_eq!(is_told, waiters.moves() != seen);
                        break 'looks;
                    }
                }
            }
        });
    }
}
