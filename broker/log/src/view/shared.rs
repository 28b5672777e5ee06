//! What a log's owner publishes and everybody else reads, and the one way to make it durable.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use freshet_env::{Disk, DiskFile};
use freshet_types::{Offset, TopicId};
use parking_lot::{Mutex, RwLock};

use super::hot::HotTail;
use crate::segment::{Segment, parse_file_name};
use crate::state::{Epochs, SNAPSHOT};
use crate::writers::context::Context;
use crate::{Durability, LogConfig, LogDir, LogError, LogName, Progress};

/// What has to be synced before what is published so far is durable.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    pub(crate) files: Vec<Arc<dyn DiskFile>>,
    /// Names in the log's directory are new.
    pub(crate) own_dir: bool,
    /// The log's directory itself is new.
    pub(crate) parent_dir: bool,
}

/// Everything about a log that is not its owner's alone.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: LogName,
    pub(crate) topic_id: TopicId,
    pub(crate) dir: Arc<LogDir>,
    /// The log's own directory.
    pub(crate) path: Arc<Path>,
    pub(crate) context: Arc<Context>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) log_start: AtomicI64,
    pub(crate) log_end: AtomicI64,
    /// On the disk, whatever the topic calls durable.
    pub(crate) durable: AtomicI64,
    pub(crate) flushed: AtomicI64,
    /// -1 for none.
    pub(crate) first_unstable: AtomicI64,
    /// Odd while the owner cuts files, one more when done: readers that saw it move read again.
    pub(crate) cuts: AtomicU64,
    page_cache: AtomicBool,
    pub(crate) config: ArcSwap<LogConfig>,
    pub(crate) segments: RwLock<Vec<Arc<Segment>>>,
    pub(crate) epochs: RwLock<Epochs>,
    pub(crate) hot: Mutex<HotTail>,
    pub(crate) dirty: Mutex<Dirty>,
    /// Held by whoever syncs or cuts the files.
    pub(crate) flushing: Mutex<()>,
    /// The log's directory and its first state are durable.
    pub(crate) founded: AtomicBool,
    /// A flush is queued that has not started.
    pub(crate) flush_queued: AtomicBool,
    /// Generation of the last state file written.
    pub(crate) state_written: Mutex<u64>,
    closed: AtomicBool,
    /// Renamed away: nothing may be written under its old name. Changed while `flushing` is held.
    deleted: AtomicBool,
}

/// What is known when a log is opened.
pub(crate) struct SharedSpec {
    pub(crate) name: LogName,
    pub(crate) topic_id: TopicId,
    pub(crate) dir: Arc<LogDir>,
    pub(crate) path: Arc<Path>,
    pub(crate) context: Arc<Context>,
    pub(crate) progress: Arc<dyn Progress>,
    pub(crate) config: Arc<LogConfig>,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) epochs: Epochs,
    pub(crate) dirty: Dirty,
    pub(crate) generation: u64,
}

impl Shared {
    /// Everything in the log is durable.
    pub(crate) fn new(spec: SharedSpec) -> Self {
        let ends = spec.segments.iter().skip(1).map(|next| next.base());
        let ends = ends.chain([spec.log_end]);
        spec.segments
            .iter()
            .zip(ends)
            .for_each(|(segment, end)| segment.set_end(end));
        Self {
            name: spec.name,
            topic_id: spec.topic_id,
            dir: spec.dir,
            path: spec.path,
            context: spec.context,
            progress: spec.progress,
            log_start: AtomicI64::new(spec.log_start),
            log_end: AtomicI64::new(spec.log_end),
            durable: AtomicI64::new(spec.log_end),
            flushed: AtomicI64::new(spec.log_end),
            first_unstable: AtomicI64::new(-1),
            cuts: AtomicU64::new(0),
            page_cache: AtomicBool::new(spec.config.durability == Durability::PageCache),
            config: ArcSwap::new(spec.config),
            segments: RwLock::new(spec.segments),
            epochs: RwLock::new(spec.epochs),
            hot: Mutex::default(),
            founded: AtomicBool::new(!spec.dirty.parent_dir),
            dirty: Mutex::new(spec.dirty),
            flushing: Mutex::new(()),
            flush_queued: AtomicBool::new(false),
            state_written: Mutex::new(spec.generation),
            closed: AtomicBool::new(false),
            deleted: AtomicBool::new(false),
        }
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        self.dir.disk()
    }

    /// Why the log cannot serve, if it cannot.
    pub(crate) fn usable(&self) -> Result<(), LogError> {
        if let Some(error) = self.dir.failure() {
            return Err(error);
        }
        if self.closed.load(Ordering::Acquire) {
            let log = self.name.clone();
            return Err(LogError::Closed { log });
        }
        Ok(())
    }

