//! How a partition takes its place: what the image says becomes what this broker does.
//!
//! A new leader epoch is taken up in two steps. First the partition stands nowhere, and its log is
//! told to take nothing of an earlier epoch; that runs through the append thread's queue, behind
//! everything that was asked for before. Only when it is through, the log's end is known to stand
//! still, and the new place is taken.

use freshet_log::{Beginning, Busy, Done, LogError, Progress as _};
use freshet_metadata as metadata;
use freshet_types::{ErrorKind, LeaderEpoch, NodeId, Offset};
use tokio::sync::oneshot;

use super::{Partition, Past, ProduceError};
use crate::replica::Stand;
use crate::replication::{
    BrokerEpoch, FetchRefusal, Fetched, Guard, IsrChange, Leader, LeaderStart, Moved, Overdue,
    Term, holds,
};

/// What a follower's fetch says of it.
#[derive(Debug, Clone, Copy)]
pub struct ReplicaFetch {
    /// Who.
    pub node: NodeId,
    /// Its registration; -1 for a broker that does not tell.
    pub broker_epoch: BrokerEpoch,
    /// The epoch of the leader that it follows: what it says holds for that one only.
    pub leader_epoch: LeaderEpoch,
    /// Its first offset; -1 if it does not tell.
    pub log_start: Offset,
    /// The offset it asks for: it has flushed everything below.
    pub end: Offset,
}

/// A partition's copies as its leader sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copies {
    /// How many are in sync.
    pub in_sync: usize,
    /// How many must be for produces with acks=all.
    pub needed: usize,
    /// Records that the follower lacks that has the fewest.
    pub most_behind: u64,
}

/// Why a leader's log does not begin elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeadError {
    /// Somebody else leads, or this broker in another epoch.
    #[error("this broker does not lead the partition in that epoch")]
    NotLeader,
    /// Producers may have written to it.
    #[error("the log is not empty, or its past is known")]
    NotEmpty,
    /// The append thread's queue is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The log refused it.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why a follower's fetch is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaFetchError {
    /// Somebody else leads, or this broker in another epoch.
    #[error("this broker does not lead the partition in that epoch")]
    NotLeader,
    /// The leader knows better.
    #[error(transparent)]
    Refused(#[from] FetchRefusal),
    /// The offset is not in the leader's log: before its start, or behind its end, where another log's records
    /// are not those that will be there.
    #[error("offset {0} is not in the log")]
    Outside(Offset),
    /// The replica begins behind records that the leader has on its disk and that are not in the bucket:
    /// it has to begin anew where the leader does.
    #[error("the replica begins at {0}, and what is before is not in object storage")]
    Lacks(Offset),
    /// The same may be so; it will be known.
    #[error("nobody knows yet what is in object storage before {0}, where the replica begins")]
    PastUnknown(Offset),
}

impl ReplicaFetchError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLeader => ErrorKind::Unavailable,
            Self::Refused(FetchRefusal::NotAReplica(_)) => ErrorKind::Unavailable,
            Self::Refused(FetchRefusal::OldBroker { .. }) => ErrorKind::Fenced,
            Self::Outside(_) | Self::Lacks(_) => ErrorKind::Conflict,
            Self::PastUnknown(_) => ErrorKind::Unavailable,
        }
    }
}

/// Whether a log that begins at `start` goes on where the bucket ends: by the newest manifest that is there,
/// or only by one that is committed and will be there soon.
fn joins(start: Offset, exported: Offset, committed: Offset) -> Result<(), ReplicaFetchError> {
    match (start <= exported, start <= committed) {
        (true, _) => Ok(()),
        (false, true) => Err(ReplicaFetchError::PastUnknown(start)),
        (false, false) => Err(ReplicaFetchError::Lacks(start)),
    }
}

/// A change of place that is under way.
pub(crate) struct Turn {
    to: Stand,
    term: Term,
    turn: u64,
    through: oneshot::Receiver<Result<(), LogError>>,
}

fn term(state: &metadata::Partition, min_in_sync: usize) -> Term {
    Term {
        leader_epoch: state.leader_epoch,
        partition_epoch: state.partition_epoch,
        replicas: state.replicas.clone(),
        isr: state.isr.clone(),
        min_in_sync,
    }
}

