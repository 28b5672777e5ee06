//! A log to play with: temporary directory, clock by hand, callbacks turned into return values.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use freshet_env::{Clock, Disk, SystemDisk};
use freshet_log::{
    Append, AppendError, Appended, Busy, Done, Durability, LogConfig, LogDir, LogError, LogHandle,
    LogName, OpenError, OpenLog, Origin, Progress, ReadSpec, Writers, WritersOptions,
};
use freshet_records::{Batch, BatchBuilder, Batches, Codec, NewRecord, Producer};
use freshet_types::{LeaderEpoch, Offset, Timestamp, TopicId};

pub(crate) const TOPIC: TopicId = TopicId([7; 16]);
/// Far more than any of these tests needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct HandClock {
    wall: AtomicI64,
    micros: AtomicU64,
}

impl Clock for HandClock {
    fn micros(&self) -> u64 {
        self.micros.load(SeqCst)
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.wall.load(SeqCst))
    }
}

impl HandClock {
    pub(crate) fn advance(&self, ms: i64) {
        self.wall.fetch_add(ms, SeqCst);
        self.micros.fetch_add(ms as u64 * 1000, SeqCst);
    }
}

/// Remembers what it was told.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) appended: AtomicI64,
    pub(crate) flushed: AtomicI64,
    pub(crate) failed: Mutex<Option<LogError>>,
}

impl Progress for Recorder {
    fn appended(&self, end: Offset) {
        self.appended.store(end, SeqCst);
    }

    fn flushed(&self, end: Offset) {
        assert!(self.flushed.swap(end, SeqCst) < end, "flushed goes up");
    }

    fn failed(&self, error: &LogError) {
        *self.failed.lock().unwrap() = Some(error.clone());
    }
}

/// One broker's logs, and all that is around them.
pub(crate) struct Rig {
    root: Arc<tempfile::TempDir>,
    disk: Arc<dyn Disk>,
    options: WritersOptions,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) dir: Arc<LogDir>,
    pub(crate) writers: Arc<Writers>,
}

pub(crate) fn options() -> WritersOptions {
    WritersOptions {
        reserve_bytes: 0,
        ..WritersOptions::default()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(Arc::new(SystemDisk), options())
    }

    pub(crate) fn with(disk: Arc<dyn Disk>, options: WritersOptions) -> Self {
        let root = Arc::new(tempfile::tempdir().unwrap());
        Self::start(root, disk, options).expect("an empty directory opens")
    }

    pub(crate) fn start(
        root: Arc<tempfile::TempDir>,
        disk: Arc<dyn Disk>,
        options: WritersOptions,
    ) -> Result<Self, OpenError> {
        let clock = Arc::new(HandClock {
            wall: AtomicI64::new(1_700_000_000_000),
            micros: AtomicU64::new(1),
        });
        let dir = open_dir(&disk, &root.path().join("logs"))?;
        let hands: Arc<dyn Clock> = Arc::<HandClock>::clone(&clock);
        let writers = Writers::start(vec![Arc::clone(&dir)], hands, options.clone())?;
        Ok(Self {
            root,
            disk,
            options,
            clock,
            dir,
            writers,
        })
    }

    /// Each append is followed by a checkpoint.
    pub(crate) fn checkpointing() -> Self {
        let options = WritersOptions {
            checkpoint_bytes: 1,
            ..options()
        };
        Self::with(Arc::new(SystemDisk), options)
    }

    /// Stops cleanly and starts again.
    pub(crate) fn restart(self) -> Self {
        self.restart_after(|_| {})
    }

    /// Stops cleanly, lets somebody at the files, and starts again.
    pub(crate) fn restart_after(self, meddle: impl FnOnce(&Path)) -> Self {
        self.writers.stop().unwrap();
        self.start_again(meddle)
    }

    /// Forgets the process without any goodbye, and starts again.
    pub(crate) fn crash(self) -> Self {
        self.crash_after(|_| {})
    }

    /// The same, with somebody at the files meanwhile. Logs must have been dropped.
    pub(crate) fn crash_after(self, meddle: impl FnOnce(&Path)) -> Self {
        self.start_again(meddle)
    }

    fn start_again(self, meddle: impl FnOnce(&Path)) -> Self {
        let Self {
            root,
            disk,
            options,
            dir,
            writers,
            ..
        } = self;
        // Without `stop` the threads end once their last sender is gone; the lock, with its files,
        // goes with the directory, which they hold until then.
        drop(writers);
        let weak = Arc::downgrade(&dir);
        drop(dir);
        for _ in 0..2000 {
            if weak.strong_count() == 0 {
                break;
            }
            pause();
        }
        assert_eq!(weak.strong_count(), 0, "a log is still open");
        meddle(&root.path().join("logs"));
        Self::start(root, disk, options).expect("the directory opens again")
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root.path().join("logs")
    }

    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn open(&self, name: &str) -> TestLog {
        self.open_with(name, LogConfig::default())
    }

    pub(crate) fn open_with(&self, name: &str, config: LogConfig) -> TestLog {
        self.try_open(name, TOPIC, config).expect("the log opens")
    }

    pub(crate) fn try_open(
        &self,
        name: &str,
        topic_id: TopicId,
        config: LogConfig,
    ) -> Result<TestLog, OpenError> {
        let progress = Arc::new(Recorder::default());
        let handle = self.writers.open(OpenLog {
            dir: Arc::clone(&self.dir),
            name: LogName::parse(name).unwrap(),
            topic_id,
            config: Arc::new(config),
            progress: Arc::<Recorder>::clone(&progress),
        })?;
        Ok(TestLog {
            handle,
            progress,
            now: self.clock.wall(),
        })
    }
}

