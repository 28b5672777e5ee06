//! The threads that own logs.
//!
//! ```text
//! LogHandle ──commands──► append thread ──flush jobs──► flush threads (of a log directory)
//!                           owns its logs                 fdatasync, checkpoints, deletes
//! LogView ────cold reads──► reader threads
//! closed segments ────────► janitor thread: index files, removal of files
//! ```
//!
//! All queues are bounded. A flush thread never waits for an append thread, and reader and janitor
//! threads wait for nobody, so no cycle of waiting can close.

mod appender;
mod command;
pub(crate) mod context;
mod flusher;
mod handle;
mod several;
mod shelf;
mod together;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use freshet_env::Clock;
use freshet_env::tasks::spawn_thread;
use freshet_types::{Offset, TopicId};
use parking_lot::Mutex;

pub use handle::LogHandle;

use crate::log::Log;
use crate::state::StopImage;
use crate::{LogConfig, LogDir, LogError, LogMetrics, LogName, OpenError, Progress};
use appender::{Appender, run_appender};
use command::{Command, Queue};
use context::{Context, Job, Pool};
use flusher::{FlushJob, run_flusher};

/// Jobs that may wait for the janitor; more are done by whoever has them.
const JANITOR_QUEUE: usize = 4096;

/// Limits of [`Writers`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WritersOptions {
    /// Append threads; a partition belongs to one.
    pub append_threads: usize,
    /// Flush threads of each log directory. The file system commits what several of them sync at
    /// the same time together.
    pub flush_threads: usize,
    /// Threads for reads that wait for the device, shared by all logs.
    pub read_threads: usize,
    /// Producers' appends that may wait for one append thread; reads that may wait for all reader
    /// threads.
    pub queue_len: usize,
    /// Bytes of batches with which a producer's append must still wait for one append thread, those
    /// of the broker itself included.
    pub queue_bytes: usize,
    /// Bytes kept for tail readers by all append threads together.
    pub hot_bytes: usize,
    /// Producers' appends are refused while a directory's file system has less than this; the
    /// broker's own and replicas' while it has less than half of it.
    pub reserve_bytes: u64,
    /// A log is checkpointed each time this much was written to it: recovery scans at most about
    /// this much per log.
    pub checkpoint_bytes: u64,
    /// Sealed segments whose file and index stay open, over all logs.
    pub open_segments: usize,
    /// Copies stay in the page cache as long as the kernel likes: consumers read from them.
    pub cache_copies: bool,
}

