//! Who votes, and how that changes.
//!
//! A change goes through openraft's joint consensus: for a while both the old and the new voters must
//! agree. A newcomer first follows as an observer until it has caught up. Its node may have been a
//! voter with another disk before: that voter is replaced, not renamed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet_types::{ErrorKind, NodeId};
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};

use super::footing::types::{Address, Types};
use super::leader::{Core, failed};
use super::peer::{Peer, PeerId};
use super::post::link::Book;
use crate::guard::{Guard, holds};
use crate::{Agreeable, QuorumError};

/// Who was silent for so long is taken for dead when another disk of its node asks to be taken in; and
/// at least for so many heartbeats.
const SILENCE: Duration = Duration::from_secs(2);
const SILENT_BEATS: u32 = 16;
/// How long a newcomer may take to catch up before it has to ask again. The same over long lines: it
/// listens meanwhile, and is further when it asks again. Shorter than it waits for an answer.
const CATCH_UP: Duration = Duration::from_secs(8);

/// Why the voters did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VotersError {
    /// Another controller decides, or none does.
    #[error("this is not the active controller")]
    NotLeader {
        /// Who is, as far as it is known here.
        leader: Option<NodeId>,
    },
    /// Another change is under way.
    #[error("another change of the voters is under way: try again")]
    InProgress,
    /// Another disk of its node takes part, and was heard a moment ago: two processes have one number.
    #[error(
        "another process has the number {0} and is alive: give this one another node.id, or stop that one"
    )]
    Taken(NodeId),
    /// It listens now, but does not have all of the log yet.
    #[error("{0} has not caught up yet: try again")]
    Behind(PeerId),
    /// Nobody of that name takes part.
    #[error("{0} takes no part in the quorum")]
    Unknown(PeerId),
    /// Without this voter there would be none.
    #[error("{0} is the only voter")]
    OnlyVoter(PeerId),
    /// Of the voters that would be left too few were heard a moment ago: nothing could be decided.
    #[error(
        "without {id} only {heard} of {left} voters would be heard, and that is no majority: start the others, \
         or take one out that is gone for good"
    )]
    TooFewStay {
        /// Who was to leave.
        id: PeerId,
        /// How many of the others are heard.
        heard: usize,
        /// How many others there are.
        left: usize,
    },
    /// The quorum itself failed.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

impl VotersError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLeader { .. } => ErrorKind::Unavailable,
            Self::InProgress | Self::Behind(_) => ErrorKind::Busy,
            Self::Unknown(_) => ErrorKind::NotFound,
            Self::Taken(_) | Self::OnlyVoter(_) | Self::TooFewStay { .. } => ErrorKind::Conflict,
            Self::Quorum(error) => error.kind(),
        }
    }
}

type Failed = RaftError<Types, ClientWriteError<Types>>;

fn translate(error: Failed) -> VotersError {
    match error {
        RaftError::Fatal(fatal) => failed(&fatal).into(),
        RaftError::APIError(ClientWriteError::ForwardToLeader(to)) => VotersError::NotLeader {
            leader: to.leader_id.map(|id| id.node),
        },
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => match error {
            ChangeMembershipError::LearnerNotFound(missing) => {
                VotersError::Unknown(missing.node_id)
            }
            // What is not ours to mend here goes away with the change before, or the term.
            _ => VotersError::InProgress,
        },
        RaftError::APIError(_) => QuorumError::Deposed.into(),
    }
}