impl Partition {
    /// Takes in what is committed about the partition. Gives a turn to [`finish`](Self::finish) if
    /// that is a new place.
    pub(crate) fn begin(
        &self,
        state: &metadata::Partition,
        min_in_sync: usize,
    ) -> Result<Option<Turn>, Busy> {
        let me = self.replica.around().me;
        let to = match state.leader {
            Some(leader) if leader == me => Stand::Leads,
            Some(leader) => Stand::Follows(leader),
            None => Stand::Waits,
        };
        let term = term(state, min_in_sync);
        let is_there = term.leader_epoch == self.leader_epoch() && to == self.stand();
        // One that found no room in the log's queue has stepped down, and its log was told nothing.
        if is_there && !self.replica.is_between() {
            self.replica.with_leader(|leader, now| {
                let before = leader.term().isr.clone();
                let moved = leader.renew(term, now);
                let counts = &self.replica.around().counts;
                counts.changed(&before, &leader.term().isr);
                ((), moved)
            });
            return Ok(None);
        }
        let (tell, through) = oneshot::channel();
        let done: Done<()> = Box::new(move |result| drop(tell.send(result)));
        let turn = self.replica.step_down(term.leader_epoch);
        self.past.stir();
        match to {
            _ if !holds(Guard::EpochFence) => done(Ok(())),
            Stand::Leads => self.log().start_epoch(term.leader_epoch, done)?,
            Stand::Follows(_) | Stand::Waits => self.log().fence(term.leader_epoch, done)?,
        }
        Ok(Some(Turn {
            to,
            term,
            turn,
            through,
        }))
    }

    /// Waits for the log, then takes the new place. A log that failed has none: the controller hears
    /// of its directory and names another leader.
    pub(crate) fn finish(&self, turn: Turn) -> Stand {
        let Turn {
            to,
            term,
            turn,
            through,
        } = turn;
        let epoch = term.leader_epoch;
        match through.blocking_recv() {
            Ok(Ok(())) => match to {
                Stand::Leads => self.lead(turn, term),
                Stand::Follows(leader) => self.replica.follow(Some(leader)),
                Stand::Waits => self.replica.follow(None),
            },
            Ok(Err(error)) => {
                tracing::error!(log = %self.name(), epoch, %error, "cannot take up the leader epoch");
            }
            Err(_) => tracing::debug!(log = %self.name(), "the log threads have ended"),
        }
        tracing::debug!(log = %self.name(), epoch, stand = ?self.stand(), "took its place");
        self.stand()
    }

    fn lead(&self, turn: u64, term: Term) {
        let around = self.replica.around();
        let (log_end, flushed) = (self.view().log_end(), self.view().flushed());
        self.past.hold(self.may_lack_its_past(term.leader_epoch));
        let start = LeaderStart {
            me: around.me,
            log_end,
            flushed,
            high_watermark: self.replica.high_watermark().min(flushed),
            now: around.clock.monotonic(),
            lag_max: around.lag_max,
        };
        // What was cut cannot be committed, whatever was known before.
        self.replica.know_committed(start.high_watermark);
        self.replica
            .lead(turn, Leader::new(term, start), log_end, flushed);
        // What was flushed since it was asked for was told to nobody.
        self.replica.flushed(self.view().flushed());
    }

    /// Whether records may be in the bucket that this log should go on behind: it never had any, and
    /// others have led before. A topic's first leader has nothing to lack.
    fn may_lack_its_past(&self, epoch: LeaderEpoch) -> bool {
        let view = self.view();
        let tiers = view.tiered().is_some() && self.replica.around().past_readers.is_some();
        tiers && epoch > 0 && view.log_end() == 0
    }

    /// Has an empty log that leads in `epoch` begin elsewhere: what is before is in the bucket. Nobody
    /// could write to it meanwhile, since its past was not known.
    pub(crate) async fn lead_from(
        &self,
        epoch: LeaderEpoch,
        beginning: Beginning,
    ) -> Result<(), LeadError> {
        let at = beginning.offset();
        let (tell, through) = oneshot::channel();
        let restart = || {
            if !self.past.is_held() {
                return Err(LeadError::NotEmpty);
            }
            let restarted: Done<Offset> = Box::new(|_| {});
            self.log().restart_at(beginning, restarted)?;
            let done = Box::new(move |result| drop(tell.send(result)));
            Ok(self.log().start_epoch(epoch, done)?)
        };
        let gave_way = self.replica.give_way(epoch, restart);
        let (term, turn, asked) = gave_way.ok_or(LeadError::NotLeader)?;
        let begun = match asked {
            Ok(()) => through
                .await
                .map_err(|_| LeadError::NotLeader)?
                .map_err(LeadError::from),
            Err(error) => Err(error),
        };
        if begun.is_ok() {
            tracing::warn!(
                log = %self.name(), at, epoch,
                "the log was empty: it goes on where the bucket ends"
            );
            self.replica.know_committed(at);
        }
        // As it was before, or with what is in the bucket.
        self.lead(turn, term);
        begun
    }

