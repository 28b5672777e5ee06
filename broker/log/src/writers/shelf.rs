//! A bounded queue that several threads take from.
//!
//! A job wakes one thread. With a receiver behind a lock it would wake two: whoever takes the job gives
//! the lock to the next, which has to run to wait in its place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use freshet_env::watch;
use parking_lot::{Condvar, Mutex, MutexGuard};

struct Shelf<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
    limit: usize,
}

struct State<T> {
    jobs: VecDeque<T>,
    senders: usize,
    takers: usize,
}

/// Puts jobs on the shelf.
pub(super) struct Sender<T>(Arc<Shelf<T>>);

/// Takes jobs from it. Clones share what there is.
pub(super) struct Taker<T>(Arc<Shelf<T>>);

/// What a taker finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    Job(T),
    /// Nothing came in time.
    Nothing,
    /// Nobody can send any more, and all is done.
    Ended,
}

/// A shelf for `limit` jobs.
pub(super) fn shelf<T>(limit: usize) -> (Sender<T>, Taker<T>) {
    let state = State {
        jobs: VecDeque::new(),
        senders: 1,
        takers: 1,
    };
    let shelf = Arc::new(Shelf {
        state: Mutex::new(state),
        filled: Condvar::new(),
        emptied: Condvar::new(),
        limit: limit.max(1),
    });
    (Sender(Arc::clone(&shelf)), Taker(shelf))
}

impl<T> Sender<T> {
    /// Whether nothing waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.0.state.lock().jobs.is_empty()
    }

    /// Gives the job back if there is no room; it is dropped once no taker is left.
    pub(super) fn offer(&self, job: T) -> Option<T> {
        let mut state = self.0.state.lock();
        if state.takers == 0 {
            drop(state);
            return None;
        }
        if state.jobs.len() >= self.0.limit {
            return Some(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.0.filled.notify_one();
        None
    }

    /// Waits for room; the job is lost and false is said once no taker is left.
    pub(super) fn send(&self, job: T) -> bool {
        let mut state = self.0.state.lock();
        while state.jobs.len() >= self.0.limit && state.takers > 0 {
            self.0.emptied.wait(&mut state);
        }
        if state.takers == 0 {
            return false;
        }
        state.jobs.push_back(job);
        drop(state);
        self.0.filled.notify_one();
        true
    }
}

impl<T> Taker<T> {
    /// Waits for a job, for about `patience` if there is one.
    pub(super) fn take(&self, patience: Option<Duration>) -> Taken<T> {
        let state = self.wait(patience);
        match self.take_first(state) {
            (Some(job), _) => Taken::Job(job),
            (None, true) => Taken::Nothing,
            (None, false) => Taken::Ended,
        }
    }

    /// Takes what is there now.
    pub(super) fn try_take(&self) -> Option<T> {
        watch::turn();
        self.take_first(self.0.state.lock()).0
    }

    /// Waits until there is something to take, for about `patience` if there is one; false once
    /// nobody can send any more and all is done. Who takes it may be somebody else.
    pub(super) fn until_filled(&self, patience: Option<Duration>) -> bool {
        let state = self.wait(patience);
        !state.jobs.is_empty() || state.senders > 0
    }

    fn wait(&self, patience: Option<Duration>) -> MutexGuard<'_, State<T>> {
        watch::resting(|| self.wait_for_jobs(patience))
    }

    fn wait_for_jobs(&self, patience: Option<Duration>) -> MutexGuard<'_, State<T>> {
        let mut state = self.0.state.lock();
        let mut is_late = false;
        while state.jobs.is_empty() && state.senders > 0 && !is_late {
            match patience {
                Some(patience) => {
                    is_late = self.0.filled.wait_for(&mut state, patience).timed_out();
                }
                None => self.0.filled.wait(&mut state),
            }
        }
        state
    }

    /// The first job, and whether any can be sent still.
    fn take_first(&self, mut state: MutexGuard<'_, State<T>>) -> (Option<T>, bool) {
        let was_full = state.jobs.len() == self.0.limit;
        let taken = (state.jobs.pop_front(), state.senders > 0);
        drop(state);
        if was_full {
            self.0.emptied.notify_all();
        }
        taken
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.state.lock().senders -= 1;
        self.0.filled.notify_all();
    }
}

impl<T> Clone for Taker<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().takers += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Taker<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.takers -= 1;
        // Who waits for what is on the shelf must learn that nobody does it.
        let left = match state.takers {
            0 => std::mem::take(&mut state.jobs),
            _ => VecDeque::new(),
        };
        drop(state);
        self.0.emptied.notify_all();
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn jobs_come_in_order_until_all_senders_are_gone() {
        let (sender, taker) = shelf(8);
        let second = sender.clone();
        assert!(sender.send(1) && second.send(2));
        drop(sender);
        assert_eq!(taker.take(None), Taken::Job(1));
        drop(second);
        assert_eq!(taker.take(None), Taken::Job(2));
        assert_eq!(taker.take(None), Taken::Ended);
    }

    #[test]
    fn a_taker_without_a_job_gives_up_in_time() {
        let (_sender, taker) = shelf::<u8>(1);
        let patience = Duration::from_millis(1);
        assert_eq!(taker.take(Some(patience)), Taken::Nothing);
    }

    #[test]
    fn a_full_shelf_is_waited_for_and_one_without_takers_is_refused() {
        let (sender, taker) = shelf(1);
        assert!(sender.send(1));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| sender.send(2));
            assert_eq!(taker.take(Some(LIMIT)), Taken::Job(1));
            assert_eq!(taker.take(Some(LIMIT)), Taken::Job(2));
            assert!(waiting.join().expect("it ends"));
            assert!(sender.send(3));
            let waiting = scope.spawn(|| sender.send(4));
            drop(taker);
            assert!(!waiting.join().expect("it ends"));
        });
    }

    #[test]
    fn every_job_is_done_once_by_one_of_many() {
        const JOBS: usize = 10_000;
        let (sender, taker) = shelf(16);
        let count = |taker: Taker<usize>| {
            let mut sum = 0;
            while let Taken::Job(job) = taker.take(None) {
                sum += job;
            }
            sum
        };
        let done: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| taker.clone())
                .map(|taker| scope.spawn(move || count(taker)))
                .collect();
            (0..JOBS).for_each(|job| assert!(sender.send(job)));
            drop(sender);
            takers
                .into_iter()
                .map(|taker| taker.join().expect("it ends"))
                .sum()
        });
        assert_eq!(done, JOBS * (JOBS - 1) / 2);
    }
}
