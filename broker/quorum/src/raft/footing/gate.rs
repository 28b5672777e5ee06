//! Which tasks are one process, so that a simulation can have it stand still.
//!
//! A process that is stopped (a signal, a hypervisor with other worries) runs none of its tasks while
//! time and messages go on, and then all of them, late. In a simulation all nodes share a thread, so
//! tasks must say whose they are: each belongs to the [`Gate`] that it was spawned behind. A thread
//! can be stopped as well between two steps that no other task can see apart: [`preempted`] is put
//! where that matters. Without the feature `simulation` all of this is tokio's `spawn` and nothing.

#[cfg(not(feature = "simulation"))]
pub(crate) use elsewhere::{preempted, spawn};
#[cfg(feature = "simulation")]
pub use simulated::Gate;
#[cfg(feature = "simulation")]
pub(crate) use simulated::{preempted, spawn};

#[cfg(not(feature = "simulation"))]
mod elsewhere {
    pub(crate) use tokio::spawn;

    pub(crate) async fn preempted() {}
}

#[cfg(feature = "simulation")]
mod simulated {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use parking_lot::Mutex;
    use tokio::task::JoinHandle;

    thread_local! {
        /// Whose task is running.
        static RUNNING: RefCell<Option<Gate>> = const { RefCell::new(None) };
    }

    /// What holds the tasks of one process. Clones are the same.
    #[derive(Debug, Clone, Default)]
    pub struct Gate(Arc<Latches>);

    #[derive(Debug, Default)]
    struct Latches {
        tasks: Latch,
        points: Latch,
    }

    #[derive(Debug, Default)]
    struct Latch(Mutex<(bool, Vec<Waker>)>);

    impl Latch {
        fn set(&self, shut: bool) {
            let waiting = {
                let mut latch = self.0.lock();
                latch.0 = shut;
                match shut {
                    true => Vec::new(),
                    false => std::mem::take(&mut latch.1),
                }
            };
            waiting.into_iter().for_each(Waker::wake);
        }

        fn poll(&self, cx: &Context<'_>) -> Poll<()> {
            let mut latch = self.0.lock();
            if !latch.0 {
                return Poll::Ready(());
            }
            latch.1.push(cx.waker().clone());
            Poll::Pending
        }
    }

    impl Gate {
        /// The process stands still, or goes on.
        pub fn stop(&self, stopped: bool) {
            self.0.tasks.set(stopped);
        }

        /// Whoever comes to a point where it can be preempted stays there, or goes on.
        pub fn preempt(&self, preempted: bool) {
            self.0.points.set(preempted);
        }

        /// Ends when the process does not stand still.
        pub async fn is_open(&self) {
            poll_fn(|cx| self.0.tasks.poll(cx)).await;
        }

        /// Makes a task, and all that it will spawn, one of this process.
        pub fn hold<F: Future>(&self, task: F) -> Held<F> {
            let (gate, task) = (self.clone(), Box::pin(task));
            Held { gate, task }
        }
    }

    /// See [`Gate::hold`].
    #[derive(Debug)]
    pub struct Held<F> {
        gate: Gate,
        task: Pin<Box<F>>,
    }

    impl<F: Future> Future for Held<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            if self.gate.0.tasks.poll(cx).is_pending() {
                return Poll::Pending;
            }
            let _back = Back(RUNNING.replace(Some(self.gate.clone())));
            self.task.as_mut().poll(cx)
        }
    }

    struct Back(Option<Gate>);

    impl Drop for Back {
        fn drop(&mut self) {
            RUNNING.set(self.0.take());
        }
    }

    pub(crate) fn spawn<F>(task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match RUNNING.with_borrow(Clone::clone) {
            Some(gate) => tokio::spawn(gate.hold(task)),
            None => tokio::spawn(task),
        }
    }

    pub(crate) async fn preempted() {
        if let Some(gate) = RUNNING.with_borrow(Clone::clone) {
            poll_fn(|cx| gate.0.points.poll(cx)).await;
        }
    }
}
