//! Copies a log into another directory, and has the copy take its place.
//!
//! The copy is made as a follower makes it: whole batches, from the log start to the end, cut where
//! the log was cut meanwhile. Once it has everything but a little, the log's thread copies the rest
//! and swaps the two.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::Clock;
use freshet_log::{
    Append, AppendError, Busy, Done, Fetched, LogError, LogHandle, LogView, Origin, Progress, Read,
    ReadError, ReadSpec, Replaced,
};
use freshet_records::BatchHeader;
use freshet_types::{LeaderEpoch, Offset};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use crate::partition::Partition;
use crate::replication::Throttle;

/// Bytes copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Pause before what found no room, or could not be read, is tried again; twice as long each time.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Longest time until a move that is slowed down looks at its rate again.
const LONGEST_REST_MS: u64 = 1000;
/// No epoch is fenced for a copy: it takes what the log has.
const ANY_EPOCH: LeaderEpoch = LeaderEpoch::MAX;

/// How fast replicas may move, all together.
#[derive(Debug)]
pub(super) struct Pace {
    throttle: Mutex<Throttle>,
    clock: Arc<dyn Clock>,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            throttle: Mutex::new(Throttle::new(u64::MAX)),
            clock,
        }
    }

    /// Bytes a second from now on; `u64::MAX` sets no bound.
    pub(super) fn set(&self, rate: u64) {
        let now = self.clock.monotonic();
        self.throttle.lock().set_rate(rate, now);
    }

    /// Waits until more may be copied.
    async fn free(&self) {
        loop {
            let now = self.clock.monotonic();
            let rest = {
                let throttle = self.throttle.lock();
                if throttle.may_copy(now) {
                    return;
                }
                throttle.free_at() - now
            };
            tokio::time::sleep(Duration::from_millis(rest.clamp(1, LONGEST_REST_MS))).await;
        }
    }

    fn copied(&self, bytes: usize) {
        let now = self.clock.monotonic();
        self.throttle.lock().copied(bytes as u64, now);
    }
}

/// Nobody waits for a copy.
#[derive(Debug)]
pub(super) struct Unheard;

impl Progress for Unheard {
    fn appended(&self, _: Offset) {}
    fn flushed(&self, _: Offset) {}
    fn failed(&self, _: &LogError) {}
}

/// Why a move cannot be completed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarryError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the threads of the log have ended")]
    Ended,
}

/// Why one step did not get on.
#[derive(Debug)]
enum Stuck {
    /// It never will.
    Failed(CarryError),
    /// It may later.
    Pause(String),
    /// The log has records that cannot be copied; it may once they were repaired.
    Damaged(String),
    /// The copy is of no use.
    Anew,
}

impl From<Busy> for Stuck {
    fn from(busy: Busy) -> Self {
        Self::Pause(busy.to_string())
    }
}

impl From<LogError> for Stuck {
    fn from(error: LogError) -> Self {
        match error {
            LogError::OutOfRange { .. } => Self::Anew,
            error => Self::Failed(error.into()),
        }
    }
}

impl From<ReadError> for Stuck {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Log(error) => error.into(),
            // The log start has moved on.
            ReadError::OutOfRange { .. } => Self::Anew,
            error @ (ReadError::Corrupt { .. } | ReadError::Unreadable { .. }) => {
                Self::Damaged(error.to_string())
            }
            error => Self::Pause(error.to_string()),
        }
    }
}

impl From<AppendError> for Stuck {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Log(LogError::Fenced { .. }) | AppendError::NotNext { .. } => Self::Anew,
            AppendError::Log(error) => error.into(),
            error @ AppendError::Damaged { .. } => Self::Damaged(error.to_string()),
            error => Self::Pause(error.to_string()),
        }
    }
}

/// One move.
pub(super) struct Carrier {
    pub(super) partition: Arc<Partition>,
    /// The copy.
    pub(super) future: LogHandle,
    pub(super) pace: Arc<Pace>,
    /// As many move at a time.
    pub(super) places: Arc<Semaphore>,
}

