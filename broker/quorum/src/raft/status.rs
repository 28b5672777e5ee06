//! What the quorum looks like from here, as DescribeQuorum tells it.

use std::time::Duration;

use freshet_env::Clock;
use freshet_types::{NodeId, Offset, Timestamp};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant, RaftMetrics};
use serde::{Deserialize, Serialize};

use super::footing::runtime::Runtime;
use super::footing::types::{LogId, Types, peer};
use super::peer::{Peer, PeerId};
use super::storage::log::Log;
use super::storage::state::epoch;

pub(super) type RaftInstant = <Runtime as openraft::AsyncRuntime>::Instant;

/// The quorum at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumStatus {
    /// Who decides.
    pub leader: Option<NodeId>,
    /// Its term.
    pub epoch: i32,
    /// The offset after the last one that is agreed.
    pub high_watermark: Offset,
    /// Those whose majority decides.
    pub voters: Vec<ReplicaStatus>,
    /// Those who listen.
    pub observers: Vec<ReplicaStatus>,
}

/// How far one of them is. Only the leader knows about others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Who, and where.
    pub peer: Peer,
    /// The offset after its last record; -1 when unknown.
    pub log_end_offset: Offset,
    /// When it last acknowledged something; none when unknown. The leader's own is now.
    pub last_fetch: Option<Timestamp>,
    /// When it last was known to have all that was agreed by then; none when unknown.
    pub last_caught_up: Option<Timestamp>,
}

pub(super) fn status(
    metrics: &impl WatchReceiver<openraft::alias::WatchOf<Types>, RaftMetrics<Types>>,
    log: &Log,
    high_watermark: Offset,
    clock: &dyn Clock,
) -> QuorumStatus {
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let replica = |id: PeerId| {
        let address = membership.get_node(&id).cloned().unwrap_or_default();
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|all| all.get(&id))
            .copied()
            .flatten();
        let acked = metrics
            .heartbeat
            .as_ref()
            .and_then(|all| all.get(&id))
            .copied()
            .flatten();
        let (log_end_offset, last_fetch) = if id == metrics.id {
            (log.next_offset(), Some(clock.wall()))
        } else {
            (end_of(log, matched), acked.map(|acked| ago(clock, *acked)))
        };
        let has_all = log_end_offset >= high_watermark;
        ReplicaStatus {
            peer: peer(id, &address),
            log_end_offset,
            last_fetch,
            last_caught_up: last_fetch.filter(|_| has_all),
        }
    };
    QuorumStatus {
        leader: metrics.current_leader.map(|id| id.node),
        epoch: epoch(metrics.current_term),
        high_watermark,
        voters: membership.voter_ids().map(replica).collect(),
        observers: membership.learner_ids().map(replica).collect(),
    }
}

fn end_of(log: &Log, matched: Option<LogId>) -> Offset {
    matched
        .and_then(|id| log.offset_after(id.index))
        .unwrap_or(-1)
}

/// How long ago that was.
pub(super) fn since(then: RaftInstant) -> Duration {
    RaftInstant::now().saturating_duration_since(then)
}

fn ago(clock: &dyn Clock, then: RaftInstant) -> Timestamp {
    let ago = since(then);
    let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
    Timestamp(clock.wall().0.saturating_sub(ago))
}
