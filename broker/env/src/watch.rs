//! Notices threads that are stuck.
//!
//! Each thread of [`crate::tasks`] has a count of turns, which is odd while it works and grows with
//! each piece of work. A look that finds the odd count of the look before has found a thread that is
//! at the same piece of work still. No clock is read but by who looks, every few seconds.
//!
//! A runtime that never rests has its count grow by a task that the look leaves with it: if even that
//! is not run, the thread is stuck, whatever in.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use tokio::runtime::Handle;

/// The threads of this process, for who looks. A thread is started by whoever needs one, and watched
/// by one who knows none of them.
static THREADS: Mutex<Vec<Weak<Turns>>> = Mutex::new(Vec::new());
/// How many are stuck, as of the last look.
static STUCK: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: OnceCell<Arc<Turns>> = const { OnceCell::new() };
}

/// How a thread gets on.
#[derive(Debug)]
pub(crate) struct Turns {
    name: String,
    /// Odd while it works. It is written by its own thread alone.
    count: AtomicU64,
    /// The runtime that it drives.
    runtime: OnceLock<Handle>,
}

impl Turns {
    /// Of a thread that is about to be started.
    pub(crate) fn new(name: &str) -> Arc<Self> {
        let turns = Arc::new(Self {
            name: name.to_owned(),
            count: AtomicU64::new(0),
            runtime: OnceLock::new(),
        });
        let mut threads = THREADS.lock();
        threads.retain(|thread| thread.strong_count() > 0);
        threads.push(Arc::downgrade(&turns));
        turns
    }

    /// Makes it that of the calling thread.
    pub(crate) fn adopt(self: Arc<Self>) {
        OWN.with(|own| drop(own.set(self)));
    }

    fn step(&self, becomes_odd: bool) {
        let count = self.count.load(Ordering::Relaxed);
        let step = u64::from((count % 2 == 1) != becomes_odd);
        self.count.store(count + step, Ordering::Relaxed);
    }
}

fn own(change: impl FnOnce(&Turns)) {
    // While a thread ends there is none.
    let _ = OWN.try_with(|own| own.get().map(|turns| change(turns)));
}

/// The calling thread has nothing to do for the moment.
pub(crate) fn rests() {
    own(|turns| turns.step(false));
}

/// The calling thread works from now on.
pub(crate) fn works() {
    own(|turns| turns.step(true));
}

/// The calling thread drives this runtime from now on.
pub(crate) fn drives(runtime: &Handle) {
    own(|turns| drop(turns.runtime.set(runtime.clone())));
    works();
}

/// Another piece of work begins.
pub fn turn() {
    rests();
    works();
}

/// Waits for work: that is no standing still, and what comes after it is another piece of work.
pub fn resting<T>(wait: impl FnOnce() -> T) -> T {
    rests();
    let waited = wait();
    works();
    waited
}

/// What a look finds about a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It has been at one piece of work since at least so many looks; told once.
    Stuck {
        /// The thread's.
        name: String,
    },
    /// It was told as stuck, and goes on.
    GoesOn {
        /// The thread's.
        name: String,
        /// For so many looks it stood still.
        looks: u32,
    },
}

/// Looks at the threads of this process.
#[derive(Debug, Default)]
pub struct Watch {
    suspects: Vec<Suspect>,
}

/// A thread that was at work when it was looked at.
#[derive(Debug)]
struct Suspect {
    turns: Weak<Turns>,
    count: u64,
    /// Looks that found it so.
    looks: u32,
}

impl Watch {
    /// Looks once. A thread is stuck that two looks in a row have found at the same piece of work.
    pub fn look(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut before = std::mem::take(&mut self.suspects);
        let threads: Vec<_> = THREADS.lock().clone();
        for (thread, turns) in threads.iter().filter_map(|t| Some((t, t.upgrade()?))) {
            let known = before
                .iter()
                .position(|suspect| suspect.turns.ptr_eq(thread));
            let known = known.map(|at| before.swap_remove(at));
            let count = turns.count.load(Ordering::Relaxed);
            let name = || turns.name.clone();
            let looks = known.as_ref().map_or(0, |suspect| suspect.looks);
            let same = known.is_some_and(|suspect| suspect.count == count);
            if !same && looks > 1 {
                seen.push(Seen::GoesOn {
                    name: name(),
                    looks,
                });
            }
            if count % 2 == 0 {
                continue;
            }
            let looks = if same { looks + 1 } else { 1 };
            match looks {
                1 => probe(&turns),
                2 => seen.push(Seen::Stuck { name: name() }),
                _ => {}
            }
            self.suspects.push(Suspect {
                turns: Weak::clone(thread),
                count,
                looks,
            });
        }
        let stuck = self.suspects.iter().filter(|s| s.looks > 1).count();
        STUCK.store(stuck, Ordering::Relaxed);
        seen
    }
}

