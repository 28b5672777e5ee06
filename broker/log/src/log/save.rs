//! Checkpoints: made by the log's owner in memory, written by the flush thread.
//!
//! A checkpoint promises that everything below its end is durable, so the files are synced first,
//! then the producer snapshot is written, then the state file that refers to it. Each replaces its
//! predecessor atomically. A checkpoint that was overtaken by a newer one is not written.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use freshet_types::Offset;

use super::Log;
use crate::LogError;
use crate::dir::STATE;
use crate::segment::{Segment, file_name};
use crate::state::stop::StopRow;
use crate::state::{Checkpoint, Epochs, SNAPSHOT, SealedSegment};
use crate::view::Shared;

/// Less than this is not worth a checkpoint in passing: with thousands of logs, their syncs would
/// be felt by producers, and scanning so little is fast.
const QUIET_CHECKPOINT_BYTES: u64 = 1 << 20;

/// A checkpoint to be written.
pub(crate) struct CheckpointJob {
    shared: Arc<Shared>,
    checkpoint: Checkpoint,
    /// Bytes of the producer snapshot, when producers are known.
    producers: Option<Vec<u8>>,
    /// A snapshot that this one replaces.
    stale_snapshot: Option<Offset>,
    /// Files that no checkpoint refers to once this one is written.
    pub(super) garbage: Option<Garbage>,
    /// Told what was asked for, once the checkpoint is durable.
    pub(crate) saved: Option<Saved>,
}

/// Where a log ends, or will.
pub(super) struct Ending {
    /// The last one is written to.
    pub(super) segments: Vec<Arc<Segment>>,
    /// Bytes of the last segment.
    pub(super) position: u64,
    pub(super) end: Offset,
    pub(super) epochs: Epochs,
    /// See [`Producers::to_snapshot`](crate::state::Producers::to_snapshot).
    pub(super) producers: Option<Vec<u8>>,
    /// As [`Log::snapshots`].
    pub(super) snapshots: Vec<Offset>,
}

/// Files to remove, and who says so if that fails.
pub(super) struct Garbage {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) snapshots: Vec<Offset>,
}

/// What waits for a checkpoint.
pub(crate) struct Saved(Box<dyn FnOnce(Result<(), LogError>) + Send>);

impl Saved {
    pub(crate) fn new(done: impl FnOnce(Result<(), LogError>) + Send + 'static) -> Self {
        Self(Box::new(done))
    }
}

impl fmt::Debug for CheckpointJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointJob")
            .field("log", &self.shared.name)
            .field("checkpoint", &self.checkpoint)
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Whether enough was written since the last one.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        let limit = self.shared.context.options.checkpoint_bytes;
        self.checkpoint_due || self.since_checkpoint >= limit
    }

    /// Whether a quiet moment should be used for one.
    pub(super) fn could_checkpoint(&self) -> bool {
        self.since_checkpoint >= QUIET_CHECKPOINT_BYTES
    }

    /// Makes a checkpoint at the log end. Nothing may be staged.
    pub(crate) fn checkpoint(&mut self) -> CheckpointJob {
        debug_assert_eq!(self.staged.bytes, 0, "commit comes before a checkpoint");
        let mut ending = self.ending();
        let job = self.checkpoint_at(&mut ending);
        self.checkpoint_made(ending.snapshots);
        job
    }

    /// Makes one of a log that ends there, and notes in `ending` which snapshots there will be.
    pub(super) fn checkpoint_at(&mut self, ending: &mut Ending) -> CheckpointJob {
        self.generation += 1;
        let stale_snapshot = ending.note_snapshot();
        CheckpointJob {
            shared: Arc::clone(&self.shared),
            checkpoint: self.describe(ending),
            producers: ending.producers.take(),
            stale_snapshot,
            garbage: None,
            saved: None,
        }
    }

    /// There is one of all that was written.
    pub(super) fn checkpoint_made(&mut self, snapshots: Vec<Offset>) {
        self.since_checkpoint = 0;
        self.checkpoint_due = false;
        self.snapshots = snapshots;
    }

    /// Makes everything durable for a clean stop, and says all that the next start needs to know.
    pub(crate) fn stop(&mut self) -> Result<StopRow, LogError> {
        self.shared.usable()?;
        self.shared.flush()?;
        if self.room.is_reserved_beyond(self.position) {
            self.cut_room()?;
        }
        if self.file.is_some() {
            self.active.save_index();
        }
        Ok(self.stop_row())
    }

    /// Has the active segment's index written.
    pub(crate) fn save_index_later(&self) {
        if self.file.is_some() {
            let active = Arc::clone(&self.active);
            let janitor = &self.shared.context.janitor;
            janitor.submit_or_run(Box::new(move || active.save_index()));
        }
    }

    fn stop_row(&mut self) -> StopRow {
        self.generation += 1;
        let ending = self.ending();
        StopRow {
            clean: true,
            zeroed: self.room.zeroed_beyond(self.position),
            checkpoint: self.describe(&ending),
            producers: ending.producers.unwrap_or_default(),
        }
    }

    fn ending(&self) -> Ending {
        Ending {
            segments: self.shared.segments.read().clone(),
            position: self.position,
            end: self.end,
            epochs: self.shared.epochs.read().clone(),
            producers: self.producers.to_snapshot(),
            snapshots: self.snapshots.clone(),
        }
    }

    fn describe(&self, ending: &Ending) -> Checkpoint {
        let (active, before) = ending.split();
        let sealed = before.iter().map(|segment| SealedSegment {
            base: segment.base(),
            size_bytes: segment.size_bytes(),
        });
        Checkpoint {
            generation: self.generation,
            topic_id: self.shared.topic_id,
            log_start: self.shared.log_start.load(Ordering::Acquire),
            durable_end: ending.end,
            segment: active.base(),
            position: ending.position,
            has_producers: ending.producers.is_some(),
            epochs: ending.epochs.clone(),
            sealed: sealed.collect(),
        }
    }
}

