//! Chunks that have left memory, on a disk of their own.
//!
//! ```text
//!  memory ── leaves ─▶ queue ─▶ tier-cache-w ─▶ slots of 1 MiB in one file
//!    ▲                                              │
//!    └── held against its sum ◀── tier-cache-r ◀── queue ◀── who wants it, for so long
//! ```
//! It may fail, be full, hang and give anything: then there is no cache, and the bucket is asked. Both
//! queues have an end, where nobody waits: what is not written is not there, what is not read is a
//! miss. A disk that hangs holds up as many reads as the queue has places, each for
//! [`READ_PATIENCE`], and then none. Nothing is synced, and nothing is found again after a restart.
//!
//! Why a chunk is written when it leaves memory and not when it comes: then it is known whether
//! somebody wanted it, and what stays in memory is not written at all.

mod slots;
mod volume;

use std::fmt::{self, Debug};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use freshet_env::tasks::spawn_thread;
use freshet_env::{Clock, Disk};
use freshet_types::Millis;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::counters::{DiskCounters, count, count_up};
use crate::object::CHUNK_BYTES;
use crate::segment::SegmentId;
pub(super) use volume::Lease;
use volume::Volume;

/// A bucket commonly answers within this, so there is no use in waiting longer for a disk.
const READ_PATIENCE: Duration = Duration::from_millis(100);
/// Reads that wait for the disk. Each has a chunk of memory when it is done.
const READS: usize = 16;
/// Chunks that wait to be written, and stay in memory until then.
const WRITES: usize = 16;
/// After a failure the disk is left alone for so long.
const REST_MS: u64 = 60_000;

/// A chunk of an object.
pub(super) type Key = (SegmentId, u32);

/// Ends after a while, as the host's timers do.
pub type Pause = Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a disk cache is made of.
pub struct DiskCacheParts {
    /// The door.
    pub disk: Arc<dyn Disk>,
    /// A folder that nobody else uses; made when absent.
    pub dir: PathBuf,
    /// Bytes that its file has at most; below a chunk there is no place for anything.
    pub bytes: u64,
    /// Tells when a disk that failed has rested.
    pub clock: Arc<dyn Clock>,
    /// Tells that a read takes too long.
    pub pause: Pause,
}

impl Debug for DiskCacheParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, bytes) = (self.dir.display(), self.bytes);
        write!(f, "DiskCacheParts({dir}, {bytes} bytes)")
    }
}

/// See the module. Its threads end when it is dropped.
pub struct DiskCache {
    inner: Arc<Inner>,
    pause: Pause,
    reads: SyncSender<Wanted>,
    writes: SyncSender<(Key, Bytes)>,
}

impl Debug for DiskCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskCache({})", self.inner.dir.display())
    }
}

/// What the threads share with those who ask them.
struct Inner {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Slots.
    room: usize,
    clock: Arc<dyn Clock>,
    /// None while nothing can be read.
    volume: Mutex<Option<Arc<Volume>>>,
    /// On the clock: no new try before this.
    rests_until: AtomicU64,
    /// A failure was told, and no end of it.
    is_told: AtomicBool,
    counters: DiskCounters,
}

/// A read, and who waits for it.
struct Wanted {
    lease: Lease,
    answer: oneshot::Sender<(Lease, Bytes)>,
}