/// Takes somebody in, as a voter or to listen. Earlier disks of the same node go.
pub(super) async fn join<M: Agreeable>(
    core: &Core<M>,
    book: &Book,
    peer: Peer,
    as_voter: bool,
) -> Result<(), VotersError> {
    let (voters, others) = members(core);
    let id = peer.id;
    let earlier: BTreeSet<_> = voters
        .iter()
        .chain(&others)
        .filter(|other| other.node == id.node && **other != id)
        .copied()
        .collect();
    if earlier.iter().any(|other| is_heard(core, other)) && holds(Guard::LivingStay) {
        // Two processes with one number: the one that is there stays. A disk that was lost is silent.
        tracing::debug!(peer = %id, "asks to be taken in, but another disk of its node is alive");
        return Err(VotersError::Taken(id.node));
    }
    let address = Address(peer.endpoints);
    let is_voter = voters.contains(&id);
    if is_voter || others.contains(&id) {
        // It may be somewhere else now. Where it says it is, it is looked for at once: its own word
        // may be needed to agree on that.
        book.put(id, &address);
        let at = BTreeMap::from([(id, address.clone())]);
        change(core, ChangeMembers::SetNodes(at)).await?;
    }
    if is_voter {
        return Ok(());
    }
    let as_voter = as_voter || earlier.iter().any(|other| voters.contains(other));
    let listens = async {
        let added = core.add_learner(id, address, false);
        added.await.map_err(translate)?;
        match as_voter && holds(Guard::VotersCaughtUp) {
            true => caught_up(core, id).await,
            false => Ok(()),
        }
    };
    let behind = |_| VotersError::Behind(id);
    tokio::time::timeout(CATCH_UP, listens)
        .await
        .map_err(behind)??;
    let listeners = earlier
        .difference(&voters)
        .copied()
        .collect::<BTreeSet<_>>();
    if as_voter {
        let gone = match holds(Guard::OneVoteForEach) {
            true => earlier.intersection(&voters).copied().collect(),
            false => BTreeSet::new(),
        };
        let promote = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
        let swap = ChangeMembers::Batch(vec![promote, ChangeMembers::RemoveVoters(gone)]);
        change(core, swap).await?;
    }
    if listeners.is_empty() {
        return Ok(());
    }
    change(core, ChangeMembers::RemoveNodes(listeners)).await
}

/// Ends when a listener has all that is in the leader's log now: a voter that is behind, or cannot be
/// reached at all, only weighs on a majority. (openraft's own wait lets pass who lacks less than would
/// make a snapshot worth it, and that is all of a young log.)
async fn caught_up<M: Agreeable>(core: &Core<M>, id: PeerId) -> Result<(), VotersError> {
    let mut metrics = core.metrics();
    let wanted = metrics.borrow_watched().last_log_index;
    loop {
        {
            let now = metrics.borrow_and_update();
            let Some(all) = &now.replication else {
                let leader = now.current_leader.map(|id| id.node);
                return Err(VotersError::NotLeader { leader });
            };
            let matched = all.get(&id).copied().flatten().map(|last| last.index);
            if matched >= wanted {
                return Ok(());
            }
        }
        let stopped = |_| QuorumError::Stopped;
        metrics.changed().await.map_err(stopped)?;
    }
}

/// The voter that a leader should hand over to; none if there is no other one.
pub(super) fn furthest<M: Agreeable>(core: &Core<M>) -> Option<PeerId> {
    let metrics = core.metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let is_voter = |id: &PeerId| membership.voter_ids().any(|voter| voter == *id);
    let replicas = metrics.replication.iter().flatten();
    let others = replicas.filter(|(id, _)| **id != metrics.id && is_voter(id));
    others
        .max_by_key(|(_, matched)| **matched)
        .map(|(id, _)| *id)
}

/// Ends a change that an earlier leader left half-way. Until then both sets of voters must agree, and
/// the old one may count a disk that is gone.
pub(super) async fn finish<M: Agreeable>(core: Core<M>) {
    let sets = {
        let metrics = core.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        membership.get_joint_config().clone()
    };
    let [before, after] = sets.as_slice() else {
        return;
    };
    if !holds(Guard::ChangesAreFinished) {
        return;
    }
    // Who leaves goes on as an observer; a disk that was replaced does not.
    let mut leaving = before.difference(after);
    let stays = leaving.any(|id| after.iter().all(|other| other.node != id.node));
    let goes_on = ChangeMembers::SetNodes(BTreeMap::new());
    match core.change_membership(goes_on, stays).await {
        Ok(_) => tracing::info!("a change of the voters that was left half-way is finished"),
        // The next leader finds it as this one did.
        Err(error) => tracing::info!(%error, "a change of the voters is still half-way"),
    }
}