    /// Offsets of the snapshots on the disk, sorted. All tell of records of this log's present life,
    /// because a cut removes those above it.
    pub(crate) fn snapshot_files(&self) -> io::Result<Vec<Offset>> {
        let entries = self.disk().list(&self.path)?;
        let names = entries.iter();
        Ok(names
            .filter_map(|entry| parse_file_name(&entry.name, SNAPSHOT))
            .collect())
    }

    /// New settings, from the next append on.
    pub(crate) fn configure(&self, config: Arc<LogConfig>) {
        let page_cache = config.durability == Durability::PageCache;
        self.page_cache.store(page_cache, Ordering::Release);
        self.config.store(config);
    }

    /// Whether what is written counts as flushed.
    pub(crate) fn is_page_cache(&self) -> bool {
        self.page_cache.load(Ordering::Acquire)
    }

    /// No command is taken any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.hot.lock().clear();
    }

    /// The log is about to be renamed away; the caller holds `flushing`.
    pub(crate) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Whether it was renamed away.
    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// A write, sync or other change failed: the directory goes offline, for good.
    pub(crate) fn fail(&self, doing: &'static str, error: &io::Error) -> LogError {
        self.dir.fail(doing, &self.path, error)
    }

    /// The same for a write that can be given up, when it failed for want of room.
    pub(crate) fn refuse(&self, doing: &'static str, error: &io::Error) -> LogError {
        self.dir.refuse(doing, &self.path, error)
    }

    /// Whether there is anything to sync.
    pub(crate) fn is_dirty(&self) -> bool {
        let dirty = self.dirty.lock();
        !dirty.files.is_empty() || dirty.own_dir || dirty.parent_dir
    }

    /// Takes what there is to sync of a log that was never durable and holds no records, for a
    /// caller that syncs it in another way; says whether this is one.
    pub(crate) fn take_empty(&self) -> bool {
        let _one = self.flushing.lock();
        let empty =
            !self.founded.load(Ordering::Acquire) && self.log_end.load(Ordering::Acquire) == 0;
        if empty {
            *self.dirty.lock() = Dirty::default();
        }
        empty
    }

    /// The log's directory and its first state are durable.
    pub(crate) fn set_founded(&self) {
        self.founded.store(true, Ordering::Release);
    }

    /// The next flush syncs `file`.
    pub(crate) fn set_dirty(&self, file: Arc<dyn DiskFile>) {
        let mut dirty = self.dirty.lock();
        if !dirty.files.iter().any(|known| Arc::ptr_eq(known, &file)) {
            dirty.files.push(file);
        }
    }

    /// Makes everything published so far durable. The first error is final.
    ///
    /// The end is read before the files are taken: whatever is below it was in the list by then,
    /// or was synced by the flush that held the lock before.
    pub(crate) fn flush(&self) -> Result<Offset, LogError> {
        let flushed = {
            let _one = self.flushing.lock();
            self.flush_held()
        };
        // Told again: an append may have been answered after the directory told its logs.
        flushed.inspect_err(|error| {
            if !self.is_deleted() {
                self.progress.failed(error);
            }
        })
    }

    /// [`Shared::flush`] for an owner that holds `flushing` already.
    pub(crate) fn flush_held(&self) -> Result<Offset, LogError> {
        self.usable_for_flush()?;
        if self.is_deleted() {
            let log = self.name.clone();
            return Err(LogError::Closed { log });
        }
        let end = self.log_end.load(Ordering::Acquire);
        let dirty = std::mem::take(&mut *self.dirty.lock());
        let _busy = self.dir.busy();
        let clock = &*self.context.clock;
        // Where nobody waits for a flush it may take its time: it brings out much at once.
        let waited = !self.is_page_cache();
        let sync_dir = |path: &Path| {
            let sync = || self.disk().sync_dir(path);
            self.dir.sync_paced(clock, waited, sync)
        };
        for file in &dirty.files {
            let (synced, micros) = self.dir.sync_timed(&**file, clock, waited);
            self.context.metrics.fsyncs.observe(micros);
            synced.map_err(|error| self.fail("syncing a file of", &error))?;
        }
        if dirty.own_dir {
            let synced = sync_dir(&self.path);
            synced.map_err(|error| self.fail("syncing", &error))?;
        }
        if dirty.parent_dir {
            let synced = sync_dir(self.dir.path());
            synced.map_err(|error| self.fail("syncing the parent of", &error))?;
            self.founded.store(true, Ordering::Release);
        }
        self.usable_for_flush()?;
        self.durable.fetch_max(end, Ordering::AcqRel);
        self.publish_flushed(end);
        Ok(end)
    }

    /// A closed log may still be flushed: that is how it closes.
    fn usable_for_flush(&self) -> Result<(), LogError> {
        self.dir.failure().map_or(Ok(()), Err)
    }

    /// Tells that records below `end` count as flushed, unless that was told before.
    pub(crate) fn publish_flushed(&self, end: Offset) {
        if self.flushed.fetch_max(end, Ordering::AcqRel) < end {
            self.progress.flushed(end);
        }
    }
}