    /// A follower has asked for more, and so told how far it is. `image` tells who lives.
    pub fn replica_fetched(
        &self,
        fetch: ReplicaFetch,
        image: &metadata::MetadataImage,
    ) -> Result<(), ReplicaFetchError> {
        let may_begin = self.may_begin(fetch.log_start, image);
        let taken = self.replica.with_leader(|leader, now| {
            let is_ours = leader.term().leader_epoch == fetch.leader_epoch;
            if !is_ours && holds(Guard::ReportEpochs) {
                return (Err(ReplicaFetchError::NotLeader), Moved::default());
            }
            let view = self.view();
            let span = view.log_start()..=view.log_end();
            if !span.contains(&fetch.end) && holds(Guard::ReportWithinLog) {
                return (Err(ReplicaFetchError::Outside(fetch.end)), Moved::default());
            }
            // Who is in sync was judged when it joined.
            if let Err(error) = may_begin
                && !leader.term().isr.contains(&fetch.node)
            {
                return (Err(error), Moved::default());
            }
            let fetched = Fetched {
                node: fetch.node,
                broker_epoch: fetch.broker_epoch,
                log_start: fetch.log_start,
                end: fetch.end,
                leader_start: *span.start(),
                now,
            };
            let copies = leader.in_sync();
            match leader.fetched(fetched, |node| image.may_be_in(self.id(), node, copies)) {
                Ok(moved) => (Ok(()), moved),
                Err(refusal) => (Err(refusal.into()), Moved::default()),
            }
        });
        taken.unwrap_or(Err(ReplicaFetchError::NotLeader))
    }

    /// Whether all that is here is in a log that begins at `start`, or in the bucket. It is, unless an
    /// unclean leader has cut from the bucket what others had trimmed because it was there (rule T3 of
    /// docs/tiering.md). Should one of those lead, nobody could make a log of what it has.
    fn may_begin(
        &self,
        start: Offset,
        image: &metadata::MetadataImage,
    ) -> Result<(), ReplicaFetchError> {
        let is_cut = || {
            image
                .unclean_elections()
                .any(|election| election.at == self.id())
        };
        if start <= self.view().log_start() || !is_cut() {
            return Ok(());
        }
        match self.past() {
            Past::None => Ok(()),
            Past::Known(past) => joins(start, past.exported_end, past.manifest.remote_end()),
            Past::Unknown => Err(ReplicaFetchError::PastUnknown(start)),
        }
    }

    /// Looks for replicas that belong into the set in sync and are not there.
    pub fn look_for_joiners(&self, image: &metadata::MetadataImage) {
        self.replica.with_leader(|leader, now| {
            let log_start = self.view().log_start();
            let copies = leader.in_sync();
            let may_be_in = |node| image.may_be_in(self.id(), node, copies);
            let moved = leader.look_for_joiners(log_start, now, may_be_in);
            ((), moved)
        });
    }

    /// Looks for replicas that have been behind for too long.
    pub(crate) fn look_for_laggards(&self) {
        self.replica
            .with_leader(|leader, now| ((), proposal(leader.look_for_laggards(now))));
    }

    /// The copies of the partition as its leader sees them; none unless this broker leads.
    pub fn copies(&self) -> Option<Copies> {
        self.replica.ask_leader(|leader| {
            let (in_sync, needed) = leader.in_sync();
            Copies {
                in_sync,
                needed,
                most_behind: leader.most_behind(),
            }
        })
    }

    /// Why a produce with `acks=all` that is stored here was not acknowledged in time.
    pub fn overdue(&self) -> ProduceError {
        match self.replica.ask_leader(Leader::overdue) {
            Some(Overdue::TooFew { in_sync, needed }) => {
                ProduceError::NotEnoughReplicasAfterAppend { in_sync, needed }
            }
            Some(Overdue::Late) | None => ProduceError::TimedOut,
        }
    }

    /// Replicas in sync that have what is at `offset`, the one with the most first. Empty unless this
    /// broker leads.
    pub fn replicas_with(&self, offset: Offset) -> Vec<NodeId> {
        let with = self.replica.ask_leader(|leader| leader.with(offset));
        with.unwrap_or_default()
    }

    /// The least log start of all replicas that live; none unless this broker leads.
    pub fn low_watermark(&self, image: &metadata::MetadataImage) -> Option<Offset> {
        let own = self.view().log_start();
        let lives = |node| image.broker(node).is_some_and(|broker| !broker.fenced);
        self.replica
            .ask_leader(|leader| leader.low_watermark(own, lives))
    }

    /// The controller did not attempt a proposal, because a member is not eligible.
    pub fn isr_refused(&self, change: &IsrChange) {
        self.replica.with_leader(|leader, _| {
            leader.refused(change);
            ((), Moved::default())
        });
    }

    /// What was proposed and is not settled: to be sent again while no answer comes.
    pub fn isr_proposed(&self) -> Option<IsrChange> {
        self.replica
            .ask_leader(|leader| leader.proposed().cloned())
            .flatten()
    }
}

fn proposal(propose: Option<IsrChange>) -> Moved {
    Moved {
        propose,
        ..Moved::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_where_the_bucket_ends() {
        assert_eq!(joins(10, 10, 20), Ok(()));
        assert_eq!(joins(11, 10, 20), Err(ReplicaFetchError::PastUnknown(11)));
        assert_eq!(joins(20, 10, 20), Err(ReplicaFetchError::PastUnknown(20)));
        assert_eq!(joins(21, 10, 20), Err(ReplicaFetchError::Lacks(21)));
    }
}