/// Opens a directory whose last user may be about to give its lock back.
pub(crate) fn open_dir(disk: &Arc<dyn Disk>, path: &Path) -> Result<Arc<LogDir>, OpenError> {
    for _ in 0..1000 {
        match LogDir::open(Arc::clone(disk), path) {
            Err(OpenError::Locked { .. }) => pause(),
            opened => return opened,
        }
    }
    LogDir::open(Arc::clone(disk), path)
}

/// A log whose answers are waited for.
pub(crate) struct TestLog {
    pub(crate) handle: LogHandle,
    pub(crate) progress: Arc<Recorder>,
    pub(crate) now: Timestamp,
}

impl TestLog {
    pub(crate) fn append(&self, batch: &Batch) -> Result<Appended, AppendError> {
        self.append_as(batch.bytes().clone(), Origin::Client, 0)
    }

    pub(crate) fn append_as(
        &self,
        batches: Bytes,
        origin: Origin,
        leader_epoch: LeaderEpoch,
    ) -> Result<Appended, AppendError> {
        let (tell, told) = channel();
        let append = Append {
            frame_bytes: batches.len(),
            batches,
            leader_epoch,
            origin,
            done: Box::new(move |result| tell.send(result).unwrap()),
        };
        self.handle.append(append).unwrap();
        told.recv_timeout(PATIENCE)
            .expect("every append is answered")
    }

    /// Appends one batch of text records and waits until it is flushed.
    pub(crate) fn put(&self, values: &[&str]) -> Offset {
        let appended = self.append(&batch(self.now, values)).unwrap();
        self.wait_flushed(appended.last_offset + 1);
        appended.base_offset
    }

    pub(crate) fn wait_flushed(&self, end: Offset) {
        for _ in 0..20_000 {
            if self.handle.view().flushed() >= end {
                return;
            }
            pause();
        }
        panic!("not flushed up to {end}");
    }

