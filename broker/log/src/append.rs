//! What is asked of a log and what it answers.

use std::fmt;

use bytes::Bytes;
use freshet_types::{ErrorKind, LeaderEpoch, Offset, Timestamp};

use crate::{AppendError, Busy, LogError};

/// A callback that runs once, on an append or reader thread, or on that of a caller who appends
/// itself. It must be short and must not block: a whole thread's partitions wait for it.
pub type Done<T, E = LogError> = Box<dyn FnOnce(Result<T, E>) + Send>;

/// Who made a batch; decides which rules it must pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A producer: all rules, exactly as Kafka's for clients.
    Client,
    /// This broker (group offsets, transaction markers): may hold control batches, skips sequence
    /// and timestamp-window checks, keeps its compression.
    Coordinator,
    /// Copied from a leader: base offsets and leader epochs are kept as they come, must follow the
    /// log's end without going back, and only length and CRC are checked.
    Replica,
}

/// How much of an append the calling thread does itself, if the log's own thread is at rest. That
/// saves waking one thread, which costs more than a small write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// It writes while that is quick, and others sync: for a thread that others wait for.
    Writes,
    /// It syncs as well, and waits for the device: for a thread that would only wait for the answer.
    Syncs,
}

/// One append: all batches in `batches` are stored together or not at all.
pub struct Append {
    /// One or more whole v2 batches, back to back. Base offset and leader epoch are overwritten
    /// unless the origin is [`Origin::Replica`].
    pub batches: Bytes,
    /// Bytes of the buffer that `batches` is a slice of and keeps alive, for the hot tail's
    /// accounting; a small slice of a large frame is copied instead of kept.
    pub frame_bytes: usize,
    /// The leader epoch that is stored in each batch, or that of the leader a replica copies from;
    /// never smaller than the log's latest, nor than its fence.
    pub leader_epoch: LeaderEpoch,
    /// Who made it.
    pub origin: Origin,
    /// Told where it went, after the write and before `Progress::appended`; or why it was refused.
    /// Always called exactly once if the handle took the append.
    pub done: Done<Appended, AppendError>,
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Append")
            .field("bytes", &self.batches.len())
            .field("leader_epoch", &self.leader_epoch)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// An append that found no room in its queue. Nobody was told yet.
#[derive(thiserror::Error)]
#[error("{busy}")]
pub struct Refused {
    /// Which queue is full.
    pub busy: Busy,
    /// The append's callback, unused.
    pub done: Done<Appended, AppendError>,
}

impl Refused {
    pub(crate) fn new(busy: Busy, done: Done<Appended, AppendError>) -> Self {
        Self { busy, done }
    }

    /// Always [`ErrorKind::Busy`].
    pub fn kind(&self) -> ErrorKind {
        self.busy.kind()
    }

    /// Tells the callback, here and now.
    pub fn tell(self) {
        (self.done)(Err(self.busy.into()));
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused")
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

/// Where an append went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record; -1 where nobody knows it any more ([`Self::is_placed`]).
    pub base_offset: Offset,
    /// Offset of the last record, or a later one where nobody knows it any more; the append is durable
    /// once `Progress::flushed` exceeds it.
    pub last_offset: Offset,
    /// The broker's time that was stored; [`Timestamp::NONE`] with CreateTime.
    pub log_append_time: Timestamp,
    /// The log start at that moment.
    pub log_start: Offset,
    /// The batch was here already: a retry of an idempotent producer; nothing was written.
    pub duplicate: bool,
}

impl Appended {
    /// Whether it is known where: not of a duplicate that is older than what is remembered of its
    /// producer.
    pub fn is_placed(&self) -> bool {
        self.base_offset >= 0
    }
}

/// Told how a log gets on; given at open. All calls come from append and flush threads, must be
/// short, must not block, and may call [`crate::LogView`] freely.
pub trait Progress: fmt::Debug + Send + Sync + 'static {
    /// Records below `end` are readable (not yet durable). Once per drain; never goes back, except
    /// after a truncation, whose own callback tells.
    fn appended(&self, end: Offset);
    /// Records below `end` are durable as the topic's [`crate::Durability`] means it.
    fn flushed(&self, end: Offset);
    /// The log is offline: nothing that was not flushed by now will be, and all later appends are
    /// refused. May be told more than once, and while an append is being answered.
    fn failed(&self, error: &LogError);
}
