//! One partition as this broker has it: leads it or copies it, reads it, looks up offsets.

mod errors;
mod follow;
mod glance;
mod lead;
mod past;
mod standing;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use freshet_log::{
    Append, AppendError, Appended, Busy, Done, EpochEnd, Fetched, Here, LogConfig, LogDir,
    LogError, LogHandle, LogName, LogView, Origin, Read, ReadError as LogReadError, ReadSpec,
    Retained, TimeQuery, TimedOffset,
};
use freshet_types::{LeaderEpoch, NodeId, Offset, Timestamp, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::oneshot;

pub use self::errors::{ProduceError, ReadError, TrimError};
pub use self::follow::{FetchPoint, Follow};
pub use self::lead::{Copies, ReplicaFetch, ReplicaFetchError};
use self::past::PastSlot;
pub use self::past::{ColdRead, KnownPast, Past, PastTrouble};
pub use self::standing::{RemoteStanding, TierStanding};
use crate::replica::{ProduceDone, Replica, Reporter, Stand};
use crate::replication::{Guard, Leader, holds};
use crate::traffic::Traffic;
use crate::waiters::{Waiters, Watch, Watcher};

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
    /// Only while this broker leads in this epoch; `None` for any.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Told the end.
    pub done: ProduceDone,
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// To the high watermark.
    ReadUncommitted,
    /// To the last stable offset.
    ReadCommitted,
    /// To the log's end: replicas copy what is not committed yet.
    LogEnd,
}

/// A moment in the life of a partition, as some readers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    isolation: Isolation,
    moves: u64,
}

/// A partition's ends, taken at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// First readable offset, of both tiers where the topic tiers and its past is known.
    pub log_start: Offset,
    /// First offset on this disk.
    pub local_start: Offset,
    /// Committed up to here.
    pub high_watermark: Offset,
    /// Committed, and no open transaction below.
    pub last_stable: Offset,
    /// Written up to here.
    pub log_end: Offset,
}

impl Ends {
    /// Where `isolation` ends.
    pub fn of(&self, isolation: Isolation) -> Offset {
        match isolation {
            _ if !holds(Guard::ReadCommitted) => self.log_end,
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable,
            Isolation::LogEnd => self.log_end,
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
    name: LogName,
    /// Another one after a move to another directory.
    log: ArcSwap<LogHandle>,
    /// Directories that it has moved out of.
    left: Mutex<Vec<Arc<LogDir>>>,
    /// What the present log tells.
    reporter: Mutex<Arc<Reporter>>,
    replica: Arc<Replica>,
    past: PastSlot,
}

impl Partition {
    /// `reporter` is the log's.
    pub(crate) fn new(id: TopicPartition, log: LogHandle, reporter: Arc<Reporter>) -> Self {
        Self {
            id,
            name: log.view().name().clone(),
            replica: Arc::clone(reporter.replica()),
            log: ArcSwap::from_pointee(log),
            left: Mutex::default(),
            reporter: Mutex::new(reporter),
            past: PastSlot::default(),
        }
    }

    /// Ears for a log that shall take the present one's place.
    pub(crate) fn another_reporter(&self) -> Arc<Reporter> {
        Reporter::new(Arc::clone(&self.replica))
    }

    /// A copy has taken the place of the log. Called by the thread that owns both, before anything is
    /// written to the copy. All of it is flushed.
    pub(crate) fn replace_log(&self, log: LogHandle, reporter: Arc<Reporter>) {
        let flushed = log.view().flushed();
        // Before: who finds it in its new directory shall know where it comes from.
        self.remember(self.view().dir());
        self.log.store(Arc::new(log));
        std::mem::replace(&mut *self.reporter.lock(), reporter).retire();
        self.replica.recovered(flushed);
    }

    fn remember(&self, dir: &Arc<LogDir>) {
        let mut left = self.left.lock();
        if !left.iter().any(|known| Arc::ptr_eq(known, dir)) {
            left.push(Arc::clone(dir));
        }
    }

    /// Whether it has moved out of this directory since it was opened, with all that it had there.
    pub fn has_moved_from(&self, dir: &Arc<LogDir>) -> bool {
        self.left.lock().iter().any(|left| Arc::ptr_eq(left, dir))
    }

    /// Topic id and index.
    pub fn id(&self) -> TopicPartition {
        self.id
    }

    /// Topic name and index.
    pub fn name(&self) -> &LogName {
        &self.name
    }

    /// Readers' side of the log as it is now, for sizes and ends. A move to another directory leaves
    /// it behind.
    pub fn view(&self) -> LogView {
        self.log.load().view().clone()
    }

    /// The log itself, as it is now.
    pub(crate) fn log(&self) -> Arc<LogHandle> {
        self.log.load_full()
    }

    /// What goes through all partitions of its topic here.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.replica.traffic
    }

    /// What this broker is to the partition.
    pub fn stand(&self) -> Stand {
        self.replica.stand()
    }

    /// Whether this broker leads it.
    pub fn leads(&self) -> bool {
        self.stand() == Stand::Leads
    }

    /// The epoch of the leader that is known here; -1 before any is.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.replica.leader_epoch()
    }

