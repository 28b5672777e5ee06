//! An append thread: drains its queue, one write per log and drain, then callbacks.
//!
//! A drain takes all that waits, up to a bound. Each append is staged in its log (offsets, buffers);
//! at the end of the drain every touched log commits with one write, its bytes go to the hot tail,
//! the new end is published, callbacks run, and the log goes to its directory's flush thread. When
//! a single append is all there was, and syncs are fast, the append thread syncs itself: two thread
//! hops less for whoever writes one record at a time. And while it has nothing to do at all, a caller
//! may do its work ([`AtWork`]): whoever holds the lock around it is the append thread.

mod take_over;

use std::collections::HashMap;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freshet_types::Millis;
use parking_lot::{Mutex, MutexGuard};

use super::command::{Answer, Command, HERE_BYTES, Op, QueuedAppend};
use super::flusher::FlushJob;
use super::shelf::{Sender, Taker};
use super::together::sync_together;
use crate::log::{Committed, Log, Saved};
use crate::state::StopImage;
use crate::view::hot::HotBudget;
use crate::writers::context::Context;
use crate::{AppendError, Appended, Here, LogDir, LogError};

/// Commands taken in one drain at most, so that callbacks are not kept waiting.
const DRAIN_COMMANDS: usize = 1024;
/// Bytes of batches taken in one drain at most.
const DRAIN_BYTES: usize = 8 << 20;
/// Above this, an fsync on the append thread would keep other partitions waiting too long.
const INLINE_FSYNC_MICROS: u64 = 2_000;
/// Appends that come faster than this are worth a thread of their own, which takes several at a time.
const CALM_MICROS: u64 = 100;
/// A write that takes longer than this waits for the device.
const QUICK_WRITE_MICROS: u64 = 100;
/// How often `flush.ms` is looked at, while a log waits for it.
const FLUSH_TICK: Duration = Duration::from_millis(500);

/// An append whose answer is due after the write.
struct Waiting {
    id: usize,
    result: Result<Appended, AppendError>,
    done: Answer<Appended, AppendError>,
}

/// The body of an append thread.
pub(super) struct Appender {
    context: Arc<Context>,
    flush_queues: HashMap<PathBuf, Sender<FlushJob>>,
    /// Boxed: a table of logs themselves would have a large part of its room empty.
    logs: HashMap<usize, Box<Log>>,
    hot: HotBudget,
    waiting: Vec<Waiting>,
    /// Logs that were staged to in this drain; some may be in it twice.
    touched: Vec<usize>,
    /// Logs that wait for `flush.ms`, with the time when it is over.
    timed: HashMap<usize, Millis>,
    /// When something was last written, in microseconds of the clock.
    finished: u64,
}

/// Whether a lone append is best synced right here: syncs are fast, and no other log's is under way
/// that this one could share a commit of the file system with.
fn syncs_inline(dir: &LogDir) -> bool {
    dir.fsync_micros() < INLINE_FSYNC_MICROS && !dir.is_busy()
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    Drain,
    Stop,
}

impl Appender {
    pub(super) fn new(
        context: Arc<Context>,
        flush_queues: HashMap<PathBuf, Sender<FlushJob>>,
        hot_bytes: usize,
    ) -> Self {
        Self {
            context,
            flush_queues,
            logs: HashMap::new(),
            hot: HotBudget::new(hot_bytes),
            waiting: Vec::new(),
            touched: Vec::new(),
            timed: HashMap::new(),
            finished: 0,
        }
    }

    /// An append that the calling thread makes, with nothing before it and nothing behind it.
    pub(super) fn append_alone(&mut self, id: usize, append: QueuedAppend, here: Here) {
        self.append(id, append);
        self.finish(here == Here::Syncs);
    }

    /// Whether a thread that others wait for may write to the log: the device keeps nobody waiting
    /// just now, and appends come so far apart that no two would share a write.
    pub(super) fn is_calm(&self, id: usize, bytes: usize) -> bool {
        let rest = self.context.clock.micros().saturating_sub(self.finished);
        rest >= CALM_MICROS
            && self.logs.get(&id).is_some_and(|log| {
                let dir = &log.shared().dir;
                log.is_under_way(bytes) && !dir.is_busy() && dir.write_micros() < QUICK_WRITE_MICROS
            })
    }

    /// Whether some log waits for `flush.ms`.
    pub(super) fn waits_for_time(&self) -> bool {
        !self.timed.is_empty()
    }

    fn drain(&mut self, commands: &Taker<Command>) -> Next {
        let mut command = commands.try_take();
        let (mut count, mut bytes) = (0, 0);
        while let Some(next) = command {
            match next {
                Command::Open { id, log } => {
                    self.logs.insert(id, log);
                }
                Command::Op {
                    id,
                    op: Op::Append(append),
                } => {
                    bytes += append.permit.bytes;
                    self.append(id, append);
                }
                Command::Op { id, op } => {
                    // Order: what was sent before is written and answered before.
                    self.finish(false);
                    self.operate(id, op);
                }
                Command::Look => {}
                Command::Stop => {
                    self.finish(false);
                    return Next::Stop;
                }
            }
            count += 1;
            let full = count >= DRAIN_COMMANDS || bytes >= DRAIN_BYTES;
            command = if full { None } else { commands.try_take() };
            if command.is_none() {
                // Others come while much is synced: a replica that is moved would have them wait.
                self.finish(!full && count == 1 && bytes <= HERE_BYTES);
            }
        }
        Next::Drain
    }

