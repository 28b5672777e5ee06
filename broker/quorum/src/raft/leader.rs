//! The leader's mind: it owns the machine that decides, and releases what was agreed to.
//!
//! ```text
//!            elected                    all before it is applied
//! following ────────► catching up ───────────────────────────────► deciding
//!     ▲                    │ ▲  a round was not agreed to              │
//!     │                    │ └─────────────────────────────────────────┤
//!     └────────────────────┴──── another term ────────────────────────┘
//! ```
//!
//! Deciding goes in rounds: all that waits is decided, one request after another, each seeing what
//! was decided before it; the records of the round are one entry; when it is committed and its
//! image is shown, the replies go out and the next round begins. There is never a second round on
//! its way. Were there one, the first could be refused (a leader that hears of no majority takes
//! nothing in) and the second, decided on top of it, could be let in.
//!
//! The deciding machine is a copy, made for one term. If a round is not agreed to, the copy knows
//! too much; it is thrown away.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::Clock;
use freshet_types::{
    Decision, Machine, Millis, NodeId, Now, Predecessor, StoredRecord, Ticket, Timer,
};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::impls::ProgressResponder;
use openraft::metrics::RaftServerMetrics;
use openraft::{LinearizerOption, ServerState};
use tokio::sync::{mpsc, oneshot, watch};

use super::doze::LastHeard;
use super::footing::gate::{preempted, spawn};
use super::footing::types::{Decided, Types, committed_lead};
use super::storage::state::{State, epoch};
use super::voters;
use crate::guard::{Guard, holds};
use crate::{Agreeable, Leadership, QuorumError};

/// Proposals that share one entry at most.
const PROPOSALS_AT_ONCE: usize = 512;
/// A round takes nothing more in once it has this much.
const ROUND_BYTES: usize = 1 << 20;
/// No entry is larger: it must fit into one message to a follower.
const ENTRY_CAP_BYTES: usize = 32 << 20;
/// The codec reads no longer list.
const ENTRY_CAP_RECORDS: usize = 1_000_000;

pub(super) type Core<M> = openraft::Raft<Types, State<M>>;
type ServerMetrics = openraft::alias::WatchReceiverOf<Types, RaftServerMetrics<Types>>;

/// A request, and where its reply goes.
pub(super) struct Proposal<M: Agreeable> {
    pub(super) request: M::Request,
    pub(super) reply: Reply<M>,
}

type Reply<M> = oneshot::Sender<Result<<M as Machine>::Reply, QuorumError>>;

/// See the module's story.
pub(super) struct Leader<M: Agreeable> {
    pub(super) core: Core<M>,
    pub(super) me: NodeId,
    pub(super) proposals: mpsc::Receiver<Proposal<M>>,
    pub(super) leadership: watch::Sender<Leadership>,
    /// Why the core is gone, once it is.
    pub(super) end: watch::Sender<Option<QuorumError>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) patience: Duration,
    pub(super) pause: Duration,
    /// Of the leader before this one.
    pub(super) heard: LastHeard,
    /// How long a majority has not heard a leader, at least, when another is elected unasked.
    pub(super) silence: Duration,
}

/// What is decided with, in one term.
struct Mind<M: Agreeable> {
    machine: M,
    /// Few: a list is enough.
    timers: Vec<(Millis, M::TimerKey)>,
}

struct Round<M: Agreeable> {
    records: Vec<Bytes>,
    len_bytes: usize,
    waiting: Vec<(Ticket, Reply<M>)>,
    replies: Vec<(Ticket, M::Reply)>,
}

/// Why a phase ended.
enum End {
    /// Nobody needs this any more.
    Stopped,
    /// Another term, or a round that was not agreed to.
    Again,
}

impl<M: Agreeable> Leader<M> {
    pub(super) async fn run(mut self) {
        let mut metrics = self.core.server_metrics();
        loop {
            let end = match self.show(&metrics) {
                Some(term) => self.lead(term, &mut metrics).await,
                None => self.follow(&mut metrics).await,
            };
            if let End::Stopped = end {
                break;
            }
        }
        self.leadership.send_replace(Leadership::NOBODY);
        let ended = self.ended();
        self.end.send_replace(Some(ended.clone()));
        while let Some(proposal) = self.proposals.recv().await {
            refuse(proposal, &ended);
        }
    }

    /// Why the core is gone.
    fn ended(&self) -> QuorumError {
        let metrics = self.core.metrics();
        let state = metrics.borrow_watched().running_state.clone();
        state
            .err()
            .map_or(QuorumError::Stopped, |fatal| failed(&fatal))
    }

    /// Publishes who leads. Gives the term if it is this node.
    fn show(&self, metrics: &ServerMetrics) -> Option<u64> {
        let metrics = metrics.borrow_watched();
        let lead = metrics.vote.leader_id();
        let leader = metrics.current_leader.map(|id| id.node);
        let is_mine = is_leader(&metrics);
        let now = Leadership {
            leader,
            epoch: epoch(lead.term),
            is_mine: false,
        };
        self.leadership.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
        is_mine.then_some(lead.term)
    }

