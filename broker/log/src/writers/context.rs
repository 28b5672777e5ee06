//! What all logs of a broker share: clock, counters, limits, and threads for work that may wait.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Weak};

use freshet_env::Clock;
use parking_lot::Mutex;

use crate::segment::Segment;
use crate::view::buffers::Buffers;
use crate::{Busy, LogMetrics, WritersOptions};

/// Work for a pool.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Threads that take jobs from a bounded queue; without threads, jobs run at once, on the caller.
#[derive(Default)]
pub(crate) struct Pool {
    queue: Mutex<Option<SyncSender<Job>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// Hands jobs to whoever receives from the other end.
    pub(crate) fn new(queue: SyncSender<Job>) -> Self {
        Self {
            queue: Mutex::new(Some(queue)),
        }
    }

    /// Queues a job, or refuses when the queue is full.
    pub(crate) fn submit(&self, job: Job) -> Result<(), Busy> {
        let Some(queue) = self.queue.lock().clone() else {
            job();
            return Ok(());
        };
        match queue.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Busy { queue: "read" }),
            Err(TrySendError::Disconnected(job)) => {
                job();
                Ok(())
            }
        }
    }

    /// Queues a job that must not be lost: a full queue makes the caller do it.
    pub(crate) fn submit_or_run(&self, job: Job) {
        let Some(queue) = self.queue.lock().clone() else {
            return job();
        };
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job(),
        }
    }

    /// Lets the threads end once the queue is empty; later jobs run on their callers.
    pub(crate) fn stop(&self) {
        *self.queue.lock() = None;
    }
}

/// Sealed segments whose file is open; beyond the limit the first opened is closed.
#[derive(Debug)]
pub(crate) struct OpenSegments {
    limit: usize,
    queue: Mutex<VecDeque<Weak<Segment>>>,
}

impl OpenSegments {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            queue: Mutex::default(),
        }
    }

    /// A segment was opened, or is not written any more.
    pub(crate) fn opened(&self, segment: &Arc<Segment>) {
        let mut queue = self.queue.lock();
        queue.push_back(Arc::downgrade(segment));
        let evicted = if queue.len() > self.limit {
            queue.pop_front()
        } else {
            None
        };
        drop(queue);
        if let Some(segment) = evicted.and_then(|weak| weak.upgrade()) {
            segment.evict();
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<LogMetrics>,
    pub(crate) options: WritersOptions,
    pub(crate) open_segments: OpenSegments,
    pub(crate) buffers: Arc<Buffers>,
    /// Reads that wait for the device.
    pub(crate) readers: Pool,
    /// Removal of files, writing of indexes: whatever nobody waits for.
    pub(crate) janitor: Pool,
    /// The threads are ending: what the next start does as well is left to it.
    pub(crate) leaving: Arc<AtomicBool>,
}

impl Context {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        options: WritersOptions,
        readers: Pool,
        janitor: Pool,
    ) -> Self {
        Self {
            clock,
            metrics: Arc::default(),
            open_segments: OpenSegments::new(options.open_segments),
            options,
            buffers: Arc::default(),
            readers,
            janitor,
            leaving: Arc::default(),
        }
    }
}
