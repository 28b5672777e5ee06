//! The threads that own logs.

use std::path::Path;
use std::sync::Arc;

use freshet_env::{Clock, Disk};
use freshet_types::{LeaderEpoch, Offset, Timestamp, TopicId};

use crate::{
    Append, Busy, Done, LogConfig, LogError, LogMetrics, LogName, LogView, OpenError, Progress,
};

/// One entry of `log.dirs`: locked by this process, online until a write or fsync in it fails.
#[derive(Debug)]
pub struct LogDir;

#[expect(unused_variables, reason = "bodies follow")]
impl LogDir {
    /// Makes the directory if needed, locks it, removes what an interrupted delete left, and reads
    /// the clean-shutdown proof.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Arc<Self>, OpenError> {
        todo!()
    }
    /// Where it is.
    pub fn path(&self) -> &Path {
        todo!()
    }
    /// The logs in it with their topic ids, sorted by name.
    pub fn logs(&self) -> Result<Vec<(LogName, TopicId)>, OpenError> {
        todo!()
    }
    /// Why it is offline, if it is.
    pub fn failure(&self) -> Option<LogError> {
        todo!()
    }
    /// Room on its file system: (total, available) bytes.
    pub fn space(&self) -> Result<freshet_env::disk::Space, OpenError> {
        todo!()
    }
    /// Whether the last process that used it stopped cleanly.
    pub fn was_clean(&self) -> bool {
        todo!()
    }
}

/// Limits of [`Writers`]. Every one is per thread unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritersOptions {
    /// Append threads; a partition belongs to one.
    pub append_threads: usize,
    /// Threads for reads that wait for the device, shared by all logs.
    pub read_threads: usize,
    /// Commands that may wait for one append thread, or for all reader threads.
    pub queue_len: usize,
    /// Bytes of batches that may wait for one append thread.
    pub queue_bytes: usize,
    /// Bytes kept for tail readers by all append threads together.
    pub hot_bytes: usize,
    /// Appends are refused while a directory's file system has less than this.
    pub reserve_bytes: u64,
    /// A log is checkpointed each time this much was written to it: recovery scans at most about
    /// this much per log.
    pub checkpoint_bytes: u64,
    /// Sealed segments whose file and index stay open, over all logs.
    pub open_segments: usize,
}

impl Default for WritersOptions {
    fn default() -> Self {
        Self {
            append_threads: 2,
            read_threads: 2,
            queue_len: 8192,
            queue_bytes: 64 << 20,
            hot_bytes: 32 << 20,
            reserve_bytes: 256 << 20,
            checkpoint_bytes: 64 << 20,
            open_segments: 1024,
        }
    }
}

/// Which log to open, and how.
#[derive(Debug)]
pub struct OpenLog {
    /// The directory that holds it, or will.
    pub dir: Arc<LogDir>,
    /// Topic and partition.
    pub name: LogName,
    /// Which life of the topic; another one in the directory is a conflict.
    pub topic_id: TopicId,
    /// Its settings.
    pub config: Arc<LogConfig>,
    /// Told how it gets on.
    pub progress: Arc<dyn Progress>,
}

/// What [`LogHandle::retain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    /// Segments deleted.
    pub segments: usize,
    /// Bytes deleted.
    pub bytes: u64,
    /// The log start afterwards.
    pub log_start: Offset,
}

/// Append, flush and reader threads of one broker, for all its log directories.
#[derive(Debug)]
pub struct Writers;

#[expect(unused_variables, reason = "bodies follow")]
impl Writers {
    /// Starts the threads.
    pub fn start(
        dirs: Vec<Arc<LogDir>>,
        clock: Arc<dyn Clock>,
        options: WritersOptions,
    ) -> Result<Arc<Self>, OpenError> {
        todo!()
    }
    /// The directories given at start.
    pub fn dirs(&self) -> &[Arc<LogDir>] {
        todo!()
    }
    /// What all logs did so far.
    pub fn metrics(&self) -> &Arc<LogMetrics> {
        todo!()
    }
    /// Opens a log, making it when absent; recovers its tail when the last stop was not clean.
    /// Blocks on the device: call it from a plain thread; several may open at once.
    pub fn open(&self, log: OpenLog) -> Result<LogHandle, OpenError> {
        todo!()
    }
    /// Removes a log that is in `dir` but not open: a stray of a topic deleted meanwhile.
    pub fn remove_stray(&self, dir: &LogDir, name: &LogName) -> Result<(), OpenError> {
        todo!()
    }
    /// Flushes and closes all logs, writes the clean-shutdown proofs of directories that are
    /// online, and ends the threads. Handles answer `Closed` afterwards. Blocks.
    pub fn stop(&self) -> Result<(), LogError> {
        todo!()
    }
}

/// Changes one log. Cheap to clone. Commands run in the order in which they were sent; all
/// callbacks run on the log's append thread (flush: on the flush thread) in that order.
#[derive(Debug, Clone)]
pub struct LogHandle;

#[expect(unused_variables, reason = "bodies follow")]
impl LogHandle {
    /// Readers' side of the log.
    pub fn view(&self) -> &LogView {
        todo!()
    }
    /// Stores batches. The batch is checked on the calling thread (CRC, and decompression where a
    /// setting forces it); the answer always comes through `append.done`.
    pub fn append(&self, append: Append) -> Result<(), Busy> {
        todo!()
    }
    /// Moves the log start up to `to` (never back, never above the log end) and deletes segments
    /// below. Answers the log start once it is durable.
    pub fn trim(&self, to: Offset, done: Done<Offset>) -> Result<(), Busy> {
        todo!()
    }
    /// Cuts all records at `to` and above; answers the new log end once that is durable.
    pub fn truncate(&self, to: Offset, done: Done<Offset>) -> Result<(), Busy> {
        todo!()
    }
    /// Throws all records away and starts at `at`: a follower whose leader's log starts later.
    pub fn restart_at(&self, at: Offset, done: Done<Offset>) -> Result<(), Busy> {
        todo!()
    }
    /// A new leader epoch begins at the log end, before its first record.
    pub fn start_epoch(&self, epoch: LeaderEpoch, done: Done<()>) -> Result<(), Busy> {
        todo!()
    }
    /// New settings, from the next append on. Never refused.
    pub fn configure(&self, config: Arc<LogConfig>) {
        todo!()
    }
    /// Applies `retention.*` and `segment.ms`, forgets idle producers and checkpoints.
    /// Only records below `limit` (the high watermark) are deleted.
    pub fn retain(&self, now: Timestamp, limit: Offset, done: Done<Retained>) -> Result<(), Busy> {
        todo!()
    }
    /// Closes the active segment and starts a new one, unless it is empty.
    pub fn roll(&self, done: Done<()>) -> Result<(), Busy> {
        todo!()
    }
    /// Makes all that was appended before durable, whatever the topic's durability; answers the
    /// durable end.
    pub fn flush(&self, done: Done<Offset>) -> Result<(), Busy> {
        todo!()
    }
    /// Flushes and closes; later commands answer `Closed`, the view still reads.
    pub fn close(&self, done: Done<()>) -> Result<(), Busy> {
        todo!()
    }
    /// Closes and deletes: renamed at once, which is durable when `done` runs; files go later.
    pub fn delete(&self, done: Done<()>) -> Result<(), Busy> {
        todo!()
    }
}
