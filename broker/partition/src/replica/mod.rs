//! What this broker's replica of a partition is at the moment, how far its records are committed,
//! and who waits for that.
//!
//! The brain of a leader ([`Leader`]) decides; this is the body around it: it is told by log threads
//! what was written and flushed, by fetches what followers have, and tells producers, readers and
//! the controller what follows from that.

pub(crate) mod damage;
mod reporter;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};

use freshet_env::Clock;
use freshet_log::{AppendError, Appended, LogError, Progress};
use freshet_types::{LeaderEpoch, Millis, NodeId, Offset, TopicPartition};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use self::damage::Damage;
pub(crate) use self::reporter::Reporter;
use crate::partition::ProduceError;
use crate::replication::{Guard, IsrChange, Leader, Moved, Term, holds};
use crate::tiering::PastReaders;
use crate::traffic::{Traffic, TrafficByTopic};
use crate::waiters::Waiters;

/// Told once how a produce ended; runs on a log thread, or on the producing one, and must not block.
pub type ProduceDone = Box<dyn FnOnce(Result<Appended, ProduceError>) + Send>;

/// Where wishes to the controller go.
pub trait Proposals: Send + Sync {
    /// A leader would have the set in sync changed. Called on log threads and by fetches: it must
    /// not block. An answer that makes the image newer needs no word here; a refusal is told by
    /// [`crate::Partition::isr_refused`].
    fn propose(&self, at: TopicPartition, change: IsrChange);
}

/// For a broker that is a cluster by itself: it has nobody to take in or to leave out.
#[derive(Debug, Clone, Copy)]
pub struct NoProposals;

impl Proposals for NoProposals {
    fn propose(&self, _: TopicPartition, _: IsrChange) {}
}

/// What a replica is to its partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// It takes records from producers.
    Leads,
    /// It copies from this leader.
    Follows(NodeId),
    /// No leader is known, or a change is under way.
    Waits,
}

impl Stand {
    const LEADS: i32 = -1;
    const WAITS: i32 = -2;

    fn to_number(self) -> i32 {
        match self {
            Self::Leads => Self::LEADS,
            Self::Waits => Self::WAITS,
            Self::Follows(node) => node.0,
        }
    }

    fn of_number(number: i32) -> Self {
        match number {
            Self::LEADS => Self::Leads,
            Self::WAITS => Self::Waits,
            node => Self::Follows(NodeId(node)),
        }
    }
}

/// What all replicas of a broker have around them.
pub(crate) struct Surroundings {
    pub(crate) me: NodeId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) proposals: Arc<dyn Proposals>,
    /// `replica.lag.time.max.ms`
    pub(crate) lag_max: Millis,
    /// Consumers read from followers, so those hear at once what is committed.
    pub(crate) by_rack: bool,
    pub(crate) counts: Arc<IsrCounts>,
    pub(crate) traffic: Arc<TrafficByTopic>,
    pub(crate) damage: Arc<Damage>,
    /// Who reads from object storage, where there is any.
    pub(crate) past_readers: Option<Arc<PastReaders>>,
}

/// How often sets in sync have changed of partitions that this broker led, since it started.
#[derive(Debug, Default)]
pub struct IsrCounts {
    /// Somebody has left.
    pub shrinks: AtomicU64,
    /// Somebody has joined.
    pub expands: AtomicU64,
}