    /// Whether other brokers keep it as well, as far as is known here.
    pub(crate) fn is_replicated(&self) -> bool {
        match self.stand() {
            Stand::Leads => {
                let replicas = |leader: &Leader| leader.term().replicas.len();
                self.replica.ask_leader(replicas).is_some_and(|n| n > 1)
            }
            Stand::Follows(_) | Stand::Waits => true,
        }
    }

    /// Whether all that was there when this broker began to lead is committed. Until then the high
    /// watermark may be behind what an earlier leader showed (KIP-207).
    pub fn is_settled(&self) -> bool {
        self.replica.is_settled()
    }

    /// It is no longer served here; who watches looks for it once more and finds that out.
    pub(crate) fn close(&self) {
        self.replica.step_down(self.leader_epoch());
        self.past.stir();
        self.replica.readers.close();
        self.replica.copiers.close();
    }

    pub(crate) fn configure(&self, config: Arc<LogConfig>) {
        let tiers = config.tiered.is_some() || self.view().tiered().is_some();
        self.log().configure(config);
        if tiers {
            self.past.stir();
            self.past.turn();
        }
    }

    /// Start, high watermark and last stable offset.
    pub fn ends(&self) -> Ends {
        let view = self.view();
        let high_watermark = self.replica.high_watermark();
        let unstable = view.first_unstable().unwrap_or(Offset::MAX);
        let local_start = view.log_start();
        let log_start = match view.tiered() {
            Some(_) => self.past().start_of_all(local_start),
            None => local_start,
        };
        Ends {
            log_start,
            local_start,
            high_watermark,
            last_stable: high_watermark.min(unstable),
            log_end: view.log_end(),
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
            leader_epoch,
            done,
        } = produce;
        // The epoch of the moment in which it may: read later, it could be another leader's.
        let leader_epoch = match self.may_produce(acks, leader_epoch) {
            Ok(epoch) => epoch,
            Err(refusal) => return done(Err(refusal)),
        };
        let replica = Arc::clone(&self.replica);
        let bytes = batch.len() as u64;
        let waits = acks == Acks::All && holds(Guard::AcksWait);
        let stored = move |result: Result<Appended, AppendError>| {
            if let Ok(appended) = &result {
                count(&replica.traffic, appended, bytes);
            }
            match result {
                Ok(appended) if waits => replica.park(appended, done),
                other => done(other.map_err(ProduceError::from)),
            }
        };
        let append = Append {
            batches: batch,
            frame_bytes,
            leader_epoch,
            origin,
            done: Box::new(stored),
        };
        if let Err(refused) = self.log().append_here(append, Here::Writes) {
            refused.tell();
        }
    }

    /// Whether a produce would be taken now, by a leader of `epoch` if one is named; gives the epoch.
    pub(crate) fn may_produce(
        &self,
        acks: Acks,
        epoch: Option<LeaderEpoch>,
    ) -> Result<LeaderEpoch, ProduceError> {
        if self.past.is_held() {
            return Err(ProduceError::NotLeader);
        }
        let asked = self.replica.ask_leader(|leader| {
            let (in_sync, needed) = leader.in_sync();
            let present = leader.term().leader_epoch;
            let is_other = epoch.is_some_and(|epoch| epoch != present);
            let too_few = acks == Acks::All && in_sync < needed;
            if is_other && holds(Guard::ProduceEpochs) {
                Err(ProduceError::NotLeader)
            } else if too_few && holds(Guard::EnoughToProduce) {
                Err(ProduceError::NotEnoughReplicas { in_sync, needed })
            } else {
                Ok(present)
            }
        });
        asked.unwrap_or_else(|| match holds(Guard::LeadersWrite) {
            true => Err(ProduceError::NotLeader),
            false => Ok(self.leader_epoch()),
        })
    }

