//! What travels to an append thread.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use freshet_types::{LeaderEpoch, Offset, Timestamp};

use super::Retained;
use crate::batch::Prepared;
use crate::log::Log;
use crate::view::Shared;
use crate::{
    AppendError, Appended, Busy, Done, LogError, LogView, Origin, Progress, WritersOptions,
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
        at: Offset,
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

/// The way into an append thread.
#[derive(Debug)]
pub(super) struct Queue {
    sender: SyncSender<Command>,
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

impl Queue {
    /// A queue with the limits of `options`, and its other end.
    pub(super) fn new(options: &WritersOptions) -> (Self, Receiver<Command>) {
        let (sender, commands) = sync_channel(options.queue_len + OWN_PLACES);
        let queue = Self {
            sender,
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
        self.sender.send(command).is_ok()
    }

    /// Gives the command back when it is full. When the thread has ended, the command's callback
    /// says `Closed`.
    pub(super) fn offer(&self, command: Command) -> Option<Command> {
        match self.sender.try_send(command) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => None,
            Err(TrySendError::Full(command)) => Some(command),
        }
    }
}