    pub(crate) fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&LogHandle, Done<T>) -> Result<(), Busy>,
    ) -> Result<T, LogError> {
        let (tell, told) = channel();
        let done = Box::new(move |result| tell.send(result).unwrap());
        ask(&self.handle, done).unwrap();
        told.recv_timeout(PATIENCE)
            .expect("every command is answered")
    }

    pub(crate) fn roll(&self) {
        self.ask(LogHandle::roll).unwrap();
    }

    pub(crate) fn flush(&self) -> Offset {
        self.ask(LogHandle::flush).unwrap()
    }

    /// All batches from `from` on, by waiting reads of at most `max_bytes`.
    pub(crate) fn batches(&self, from: Offset, max_bytes: usize) -> Vec<Batch> {
        let view = self.handle.view();
        let mut next = from;
        let mut all = Vec::new();
        while next < view.log_end() {
            let spec = ReadSpec {
                from: next,
                max_bytes,
                upper_bound: Offset::MAX,
                at_least_one: true,
            };
            let fetched = view.read_blocking(&spec).unwrap();
            assert!(fetched.next_offset > next, "reads get on");
            let bytes: Bytes = fetched.chunks.concat().into();
            assert_eq!(bytes.len(), fetched.bytes);
            all.extend(Batches::new(bytes).map(|batch| batch.unwrap()));
            next = fetched.next_offset;
        }
        for batch in &all {
            batch.check_crc().unwrap();
        }
        all
    }

    /// Values of all records from `from` on, with their offsets.
    pub(crate) fn values(&self, from: Offset) -> Vec<(Offset, String)> {
        let batches = self.batches(from, 1 << 20);
        let records = batches
            .iter()
            .flat_map(|batch| batch.records(1 << 30).unwrap());
        let records = records.map(|record| record.unwrap());
        let text = |bytes: Option<Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        records
            .map(|record| (record.offset, text(record.value)))
            .filter(|(offset, _)| *offset >= from)
            .collect()
    }
}

/// Settings of a topic in the page cache.
pub(crate) fn synced_after(flush_ms: u64) -> LogConfig {
    LogConfig {
        durability: Durability::PageCache,
        flush_ms,
        ..LogConfig::default()
    }
}

/// A batch of text records, all of the same time.
pub(crate) fn batch(time: Timestamp, values: &[&str]) -> Batch {
    build(BatchBuilder::new(Codec::None), time, values)
}

pub(crate) fn build(mut builder: BatchBuilder, time: Timestamp, values: &[&str]) -> Batch {
    for value in values {
        let record = NewRecord {
            timestamp: time,
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        builder.push(&record).unwrap();
    }
    builder.finish().unwrap()
}

/// A batch of an idempotent producer.
pub(crate) fn session(time: Timestamp, id: i64, base_sequence: i32, values: &[&str]) -> Batch {
    let producer = Producer {
        id,
        epoch: 0,
        base_sequence,
    };
    build(
        BatchBuilder::new(Codec::None).producer(producer),
        time,
        values,
    )
}

/// A batch whose body is `size` bytes of one value.
pub(crate) fn large(time: Timestamp, size: usize) -> Batch {
    batch(time, &[&"x".repeat(size)])
}

/// Segment files, by name, with their lengths.
pub(crate) fn segments(path: &Path) -> Vec<(String, u64)> {
    let entries = SystemDisk.list(path).unwrap();
    let logs = entries.into_iter().filter(|e| e.name.ends_with(".log"));
    logs.map(|e| (e.name, e.len_bytes)).collect()
}

/// Changes a file in place.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// The only file with this ending, or the last one.
pub(crate) fn last_file(dir: &Path, suffix: &str) -> PathBuf {
    let entries = SystemDisk.list(dir).unwrap();
    let last = entries.iter().rfind(|entry| entry.name.ends_with(suffix));
    dir.join(&last.expect(suffix).name)
}

/// Waits a moment for another thread.
pub(crate) fn pause() {
    let (_keep, nothing) = channel::<()>();
    let _ = nothing.recv_timeout(Duration::from_millis(1));
}

/// Waits until something that other threads do has happened.
pub(crate) fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if happened() {
            return;
        }
        pause();
    }
    panic!("never: {what}");
}
