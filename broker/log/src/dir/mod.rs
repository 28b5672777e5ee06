//! One entry of `log.dirs`.
//!
//! ```text
//! <log.dir>/.lock              held while a process uses the directory
//! <log.dir>/clean-shutdown     proof of a clean stop, with a checkpoint of every log
//! <log.dir>/last-stop          the proof, used; its checkpoints still hold
//! <log.dir>/broker-epoch       in which broker epoch it was used last, and how that ended
//! <log.dir>/<topic>-<p>/       a log
//! <log.dir>/<topic>-<p>.future/ a copy of a log in another directory, to take its place
//! <log.dir>/<id>-<p>.<n>.delete/ a deleted log whose files are being removed
//! ```

mod fullness;
mod name;
mod pace;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

pub use name::LogName;
pub use pace::PaceLimits;

use freshet_env::disk::{DiskLock, Entry, Space};
use freshet_env::{Clock, Disk, DiskFile};
use freshet_types::{Millis, Offset, TopicId, TopicPartition};
use parking_lot::Mutex;

use crate::state::committed::{self, MAX_COMMITTED_BYTES};
use crate::state::life::{Found, LastLife, Life, MAX_LIFE_BYTES};
use crate::state::stop::StopRow;
use crate::state::{Checkpoint, StopImage};
use crate::view::Shared;
use crate::{LogError, OpenError};
use freshet_records::envelope::EnvelopeError;
use fullness::is_full;
use pace::Pace;

const LOCK: &str = ".lock";
const PROOF: &str = "clean-shutdown";
const USED_PROOF: &str = "last-stop";
const LIFE: &str = "broker-epoch";
const COMMITTED: &str = "high-watermarks";
/// What lies in a directory in which nothing is.
const HARMLESS: [&str; 2] = [LOCK, "lost+found"];
/// A log's own checkpoint, in its directory.
pub(crate) const STATE: &str = "state";
/// Ends the name of a directory that is being deleted.
pub(crate) const DELETED: &str = ".delete";
const MAX_PROOF_BYTES: u64 = 1 << 30;
/// Far above what a log with the most segments and epochs needs.
pub(crate) const MAX_STATE_BYTES: u64 = 64 << 20;

/// How a log is here.
#[derive(Debug)]
enum Place {
    /// On the disk and not open.
    Closed,
    /// Somebody opens or removes it; whether it was on the disk before.
    Reserved { was_here: bool },
    /// Open.
    Open(Weak<Shared>),
}

/// One entry of `log.dirs`: locked by this process, online until a write or fsync in it fails.
#[derive(Debug)]
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    was_clean: bool,
    last_life: LastLife,
    /// In which broker epoch it is used now; `None` while that is not on the disk.
    epoch: Mutex<Option<i64>>,
    /// What the last process knew to be committed, until somebody asks.
    committed: Mutex<HashMap<TopicPartition, Offset>>,
    /// Checkpoints of the last clean stop. Those of logs that were not opened go into the next
    /// proof as they are; above all those of damaged ones, whose damage must not be forgotten.
    rows: Mutex<HashMap<LogName, StopRow>>,
    /// The highest generation among them when they were read.
    newest_row: u64,
    /// The logs that are here. Known without asking the disk: listing thousands of them takes long.
    logs: Mutex<HashMap<LogName, Place>>,
    /// Deleted directories whose removal was interrupted.
    leftovers: Mutex<Vec<PathBuf>>,
    failure: OnceLock<LogError>,
    available_bytes: AtomicI64,
    /// Size of its file system, by the last look.
    total_bytes: AtomicU64,
    /// When that was last asked for, ms.
    looked_ms: AtomicU64,
    fsync_micros: AtomicU64,
    /// How long a write takes, on average of the last ones.
    write_micros: AtomicU64,
    /// Flushes under way.
    flushes: AtomicUsize,
    /// How its flushes go, for whoever asks whether it has become slow.
    pace: Mutex<Pace>,
    /// What was answered last.
    slow: AtomicBool,
    full: AtomicBool,
    /// It could not be opened: what lies in it is not known.
    unread: bool,
    #[expect(dead_code, reason = "dropping it unlocks")]
    lock: Option<Box<dyn DiskLock>>,
}

