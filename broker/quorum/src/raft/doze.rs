//! Lets a quorum sleep in which nothing is wrong.
//!
//! openraft looks at its clock at every fifth of a heartbeat, on every node, to see whether an
//! election or a heartbeat is due. No election can be for `election_max` after the leader was heard:
//! for so long its word is trusted. So a node that hears its leader has openraft look no more, and
//! looks itself, a few times a second; and a leader sends its heartbeats by a timer of their own.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::leader::Core;
use super::options::RaftOptions;
use crate::Agreeable;

/// What openraft would do at its ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Between two signs of life of a leader.
    pub(super) heartbeat: Duration,
    /// How long the word of a leader that was heard is trusted.
    pub(super) trust: Duration,
}

impl Times {
    pub(super) fn of(options: &RaftOptions) -> Self {
        Self {
            heartbeat: options.heartbeat,
            trust: options.election_max,
        }
    }
}

/// When a leader was heard last whom this node follows.
#[derive(Debug, Clone, Default)]
pub(super) struct LastHeard(Arc<Mutex<Option<Instant>>>);

impl LastHeard {
    /// It is heard now.
    pub(super) fn now(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Until when no election can be due, if that is in the future.
    fn calm_until(&self, trust: Duration) -> Option<Instant> {
        let calm = (*self.0.lock())? + trust;
        (calm > Instant::now()).then_some(calm)
    }
}

/// Has `core` look at its clock only while that may matter, and a leader say that it is there.
pub(super) async fn doze<M: Agreeable>(core: Core<M>, heard: LastHeard, times: Times) {
    let mut metrics = core.server_metrics();
    let mut due = Instant::now();
    loop {
        let state = metrics.borrow_watched().state;
        let now = Instant::now();
        let (looks, until) = match state {
            ServerState::Leader => {
                if due <= now {
                    due = now + times.heartbeat;
                    // An error says that it has stopped; so do its metrics.
                    let _ = core.trigger().heartbeat().await;
                }
                (false, due)
            }
            ServerState::Follower | ServerState::Learner => match heard.calm_until(times.trust) {
                Some(calm) => (false, calm),
                None => (true, now + times.trust),
            },
            ServerState::Candidate | ServerState::Shutdown => (true, now + times.trust),
        };
        core.runtime_config().tick(looks);
        let mut changed = pin!(metrics.changed());
        tokio::select! {
            changed = &mut changed => if changed.is_err() { return },
            () = sleep_until(until) => {}
        }
    }
}