impl Carrier {
    /// Ends when the copy has taken the log's place, or never will.
    pub(super) async fn run(&self) -> Result<(), CarryError> {
        let (mut place, mut anew) = (None, false);
        let mut pause = PAUSE;
        loop {
            if place.is_none() {
                // Closed only when the broker stops.
                let free = self.places.acquire().await.map_err(|_| CarryError::Ended)?;
                place = Some(free);
            }
            match self.step(anew).await {
                Ok(true) => return Ok(()),
                Ok(false) => (anew, pause) = (false, PAUSE),
                Err(Stuck::Anew) if anew => tokio::time::sleep(PAUSE).await,
                Err(Stuck::Anew) => anew = true,
                Err(Stuck::Failed(error)) => return Err(error),
                Err(stuck @ (Stuck::Pause(_) | Stuck::Damaged(_))) => {
                    self.tell_stuck(&stuck, pause);
                    // Others may go on meanwhile.
                    place = None;
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
    }

    /// Once, unless it got on meanwhile. Damage is told again each time, to those who make it good.
    fn tell_stuck(&self, stuck: &Stuck, pause: Duration) {
        let (Stuck::Pause(why) | Stuck::Damaged(why)) = stuck else {
            return;
        };
        if matches!(stuck, Stuck::Damaged(_)) {
            self.partition.tell_damage(why);
        }
        if pause == PAUSE {
            let log = self.partition.name();
            tracing::warn!(%log, why, "a move between directories waits");
        }
    }

    /// Copies some more, or has the copy take its place; whether that is done.
    async fn step(&self, anew: bool) -> Result<bool, Stuck> {
        let (log, copy) = (self.partition.view(), self.future.view());
        let from = match log.agrees_with(copy).filter(|_| !anew) {
            Some(common) if common < copy.log_end() => {
                ask(|done| self.future.truncate(common, done)).await?;
                return Ok(false);
            }
            Some(end) => end,
            None => return self.begin_anew(&log).await,
        };
        let fetched = read(&log, from).await?;
        if fetched.bytes == 0 {
            return self.finish().await;
        }
        self.pace.free().await;
        let near = fetched.bytes < CHUNK_BYTES / 2;
        self.append(fetched.into_one()).await?;
        if near { self.finish().await } else { Ok(false) }
    }

    /// Where the log begins: with the batch that holds its first record.
    async fn begin_anew(&self, log: &LogView) -> Result<bool, Stuck> {
        let start = log.log_start();
        let batches = read(log, start).await?.into_one();
        let first = BatchHeader::parse(&batches).map_or(start, |header| header.base_offset);
        ask(|done| self.future.restart_at(first, done)).await?;
        if !batches.is_empty() {
            self.append(batches).await?;
        }
        Ok(false)
    }

    /// Only where a producer could append as well: what is left beyond that is for records which
    /// cannot wait, and a move can.
    async fn append(&self, batches: Bytes) -> Result<(), Stuck> {
        self.future.room(Origin::Client)?;
        self.pace.copied(batches.len());
        let (tell, told) = oneshot::channel();
        let append = Append {
            frame_bytes: batches.len(),
            batches,
            leader_epoch: ANY_EPOCH,
            origin: Origin::Replica,
            done: Box::new(move |result| drop(tell.send(result))),
        };
        if let Err(refused) = self.future.append(append) {
            return Err(refused.busy.into());
        }
        told.await.map_err(|_| Stuck::Failed(CarryError::Ended))??;
        Ok(())
    }

    /// The copy has nearly everything. What is flushed now, the log's thread need not wait for.
    async fn finish(&self) -> Result<bool, Stuck> {
        ask(|done| self.future.flush(done)).await?;
        let partition = Arc::clone(&self.partition);
        let reporter = partition.another_reporter();
        let progress = Arc::clone(&reporter) as Arc<dyn Progress>;
        let log = self.partition.log();
        let replaced = ask(move |done: Done<bool>| {
            let taken = move |result: Result<Replaced, LogError>| {
                done(result.map(|replaced| match replaced {
                    Replaced::By(log) => {
                        partition.replace_log(log, reporter);
                        true
                    }
                    Replaced::Behind => false,
                }));
            };
            log.replace_by(&self.future, progress, Box::new(taken))
        });
        replaced.await
    }
}

async fn read(log: &LogView, from: Offset) -> Result<Fetched, Stuck> {
    let spec = ReadSpec {
        from,
        max_bytes: CHUNK_BYTES,
        upper_bound: Offset::MAX,
        at_least_one: true,
    };
    if let Read::Ready(fetched) = log.read(&spec)? {
        return Ok(fetched);
    }
    let (tell, told) = oneshot::channel();
    log.read_cold(spec, Box::new(move |result| drop(tell.send(result))))?;
    Ok(told.await.map_err(|_| Stuck::Failed(CarryError::Ended))??)
}

async fn ask<T: Send + 'static>(ask: impl FnOnce(Done<T>) -> Result<(), Busy>) -> Result<T, Stuck> {
    let (tell, told) = oneshot::channel();
    ask(Box::new(move |result| drop(tell.send(result))))?;
    Ok(told.await.map_err(|_| Stuck::Failed(CarryError::Ended))??)
}
