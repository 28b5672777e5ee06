//! Threads that serve sockets.
//!
//! Each runs its own single-threaded runtime, and a connection stays on the one it was given: no
//! task is stolen, so a request wakes no second thread to look for work. With work stealing the same
//! lone record cost a quarter more CPU: threads woke each other.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};

use crate::tasks::spawn_thread;
use crate::watch;

/// Running reactors; they end when this is dropped, and their tasks with them.
#[derive(Debug)]
pub struct Reactors {
    handles: Vec<Handle>,
    next: AtomicUsize,
    threads: Vec<JoinHandle<()>>,
    /// Closed by the drop.
    alive: Option<tokio::sync::watch::Sender<()>>,
}

impl Reactors {
    /// `count` threads called `name`, with a number each; 0 takes one for every two cores: log
    /// threads need the others.
    pub fn start(name: &str, count: usize) -> io::Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let count = if count == 0 {
            cores().div_ceil(2)
        } else {
            count
        };
        let (alive, life) = tokio::sync::watch::channel(());
        let mut reactors = Self {
            handles: Vec::with_capacity(count),
            next: AtomicUsize::new(0),
            threads: Vec::with_capacity(count),
            alive: Some(alive),
        };
        for i in 0..count {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .on_thread_park(watch::rests)
                .on_thread_unpark(watch::works)
                .build()?;
            reactors.handles.push(runtime.handle().clone());
            let mut life = life.clone();
            let body = move || {
                watch::drives(runtime.handle());
                // Nothing is ever sent: the channel closes.
                let _ = runtime.block_on(life.changed());
            };
            reactors
                .threads
                .push(spawn_thread(&format!("{name}-{i}"), body)?);
        }
        Ok(reactors)
    }

    /// Where the next connection, or the next task of another kind, lives: in turns.
    pub fn next(&self) -> &Handle {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        &self.handles[turn % self.handles.len()]
    }
}

impl Drop for Reactors {
    fn drop(&mut self) {
        self.alive = None;
        for thread in self.threads.drain(..) {
            // A panic has been told by its thread.
            drop(thread.join());
        }
    }
}

/// Has what a future spawns, and its sockets and timers, belong to another runtime than the one that
/// polls it.
pub async fn within<F: Future>(home: Handle, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let _entered = home.enter();
        future.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn connections_are_dealt_in_turns_and_tasks_end_with_their_reactor() {
        struct Told(mpsc::Sender<String>);
        impl Drop for Told {
            fn drop(&mut self) {
                let _ = self.0.send("dropped".into());
            }
        }
        let reactors = Reactors::start("net", 2).expect("threads");
        let (tell, told) = mpsc::channel();
        for _ in 0..4 {
            let tell = tell.clone();
            reactors.next().spawn(async move {
                let name = std::thread::current().name().unwrap_or_default().to_owned();
                let _ = tell.send(name);
                let _told = Told(tell);
                std::future::pending::<()>().await;
            });
        }
        let mut names: Vec<String> = (0..4).map(|_| told.recv().expect("a name")).collect();
        names.sort();
        assert_eq!(names, ["net-0", "net-0", "net-1", "net-1"]);
        drop((reactors, tell));
        assert_eq!(told.iter().collect::<Vec<_>>(), ["dropped"; 4]);
    }

    #[test]
    fn what_is_spawned_within_a_reactor_lives_there() {
        let reactors = Reactors::start("home", 1).expect("a thread");
        let elsewhere = Builder::new_current_thread().build().expect("a runtime");
        let name = elsewhere.block_on(within(reactors.next().clone(), async {
            tokio::task::yield_now().await;
            let name = || std::thread::current().name().map(str::to_owned);
            let theirs = tokio::spawn(async move { name() });
            (name(), theirs.await.expect("it ran"))
        }));
        assert_ne!(name.0.as_deref(), Some("home-0"));
        assert_eq!(name.1.as_deref(), Some("home-0"));
    }
}