impl LogDir {
    /// Makes the directory if needed, locks it, and uses up the clean-shutdown proof. What an
    /// interrupted delete left is removed once threads run.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Arc<Self>, OpenError> {
        let at = |doing| move |error: io::Error| io_error(doing, path, &error);
        if !disk.exists(path).map_err(at("looking for"))? {
            disk.create_dir_all(path).map_err(at("making"))?;
            let parent = path.parent().unwrap_or(Path::new("."));
            disk.sync_dir(parent).map_err(at("syncing the parent of"))?;
        }
        let lock = disk.lock(&path.join(LOCK)).map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                let dir = path.to_owned();
                return OpenError::Locked { dir };
            }
            io_error("locking", path, &error)
        })?;
        let (was_clean, rows) = use_proof(&*disk, path).map_err(at("reading the proof in"))?;
        let entries = disk.list(path).map_err(at("listing"))?;
        if !was_clean && entries.iter().any(|entry| entry.is_dir) {
            // What the last process wrote may still be only in memory; from here on, whatever is
            // found may be served and counted as flushed.
            disk.sync_tree(path).map_err(at("syncing"))?;
        }
        let said = read_life(&*disk, path).map_err(at("reading the broker epoch in"))?;
        let last_life = LastLife::of(said, was_clean, found(&entries));
        let committed =
            read_committed(&*disk, path).map_err(at("reading what was committed in"))?;
        let deleted = entries
            .iter()
            .filter(|entry| entry.is_dir && entry.name.ends_with(DELETED));
        let leftovers = deleted.map(|entry| path.join(&entry.name)).collect();
        let logs = entries.iter().filter(|entry| entry.is_dir);
        let logs = logs.filter_map(|entry| LogName::parse(&entry.name));
        let space = disk.space(path).map_err(at("asking for the room of"))?;
        let generations = rows.values().map(|row| row.checkpoint.generation);
        let newest_row = generations.max().unwrap_or(0);
        Ok(Arc::new(Self {
            disk,
            path: path.to_owned(),
            was_clean,
            last_life,
            epoch: Mutex::new(None),
            committed: Mutex::new(committed),
            rows: Mutex::new(rows),
            newest_row,
            logs: Mutex::new(logs.map(|name| (name, Place::Closed)).collect()),
            leftovers: Mutex::new(leftovers),
            failure: OnceLock::new(),
            available_bytes: AtomicI64::new(signed(space.available_bytes)),
            total_bytes: AtomicU64::new(space.total_bytes),
            looked_ms: AtomicU64::new(0),
            fsync_micros: AtomicU64::new(0),
            write_micros: AtomicU64::new(0),
            flushes: AtomicUsize::new(0),
            pace: Mutex::new(Pace::new(PaceLimits::NONE)),
            slow: AtomicBool::new(false),
            full: AtomicBool::new(false),
            unread: false,
            lock: Some(lock),
        }))
    }

    /// One that could not be opened: offline from the beginning, and whatever lies in it is left
    /// alone. `error` is what [`LogDir::open`] said.
    pub fn offline(disk: Arc<dyn Disk>, path: &Path, error: &OpenError) -> Arc<Self> {
        let failure = LogError::Offline {
            dir: path.to_owned(),
            reason: error.to_string().into(),
        };
        Arc::new(Self {
            disk,
            path: path.to_owned(),
            was_clean: false,
            last_life: LastLife::Unknown,
            epoch: Mutex::new(None),
            committed: Mutex::default(),
            rows: Mutex::default(),
            newest_row: 0,
            logs: Mutex::default(),
            leftovers: Mutex::default(),
            failure: OnceLock::from(failure),
            available_bytes: AtomicI64::new(0),
            total_bytes: AtomicU64::new(0),
            looked_ms: AtomicU64::new(0),
            fsync_micros: AtomicU64::new(0),
            write_micros: AtomicU64::new(0),
            flushes: AtomicUsize::new(0),
            pace: Mutex::new(Pace::new(PaceLimits::NONE)),
            slow: AtomicBool::new(false),
            full: AtomicBool::new(false),
            unread: true,
            lock: None,
        })
    }

    /// Whether it could not be opened, so that nobody knows what lies in it.
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The logs in it, sorted by name.
    pub fn logs(&self) -> Vec<LogName> {
        let mut names: Vec<_> = self.logs.lock().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// The logs in it that nobody has opened, sorted by name.
    pub fn closed_logs(&self) -> Vec<LogName> {
        let logs = self.logs.lock();
        let closed = logs
            .iter()
            .filter(|(_, place)| matches!(place, Place::Closed));
        let mut names: Vec<_> = closed.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// How many logs are in it.
    pub fn log_count(&self) -> usize {
        self.logs.lock().len()
    }

    /// Whether a log is in it, open or not.
    pub fn holds(&self, name: &LogName) -> bool {
        self.logs.lock().contains_key(name)
    }

    /// Which life of its topic a log in it belongs to. The zero id when its state is lost; it then
    /// takes the id with which it is opened.
    pub fn topic_id(&self, name: &LogName) -> TopicId {
        // After a crash a row may be of an earlier life: what went since the clean stop was forgotten
        // in memory only. The log's own state knows better.
        if let Some(row) = self.rows.lock().get(name).filter(|row| row.clean) {
            return row.checkpoint.topic_id;
        }
        if let Some(Place::Open(shared)) = self.logs.lock().get(name)
            && let Some(shared) = shared.upgrade()
        {
            return shared.topic_id;
        }
        let state = read_state(&*self.disk, &self.log_path(name));
        let state = state.ok().flatten();
        state.map_or(TopicId::ZERO, |state| state.topic_id)
    }

    /// Why it is offline, if it is.
    pub fn failure(&self) -> Option<LogError> {
        self.failure.get().cloned()
    }

    /// Room on its file system.
    pub fn space(&self) -> Result<Space, OpenError> {
        let space = self.disk.space(&self.path);
        space.map_err(|error| io_error("asking for the room of", &self.path, &error))
    }

    /// The same by the last look, without asking the device, which may hang. A flush thread looks
    /// every two seconds, and more often while there is something to flush.
    pub fn known_space(&self) -> Space {
        Space {
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            available_bytes: self.available_bytes(),
        }
    }

    /// Whether the last process that used it stopped cleanly.
    pub fn was_clean(&self) -> bool {
        self.was_clean
    }

    /// How its last use ended, before this process opened it.
    pub fn last_life(&self) -> LastLife {
        self.last_life
    }

    /// Makes it durable that the directory was empty when it was opened, if it was: a process that
    /// comes no further is no life. To be called before logs are put there. Blocks on the device.
    pub fn keep_new(&self) -> Result<(), LogError> {
        match self.last_life {
            LastLife::New => self.write_life(Life::Unused),
            _ => Ok(()),
        }
    }

    /// Makes it durable that a broker serves from here in this broker epoch; to be called before the
    /// controller hears the epoch from it. A clean stop of the writers then ends that life. A failure
    /// takes the directory offline. Blocks on the device.
    pub fn begin_life(&self, epoch: i64) -> Result<(), LogError> {
        let mut present = self.epoch.lock();
        if *present == Some(epoch) {
            return Ok(());
        }
        self.write_life(Life::InUse(epoch))?;
        *present = Some(epoch);
        Ok(())
    }

    /// How far the last process knew a partition to be committed.
    pub fn committed(&self, at: TopicPartition) -> Option<Offset> {
        self.committed.lock().get(&at).copied()
    }

    /// From now on that is known better.
    pub fn forget_committed(&self, at: TopicPartition) {
        self.committed.lock().remove(&at);
    }

    /// Keeps how far partitions are known to be committed, for the next process. A failure takes the
    /// directory offline, unless the disk is full: what was kept before stands then. Blocks on the
    /// device.
    pub fn keep_committed(&self, rows: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        let (path, written) = self.write_small(COMMITTED, &committed::to_file(rows))?;
        written.map_err(|error| self.refuse("writing", &path, &error))
    }

    fn write_life(&self, life: Life) -> Result<(), LogError> {
        let (path, written) = self.write_small(LIFE, &life.to_file())?;
        written.map_err(|error| self.fail("writing", &path, &error))
    }

    fn write_small(&self, name: &str, bytes: &[u8]) -> Result<(PathBuf, io::Result<()>), LogError> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let path = self.path.join(name);
        let written = self.disk.replace_small(&path, bytes);
        Ok((path, written))
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(crate) fn log_path(&self, name: &LogName) -> PathBuf {
        self.path.join(name.to_string())
    }

    fn deleted_path(&self, name: &LogName, id: TopicId, attempt: u32) -> PathBuf {
        let partition = name.partition;
        self.path
            .join(format!("{id}-{partition}.{attempt}{DELETED}"))
    }

    /// The checkpoint of the last clean stop.
    pub(crate) fn row(&self, name: &LogName) -> Option<StopRow> {
        self.rows.lock().get(name).cloned()
    }

    /// No checkpoint of the last clean stop has a higher generation, those of logs that are gone by now
    /// included.
    pub(crate) fn newest_row(&self) -> u64 {
        self.newest_row
    }

    pub(crate) fn forget_row(&self, name: &LogName) {
        let mut rows = self.rows.lock();
        rows.remove(name);
        if rows.is_empty() {
            // At start there was one for each log: that room is not needed again.
            *rows = HashMap::new();
        }
    }

    pub(crate) fn take_leftovers(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.leftovers.lock())
    }

    /// Reserves a name while its log is being opened or removed; false when somebody else has it.
    pub(crate) fn reserve(&self, name: &LogName) -> bool {
        let mut logs = self.logs.lock();
        let was_here = match logs.remove(name) {
            None => false,
            Some(Place::Closed) => true,
            Some(taken) => {
                logs.insert(name.clone(), taken);
                return false;
            }
        };
        logs.insert(name.clone(), Place::Reserved { was_here });
        true
    }

    /// The log behind a reserved name is open: from now on it knows better than the last stop.
    pub(crate) fn register(&self, shared: &Arc<Shared>) {
        self.forget_row(&shared.name);
        let open = Place::Open(Arc::downgrade(shared));
        self.logs.lock().insert(shared.name.clone(), open);
    }

    /// The log is closed, or could not be opened.
    pub(crate) fn release(&self, name: &LogName) {
        let mut logs = self.logs.lock();
        match logs.get_mut(name) {
            None | Some(Place::Closed) => {}
            Some(Place::Reserved { was_here: false }) => drop(logs.remove(name)),
            Some(place) => *place = Place::Closed,
        }
    }

    /// The log was renamed away, or was never there.
    pub(crate) fn release_deleted(&self, name: &LogName) {
        self.logs.lock().remove(name);
    }

    /// Renames a log's directory to a name that says it is being deleted, durably.
    pub(crate) fn rename_away(&self, name: &LogName) -> Result<PathBuf, OpenError> {
        let from = self.log_path(name);
        let at = |doing| {
            let from = from.clone();
            move |error: io::Error| io_error(doing, &from, &error)
        };
        let id = self.topic_id(name);
        self.forget_row(name);
        // A directory of the same log that is still being removed must not be in the way.
        let mut to = self.deleted_path(name, id, 0);
        for attempt in 1.. {
            if !self.disk.exists(&to).map_err(at("looking for"))? {
                break;
            }
            to = self.deleted_path(name, id, attempt);
        }
        self.disk.rename(&from, &to).map_err(at("renaming"))?;
        let synced = self.disk.sync_dir(&self.path);
        synced.map_err(at("syncing the parent of"))?;
        Ok(to)
    }

    /// Has a copy take its log's name here, durably, and keeps its checkpoint for the next open. Its
    /// own name is free then; the other one is for the caller to reserve. A failure takes the
    /// directory offline.
    pub(crate) fn promote(&self, future: &LogName, row: StopRow) -> Result<(), LogError> {
        let present = future.present();
        let from = self.log_path(future);
        let renamed = self.disk.rename(&from, &self.log_path(&present));
        renamed.map_err(|error| self.fail("renaming", &from, &error))?;
        let synced = self.disk.sync_dir(&self.path);
        synced.map_err(|error| self.fail("syncing", &self.path, &error))?;
        self.rows.lock().insert(present, row);
        self.release_deleted(future);
        Ok(())
    }

    /// Takes the directory offline, for good, and tells every log in it. Returns the first failure.
    pub(crate) fn fail(&self, doing: &'static str, path: &Path, error: &io::Error) -> LogError {
        let reason = format!("{doing} {}: {error}", path.display());
        let failure = LogError::Offline {
            dir: self.path.clone(),
            reason: reason.into(),
        };
        if self.failure.set(failure).is_ok() {
            let first = self.failure.get();
            tracing::error!(dir = %self.path.display(), failure = ?first, "log directory offline");
            let logs = self.logs.lock();
            let open = logs.values().filter_map(|place| match place {
                Place::Open(shared) => shared.upgrade(),
                Place::Closed | Place::Reserved { .. } => None,
            });
            let open: Vec<_> = open.collect();
            drop(logs);
            for shared in open {
                if let Some(first) = first {
                    shared.progress.failed(first);
                }
            }
        }
        self.failure().expect("it was set just now, or before")
    }

    /// [`LogDir::fail`] for a write that can be given up: it failed for want of room only, which is
    /// no harm to what was written before.
    pub(crate) fn refuse(&self, doing: &'static str, path: &Path, error: &io::Error) -> LogError {
        if error.kind() != io::ErrorKind::StorageFull {
            return self.fail(doing, path, error);
        }
        if self.available_bytes.swap(0, Ordering::Relaxed) > 0 {
            tracing::warn!(path = %path.display(), doing, "no room is left on the disk");
        }
        let dir = self.path.clone();
        LogError::DiskFull { dir }
    }

    /// Bytes were written: the estimate of what is left goes down until the next look.
    pub(crate) fn charge(&self, bytes: u64) {
        self.available_bytes
            .fetch_sub(signed(bytes), Ordering::Relaxed);
    }

    /// What is left, by the last look and what was written since.
    pub(crate) fn available_bytes(&self) -> u64 {
        u64::try_from(self.available_bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Looks how much is left, unless somebody did so less than `pause_ms` ago.
    pub(crate) fn refresh_space(&self, now: Millis, pause_ms: u64) {
        let looked = Millis(self.looked_ms.load(Ordering::Relaxed));
        if now - looked < pause_ms || self.unread {
            return;
        }
        self.looked_ms.store(now.0, Ordering::Relaxed);
        match self.disk.space(&self.path) {
            Ok(space) => {
                let available = signed(space.available_bytes);
                self.available_bytes.store(available, Ordering::Relaxed);
                self.total_bytes.store(space.total_bytes, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!(dir = %self.path.display(), %error, "cannot ask for free space");
            }
        }
    }

    /// A write took this long.
    pub(crate) fn note_write(&self, micros: u64) {
        note(&self.write_micros, micros);
    }

    /// How long a write takes.
    pub(crate) fn write_micros(&self) -> u64 {
        self.write_micros.load(Ordering::Relaxed)
    }

    /// Counts a flush until the guard is dropped.
    pub(crate) fn busy(&self) -> impl Drop {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Busy(&self.flushes)
    }

    /// From now on its disk is slow by these limits; before, none is.
    pub fn judge_by(&self, limits: PaceLimits) {
        *self.pace.lock() = Pace::new(limits);
    }

    /// Whether its disk has become slow. To be asked every second or two, by the clock of the writers.
    pub fn judge_pace(&self, now: Millis) -> bool {
        let slow = self.pace.lock().judge(now);
        self.slow.store(slow, Ordering::Relaxed);
        slow
    }

    /// What [`LogDir::judge_pace`] said last.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    /// Whether it has no room for producers, by the last look, where they are refused below so many bytes.
    pub fn judge_room(&self, reserve_bytes: u64) -> bool {
        let full = is_full(self.is_full(), self.available_bytes(), reserve_bytes);
        self.full.store(full, Ordering::Relaxed);
        full
    }

    /// What [`LogDir::judge_room`] said last.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// How long a flush takes, on average of the last ones, ms.
    pub fn flush_ms(&self) -> u64 {
        self.fsync_micros() / 1_000
    }

    /// Syncs something as a flush of this disk. If somebody waits for it (`waited`) its time says how the disk
    /// goes.
    pub(crate) fn sync_paced(
        &self,
        clock: &dyn Clock,
        waited: bool,
        sync: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if !waited {
            return sync();
        }
        let id = self.pace.lock().begin(clock.monotonic());
        let synced = sync();
        self.pace.lock().end(id, clock.monotonic());
        synced
    }

    /// Syncs a file, and remembers how long that took, which is given as well, in microseconds.
    pub(crate) fn sync_timed(
        &self,
        file: &dyn DiskFile,
        clock: &dyn Clock,
        waited: bool,
    ) -> (io::Result<()>, u64) {
        let began = clock.micros();
        let synced = self.sync_paced(clock, waited, || file.sync_data());
        let micros = clock.micros().saturating_sub(began);
        note(&self.fsync_micros, micros);
        (synced, micros)
    }

    /// Whether somebody flushes.
    pub(crate) fn is_busy(&self) -> bool {
        self.flushes.load(Ordering::Relaxed) > 0
    }

    /// How long an fsync takes.
    pub(crate) fn fsync_micros(&self) -> u64 {
        self.fsync_micros.load(Ordering::Relaxed)
    }

    /// Writes the proof of a clean stop, and that the broker's life ended with it: the very last act
    /// in a directory.
    pub(crate) fn write_proof(&self, mut image: StopImage) -> Result<(), LogError> {
        for (name, row) in self.rows.lock().drain() {
            image.rows.entry(name).or_insert(row);
        }
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let path = self.path.join(PROOF);
        let written = self.disk.replace_small(&path, &image.to_file());
        written.map_err(|error| self.fail("writing", &path, &error))?;
        match *self.epoch.lock() {
            Some(epoch) => self.write_life(Life::Clean(epoch)),
            None => Ok(()),
        }
    }
}

/// Moves an average of about the last eight.
fn note(average: &AtomicU64, micros: u64) {
    let before = average.load(Ordering::Relaxed);
    average.store((before * 7 + micros) / 8, Ordering::Relaxed);
}

struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The state file of a log; `None` when it is missing or damaged.
pub(crate) fn read_state(disk: &dyn Disk, log: &Path) -> io::Result<Option<Checkpoint>> {
    let path = log.join(STATE);
    let bytes = match disk.read_small(&path, MAX_STATE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Checkpoint::from_file(&bytes)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "state is damaged"))
        .ok())
}

/// What the file says of the last life; `None` when it is missing or damaged.
fn read_life(disk: &dyn Disk, dir: &Path) -> io::Result<Option<Life>> {
    let path = dir.join(LIFE);
    let bytes = match disk.read_small(&path, MAX_LIFE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => return Ok(None),
            _ => return Err(error),
        },
    };
    Ok(Life::from_file(&bytes)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "epoch is damaged"))
        .ok())
}