/// How many threads of this process are stuck, as of the last look.
pub fn stuck() -> usize {
    STUCK.load(Ordering::Relaxed)
}

/// Leaves a task with the runtime of a thread, which shows that it gets on.
fn probe(turns: &Turns) {
    if let Some(runtime) = turns.runtime.get() {
        runtime.spawn(async { turn() });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::reactors::Reactors;
    use crate::tasks::spawn_thread;

    /// What looks see of one thread; other tests have theirs.
    fn look(watch: &mut Watch, name: &str) -> Vec<Seen> {
        let of = |seen: &Seen| match seen {
            Seen::Stuck { name } | Seen::GoesOn { name, .. } => name.clone(),
        };
        let all = watch.look().into_iter();
        all.filter(|seen| of(seen) == name).collect()
    }

    fn is_stuck(name: &str) -> Vec<Seen> {
        let name = name.to_owned();
        vec![Seen::Stuck { name }]
    }

    #[test]
    fn who_is_at_the_same_work_for_two_looks_is_stuck_until_it_goes_on() {
        let (send, jobs) = channel::<Receiver<()>>();
        let (told, tell) = channel();
        let body = move || {
            while let Ok(job) = resting(|| jobs.recv()) {
                told.send(()).expect("somebody listens");
                let _ = job.recv();
            }
        };
        let thread = spawn_thread("worker", body).expect("a thread");
        let mut watch = Watch::default();
        for _ in 0..3 {
            assert_eq!(look(&mut watch, "worker"), [], "it waits for work");
        }
        let work = || {
            let (end, job) = channel();
            send.send(job).expect("it waits");
            tell.recv().expect("it works");
            end
        };
        let first = work();
        assert_eq!(look(&mut watch, "worker"), []);
        drop(first);
        let second = work();
        assert_eq!(look(&mut watch, "worker"), [], "another piece of work");
        assert_eq!(look(&mut watch, "worker"), is_stuck("worker"));
        assert_eq!(look(&mut watch, "worker"), [], "told once");
        drop(second);
        let third = work();
        let name = "worker".to_owned();
        let goes_on = [Seen::GoesOn { name, looks: 3 }];
        assert_eq!(look(&mut watch, "worker"), goes_on);
        drop((send, third));
        thread.join().expect("it ends");
    }

    #[test]
    fn a_busy_runtime_is_not_stuck_and_one_that_is_held_up_is() {
        let reactors = Reactors::start("reactor", 1).expect("a thread");
        let mut watch = Watch::default();
        let name = "reactor-0";
        let (tell, told) = channel();
        let busy = reactors.next().spawn(async move {
            for turn in 0_u64.. {
                if turn == 1 {
                    tell.send(()).expect("somebody listens");
                }
                tokio::task::yield_now().await;
            }
        });
        told.recv().expect("it is busy");
        for _ in 0..3 {
            assert_eq!(look(&mut watch, name), []);
            // The task that a look leaves is run: whoever spawns another sees it end.
            let (tell, told) = channel();
            reactors.next().spawn(async move { tell.send(()) });
            told.recv().expect("it is run");
        }
        let ((tell, told), (free, held)) = (channel(), channel::<()>());
        reactors.next().spawn(async move {
            tell.send(()).expect("somebody listens");
            let _ = held.recv();
        });
        told.recv().expect("it is held up");
        assert_eq!(look(&mut watch, name), []);
        assert_eq!(look(&mut watch, name), is_stuck(name));
        drop(free);
        busy.abort();
    }
}