    /// Compares the epoch a client knows with ours (KIP-320); -1 means that it knows none.
    pub fn check_epoch(&self, given: LeaderEpoch) -> Result<(), ReadError> {
        let current = self.leader_epoch();
        match given {
            -1 => Ok(()),
            _ if !holds(Guard::FetchEpochs) => Ok(()),
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
        loop {
            let ends = self.ends();
            let spec = ReadSpec {
                from,
                max_bytes,
                upper_bound: ends.of(isolation),
                at_least_one,
            };
            let log = self.log();
            match self.read_in(log.view(), spec).await {
                Ok(fetched) => return Ok(Slice { fetched, ends }),
                // Its files went while it was read: they are elsewhere now.
                Err(_) if !Arc::ptr_eq(&log, &self.log()) => {}
                Err(error) => return Err(self.report_damage(error)),
            }
        }
    }

    async fn read_in(&self, view: &LogView, spec: ReadSpec) -> Result<Fetched, ReadError> {
        match view.read(&spec)? {
            Read::Ready(fetched) => Ok(fetched),
            Read::Cold => self.cold(|done| view.read_cold(spec, done)).await,
        }
    }

    /// Finds a record by time among those that `isolation` shows, for a client with a number of its own: what is
    /// in object storage is looked up in its turn.
    pub async fn find_time(
        &self,
        query: TimeQuery,
        isolation: Isolation,
        client: u64,
    ) -> Result<Option<TimedOffset>, ReadError> {
        loop {
            let local_start = self.view().log_start();
            let before = self.find_time_before(local_start, query, isolation, client);
            let before = before.await?;
            if before.is_some() && matches!(query, TimeQuery::AtOrAfter(_)) {
                return Ok(before);
            }
            let upper_bound = self.end(isolation);
            let log = self.log();
            let ask = |done| log.view().find_time(query, upper_bound, done);
            match self.cold(ask).await {
                Err(_) if !Arc::ptr_eq(&log, &self.log()) => {}
                // What left the disk in between was looked for nowhere.
                Ok(_) if self.view().log_start() > local_start => {}
                Ok(found) => return Ok(latest(before, found)),
                Err(error) => return Err(self.report_damage(error)),
            }
        }
    }

    /// Where other brokers have copies, damage is theirs to make good: the reader shall come again,
    /// and may find another leader.
    fn report_damage(&self, error: ReadError) -> ReadError {
        match error {
            ReadError::Log(
                error @ (LogReadError::Corrupt { .. } | LogReadError::Unreadable { .. }),
            ) if self.tell_damage(&error) => ReadError::Damaged(error),
            error => error,
        }
    }

    /// Records were found damaged; whether others have copies, so that somebody hears of it.
    pub(crate) fn tell_damage(&self, what: &impl ToString) -> bool {
        let replicated = self.is_replicated();
        if replicated {
            self.replica.report_damage(what);
        }
        replicated
    }

    /// Where an epoch ends, as far as it is committed here (KIP-101).
    ///
    /// # Errors
    /// `PastUnknown`: not yet. It ended before what is on this disk; to say that it ended there would have
    /// a replica keep records that nobody else has.
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> Result<EpochEnd, ReadError> {
        let view = self.view();
        let here = view.end_offset_for_epoch(epoch);
        // The latest ends at the log's end, also where nothing is left of it.
        let is_past = view
            .latest_epoch()
            .is_some_and(|(latest, _)| epoch < latest);
        let is_older = is_past && here.epoch >= 0 && here.end_offset <= view.log_start();
        match is_older {
            true => Ok(self.end_of_past_epoch(epoch)?.unwrap_or(here)),
            false => Ok(here),
        }
    }

    /// The same for a replica that copies from here. All that has left this disk was committed, so one that is
    /// in sync has it as it was, and need not wait until it is known where that is.
    ///
    /// # Errors
    /// `PastUnknown`: not yet.
    pub fn end_of_epoch_for(
        &self,
        node: NodeId,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, ReadError> {
        let in_sync = || {
            let isr = |leader: &Leader| leader.term().isr.contains(&node);
            self.replica.ask_leader(isr) == Some(true)
        };
        match self.end_of_epoch(epoch) {
            Err(ReadError::PastUnknown) if in_sync() => Ok(self.view().end_offset_for_epoch(epoch)),
            told => told,
        }
    }

    /// Where the history of who reads from `from` on leaves this one (KIP-595); `last_epoch` is that of the
    /// record before. `replica`: who copies from here. Who does not say what it read last, -1, is not
    /// checked.
    ///
    /// # Errors
    /// `PastUnknown`: not yet.
    pub fn departs(
        &self,
        replica: Option<NodeId>,
        last_epoch: LeaderEpoch,
        from: Offset,
    ) -> Result<Option<EpochEnd>, ReadError> {
        if last_epoch < 0 || !holds(Guard::Divergence) {
            return Ok(None);
        }
        let end = match replica {
            Some(node) => self.end_of_epoch_for(node, last_epoch)?,
            None => self.end_of_epoch(last_epoch)?,
        };
        let agrees = end.epoch == last_epoch && end.end_offset >= from;
        Ok((!agrees).then_some(end))
    }

    /// The leader epoch of the record at an offset.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let here = self.view().epoch_at(offset);
        here.or_else(|| self.past_epoch_at(offset))
    }

    /// What is below may be deleted: it is committed, so that nobody who leads next lacks what is behind it.
    pub(crate) fn deletable_end(&self) -> Offset {
        match holds(Guard::DeleteCommitted) {
            true => self.replica.high_watermark(),
            false => self.view().log_end(),
        }
    }

    /// Where the log may start if somebody wants it to start at `to`, or behind all that is committed;
    /// none if not there.
    pub fn trimmed_start(&self, to: Option<Offset>) -> Option<Offset> {
        let end = self.deletable_end();
        let to = to.unwrap_or(end);
        (0..=end).contains(&to).then_some(to)
    }

    /// Moves the log start up (DeleteRecords); answers the new log start once it is durable.
    pub async fn trim(&self, to: Offset) -> Result<Offset, TrimError> {
        if self.view().tiered().is_some() {
            // First there: what is deleted must not be back with the next leader.
            self.cut_past(to).await?;
        }
        self.trim_here(to).await
    }

    /// The same for this disk alone.
    pub(crate) async fn trim_here(&self, to: Offset) -> Result<Offset, TrimError> {
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
        let replica = Arc::clone(&self.replica);
        let told = move |result| {
            replica.log_start_moved();
            done(result);
        };
        self.log().trim(to, Box::new(told))
    }

    /// Applies retention below the high watermark; where the topic tiers, to what is in the bucket too.
    pub(crate) fn retain(&self, now: Timestamp, done: Done<Retained>) -> Result<(), Busy> {
        let limit = self.disposable_end();
        let replica = Arc::clone(&self.replica);
        let told = move |result: Result<Retained, LogError>| {
            if result.as_ref().is_ok_and(|retained| retained.segments > 0) {
                replica.log_start_moved();
            }
            done(result);
        };
        self.log().retain(now, limit, Box::new(told))
    }

    /// The state of what those see who read up to `isolation`: their end, the log start, the
    /// leader, the state of the log. Ask before a read, to [`watch`](Self::watch) from there.
    pub fn seen(&self, isolation: Isolation) -> Seen {
        let moves = self.waiters(isolation).moves();
        Seen { isolation, moves }
    }

    /// Has `watcher` told `token` at the next move, once, unless the guard is dropped before.
    /// `None` if something has moved since `seen`: look again.
    pub fn watch(&self, seen: Seen, watcher: &Arc<Watcher>, token: usize) -> Option<Watch> {
        self.waiters(seen.isolation)
            .register(seen.moves, watcher, token)
    }

    fn waiters(&self, isolation: Isolation) -> &Arc<Waiters> {
        match isolation {
            Isolation::LogEnd => &self.replica.copiers,
            Isolation::ReadUncommitted | Isolation::ReadCommitted => &self.replica.readers,
        }
    }

    /// What a reader's thread answers, once it has time.
    pub(crate) async fn cold<T: Send + 'static>(
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

/// Of two records the one with the larger timestamp, the first if they have the same.
fn latest(before: Option<TimedOffset>, found: Option<TimedOffset>) -> Option<TimedOffset> {
    match (before, found) {
        (Some(before), Some(found)) if found.timestamp <= before.timestamp => Some(before),
        (before, found) => found.or(before),
    }
}

/// What a producer had stored; a retry that was answered from memory is not stored again.
fn count(traffic: &Traffic, appended: &Appended, bytes: u64) {
    if !appended.duplicate {
        let records = appended.last_offset - appended.base_offset + 1;
        traffic.produced(bytes, u64::try_from(records).unwrap_or(0));
    }
}
