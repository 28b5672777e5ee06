//! What travels to an append thread, and the way there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use freshet_types::{LeaderEpoch, Offset, Timestamp};
use parking_lot::Mutex;

use super::Retained;
use super::appender::{Appender, AtWork};
use super::shelf::{Sender, Taker, shelf};
use crate::batch::Prepared;
use crate::log::Log;
use crate::view::Shared;
use crate::{
    AppendError, Appended, Beginning, Busy, Done, Here, LogError, LogView, Origin, Progress,
    WritersOptions,
};

/// A callback that is called even if everybody forgets it: dropped unused, it answers `Closed`.
pub(crate) struct Answer<T, E: From<LogError> = LogError> {
    done: Option<Done<T, E>>,
    log: Arc<Shared>,
}

impl<T, E: From<LogError>> Answer<T, E> {
    pub(super) fn new(done: Done<T, E>, log: &Arc<Shared>) -> Self {
        Self {
            done: Some(done),
            log: Arc::clone(log),
        }
    }

    pub(crate) fn give(mut self, result: Result<T, E>) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }

    /// The callback, which stays silent.
    fn take(mut self) -> Option<Done<T, E>> {
        self.done.take()
    }
}

impl<T, E: From<LogError>> Drop for Answer<T, E> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            let log = self.log.name.clone();
            done(Err(LogError::Closed { log }.into()));
        }
    }
}

/// What an append thread can be told.
pub(super) enum Command {
    /// Own this log.
    Open { id: usize, log: Box<Log> },
    /// Do something to the log of this id.
    Op { id: usize, op: Op },
    /// Look at what waits for its time: there is something new.
    Look,
    /// Close all logs and end.
    Stop,
}

/// An append that was checked on its caller's thread.
pub(super) struct QueuedAppend {
    pub(super) prepared: Result<Prepared, AppendError>,
    pub(super) permit: Permit,
    pub(super) done: Answer<Appended, AppendError>,
}

/// One command for one log.
pub(super) enum Op {
    Append(QueuedAppend),
    Trim {
        to: Offset,
        done: Answer<Offset>,
    },
    Truncate {
        to: Offset,
        done: Answer<Offset>,
    },
    RestartAt {
        beginning: Beginning,
        done: Answer<Offset>,
    },
    StartEpoch {
        epoch: LeaderEpoch,
        done: Answer<()>,
    },
    Fence {
        epoch: LeaderEpoch,
        done: Answer<()>,
    },
    Retain {
        now: Timestamp,
        limit: Offset,
        done: Answer<Retained>,
    },
    Roll {
        done: Answer<()>,
    },
    Flush {
        done: Answer<Offset>,
    },
    Close {
        done: Answer<()>,
    },
    Delete {
        done: Answer<()>,
    },
    TakeOver {
        /// The copy that takes the log's place; it belongs to the same thread.
        future: usize,
        /// Told from then on how the log gets on.
        progress: Arc<dyn Progress>,
        /// `None` if the copy lacks too much still.
        done: Answer<Option<LogView>>,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open { .. } => "Open",
            Self::Op { .. } => "Op",
            Self::Look => "Look",
            Self::Stop => "Stop",
        })
    }
}

impl Command {
    /// The sender is told `Busy`, so its callback stays silent; that of an append is given back.
    pub(super) fn refuse(self) -> Option<Done<Appended, AppendError>> {
        let Self::Op { op, .. } = self else {
            return None;
        };
        match op {
            Op::Append(append) => return append.done.take(),
            Op::Trim { done, .. }
            | Op::Truncate { done, .. }
            | Op::RestartAt { done, .. }
            | Op::Flush { done } => drop(done.take()),
            Op::Retain { done, .. } => drop(done.take()),
            Op::TakeOver { done, .. } => drop(done.take()),
            Op::StartEpoch { done, .. }
            | Op::Fence { done, .. }
            | Op::Roll { done }
            | Op::Close { done }
            | Op::Delete { done } => drop(done.take()),
        }
        None
    }
}

/// What a sender is told when its command does not fit.
pub(super) const FULL: Busy = Busy { queue: "append" };

/// Places of a queue that producers leave to all others: coordinators and replicas, which bound what
/// they have under way themselves, and commands other than appends.
const OWN_PLACES: usize = 1024;

/// More than this is worth waking a thread for, to write it or to sync it.
pub(super) const HERE_BYTES: usize = 32 << 10;

/// The way into an append thread, or around it.
pub(super) struct Queue {
    sender: Sender<Command>,
    /// Whoever holds it does what the thread does, which holds it while it works.
    appender: Arc<Mutex<Appender>>,
    limit_bytes: usize,
    limit_appends: usize,
    held: Arc<Held>,
}

/// What waits in a queue.
#[derive(Debug, Default)]
struct Held {
    /// Bytes of all appends.
    bytes: AtomicUsize,
    /// Appends of producers.
    appends: AtomicUsize,
}

/// Room in a queue; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    held: Arc<Held>,
    pub(super) bytes: usize,
    appends: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.held.appends.fetch_sub(self.appends, Ordering::Relaxed);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// A queue to this appender with the limits of `options`, and its other end.
    pub(super) fn new(
        options: &WritersOptions,
        appender: &Arc<Mutex<Appender>>,
    ) -> (Self, Taker<Command>) {
        let (sender, commands) = shelf(options.queue_len + OWN_PLACES);
        let queue = Self {
            sender,
            appender: Arc::clone(appender),
            limit_bytes: options.queue_bytes,
            limit_appends: options.queue_len,
            held: Arc::default(),
        };
        (queue, commands)
    }

    /// Room for an append of so many bytes; anything fits into an empty queue. Only producers are
    /// refused: what they may fill must never keep the broker's own records out.
    pub(super) fn permit(&self, bytes: usize, origin: Origin) -> Result<Permit, Busy> {
        let is_client = origin == Origin::Client;
        let appends = usize::from(is_client);
        let bytes_before = self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        let before = self.held.appends.fetch_add(appends, Ordering::Relaxed);
        let permit = Permit {
            held: Arc::clone(&self.held),
            bytes,
            appends,
        };
        let too_many = before >= self.limit_appends;
        let too_large = bytes_before > 0 && bytes_before + bytes > self.limit_bytes;
        if is_client && (too_many || too_large) {
            return Err(FULL);
        }
        Ok(permit)
    }

    /// Waits for room; false when the thread has ended.
    pub(super) fn send(&self, command: Command) -> bool {
        self.sender.send(command)
    }

    /// Gives the command back when it is full. When the thread has ended, the command's callback
    /// says `Closed`.
    pub(super) fn offer(&self, command: Command) -> Option<Command> {
        self.sender.offer(command)
    }

    /// Does it on the calling thread if the append thread has nothing to do; gives it back otherwise.
    pub(super) fn do_here(
        &self,
        id: usize,
        append: QueuedAppend,
        here: Here,
    ) -> Option<QueuedAppend> {
        if append.permit.bytes > HERE_BYTES {
            return Some(append);
        }
        let Some(appender) = self.appender.try_lock() else {
            return Some(append);
        };
        // Looked at while the thread cannot take: what is not here any more has been done.
        if !self.sender.is_empty() {
            return Some(append);
        }
        if here == Here::Writes && !appender.is_calm(id, append.permit.bytes) {
            return Some(append);
        }
        let mut appender = AtWork(appender);
        appender.append_alone(id, append, here);
        if appender.waits_for_time() {
            // The thread may sleep for longer. Without room in the queue it does not sleep.
            self.sender.offer(Command::Look);
        }
        None
    }
}