impl IsrCounts {
    /// A leader hears that its set is another one now.
    pub(crate) fn changed(&self, before: &[NodeId], after: &[NodeId]) {
        let lacks = |set: &[NodeId], of: &[NodeId]| of.iter().any(|node| !set.contains(node));
        if lacks(after, before) {
            self.shrinks.fetch_add(1, Ordering::Relaxed);
        }
        if lacks(before, after) {
            self.expands.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Tells a follower that what it copied is stored and flushed, or why it is not stored.
pub(crate) type Flushed = oneshot::Sender<Result<(), AppendError>>;

/// A stored batch whose acknowledgement waits for the high watermark.
struct Parked {
    appended: Appended,
    done: ProduceDone,
}

/// All that changes together.
#[derive(Default)]
struct State {
    /// Only while it leads.
    leader: Option<Box<Leader>>,
    /// Sorted by what they wait for.
    parked: VecDeque<Parked>,
    /// Why nothing will be flushed any more.
    failure: Option<LogError>,
    /// A follower that waits for this to be flushed.
    copied: Option<(Offset, Flushed)>,
    /// Counts the places that were given up.
    turn: u64,
}

/// See the module.
pub(crate) struct Replica {
    at: TopicPartition,
    around: Arc<Surroundings>,
    /// What goes through the topic here.
    pub(crate) traffic: Arc<Traffic>,
    stand: AtomicI32,
    /// The last place is given up, and none is taken yet.
    is_between: AtomicBool,
    leader_epoch: AtomicI32,
    /// The log's end when this broker began to lead.
    epoch_start: AtomicI64,
    high_watermark: AtomicI64,
    state: Mutex<State>,
    /// Those who read what is committed.
    pub(crate) readers: Arc<Waiters>,
    /// Those who copy all that is written.
    pub(crate) copiers: Arc<Waiters>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("stand", &self.stand())
            .field("high_watermark", &self.high_watermark())
            .finish_non_exhaustive()
    }
}

impl Replica {
    pub(crate) fn new(at: TopicPartition, around: &Arc<Surroundings>) -> Self {
        Self {
            at,
            around: Arc::clone(around),
            traffic: around.traffic.of(at.topic),
            stand: AtomicI32::new(Stand::WAITS),
            is_between: AtomicBool::new(false),
            leader_epoch: AtomicI32::new(-1),
            epoch_start: AtomicI64::new(0),
            high_watermark: AtomicI64::new(0),
            state: Mutex::default(),
            readers: Arc::default(),
            copiers: Arc::default(),
        }
    }

    pub(crate) fn around(&self) -> &Surroundings {
        &self.around
    }

    /// Records below are committed and may be read.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// What is known to be committed: from before a restart, by a leader's word, or less after
    /// records that were committed had to be cut.
    pub(crate) fn know_committed(&self, end: Offset) {
        if self.high_watermark.swap(end, Ordering::AcqRel) != end {
            self.readers.wake();
        }
    }

    pub(crate) fn stand(&self) -> Stand {
        Stand::of_number(self.stand.load(Ordering::Acquire))
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch.load(Ordering::Acquire)
    }

    /// Whether all that was there when this broker began to lead is committed.
    pub(crate) fn is_settled(&self) -> bool {
        self.high_watermark() >= self.epoch_start.load(Ordering::Acquire)
            || !holds(Guard::SettledEnds)
    }

    /// Leads no more and follows nobody: a newer epoch begins. Who waits for an acknowledgement is
    /// sent to whoever will lead. Gives the number of the turn that has begun.
    pub(crate) fn step_down(&self, epoch: LeaderEpoch) -> u64 {
        let (turn, parked) = {
            let mut state = self.state.lock();
            self.stand.store(Stand::WAITS, Ordering::Release);
            self.is_between.store(true, Ordering::Release);
            self.leader_epoch.store(epoch, Ordering::Release);
            state.leader = None;
            state.copied = None;
            state.turn += 1;
            let parked = match holds(Guard::WaitersSentAway) {
                true => std::mem::take(&mut state.parked),
                false => VecDeque::new(),
            };
            (state.turn, parked)
        };
        for Parked { done, .. } in parked {
            done(Err(ProduceError::NotLeader));
        }
        self.readers.wake();
        self.copiers.wake();
        turn
    }

    /// Leads no more for a moment: `act` changes its log while nobody writes to it. Nothing happens
    /// unless it leads in `epoch`. Gives the term to [`lead`](Self::lead) in afterwards, unless another
    /// turn has begun by then.
    pub(crate) fn give_way<T>(
        &self,
        epoch: LeaderEpoch,
        act: impl FnOnce() -> T,
    ) -> Option<(Term, u64, T)> {
        let (term, turn, acted, parked) = {
            let mut state = self.state.lock();
            let leader = state.leader.take_if(|it| it.term().leader_epoch == epoch)?;
            self.stand.store(Stand::WAITS, Ordering::Release);
            self.is_between.store(true, Ordering::Release);
            state.turn += 1;
            let parked = std::mem::take(&mut state.parked);
            (leader.term().clone(), state.turn, act(), parked)
        };
        for Parked { done, .. } in parked {
            done(Err(ProduceError::NotLeader));
        }
        self.readers.wake();
        self.copiers.wake();
        Some((term, turn, acted))
    }

    /// Whether it stepped down for a place that it has not taken yet.
    pub(crate) fn is_between(&self) -> bool {
        self.is_between.load(Ordering::Acquire)
    }

    /// Follows `leader` from now on, or waits for one.
    pub(crate) fn follow(&self, leader: Option<NodeId>) {
        let stand = leader.map_or(Stand::Waits, Stand::Follows);
        self.stand.store(stand.to_number(), Ordering::Release);
        self.is_between.store(false, Ordering::Release);
        self.readers.wake();
    }

    /// Leads from now on, if no other turn has begun since `turn`. `flushed` is the log's.
    pub(crate) fn lead(&self, turn: u64, mut leader: Leader, log_end: Offset, flushed: Offset) {
        let mut state = self.state.lock();
        if state.turn != turn {
            return;
        }
        let moved = leader.flushed(flushed, self.now());
        self.epoch_start.store(log_end, Ordering::Release);
        state.leader = Some(Box::new(leader));
        self.stand.store(Stand::LEADS, Ordering::Release);
        self.is_between.store(false, Ordering::Release);
        self.readers.wake();
        self.settle(state, moved);
    }

    /// Has the leader take something in; gives what it answers, if this broker leads.
    pub(crate) fn with_leader<T>(
        &self,
        tell: impl FnOnce(&mut Leader, Millis) -> (T, Moved),
    ) -> Option<T> {
        let now = self.now();
        let mut state = self.state.lock();
        let leader = state.leader.as_mut()?;
        let (answer, moved) = tell(leader, now);
        self.settle(state, moved);
        Some(answer)
    }

    /// What the leader knows, if this broker leads.
    pub(crate) fn ask_leader<T>(&self, ask: impl FnOnce(&Leader) -> T) -> Option<T> {
        self.state.lock().leader.as_deref().map(ask)
    }

    /// Does something that must not happen once another epoch has begun.
    pub(crate) fn if_following<T>(&self, epoch: LeaderEpoch, act: impl FnOnce() -> T) -> Option<T> {
        let _held = self.state.lock();
        let is_present = self.leader_epoch() == epoch || !holds(Guard::FollowedEpoch);
        let follows = matches!(self.stand(), Stand::Follows(_)) && is_present;
        follows.then(act)
    }

    /// It lives in a log of another directory now, which has flushed everything below `end`: whatever
    /// was wrong with the one before is over.
    pub(crate) fn recovered(&self, end: Offset) {
        self.state.lock().failure = None;
        self.flushed(end);
    }

    /// Tells once everything below `end` is flushed; drops `tell` if that will not be known.
    /// `flushed` is the log's end of that now.
    pub(crate) fn when_flushed(
        &self,
        end: Offset,
        flushed: impl FnOnce() -> Offset,
        tell: Flushed,
    ) {
        let mut state = self.state.lock();
        if state.failure.is_some() {
            return;
        }
        // Looked at under the lock: a flush that ends now looks here afterwards.
        if flushed() >= end {
            drop(state);
            // Who asked may have gone.
            let _ = tell.send(Ok(()));
        } else {
            state.copied = Some((end, tell));
        }
    }

    /// Calls `done` once `appended` is committed, or when it never will be.
    pub(crate) fn park(&self, appended: Appended, done: ProduceDone) {
        let mut state = self.state.lock();
        let leads = state.leader.is_some();
        // Checked under the lock: `settle` moves the watermark in it and looks at the queue after.
        if leads && appended.last_offset < self.high_watermark() {
            drop(state);
            done(Ok(appended));
        } else if let Some(error) = state.failure.clone() {
            // A sync may fail between an append and this. Who comes after that with a duplicate
            // would wait for ever: it is not synced again.
            drop(state);
            done(Err(ProduceError::Append(error.into())));
        } else if leads {
            // A duplicate may be due long before what waits already; all else comes in order.
            let is_before = |other: &Parked| other.appended.last_offset <= appended.last_offset;
            let place = state.parked.partition_point(is_before);
            state.parked.insert(place, Parked { appended, done });
        } else {
            drop(state);
            done(Err(ProduceError::NotLeader));
        }
    }

    /// Stored records are damaged; whoever can repair them hears of it.
    pub(crate) fn report_damage(&self, what: &impl ToString) {
        self.around.damage.report(self.at, what.to_string().into());
    }

    /// The log begins later than before.
    pub(crate) fn log_start_moved(&self) {
        self.readers.wake();
        self.copiers.wake();
    }

    /// Carries out what followed from an event.
    fn settle(&self, state: MutexGuard<'_, State>, moved: Moved) {
        if let Some(end) = moved.high_watermark {
            // Who waits is told before any producer is, and one who is about to park waits for both:
            // who fetches because of an acknowledgement must find the records, also through a
            // session that looks only at what has moved.
            self.high_watermark.fetch_max(end, Ordering::AcqRel);
            self.readers.wake();
            if self.around.by_rack {
                self.copiers.wake();
            }
        } else if moved.log_start {
            // Who deletes records waits for all replicas to follow.
            self.readers.wake();
        }
        drop(state);
        if let Some(end) = moved.high_watermark {
            self.acknowledge(end);
        }
        if let Some(change) = moved.propose {
            self.around.proposals.propose(self.at, change);
        }
    }

    fn acknowledge(&self, end: Offset) {
        loop {
            let mut state = self.state.lock();
            let due = state
                .parked
                .front()
                .is_some_and(|first| first.appended.last_offset < end);
            let Some(Parked { appended, done }) = due.then(|| state.parked.pop_front()).flatten()
            else {
                break;
            };
            drop(state);
            done(Ok(appended));
        }
    }

    fn now(&self) -> Millis {
        self.around.clock.monotonic()
    }
}

impl Progress for Replica {
    fn appended(&self, end: Offset) {
        let now = self.now();
        if let Some(leader) = &mut self.state.lock().leader {
            leader.appended(end, now);
        }
        self.copiers.wake();
    }

    fn flushed(&self, end: Offset) {
        let now = self.now();
        let mut state = self.state.lock();
        if state.copied.as_ref().is_some_and(|(to, _)| *to <= end)
            && let Some((_, tell)) = state.copied.take()
        {
            // Who asked may have gone.
            let _ = tell.send(Ok(()));
        }
        if let Some(leader) = &mut state.leader {
            let moved = leader.flushed(end, now);
            self.settle(state, moved);
        }
    }

    fn failed(&self, error: &LogError) {
        let parked = {
            let mut state = self.state.lock();
            state.failure.get_or_insert_with(|| error.clone());
            state.copied = None;
            std::mem::take(&mut state.parked)
        };
        self.readers.wake();
        self.copiers.wake();
        for Parked { done, .. } in parked {
            done(Err(ProduceError::Append(error.clone().into())));
        }
    }
}