impl Default for WritersOptions {
    fn default() -> Self {
        Self {
            append_threads: 2,
            flush_threads: 4,
            read_threads: 2,
            queue_len: 8192,
            queue_bytes: 64 << 20,
            hot_bytes: 32 << 20,
            reserve_bytes: 256 << 20,
            checkpoint_bytes: 64 << 20,
            open_segments: 1024,
            cache_copies: false,
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

/// What [`LogHandle::replace_by`] did.
#[derive(Debug)]
pub enum Replaced {
    /// Nothing: the copy lacks too much, or has what the log lost. Copy on, and ask again.
    Behind,
    /// The copy is the log now.
    By(LogHandle),
}

/// Append, flush and reader threads of one broker, for all its log directories.
#[derive(Debug)]
pub struct Writers {
    dirs: Vec<Arc<LogDir>>,
    context: Arc<Context>,
    queues: Vec<Arc<Queue>>,
    /// Counts opened logs: the next one goes to the next thread.
    opened: AtomicUsize,
    threads: Mutex<Option<Threads>>,
}

#[derive(Debug)]
struct Threads {
    append: Vec<AppendThread>,
    flush: Vec<JoinHandle<()>>,
    read: Vec<JoinHandle<()>>,
    janitor: JoinHandle<()>,
}

impl Writers {
    /// Starts the threads.
    pub fn start(
        dirs: Vec<Arc<LogDir>>,
        clock: Arc<dyn Clock>,
        options: WritersOptions,
    ) -> Result<Arc<Self>, OpenError> {
        let (read_queue, reads) = sync_channel::<Job>(options.queue_len);
        let (janitor_queue, chores) = sync_channel::<Job>(JANITOR_QUEUE);
        let context = Context::new(
            clock,
            options,
            Pool::new(read_queue),
            Pool::new(janitor_queue),
        );
        let context = Arc::new(context);
        let (flush_queues, flush) = start_flushers(&dirs, &context)?;
        let (queues, append) = start_appenders(&context, &flush_queues)?;
        let reads = Arc::new(Mutex::new(reads));
        let readers = (0..context.options.read_threads.max(1)).map(|i| {
            let jobs = Arc::clone(&reads);
            spawn(format!("log-read-{i}"), move || run_jobs(&jobs))
        });
        let read = readers.collect::<Result<_, _>>()?;
        let janitor = spawn("log-janitor".into(), move || {
            chores.into_iter().for_each(run_job);
        })?;
        for dir in &dirs {
            remove_later(&context, dir, dir.take_leftovers());
        }
        Ok(Arc::new(Self {
            dirs,
            context,
            queues,
            opened: AtomicUsize::new(0),
            threads: Mutex::new(Some(Threads {
                append,
                flush,
                read,
                janitor,
            })),
        }))
    }

    /// The directories given at start.
    pub fn dirs(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// What all logs did so far.
    pub fn metrics(&self) -> &Arc<LogMetrics> {
        &self.context.metrics
    }

    /// Opens a log, making it when absent; recovers its tail when the last stop was not clean.
    /// Blocks on the device: call it from a plain thread; several may open at once.
    ///
    /// # Panics
    /// When `log.dir` is not one of the directories given at start.
    pub fn open(&self, log: OpenLog) -> Result<LogHandle, OpenError> {
        self.open_on(log, |id| Arc::clone(&self.queues[id % self.queues.len()]))
    }

    /// Opens a log on the append thread of another one, whose place it can take then
    /// ([`LogHandle::replace_by`]). Blocks on the device.
    ///
    /// # Panics
    /// When `log.dir` is not one of the directories given at start.
    pub fn open_beside(&self, log: OpenLog, other: &LogHandle) -> Result<LogHandle, OpenError> {
        let present = log.name.present();
        if log.name.is_future() && log.dir.holds(&present) {
            return Err(OpenError::AlreadyOpen { log: present });
        }
        self.open_on(log, |_| Arc::clone(other.queue()))
    }

    fn open_on(
        &self,
        log: OpenLog,
        queue: impl FnOnce(usize) -> Arc<Queue>,
    ) -> Result<LogHandle, OpenError> {
        let (dir, name) = (Arc::clone(&log.dir), log.name.clone());
        let ours = self.dirs.iter().any(|ours| Arc::ptr_eq(ours, &dir));
        assert!(ours, "a log is opened in a directory given at start");
        if !dir.reserve(&name) {
            return Err(OpenError::AlreadyOpen { log: name });
        }
        let opened = Log::open(log, Arc::clone(&self.context));
        let log = opened.inspect_err(|_| dir.release(&name))?;
        dir.register(log.shared());
        let id = self.opened.fetch_add(1, Ordering::Relaxed);
        let queue = queue(id);
        let view = log.view();
        let log = Box::new(log);
        if !queue.send(Command::Open { id, log }) {
            dir.release(&name);
            return Err(LogError::Closed { log: name }.into());
        }
        Ok(LogHandle::new(view, id, queue))
    }

    /// Removes a log that is in `dir` but not open: a stray of a topic deleted meanwhile.
    pub fn remove_stray(&self, dir: &Arc<LogDir>, name: &LogName) -> Result<(), OpenError> {
        if !dir.reserve(name) {
            return Err(OpenError::AlreadyOpen { log: name.clone() });
        }
        let removed = dir.rename_away(name);
        let path = removed.inspect_err(|_| dir.release(name))?;
        dir.release_deleted(name);
        remove_later(&self.context, dir, vec![path]);
        Ok(())
    }

    /// Flushes and closes all logs, writes the clean-shutdown proofs of directories that are
    /// online, and ends the threads. Handles answer `Closed` afterwards. Blocks.
    ///
    /// Fails with the first directory's failure, after all others were stopped; a second call does
    /// nothing.
    pub fn stop(&self) -> Result<(), LogError> {
        let Some(threads) = self.threads.lock().take() else {
            return Ok(());
        };
        self.context.leaving.store(true, Ordering::Release);
        for queue in &self.queues {
            // A thread that is gone has nothing left to stop.
            queue.send(Command::Stop);
        }
        let mut images: HashMap<PathBuf, StopImage> = HashMap::new();
        let mut whole = true;
        for thread in threads.append {
            match thread.join() {
                Ok(stopped) => {
                    for (dir, image) in stopped {
                        let all = images.entry(dir.path().to_owned()).or_default();
                        all.rows.extend(image.rows);
                    }
                }
                // A panic: its logs may be half written, so nothing is clean.
                Err(_) => whole = false,
            }
        }
        self.context.readers.stop();
        for thread in threads.flush.into_iter().chain(threads.read) {
            whole &= thread.join().is_ok();
        }
        self.context.janitor.stop();
        whole &= threads.janitor.join().is_ok();
        if !whole {
            tracing::error!("a log thread panicked: no proof of a clean stop is written");
            let failure = self.dirs.iter().find_map(|dir| dir.failure());
            return failure.map_or(Ok(()), Err);
        }
        let prove =
            |dir: &Arc<LogDir>| dir.write_proof(images.remove(dir.path()).unwrap_or_default());
        let used = self.dirs.iter().filter(|dir| !dir.is_unread());
        let proofs: Vec<_> = used.map(prove).collect();
        proofs.into_iter().collect()
    }
}

type FlushQueues = HashMap<PathBuf, shelf::Sender<FlushJob>>;

fn start_flushers(
    dirs: &[Arc<LogDir>],
    context: &Arc<Context>,
) -> Result<(FlushQueues, Vec<JoinHandle<()>>), OpenError> {
    let mut queues = HashMap::new();
    let mut threads = Vec::new();
    for (i, dir) in dirs.iter().enumerate() {
        let (queue, jobs) = shelf::shelf(context.options.queue_len);
        queues.insert(dir.path().to_owned(), queue);
        for j in 0..context.options.flush_threads.max(1) {
            let (dir, context) = (Arc::clone(dir), Arc::clone(context));
            let jobs = jobs.clone();
            let looks_at_space = j == 0;
            let body = move || run_flusher(&dir, &context, &jobs, looks_at_space);
            threads.push(spawn(format!("log-flush-{i}-{j}"), body)?);
        }
    }
    Ok((queues, threads))
}

type AppendThread = JoinHandle<Vec<(Arc<LogDir>, StopImage)>>;

fn start_appenders(
    context: &Arc<Context>,
    flush_queues: &FlushQueues,
) -> Result<(Vec<Arc<Queue>>, Vec<AppendThread>), OpenError> {
    let count = context.options.append_threads.max(1);
    let mut queues = Vec::new();
    let mut threads = Vec::new();
    for i in 0..count {
        let hot_bytes = context.options.hot_bytes / count;
        let appender = Appender::new(Arc::clone(context), flush_queues.clone(), hot_bytes);
        let appender = Arc::new(Mutex::new(appender));
        let (queue, commands) = Queue::new(&context.options, &appender);
        queues.push(Arc::new(queue));
        let body = move || run_appender(&appender, &commands);
        threads.push(spawn(format!("log-append-{i}"), body)?);
    }
    Ok((queues, threads))
}

fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, OpenError> {
    spawn_thread(&name, body).map_err(|error| OpenError::Io {
        doing: "starting thread",
        path: name.into(),
        reason: error.to_string().into(),
    })
}

/// Takes jobs one at a time; only the taking is under the lock.
fn run_jobs(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().recv();
        match job {
            Ok(job) => run_job(job),
            Err(_) => return,
        }
    }
}

/// A panic, which may come from a caller's callback, ends the job and not the thread.
fn run_job(job: Job) {
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        tracing::error!("a job of the log panicked");
    }
}

/// Removes directories that were renamed away. A failure, or a stop, leaves them for the next start.
fn remove_later(context: &Context, dir: &Arc<LogDir>, paths: Vec<PathBuf>) {
    let (dir, leaving) = (Arc::clone(dir), Arc::clone(&context.leaving));
    context.janitor.submit_or_run(Box::new(move || {
        for path in paths {
            if leaving.load(Ordering::Acquire) {
                return;
            }
            if let Err(error) = dir.disk().remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %error, "deleted log not removed");
            }
        }
    }));
}
