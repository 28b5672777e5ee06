//! One partition as its leader sees it: produce, read, look up offsets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use bytes::Bytes;
use freshet_log::{
    Append, AppendError, Appended, Busy, Done, EpochEnd, Fetched, LogConfig, LogError, LogHandle,
    LogName, LogView, Origin, Read, ReadError as LogReadError, ReadSpec, Retained, TimeQuery,
    TimedOffset,
};
use freshet_types::{ErrorKind, LeaderEpoch, Offset, Timestamp, TopicPartition};
use tokio::sync::oneshot;

use crate::replica::{ProduceDone, Replica};
use crate::waiters::{Watch, Watcher};

/// What must be true before a produce is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nothing: the client does not listen.
    None,
    /// The leader has written it.
    Leader,
    /// Every in-sync replica has flushed it.
    All,
}

/// One batch for one partition.
pub struct Produce {
    /// One whole record batch.
    pub batch: Bytes,
    /// Size of the request frame that `batch` is a slice of.
    pub frame_bytes: usize,
    /// Who made it.
    pub origin: Origin,
    /// When to call `done`.
    pub acks: Acks,
    /// Told the end.
    pub done: ProduceDone,
}

/// Why a produce was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// Fewer replicas are in sync than `min.insync.replicas` asks for; nothing was written.
    #[error("{in_sync} replicas are in sync, min.insync.replicas is {needed}")]
    NotEnoughReplicas {
        /// Replicas in sync.
        in_sync: usize,
        /// What the topic asks for.
        needed: usize,
    },
    /// The log refused it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl ProduceError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotEnoughReplicas { .. } => ErrorKind::Unavailable,
            Self::Append(error) => error.kind(),
        }
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The caller knows an older leader epoch than ours.
    #[error("leader epoch {given} is older than {current}")]
    FencedEpoch {
        /// What the caller gave.
        given: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// The caller knows a newer leader epoch than ours.
    #[error("leader epoch {given} is newer than {current}")]
    UnknownEpoch {
        /// What the caller gave.
        given: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// The read queue is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The log refused it.
    #[error(transparent)]
    Log(#[from] LogReadError),
}

impl ReadError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::FencedEpoch { .. } => ErrorKind::Fenced,
            Self::UnknownEpoch { .. } => ErrorKind::Unavailable,
            Self::Busy(error) => error.kind(),
            Self::Log(error) => error.kind(),
        }
    }
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// To the high watermark.
    ReadUncommitted,
    /// To the last stable offset.
    ReadCommitted,
}

/// A partition's ends, taken at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// First readable offset.
    pub log_start: Offset,
    /// Committed up to here.
    pub high_watermark: Offset,
    /// Committed, and no open transaction below.
    pub last_stable: Offset,
}

impl Ends {
    /// Where `isolation` ends.
    pub fn of(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable,
        }
    }
}

/// What a read found.
#[derive(Debug)]
pub struct Slice {
    /// Whole batches.
    pub fetched: Fetched,
    /// The ends the reader is told.
    pub ends: Ends,
}

/// A live partition.
#[derive(Debug)]
pub struct Partition {
    id: TopicPartition,
    log: LogHandle,
    replica: Arc<Replica>,
    leader_epoch: AtomicI32,
    in_sync: AtomicUsize,
    min_in_sync: AtomicUsize,
}

impl Partition {
    pub(crate) fn new(id: TopicPartition, log: LogHandle, replica: Arc<Replica>) -> Self {
        replica.start_at(log.view().log_end());
        Self {
            id,
            log,
            replica,
            leader_epoch: AtomicI32::new(0),
            in_sync: AtomicUsize::new(1),
            min_in_sync: AtomicUsize::new(1),
        }
    }

    /// Topic id and index.
    pub fn id(&self) -> TopicPartition {
        self.id
    }

    /// Topic name and index.
    pub fn name(&self) -> &LogName {
        self.log.view().name()
    }

    /// Readers' side of the log, for sizes and ends.
    pub fn view(&self) -> &LogView {
        self.log.view()
    }

    /// The log itself.
    pub(crate) fn log(&self) -> &LogHandle {
        &self.log
    }