    fn append(&mut self, id: usize, append: QueuedAppend) {
        // A log that is gone: dropping the append answers it.
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let was_idle = !log.has_staged();
        let staged = append.prepared.and_then(|prepared| log.stage(&prepared));
        let metrics = &self.context.metrics;
        let mut written = None;
        let result = match staged {
            Ok((appended, committed)) => {
                written = committed;
                if appended.duplicate {
                    metrics.duplicates.fetch_add(1, Ordering::Relaxed);
                } else if was_idle {
                    self.touched.push(id);
                }
                Ok(appended)
            }
            Err(error) => {
                metrics.refused.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        };
        if let Some(committed) = written {
            self.written(id, committed);
        }
        let done = append.done;
        self.waiting.push(Waiting { id, result, done });
    }

    /// Writes all that is staged, answers, and sends what was written on its way to the disk.
    /// `alone`: one append is all there is, and nobody waits behind it.
    fn finish(&mut self, alone: bool) {
        if self.waiting.is_empty() {
            return;
        }
        self.finished = self.context.clock.micros();
        let touched = std::mem::take(&mut self.touched);
        let mut failed: Vec<(usize, LogError)> = Vec::new();
        for &id in &touched {
            let Some(log) = self.logs.get_mut(&id) else {
                continue;
            };
            // A write that failed while staging left nothing staged, but a failed directory.
            let committed = log.commit().and_then(|c| log.shared().usable().map(|()| c));
            match committed {
                Ok(Some(committed)) => self.written(id, committed),
                Ok(None) => {}
                Err(error) => failed.push((id, error)),
            }
        }
        for Waiting { id, result, done } in std::mem::take(&mut self.waiting) {
            let error = failed.iter().find(|(failed, _)| *failed == id);
            let result = match (result, error) {
                (Ok(_), Some((_, error))) => Err(error.clone().into()),
                (result, _) => result,
            };
            done.give(result);
        }
        for &id in &touched {
            if !failed.iter().any(|(failed, _)| *failed == id) {
                self.make_durable(id, alone);
            }
        }
    }

    /// A write is done: its bytes become visible.
    fn written(&mut self, id: usize, committed: Committed) {
        let Some(log) = self.logs.get(&id) else {
            return;
        };
        self.hot.keep(log.shared(), committed.runs);
        log.publish(committed.end);
    }

    /// Tells the log's host, and syncs or has it synced.
    fn make_durable(&mut self, id: usize, alone: bool) {
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let shared = Arc::clone(log.shared());
        let end = shared.log_end.load(Ordering::Acquire);
        shared.progress.appended(end);
        if shared.is_page_cache() {
            shared.publish_flushed(end);
            if log.take_flush_due() {
                self.queue_flush(&shared);
            } else if shared.config.load().flush_ms != u64::MAX {
                let due = self.context.clock.monotonic() + shared.config.load().flush_ms;
                self.timed.entry(id).or_insert(due);
            }
        } else if alone && syncs_inline(&shared.dir) {
            // A failure is told to everybody through `Progress::failed`.
            let _ = shared.flush();
        } else {
            self.queue_flush(&shared);
        }
        let job = self.logs.get_mut(&id).filter(|log| log.wants_checkpoint());
        if let Some(job) = job.map(|log| log.checkpoint()) {
            self.queue_job(&shared.dir, FlushJob::Checkpoint(job));
        }
    }

    fn queue_flush(&self, shared: &Arc<crate::view::Shared>) {
        if !shared.flush_queued.swap(true, Ordering::AcqRel) {
            self.queue_job(&shared.dir, FlushJob::Flush(Arc::clone(shared)));
        }
    }

    /// Waits for room in the flush queue: a disk that is slower than its writers slows them down.
    fn queue_job(&self, dir: &LogDir, job: FlushJob) {
        let queue = &self.flush_queues[dir.path()];
        if !queue.send(job) {
            // Only a panic ends it while we run, and without it nothing becomes durable.
            let error = io::Error::other("its flush thread has ended");
            dir.fail("syncing", dir.path(), &error);
        }
    }

    fn flush_timed(&mut self) {
        if self.timed.is_empty() {
            return;
        }
        let now = self.context.clock.monotonic();
        let due: Vec<usize> = self
            .timed
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.timed.remove(&id);
            if let Some(log) = self.logs.get(&id) {
                self.queue_flush(log.shared());
            }
        }
    }

