//! Lets a quorum sleep in which nothing is wrong.
//!
//! openraft looks at its clock at every fifth of a heartbeat, on every node, to see whether an
//! election or a heartbeat is due. For `election_max` after the leader was heard its word is trusted,
//! and no look at the clock begins an election. So a node that hears its leader has openraft look no
//! more, and looks itself when that time is over; and a leader sends its heartbeats by a timer of their
//! own. Each word of the leader puts that look off, so that a timer rings only when the leader is silent;
//! and whoever has something to say soon says it then ([`LastHeard::pulse`]).
//!
//! A leader whose words are heard and who hears nobody (a line that is cut one way) could hold its
//! followers like that for ever: it may decide nothing, and nobody asks for votes. So one that has spoken
//! [`UNHEARD_WORDS`] times, and had no answer of a majority in between, hands over. Counted are words
//! and not time: a process that stood still has said nothing.
//!
//! The leader's times may be longer than this node's, while `freshet.quorum.round.trip.ms` is changed
//! on one node after the other, and openraft knows only its own. So each word says for how long its
//! speaker will trust the answer, and who gives that answer neither begins an election before
//! ([`LastHeard::bind`]) nor votes in one (see `inbox.rs`): else a leader that is cut off could confirm
//! what it knows beside its successor.
//!
//! A leader that hands over ends the trust in its word at once. That needs no look: whom it hands over
//! to is told, and begins an election then. Should that one fail, the others notice when the time of
//! the old word is over.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use freshet_types::NodeId;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::leader::Core;
use super::options::RaftOptions;
use super::status::RaftInstant;
use super::voters;
use crate::Agreeable;
use crate::guard::{Guard, holds};

/// Heartbeats without an answer of a majority after which a leader gives up: 960 ms with the defaults,
/// by when others have elected another one if they hear as little of this one.
const UNHEARD_WORDS: u32 = 8;

/// When a leader was heard last whom this node follows, and who that was.
#[derive(Debug, Clone, Default)]
pub(super) struct LastHeard(Arc<Words>);

#[derive(Debug, Default)]
struct Words {
    last: Mutex<Option<Instant>>,
    leader: Mutex<Option<NodeId>>,
    /// Until when a leader may trust that this node elects nobody else.
    bound: Mutex<Option<Instant>>,
    /// For [`doze`].
    heard: Notify,
    /// For whoever waits for a pulse.
    pulse: Notify,
}

impl LastHeard {
    /// The word of `leader` came then; words are taken in at the same time, and not in their order.
    pub(super) fn at(&self, came: Instant, leader: NodeId) {
        *self.0.leader.lock() = Some(leader);
        {
            let mut last = self.0.last.lock();
            *last = (*last).max(Some(came));
        }
        self.0.heard.notify_one();
        self.beat();
    }

    /// A leader that this node is about to acknowledge trusts that until then. Said before openraft
    /// hears of it: an acknowledgement must not be on its way that nothing is kept of.
    pub(super) fn bind(&self, until: Instant) {
        {
            let mut bound = self.0.bound.lock();
            *bound = (*bound).max(Some(until));
        }
        self.0.heard.notify_one();
    }

    /// Whether a leader may trust that this node elects nobody else.
    pub(super) fn is_bound(&self) -> bool {
        let bound = *self.0.bound.lock();
        bound.is_some_and(|until| Instant::now() < until)
    }

    /// Whom this node followed before it led, and for how long it was silent. Told once.
    pub(super) fn predecessor(&self) -> Option<(NodeId, Duration)> {
        let leader = self.0.leader.lock().take()?;
        let last = (*self.0.last.lock())?;
        Some((leader, last.elapsed()))
    }

    /// Words were exchanged.
    fn beat(&self) {
        self.0.pulse.notify_waiters();
    }

    /// Ends when words are exchanged.
    pub(super) async fn pulse(&self) {
        self.0.pulse.notified().await;
    }

    /// Until when no election can be due, if that is in the future.
    fn calm_until(&self, trust: Duration) -> Option<Instant> {
        let trusted = (*self.0.last.lock()).map(|last| last + trust);
        let calm = trusted.max(*self.0.bound.lock())?;
        (calm > Instant::now()).then_some(calm)
    }
}

/// How long a leader has been talking to nobody.
#[derive(Debug, Default)]
struct Unheard {
    /// When a majority had answered last.
    acked: Option<RaftInstant>,
    words: u32,
}

impl Unheard {
    /// A heartbeat was sent.
    async fn spoke<M: Agreeable>(&mut self, core: &Core<M>) {
        let acked = {
            let metrics = core.metrics();
            let metrics = metrics.borrow_watched();
            metrics.last_quorum_acked.map(|acked| *acked)
        };
        let is_heard = acked != std::mem::replace(&mut self.acked, acked);
        self.words = if is_heard { 0 } else { self.words + 1 };
        if self.words != UNHEARD_WORDS || !holds(Guard::DeafLeadersGo) {
            return;
        }
        if let Some(next) = voters::furthest(core) {
            tracing::warn!(
                %next,
                "no majority answers: this controller gives the lead away (if this comes again and \
                 again, see freshet.quorum.round.trip.ms)"
            );
            // An error says that it has stopped.
            let _ = core.trigger().transfer_leader(next).await;
        }
    }
}

/// Has `core` look at its clock only while that may matter, and a leader say that it is there.
pub(super) async fn doze<M: Agreeable>(core: Core<M>, heard: LastHeard, options: RaftOptions) {
    let (heartbeat, trust) = (options.heartbeat, options.election_max);
    let mut metrics = core.server_metrics();
    let mut due = Instant::now();
    let mut unheard = Unheard::default();
    loop {
        let state = metrics.borrow_watched().state;
        if state != ServerState::Leader {
            unheard = Unheard::default();
        }
        let now = Instant::now();
        let (looks, until) = match state {
            ServerState::Leader => {
                if due <= now {
                    due = now + heartbeat;
                    // An error says that it has stopped; so do its metrics.
                    let _ = core.trigger().heartbeat().await;
                    heard.beat();
                    unheard.spoke(&core).await;
                }
                (false, due)
            }
            ServerState::Follower | ServerState::Learner => match heard.calm_until(trust) {
                Some(calm) => (false, calm),
                None => (true, now + trust),
            },
            ServerState::Candidate | ServerState::Shutdown => (true, now + trust),
        };
        core.runtime_config().tick(looks);
        let mut changed = pin!(metrics.changed());
        tokio::select! {
            changed = &mut changed => if changed.is_err() { return },
            () = heard.0.heard.notified() => {}
            () = sleep_until(until) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_word_that_took_long_to_write_is_trusted_from_when_it_came() {
        let (heard, trust) = (LastHeard::default(), Duration::from_millis(300));
        assert_eq!(heard.calm_until(trust), None);
        let first = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        let second = Instant::now();
        tokio::time::advance(Duration::from_millis(100)).await;
        heard.at(second, NodeId(1));
        heard.at(first, NodeId(1));
        assert_eq!(heard.calm_until(trust), Some(second + trust));
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(heard.calm_until(trust), None);
        let silent = Duration::from_millis(300);
        assert_eq!(heard.predecessor(), Some((NodeId(1), silent)));
        assert_eq!(heard.predecessor(), None);
    }
}