/// Has somebody else than the leader leave, voter or not.
pub(super) async fn leave<M: Agreeable>(core: &Core<M>, id: PeerId) -> Result<(), VotersError> {
    let (_, others) = members(core);
    if others.contains(&id) {
        return change(core, ChangeMembers::RemoveNodes(BTreeSet::from([id]))).await;
    }
    may_leave(core, id).await?;
    // It goes on listening: it may be a broker as well. Asked again, it goes altogether.
    let leaves = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
    core.change_membership(leaves, true)
        .await
        .map_err(translate)?;
    Ok(())
}

/// Whether a voter can be missed: the others decide without it, so a majority of them has to be there. Who
/// has just begun to lead has heard nobody yet; that is waited for.
pub(super) async fn may_leave<M: Agreeable>(core: &Core<M>, id: PeerId) -> Result<(), VotersError> {
    let (voters, _) = members(core);
    if !voters.contains(&id) {
        return Err(VotersError::Unknown(id));
    }
    if voters.len() == 1 && holds(Guard::OneVoterStays) {
        return Err(VotersError::OnlyVoter(id));
    }
    if !holds(Guard::MajorityStays) {
        return Ok(());
    }
    let others: Vec<_> = voters.into_iter().filter(|other| *other != id).collect();
    let heartbeat = Duration::from_millis(core.config().heartbeat_interval);
    let heard = tokio::time::timeout(silence(heartbeat), majority_heard(core, &others));
    if heard.await.is_ok_and(|heard| heard.is_ok()) {
        return Ok(());
    }
    let (heard, left) = (count_heard(core, &others), others.len());
    Err(VotersError::TooFewStay { id, heard, left })
}

/// Ends when most of these were heard a moment ago.
async fn majority_heard<M: Agreeable>(core: &Core<M>, of: &[PeerId]) -> Result<(), QuorumError> {
    let mut metrics = core.metrics();
    loop {
        drop(metrics.borrow_and_update());
        if count_heard(core, of) * 2 > of.len() {
            return Ok(());
        }
        let stopped = |_| QuorumError::Stopped;
        metrics.changed().await.map_err(stopped)?;
    }
}

/// How many of these are there; the leader itself is.
fn count_heard<M: Agreeable>(core: &Core<M>, of: &[PeerId]) -> usize {
    let me = core.metrics().borrow_watched().id;
    let there = |id: &&PeerId| **id == me || is_heard(core, id);
    of.iter().filter(there).count()
}

/// Whether the leader heard of a peer lately.
fn is_heard<M: Agreeable>(core: &Core<M>, id: &PeerId) -> bool {
    let metrics = core.metrics();
    let metrics = metrics.borrow_watched();
    let acked = metrics.heartbeat.as_ref().and_then(|all| all.get(id));
    let silent_for = acked
        .copied()
        .flatten()
        .map(|then| super::status::since(*then));
    let heartbeat = Duration::from_millis(core.config().heartbeat_interval);
    silent_for.is_some_and(|silent_for| silent_for < silence(heartbeat))
}

/// Over long ways a living one is heard more seldom.
fn silence(heartbeat: Duration) -> Duration {
    SILENCE.max(heartbeat * SILENT_BEATS)
}

async fn change<M: Agreeable>(
    core: &Core<M>,
    change: ChangeMembers<PeerId, Address>,
) -> Result<(), VotersError> {
    core.change_membership(change, false)
        .await
        .map_err(translate)?;
    Ok(())
}

fn members<M: Agreeable>(core: &Core<M>) -> (BTreeSet<PeerId>, BTreeSet<PeerId>) {
    let metrics = core.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    (
        membership.voter_ids().collect(),
        membership.learner_ids().collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_far_away_is_taken_for_dead_later() {
        let ms = Duration::from_millis;
        assert_eq!(silence(ms(120)), ms(2000));
        assert_eq!(silence(ms(600)), ms(9600));
    }
}