    fn operate(&mut self, id: usize, op: Op) {
        // A log that is gone: dropping the command answers it.
        let Some(log) = self.logs.get_mut(&id) else {
            return;
        };
        let dir = Arc::clone(&log.shared().dir);
        match op {
            Op::Append(append) => self.append(id, append),
            Op::Trim { to, done } => match log.trim(to) {
                Ok((start, mut job)) => {
                    let answer = move |written: Result<(), _>| done.give(written.map(|()| start));
                    job.saved = Some(Saved::new(answer));
                    self.queue_job(&dir, FlushJob::Checkpoint(job));
                }
                Err(error) => done.give(Err(error)),
            },
            Op::Truncate { to, done } => done.give(log.truncate(to)),
            Op::RestartAt { beginning, done } => done.give(log.restart_at(beginning)),
            Op::StartEpoch { epoch, done } => done.give(log.start_epoch(epoch)),
            Op::Fence { epoch, done } => done.give(log.fence(epoch)),
            Op::Retain { now, limit, done } => match log.retain(now, limit) {
                Ok((retained, job)) => {
                    if let Some(job) = job {
                        self.queue_job(&dir, FlushJob::Checkpoint(job));
                    }
                    done.give(Ok(retained));
                }
                Err(error) => done.give(Err(error)),
            },
            Op::Roll { done } => {
                done.give(log.shared().usable().and_then(|()| log.roll()));
                if log.wants_checkpoint() {
                    let job = log.checkpoint();
                    self.queue_job(&dir, FlushJob::Checkpoint(job));
                }
            }
            Op::Flush { done } => {
                let shared = Arc::clone(log.shared());
                self.queue_job(&dir, FlushJob::FlushThen(shared, done));
            }
            Op::Close { done } => self.close(id, done),
            Op::Delete { done } => self.delete(id, done),
            Op::TakeOver {
                future,
                progress,
                done,
            } => self.take_over((id, future), progress, done),
        }
    }

    fn close(&mut self, id: usize, done: Answer<()>) {
        let Some(mut log) = self.logs.remove(&id) else {
            return;
        };
        let shared = Arc::clone(log.shared());
        if let Err(error) = log.trim_room() {
            return done.give(Err(error));
        }
        let mut job = log.checkpoint();
        shared.close();
        let closed = Arc::clone(&shared);
        job.saved = Some(Saved::new(move |written| {
            closed.dir.release(&closed.name);
            done.give(written);
        }));
        log.save_index_later();
        self.queue_job(&shared.dir, FlushJob::Checkpoint(job));
    }

    fn delete(&mut self, id: usize, done: Answer<()>) {
        let Some(log) = self.logs.remove(&id) else {
            return;
        };
        let shared = Arc::clone(log.shared());
        shared.close();
        for segment in shared.segments.read().iter() {
            segment.set_gone();
        }
        let dir = Arc::clone(&shared.dir);
        self.queue_job(&dir, FlushJob::Delete(shared, done));
    }

    /// Makes everything durable and describes it. Logs that cannot be are left out.
    fn stop(&mut self) -> Vec<(Arc<LogDir>, StopImage)> {
        let mut images: HashMap<PathBuf, (Arc<LogDir>, StopImage)> = HashMap::new();
        sync_together(self.logs.values().map(|log| log.shared()));
        for (_, mut log) in self.logs.drain() {
            let shared = Arc::clone(log.shared());
            let stopped = log.stop();
            shared.close();
            shared.dir.release(&shared.name);
            let Ok(row) = stopped else { continue };
            let dir = &shared.dir;
            let image = images
                .entry(dir.path().to_owned())
                .or_insert_with(|| (Arc::clone(dir), StopImage::default()));
            image.1.rows.insert(shared.name.clone(), row);
        }
        // Flush threads end when nobody can send to them any more.
        self.flush_queues.clear();
        images.into_values().collect()
    }

    /// Nobody knows what is staged and what is written: the logs' directories go offline, so that
    /// everybody is told. Waiting callers get `Closed`.
    fn give_up(&mut self) {
        for (_, log) in self.logs.drain() {
            let panicked = io::Error::other("a thread panicked while it appended");
            log.shared().fail("appending to", &panicked);
        }
        self.waiting.clear();
        self.flush_queues.clear();
    }
}

/// The body of an append thread: runs until it is stopped, or nobody can send any more.
pub(super) fn run_appender(
    appender: &Mutex<Appender>,
    commands: &Taker<Command>,
) -> Vec<(Arc<LogDir>, StopImage)> {
    loop {
        let patience = appender.lock().waits_for_time().then_some(FLUSH_TICK);
        if !commands.until_filled(patience) {
            return Vec::new();
        }
        let mut appender = AtWork(appender.lock());
        let next = appender.drain(commands);
        appender.flush_timed();
        if next == Next::Stop {
            return appender.stop();
        }
    }
}

/// An appender in the hands of a thread that works on its logs.
pub(super) struct AtWork<'a>(pub(super) MutexGuard<'a, Appender>);

impl Deref for AtWork<'_> {
    type Target = Appender;

    fn deref(&self) -> &Appender {
        &self.0
    }
}

impl DerefMut for AtWork<'_> {
    fn deref_mut(&mut self) -> &mut Appender {
        &mut self.0
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.give_up();
        }
    }
}