    /// Sends proposals to whoever leads.
    async fn follow(&mut self, metrics: &mut ServerMetrics) -> End {
        let leader = self.leadership.borrow().leader;
        loop {
            tokio::select! {
                biased;
                changed = metrics.changed() => return if changed.is_ok() { End::Again } else { End::Stopped },
                proposal = self.proposals.recv() => match proposal {
                    Some(proposal) => refuse(proposal, &QuorumError::NotLeader { leader }),
                    None => return End::Stopped,
                }
            }
        }
    }

    async fn lead(&mut self, term: u64, metrics: &mut ServerMetrics) -> End {
        let Some(mut mind) = self.catch_up().await else {
            return self.rest(metrics).await;
        };
        let now = self.clock.now();
        let mut first = Round::new();
        let loaded = mind.machine.loaded(now);
        mind.absorb(&mut first, loaded);
        if let Some(before) = self.predecessor(now) {
            let succeeds = mind.machine.succeeds(now, before);
            mind.absorb(&mut first, succeeds);
        }
        if self.agree(term, first).await.is_err() {
            return self.rest(metrics).await;
        }
        let epoch = epoch(term);
        tracing::info!(epoch, "this controller is active");
        self.leadership.send_replace(Leadership {
            leader: Some(self.me),
            epoch,
            is_mine: true,
        });
        spawn(voters::finish(self.core.clone()));
        loop {
            let mut round = Round::new();
            let wait = mind
                .next_timer()
                .map(|at| Duration::from_millis(at - self.clock.monotonic()));
            tokio::select! {
                biased;
                changed = metrics.changed() => match changed {
                    Ok(()) if leads(metrics, term) => {}
                    Ok(()) => return End::Again,
                    Err(_) => return End::Stopped,
                },
                proposal = self.proposals.recv() => match proposal {
                    Some(proposal) => self.gather(&mut mind, &mut round, proposal),
                    None => return End::Stopped,
                },
                () = sleep(wait) => {}
            }
            self.fire(&mut mind, &mut round);
            if self.agree(term, round).await.is_err() && holds(Guard::FreshMind) {
                return self.rest(metrics).await;
            }
        }
    }

    /// Who led before. This node may have been deaf to a leader whom the others heard: it counts as
    /// silent for no longer than it must have been to all who elected this one.
    fn predecessor(&self, now: Now) -> Option<Predecessor> {
        let (node, silent) = self.heard.predecessor()?;
        let silent = silent.min(self.silence);
        let ago = u64::try_from(silent.as_millis()).unwrap_or(u64::MAX);
        let heard = Millis(now.monotonic.0.saturating_sub(ago));
        Some(Predecessor { node, heard })
    }

    /// A machine that knows all that was committed before this term.
    async fn catch_up(&mut self) -> Option<Mind<M>> {
        let core = self.core.clone();
        let caught_up = async move {
            if holds(Guard::LeaderCaughtUp) {
                let linearizer = core.get_read_linearizer(confirmed()).await.ok()?;
                linearizer.await_ready(&core).await.ok()?;
            }
            let copied = core.with_state_machine(|state| {
                let copy = state.copy();
                Box::pin(async move { copy })
            });
            copied.await.ok()
        };
        let machine = self.patiently(caught_up).await?;
        // Entries of another leader cannot have come in between, or the term is not ours any more,
        // and then the first write of this machine is refused.
        Some(Mind {
            machine,
            timers: Vec::new(),
        })
    }

    /// After a failure: the state of the world may still have to settle.
    async fn rest(&mut self, metrics: &mut ServerMetrics) -> End {
        let leader = None;
        let mut pause = pin!(tokio::time::sleep(self.pause));
        loop {
            tokio::select! {
                biased;
                changed = metrics.changed() => return if changed.is_ok() { End::Again } else { End::Stopped },
                () = &mut pause => return End::Again,
                proposal = self.proposals.recv() => match proposal {
                    Some(proposal) => refuse(proposal, &QuorumError::NotLeader { leader }),
                    None => return End::Stopped,
                }
            }
        }
    }