impl DiskCache {
    /// Starts the threads. One of them makes the file: a disk that hangs holds up nobody.
    ///
    /// # Errors
    /// There are no threads to be had.
    pub fn start(parts: DiskCacheParts) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            disk: parts.disk,
            dir: parts.dir,
            room: usize::try_from(parts.bytes / CHUNK_BYTES).unwrap_or(usize::MAX),
            clock: parts.clock,
            volume: Mutex::default(),
            rests_until: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            counters: DiskCounters::default(),
        });
        let (reads, wanted) = sync_channel(READS);
        let (writes, offered) = sync_channel(WRITES);
        // Neither is watched: nobody waits long for a disk that stands still.
        let reader = Arc::clone(&inner);
        spawn_thread("tier-cache-r", move || reader.read_all(&wanted))?;
        let writer = Arc::clone(&inner);
        spawn_thread("tier-cache-w", move || writer.write_all(&offered))?;
        Ok(Self {
            inner,
            pause: parts.pause,
            reads,
            writes,
        })
    }

    pub(super) fn counters(&self) -> &DiskCounters {
        &self.inner.counters
    }

    pub(super) fn held_bytes(&self) -> u64 {
        let volume = self.inner.volume();
        volume.map_or(0, |volume| volume.held_bytes())
    }

    /// A chunk has left memory. It may be written, later.
    pub(super) fn offer(&self, key: Key, bytes: Bytes) {
        // While there is no file one chunk has to come to the thread that makes it.
        let is_wanted = match self.inner.volume() {
            Some(volume) => volume.wants(&key),
            None => !self.inner.rests(),
        };
        if is_wanted && self.writes.try_send((key, bytes)).is_err() {
            count(&self.inner.counters.dropped);
        }
    }

    /// The place of a chunk, if it is there.
    pub(super) fn lease(&self, key: &Key) -> Option<Lease> {
        self.inner.volume()?.lease(key)
    }

    /// The chunk, if the disk gives it soon, and right.
    pub(super) async fn read(
        &self,
        lease: Lease,
        is_right: impl Fn(&[u8]) -> bool,
    ) -> Option<Bytes> {
        let counters = &self.inner.counters;
        let (answer, answered) = oneshot::channel();
        if self.reads.try_send(Wanted { lease, answer }).is_err() {
            count(&counters.late);
            return None;
        }
        let (lease, bytes) = tokio::select! {
            biased;
            answered = answered => answered.ok()?,
            () = (self.pause)(READ_PATIENCE) => {
                count(&counters.late);
                return None;
            }
        };
        if is_right(&bytes) {
            count(&counters.hits);
            return Some(bytes);
        }
        count(&counters.damaged);
        lease.forget();
        None
    }

    /// A chunk was not to be had here.
    pub(super) fn missed(&self) {
        count(&self.inner.counters.misses);
    }
}

impl Inner {
    fn volume(&self) -> Option<Arc<Volume>> {
        self.volume.lock().clone()
    }

    fn rests(&self) -> bool {
        let until = Millis(self.rests_until.load(Ordering::Relaxed));
        self.clock.monotonic() < until
    }

    fn read_all(&self, queue: &Receiver<Wanted>) {
        while let Ok(Wanted { lease, answer }) = queue.recv() {
            // Whoever has waited for too long has asked the bucket.
            if answer.is_closed() {
                continue;
            }
            match lease.read() {
                Ok(bytes) => drop(answer.send((lease, bytes))),
                Err(error) => {
                    // First, for a file that is made anew waits until this one is closed.
                    drop(lease);
                    self.fail("read", &error);
                }
            }
        }
    }

    fn write_all(&self, queue: &Receiver<(Key, Bytes)>) {
        self.try_make();
        while let Ok((key, bytes)) = queue.recv() {
            if self.rests() {
                count(&self.counters.dropped);
                continue;
            }
            if self.volume().is_none() {
                self.try_make();
            }
            let Some(volume) = self.volume() else {
                continue;
            };
            match volume.write(key, &bytes) {
                Ok(true) => {
                    count_up(&self.counters.written_bytes, bytes.len() as u64);
                    self.recover();
                }
                Ok(false) => count(&self.counters.dropped),
                Err(error) => self.fail("write", &error),
            }
        }
    }

    fn try_make(&self) {
        match Volume::make(&*self.disk, &self.dir, self.room) {
            Ok(volume) => *self.volume.lock() = Some(Arc::new(volume)),
            Err(error) => self.fail("open", &error),
        }
    }

    /// What is on a disk that is full can be read still; of any other nothing is believed.
    fn fail(&self, doing: &str, error: &io::Error) {
        let until = self.clock.monotonic().0.saturating_add(REST_MS);
        self.rests_until.store(until, Ordering::Relaxed);
        let is_full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        if !is_full.contains(&error.kind()) {
            *self.volume.lock() = None;
        }
        count(&self.counters.failed);
        if !self.is_told.swap(true, Ordering::Relaxed) {
            let (dir, seconds) = (self.dir.display(), REST_MS / 1000);
            tracing::warn!(%dir, doing, %error, seconds, "the disk cache fails and is left alone for a while; readers ask the bucket");
        }
    }

    fn recover(&self) {
        if self.is_told.swap(false, Ordering::Relaxed) {
            tracing::info!(dir = %self.dir.display(), "the disk cache works again");
        }
    }
}

#[cfg(test)]
mod tests;