/// What was committed; nothing when the file is missing or damaged.
fn read_committed(disk: &dyn Disk, dir: &Path) -> io::Result<HashMap<TopicPartition, Offset>> {
    let path = dir.join(COMMITTED);
    let bytes = match disk.read_small(&path, MAX_COMMITTED_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData => return Ok(HashMap::new()),
            _ => return Err(error),
        },
    };
    let read = committed::from_file(&bytes);
    Ok(read.unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "what was committed is damaged");
        HashMap::new()
    }))
}

fn found(entries: &[Entry]) -> Found {
    let left = |entry: &&Entry| {
        !HARMLESS.contains(&entry.name.as_str()) && (entry.is_dir || !entry.name.ends_with(".tmp"))
    };
    let is_log = |entry: &Entry| entry.is_dir && LogName::parse(&entry.name).is_some();
    if entries.iter().any(is_log) {
        Found::Logs
    } else if entries.iter().any(|entry| left(&entry)) {
        Found::Files
    } else {
        Found::Nothing
    }
}

/// Reads the proof and takes it away before anything is written, durably.
fn use_proof(disk: &dyn Disk, dir: &Path) -> io::Result<(bool, HashMap<LogName, StopRow>)> {
    let (proof, used) = (dir.join(PROOF), dir.join(USED_PROOF));
    if !disk.exists(&proof)? {
        let old = match disk.exists(&used)? {
            true => read_image(disk, &used)?,
            false => Ok(StopImage::default()),
        };
        let mut rows = old.unwrap_or_default().rows;
        rows.values_mut().for_each(|row| row.clean = false);
        return Ok((false, rows));
    }
    let image = read_image(disk, &proof)?;
    disk.rename(&proof, &used)?;
    disk.sync_dir(dir)?;
    Ok(match image {
        Ok(image) => (true, image.rows),
        Err(error) => {
            tracing::warn!(path = %proof.display(), %error, "the proof of a clean stop is damaged");
            (false, HashMap::new())
        }
    })
}

fn read_image(disk: &dyn Disk, path: &Path) -> io::Result<Result<StopImage, EnvelopeError>> {
    let bytes = disk.read_small(path, MAX_PROOF_BYTES)?;
    Ok(StopImage::from_file(&bytes))
}

pub(crate) fn io_error(doing: &'static str, path: &Path, error: &io::Error) -> OpenError {
    OpenError::Io {
        doing,
        path: path.to_owned(),
        reason: error.to_string().into(),
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