impl Ending {
    fn split(&self) -> (&Arc<Segment>, &[Arc<Segment>]) {
        let split = self.segments.split_last();
        split.expect("a log has a segment")
    }

    /// Snapshots at the start of a segment stay as long as it does; one in its middle is replaced
    /// by the next.
    fn note_snapshot(&mut self) -> Option<Offset> {
        let starts_segment = |offset: Offset| {
            let bases = |segment: &Arc<Segment>| segment.base();
            self.segments.binary_search_by_key(&offset, bases).is_ok()
        };
        let stale = self.snapshots.last().copied();
        let stale = stale.filter(|&last| last != self.end && !starts_segment(last));
        if stale.is_some() {
            self.snapshots.pop();
        }
        if self.producers.is_some() && self.snapshots.last() != Some(&self.end) {
            self.snapshots.push(self.end);
        }
        stale
    }
}

impl CheckpointJob {
    /// Syncs and writes; tells whoever waits. Gives itself back when the disk has no room for it and
    /// files wait for it to be removed: the checkpoint before promises that they are there.
    pub(crate) fn run(mut self) -> Option<Self> {
        let saved = self.saved.take();
        let written = {
            let _cutting = self.shared.flushing.lock();
            self.put()
        };
        let found_no_room = matches!(written, Err(LogError::DiskFull { .. }));
        if let Some(saved) = saved {
            (saved.0)(written.clone());
        }
        if let Some(garbage) = self.garbage.take_if(|_| written.is_ok()) {
            let shared = Arc::clone(&self.shared);
            let job = Box::new(move || garbage.remove(&shared));
            self.shared.context.janitor.submit_or_run(job);
        }
        (found_no_room && self.garbage.is_some()).then_some(self)
    }

    /// Syncs and writes. A failure takes the directory offline.
    pub(crate) fn write(&self) -> Result<(), LogError> {
        let _cutting = self.shared.flushing.lock();
        self.write_held()
    }

    /// [`CheckpointJob::write`] for an owner that holds `flushing`.
    pub(crate) fn write_held(&self) -> Result<(), LogError> {
        self.put().map_err(|error| match error {
            // Whoever needs it has no way back.
            LogError::DiskFull { .. } => {
                let full = io::ErrorKind::StorageFull.into();
                self.shared.fail("writing a checkpoint of", &full)
            }
            error => error,
        })
    }

    /// Writes it, or leaves the one before on a full disk; for an owner that holds `flushing`.
    pub(super) fn put(&self) -> Result<(), LogError> {
        let shared = &self.shared;
        let mut written = shared.state_written.lock();
        if *written >= self.checkpoint.generation {
            return Ok(());
        }
        shared.flush_held()?;
        let failed = |error: io::Error| shared.refuse("writing a checkpoint of", &error);
        let disk = shared.disk();
        if let Some(producers) = &self.producers {
            let name = file_name(self.checkpoint.durable_end, SNAPSHOT);
            disk.replace_small(&shared.path.join(name), producers)
                .map_err(failed)?;
        }
        disk.replace_small(&shared.path.join(STATE), &self.checkpoint.to_file())
            .map_err(failed)?;
        *written = self.checkpoint.generation;
        drop(written);
        if let Some(stale) = self.stale_snapshot {
            // Nothing refers to it any more; should it stay, the next open removes it.
            let _ = disk.remove_file(&shared.path.join(file_name(stale, SNAPSHOT)));
        }
        Ok(())
    }
}

impl Garbage {
    /// Oldest first: a crash in between leaves a log without a prefix, which is what was meant.
    /// Readers that hold a file keep it.
    fn remove(self, shared: &Shared) {
        let metrics = &shared.context.metrics;
        let count = self.segments.len() as u64;
        metrics.segments_deleted.fetch_add(count, Ordering::Relaxed);
        for segment in self.segments {
            if let Err(error) = segment.remove() {
                let (log, base) = (&shared.name, segment.base());
                tracing::warn!(%log, base, %error, "segment not removed");
            }
        }
        for offset in self.snapshots {
            let name = file_name(offset, SNAPSHOT);
            let _ = shared.disk().remove_file(&shared.path.join(name));
        }
    }
}