    /// The leader epoch that appends are stored with.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.load(Ordering::Acquire)
    }

    pub(crate) fn lead(&self, epoch: LeaderEpoch, in_sync: usize) {
        self.in_sync.store(in_sync, Ordering::Release);
        if self.leader_epoch.swap(epoch, Ordering::AcqRel) != epoch {
            self.replica.waiters.wake();
        }
    }

    /// It is no longer served here; who watches looks for it once more and finds that out.
    pub(crate) fn close(&self) {
        self.replica.waiters.close();
    }

    pub(crate) fn configure(&self, config: Arc<LogConfig>, min_in_sync: usize) {
        self.min_in_sync.store(min_in_sync, Ordering::Release);
        self.log.configure(config);
    }

    /// Start, high watermark and last stable offset.
    pub fn ends(&self) -> Ends {
        let high_watermark = self.replica.high_watermark();
        let unstable = self.view().first_unstable().unwrap_or(Offset::MAX);
        Ends {
            log_start: self.view().log_start(),
            high_watermark,
            last_stable: high_watermark.min(unstable),
        }
    }

    /// Where `isolation` ends.
    pub fn end(&self, isolation: Isolation) -> Offset {
        self.ends().of(isolation)
    }

    /// Stores a batch. `done` is called exactly once, here or on a log thread.
    pub fn produce(&self, produce: Produce) {
        let Produce {
            batch,
            frame_bytes,
            origin,
            acks,
            done,
        } = produce;
        if acks == Acks::All {
            let in_sync = self.in_sync.load(Ordering::Acquire);
            let needed = self.min_in_sync.load(Ordering::Acquire);
            if in_sync < needed {
                return done(Err(ProduceError::NotEnoughReplicas { in_sync, needed }));
            }
        }
        let replica = Arc::clone(&self.replica);
        let stored = move |result: Result<Appended, AppendError>| match result {
            Ok(appended) if acks == Acks::All => replica.park(appended, done),
            other => done(other.map_err(ProduceError::Append)),
        };
        let append = Append {
            batches: batch,
            frame_bytes,
            leader_epoch: self.leader_epoch(),
            origin,
            done: Box::new(stored),
        };
        if let Err(refused) = self.log.append(append) {
            refused.tell();
        }
    }

    /// Compares the epoch a client knows with ours (KIP-320); -1 means that it knows none.
    pub fn check_epoch(&self, given: LeaderEpoch) -> Result<(), ReadError> {
        let current = self.leader_epoch();
        match given {
            -1 => Ok(()),
            _ if given < current => Err(ReadError::FencedEpoch { given, current }),
            _ if given > current => Err(ReadError::UnknownEpoch { given, current }),
            _ => Ok(()),
        }
    }

    /// Reads committed batches; waits for the device only when they are not in memory.
    pub async fn read(
        &self,
        from: Offset,
        max_bytes: usize,
        isolation: Isolation,
        at_least_one: bool,
    ) -> Result<Slice, ReadError> {
        let ends = self.ends();
        let spec = ReadSpec {
            from,
            max_bytes,
            upper_bound: ends.of(isolation),
            at_least_one,
        };
        let fetched = match self.view().read(&spec)? {
            Read::Ready(fetched) => fetched,
            Read::Cold => self.cold(|done| self.view().read_cold(spec, done)).await?,
        };
        Ok(Slice { fetched, ends })
    }

    /// Finds a record by time among those that `isolation` shows.
    pub async fn find_time(
        &self,
        query: TimeQuery,
        isolation: Isolation,
    ) -> Result<Option<TimedOffset>, ReadError> {
        let upper_bound = self.end(isolation);
        self.cold(|done| self.view().find_time(query, upper_bound, done))
            .await
    }

    /// Where an epoch ends, as far as it is committed here (KIP-101).
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> EpochEnd {
        self.view().end_offset_for_epoch(epoch)
    }

    /// Moves the log start up (DeleteRecords); answers the new log start once it is durable.
    pub async fn trim(&self, to: Offset) -> Result<Offset, TrimError> {
        let (tell, told) = oneshot::channel();
        self.begin_trim(to, Box::new(move |result| drop(tell.send(result))))?;
        match told.await {
            Ok(result) => Ok(result?),
            Err(_) => Err(LogError::Closed {
                log: self.name().clone(),
            }
            .into()),
        }
    }

    /// The same for one who does not wait.
    pub(crate) fn begin_trim(&self, to: Offset, done: Done<Offset>) -> Result<(), Busy> {
        let waiters = Arc::clone(&self.replica.waiters);
        let told = move |result| {
            waiters.wake();
            done(result);
        };
        self.log.trim(to, Box::new(told))
    }

    /// Applies retention below the high watermark.
    pub(crate) fn retain(&self, now: Timestamp, done: Done<Retained>) -> Result<(), Busy> {
        let limit = self.replica.high_watermark();
        let waiters = Arc::clone(&self.replica.waiters);
        let told = move |result: Result<Retained, LogError>| {
            if result.as_ref().is_ok_and(|retained| retained.segments > 0) {
                waiters.wake();
            }
            done(result);
        };
        self.log.retain(now, limit, Box::new(told))
    }

    /// How often something that readers see has moved: the high watermark, the log start, the
    /// leader epoch, the state of the log. Ask before a read, to [`watch`](Self::watch) from there.
    pub fn moves(&self) -> u64 {
        self.replica.waiters.moves()
    }

    /// Has `watcher` told `token` at the next move, once, unless the guard is dropped before.
    /// `None` if something has moved since `seen`: look again.
    pub fn watch(&self, seen: u64, watcher: &Arc<Watcher>, token: usize) -> Option<Watch> {
        self.replica.waiters.register(seen, watcher, token)
    }

    async fn cold<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Done<T, LogReadError>) -> Result<(), Busy>,
    ) -> Result<T, ReadError> {
        let (tell, told) = oneshot::channel();
        ask(Box::new(move |result| drop(tell.send(result))))?;
        match told.await {
            Ok(result) => Ok(result?),
            Err(_) => {
                let closed = LogError::Closed {
                    log: self.name().clone(),
                };
                Err(ReadError::Log(LogReadError::Log(closed)))
            }
        }
    }
}

/// Why records could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrimError {
    /// The append thread's queue is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The log refused it.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl TrimError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy(error) => error.kind(),
            Self::Log(error) => error.kind(),
        }
    }
}
