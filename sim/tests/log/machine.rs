//! One boot of a broker's log directory on a fake disk, with a driver that waits for answers.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use freshet_log::{
    Append, AppendError, Appended, Busy, Done, LogConfig, LogDir, LogError, LogHandle, LogName,
    LogView, OpenError, OpenLog, Origin, Progress, Writers, WritersOptions,
};
use freshet_sim::{FakeClock, FakeDisk};
use freshet_types::{LeaderEpoch, Offset, Timestamp, TopicId, TopicName};
use parking_lot::{Condvar, Mutex};

pub(crate) const ROOT: &str = "/data";
/// The wall clock at the first boot.
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000);
/// Far longer than any answer takes: an answer that is later is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a log told about its progress.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    now: Mutex<Told>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) appended: Offset,
    pub(crate) flushed: Offset,
    pub(crate) failed: Option<LogError>,
}

impl Seen {
    pub(crate) fn told(&self) -> Told {
        self.now.lock().clone()
    }

    /// Waits until `end` is flushed, or the log fails.
    pub(crate) fn wait_flushed(&self, end: Offset) -> Result<(), LogError> {
        let mut told = self.now.lock();
        while told.flushed < end {
            if let Some(error) = &told.failed {
                return Err(error.clone());
            }
            let late = self.changed.wait_for(&mut told, PATIENCE).timed_out();
            assert!(!late, "flushed {} stays below {end}", told.flushed);
        }
        Ok(())
    }

    /// Waits until the log fails.
    pub(crate) fn wait_failed(&self) -> LogError {
        let mut told = self.now.lock();
        loop {
            if let Some(error) = &told.failed {
                return error.clone();
            }
            let late = self.changed.wait_for(&mut told, PATIENCE).timed_out();
            assert!(!late, "the log does not fail");
        }
    }

    /// The log was cut: what was told above `to` does not hold any more.
    pub(crate) fn cut(&self, to: Offset) {
        self.tell(|told| {
            told.appended = told.appended.min(to);
            told.flushed = told.flushed.min(to);
        });
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.now.lock());
        self.changed.notify_all();
    }
}

impl Progress for Seen {
    fn appended(&self, end: Offset) {
        self.tell(|told| told.appended = end);
    }

    fn flushed(&self, end: Offset) {
        self.tell(|told| told.flushed = end);
    }

    fn failed(&self, error: &LogError) {
        self.tell(|told| {
            told.failed.get_or_insert(error.clone());
        });
    }
}

/// What stays the same over all boots.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) config: LogConfig,
    pub(crate) options: WritersOptions,
    pub(crate) clock: Arc<FakeClock>,
}

impl Setup {
    /// Small segments and frequent checkpoints, so that a short history meets them all.
    pub(crate) fn small() -> Self {
        Self {
            config: LogConfig {
                segment_bytes: 6000,
                index_interval_bytes: 600,
                ..LogConfig::default()
            },
            options: WritersOptions {
                append_threads: 1,
                read_threads: 1,
                checkpoint_bytes: 4000,
                reserve_bytes: 0,
                open_segments: 2,
                hot_bytes: 2000,
                ..WritersOptions::default()
            },
            clock: Arc::new(FakeClock::new(START)),
        }
    }
}

pub(crate) fn name(topic: &str) -> LogName {
    LogName::new(TopicName::new(topic).unwrap(), 0)
}

fn topic_id() -> TopicId {
    TopicId([7; 16])
}

/// A running broker's worth of log.
pub(crate) struct Machine {
    pub(crate) disk: FakeDisk,
    pub(crate) dir: Arc<LogDir>,
    pub(crate) writers: Arc<Writers>,
    pub(crate) log: LogHandle,
    pub(crate) seen: Arc<Seen>,
    setup: Setup,
}

impl Machine {
    /// Opens the directory and the log `t-0`, making both when absent.
    pub(crate) fn boot(disk: &FakeDisk, setup: &Setup) -> Result<Self, OpenError> {
        let dir = LogDir::open(Arc::new(disk.clone()), Path::new(ROOT))?;
        let clock = Arc::clone(&setup.clock);
        let dirs = vec![Arc::clone(&dir)];
        let writers = Writers::start(dirs, clock, setup.options.clone())?;
        match open(&writers, &dir, setup, "t") {
            Ok((log, seen)) => Ok(Self {
                disk: disk.clone(),
                dir,
                writers,
                log,
                seen,
                setup: setup.clone(),
            }),
            Err(error) => {
                let _ = writers.stop();
                Err(error)
            }
        }
    }

    /// Opens another log in the same directory.
    pub(crate) fn open(&self, topic: &str) -> (LogHandle, Arc<Seen>) {
        self.open_with(topic, self.setup.config.clone())
    }

    /// The same, with a configuration of its own.
    pub(crate) fn open_with(&self, topic: &str, config: LogConfig) -> (LogHandle, Arc<Seen>) {
        let setup = Setup {
            config,
            ..self.setup.clone()
        };
        open(&self.writers, &self.dir, &setup, topic).unwrap()
    }

    pub(crate) fn view(&self) -> &LogView {
        self.log.view()
    }

    /// Sends one append; the answer comes through the receiver.
    pub(crate) fn send(&self, batches: Bytes, epoch: LeaderEpoch) -> Answer {
        send(&self.log, batches, epoch)
    }

    /// Ends the process's threads. On a dead disk nothing of it arrives.
    pub(crate) fn leave(self) {
        let _ = self.writers.stop();
    }
}

fn open(
    writers: &Writers,
    dir: &Arc<LogDir>,
    setup: &Setup,
    topic: &str,
) -> Result<(LogHandle, Arc<Seen>), OpenError> {
    let seen = Arc::<Seen>::default();
    let log = writers.open(OpenLog {
        dir: Arc::clone(dir),
        name: name(topic),
        topic_id: topic_id(),
        config: Arc::new(setup.config.clone()),
        progress: Arc::<Seen>::clone(&seen),
    })?;
    seen.tell(|told| {
        told.appended = told.appended.max(log.view().log_end());
        told.flushed = told.flushed.max(log.view().flushed());
    });
    Ok((log, seen))
}

/// An answer under way.
pub(crate) struct Answer(Receiver<Result<Appended, AppendError>>);

impl Answer {
    pub(crate) fn wait(self) -> Result<Appended, AppendError> {
        self.0
            .recv_timeout(PATIENCE)
            .expect("every append is answered")
    }
}

pub(crate) fn send(log: &LogHandle, batches: Bytes, leader_epoch: LeaderEpoch) -> Answer {
    let (tell, told) = channel();
    let append = Append {
        frame_bytes: batches.len(),
        batches,
        leader_epoch,
        origin: Origin::Client,
        done: Box::new(move |answer| {
            let _ = tell.send(answer);
        }),
    };
    log.append(append).unwrap();
    Answer(told)
}

/// Sends a command and waits for its answer.
pub(crate) fn ask<T: Send + 'static>(
    command: impl FnOnce(Done<T>) -> Result<(), Busy>,
) -> Result<T, LogError> {
    let (tell, told) = channel();
    let done: Done<T> = Box::new(move |answer| {
        let _ = tell.send(answer);
    });
    command(done).unwrap();
    told.recv_timeout(PATIENCE)
        .expect("every command is answered")
}