    /// Waits for something that needs a majority. If that takes long, those who wait behind it are
    /// told that nobody decides.
    async fn patiently<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Ok(done) = tokio::time::timeout(self.patience, &mut work).await {
            return done;
        }
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(proposal) = self.proposals.recv() => {
                    refuse(proposal, &QuorumError::NotLeader { leader: None });
                }
            }
        }
    }

    fn gather(&mut self, mind: &mut Mind<M>, round: &mut Round<M>, first: Proposal<M>) {
        let mut next = Some(first);
        while let Some(Proposal { request, reply }) = next {
            let ticket = Ticket(round.waiting.len() as u64);
            round.waiting.push((ticket, reply));
            let decision = mind.machine.decide(self.clock.now(), ticket, request);
            mind.absorb(round, decision);
            next = round
                .has_room()
                .then(|| self.proposals.try_recv().ok())
                .flatten();
        }
    }

    fn fire(&self, mind: &mut Mind<M>, round: &mut Round<M>) {
        let now = self.clock.now();
        let due = |(at, _): &(Millis, _)| *at <= now.monotonic;
        while let Some(at) = mind.timers.iter().position(due) {
            let (_, key) = mind.timers.swap_remove(at);
            let decision = mind.machine.fire(now, key);
            mind.absorb(round, decision);
        }
    }

    /// Has a round agreed to, then answers it. After an error the mind knows too much.
    async fn agree(&mut self, term: u64, round: Round<M>) -> Result<(), ()> {
        let agreed = if round.is_too_large() {
            let bytes = round.len_bytes;
            Err(QuorumError::TooLarge { bytes })
        } else if !round.records.is_empty() {
            let records = Decided(round.records.clone());
            let write = write(self.core.clone(), term, records);
            self.patiently(write).await
        } else if !round.waiting.is_empty() && holds(Guard::ConfirmedAnswers) {
            // What is said about the state must still be true when it is said.
            let core = self.core.clone();
            let confirm = async move {
                let linearizer = core.get_read_linearizer(confirmed()).await;
                linearizer
                    .map(drop)
                    .map_err(|_| QuorumError::NotLeader { leader: None })
            };
            self.patiently(confirm).await
        } else {
            Ok(())
        };
        match agreed {
            Ok(()) => {
                round.answer();
                Ok(())
            }
            Err(error) => {
                tracing::info!(%error, "a round of decisions was not agreed to");
                round.fail(&error);
                Err(())
            }
        }
    }
}

/// A read that is answered by a fresh acknowledgement of a majority, or by asking one.
pub(super) fn confirmed() -> LinearizerOption {
    LinearizerOption::new(None, true)
}

async fn write<M: Agreeable>(
    core: Core<M>,
    term: u64,
    records: Decided,
) -> Result<(), QuorumError> {
    let (responder, done) = ProgressResponder::complete_only();
    preempted().await;
    let mut write = core.write(records);
    if holds(Guard::ExpectedTerm) {
        write = write.with_leader(committed_lead(term));
    }
    write
        .responder(responder)
        .await
        .map_err(|fatal| failed(&fatal))?;
    match done.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(ClientWriteError::ForwardToLeader(to))) => {
            let leader = to.leader_id.map(|id| id.node);
            Err(QuorumError::NotLeader { leader })
        }
        Ok(Err(_)) => Err(QuorumError::Deposed),
        // The core dropped it: it is gone, and what became of the entry is not known here.
        Err(_) => Err(QuorumError::Stopped),
    }
}

pub(super) fn failed(fatal: &Fatal<Types>) -> QuorumError {
    match fatal {
        Fatal::StorageError(error) => QuorumError::Storage(error.to_string().into()),
        Fatal::Panicked => QuorumError::Storage("the quorum panicked".into()),
        Fatal::Stopped => QuorumError::Stopped,
    }
}

fn is_leader(metrics: &RaftServerMetrics<Types>) -> bool {
    let lead = metrics.vote.leader_id();
    metrics.vote.is_committed()
        && lead.voted_for == metrics.id
        && metrics.state == ServerState::Leader
}

fn leads(metrics: &ServerMetrics, term: u64) -> bool {
    let metrics = metrics.borrow_watched();
    is_leader(&metrics) && metrics.vote.leader_id().term == term
}

fn refuse<M: Agreeable>(proposal: Proposal<M>, error: &QuorumError) {
    let _ = proposal.reply.send(Err(error.clone()));
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

impl<M: Agreeable> Mind<M> {
    fn absorb(&mut self, round: &mut Round<M>, decision: Decision<M>) {
        for record in decision.records {
            let bytes = Bytes::from(record.to_bytes());
            round.len_bytes += bytes.len();
            round.records.push(bytes);
            self.machine.apply(&record);
        }
        round.replies.extend(decision.replies);
        for Timer { key, at } in decision.timers {
            self.timers.retain(|(_, other)| *other != key);
            self.timers.extend(at.map(|at| (at, key)));
        }
    }

    fn next_timer(&self) -> Option<Millis> {
        self.timers.iter().map(|(at, _)| *at).min()
    }
}

impl<M: Agreeable> Round<M> {
    fn new() -> Self {
        Self {
            records: Vec::new(),
            len_bytes: 0,
            waiting: Vec::new(),
            replies: Vec::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < PROPOSALS_AT_ONCE && self.len_bytes < ROUND_BYTES
    }

    fn is_too_large(&self) -> bool {
        self.len_bytes > ENTRY_CAP_BYTES || self.records.len() > ENTRY_CAP_RECORDS
    }

    fn answer(mut self) {
        self.replies.sort_by_key(|(ticket, _)| *ticket);
        let mut replies = self.replies.into_iter().peekable();
        for (ticket, waiting) in self.waiting {
            // Every proposal is answered in its own round; one without a reply is a bug of the
            // machine, and its caller sees `Stopped`.
            if let Some((_, reply)) = replies.next_if(|(replied, _)| *replied == ticket) {
                let _ = waiting.send(Ok(reply));
            }
        }
    }

    fn fail(self, error: &QuorumError) {
        for (_, waiting) in self.waiting {
            let _ = waiting.send(Err(error.clone()));
        }
    }
}
