//! A follower's side: where it goes on, and what it does with a leader's answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freshet_log::{Append, AppendError, Appended, Beginning, Busy, Done, Here, LogError, Origin};
use freshet_types::{LeaderEpoch, Offset};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Partition;
use crate::replica::Stand;
use crate::replication::{Answer, Divergence, Guard, Local, Step, holds, next_step};
use crate::tiering::BeginningError;
use crate::traffic::count;

/// How long a replica waits to hear with what it begins, before it asks its leader again.
const BEGINNING_PATIENCE: Duration = Duration::from_secs(10);

/// Where a follower's next fetch goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPoint {
    /// The epoch of the leader that it follows.
    pub leader_epoch: LeaderEpoch,
    /// It has flushed everything below.
    pub fetch_offset: Offset,
    /// The epoch of its last record; -1 without any.
    pub last_epoch: LeaderEpoch,
    /// Its first offset.
    pub log_start: Offset,
}

/// What a follower does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Fetch again.
    Fetch,
    /// Fetch again after a pause.
    Pause,
    /// Nothing, until the image names another leader.
    AwaitLeader,
}

/// Why an answer could not be taken in.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("cannot begin anew yet: {0}")]
    Beginning(#[from] BeginningError),
    #[error("the log has ended")]
    Ended,
    #[error("another leader epoch has begun")]
    Stale,
}

impl From<oneshot::error::RecvError> for FollowError {
    fn from(_: oneshot::error::RecvError) -> Self {
        Self::Ended
    }
}

impl Partition {
    /// Where to fetch from; none unless it follows somebody and everything it has is flushed.
    pub fn fetch_point(&self) -> Option<FetchPoint> {
        let leader_epoch = self.leader_epoch();
        let view = self.view();
        let fetch_offset = view.log_end();
        let follows = matches!(self.stand(), Stand::Follows(_));
        let is_flushed = view.flushed() >= fetch_offset || !holds(Guard::FlushBeforeReport);
        let rests = is_flushed && self.leader_epoch() == leader_epoch;
        (follows && rests).then(|| FetchPoint {
            leader_epoch,
            fetch_offset,
            last_epoch: view.latest_epoch().map_or(-1, |(epoch, _)| epoch),
            log_start: view.log_start(),
        })
    }

    /// Whether an answer to a fetch from `point` still means something. The log's start may have moved
    /// by itself. A log that was cut and has grown again may end where it ended, with another epoch.
    pub fn goes_on_at(&self, point: FetchPoint) -> bool {
        let place = |p: FetchPoint| (p.leader_epoch, p.fetch_offset, p.last_epoch);
        let is_there = self.fetch_point().map(place) == Some(place(point));
        is_there || !holds(Guard::LateAnswers)
    }

    /// Takes in what the leader of `epoch` answered to a fetch from [`Self::fetch_point`]. Ends when
    /// the records are flushed here. `alone`: the caller has nothing else to do until then, so a few
    /// records are stored by its own thread.
    pub async fn follow(
        &self,
        epoch: LeaderEpoch,
        answer: Answer,
        records: Bytes,
        alone: bool,
    ) -> Follow {
        match self.take(epoch, answer, records, alone).await {
            Ok(next) => next,
            Err(FollowError::Stale) => Follow::AwaitLeader,
            Err(FollowError::Append(AppendError::Log(LogError::Fenced { .. }))) => {
                Follow::AwaitLeader
            }
            Err(FollowError::Busy(_) | FollowError::Append(AppendError::Busy(_))) => Follow::Pause,
            Err(error) => {
                tracing::warn!(log = %self.name(), %error, "cannot copy from the leader");
                Follow::Pause
            }
        }
    }

    async fn take(
        &self,
        epoch: LeaderEpoch,
        answer: Answer,
        records: Bytes,
        alone: bool,
    ) -> Result<Follow, FollowError> {
        if matches!(answer, Answer::Records { .. }) && !records.is_empty() {
            self.copy(epoch, records, alone).await?;
        }
        let view = self.view();
        let local = Local {
            log_start: view.log_start(),
            log_end: view.log_end(),
            high_watermark: self.replica.high_watermark(),
        };
        let end_of_epoch = |epoch| {
            let end = view.end_offset_for_epoch(epoch);
            Divergence {
                epoch: end.epoch,
                end: end.end_offset,
            }
        };
        match next_step(answer, local, end_of_epoch) {
            Step::Append {
                high_watermark,
                log_start,
            } => {
                // First what the leader has dropped: what is here in its place may be another record,
                // and must not be shown as committed.
                if log_start > local.log_start {
                    self.start_later(epoch, log_start).await?;
                }
                self.tell_committed(epoch, high_watermark);
            }
            Step::Truncate {
                to,
                loses_committed,
            } => self.cut(epoch, to, loses_committed).await?,
            Step::RestartAt(at) => {
                let beginning = self.beginning(at).await?;
                let at = beginning.offset();
                tracing::info!(log = %self.name(), at, "begins anew where the leader's log does");
                self.change(epoch, |done| self.log().restart_at(beginning, done))
                    .await?;
                self.tell_committed(epoch, at);
            }
            Step::Pause => return Ok(Follow::Pause),
            Step::AwaitLeader => return Ok(Follow::AwaitLeader),
        }
        Ok(Follow::Fetch)
    }

    /// With what the log begins that has nothing of what its leader has. Where the topic tiers, the
    /// producers of what is before are in the bucket.
    pub(crate) async fn beginning(&self, at: Offset) -> Result<Beginning, BeginningError> {
        let readers = self.replica.around().past_readers.as_ref();
        match readers.filter(|_| at > 0 && self.view().tiered().is_some()) {
            Some(readers) => {
                let finding = readers.beginning(self.id(), at);
                let found = timeout(BEGINNING_PATIENCE, finding).await;
                let found = found.unwrap_or(Err(BeginningError::Late));
                let both = self.remote_traffic(readers);
                count(both, |it| &it.beginnings, 1);
                count(both, |it| &it.failed_beginnings, found.is_err().into());
                found
            }
            None => Ok(at.into()),
        }
    }

    /// Stores records and waits until they are flushed.
    async fn copy(
        &self,
        epoch: LeaderEpoch,
        records: Bytes,
        alone: bool,
    ) -> Result<(), FollowError> {
        let (tell, told) = oneshot::channel();
        let (replica, view) = (Arc::clone(&self.replica), self.view().clone());
        // Runs where the records are stored, before they are flushed: one word for both spares a
        // wake.
        let stored = move |result: Result<Appended, AppendError>| match result {
            Ok(appended) => {
                let end = appended.last_offset + 1;
                replica.when_flushed(end, || view.flushed(), tell);
            }
            // Who asked may have gone.
            Err(error) => drop(tell.send(Err(error))),
        };
        let leader_epoch = match holds(Guard::CopiedEpoch) {
            true => epoch,
            false => self.leader_epoch(),
        };
        let append = Append {
            frame_bytes: records.len(),
            batches: records,
            leader_epoch,
            origin: Origin::Replica,
            done: Box::new(stored),
        };
        // The log itself refuses it if a newer epoch has begun.
        let asked = match alone {
            true => self.log().append_here(append, Here::Syncs),
            false => self.log().append(append),
        };
        if let Err(refused) = asked {
            return Err(refused.busy.into());
        }
        Ok(told.await??)
    }

    async fn cut(
        &self,
        epoch: LeaderEpoch,
        to: Offset,
        loses_committed: bool,
    ) -> Result<(), FollowError> {
        if loses_committed {
            tracing::error!(
                log = %self.name(), to, committed = self.replica.high_watermark(),
                "records that were committed are cut: the leader does not have them"
            );
        }
        let cut = self
            .change(epoch, |done| self.log().truncate(to, done))
            .await;
        let end = cut.inspect_err(|error| {
            if let FollowError::Log(LogError::Corrupt { .. }) = error {
                self.tell_damage(error);
            }
        })?;
        if end < self.replica.high_watermark() {
            self.tell_committed(epoch, end);
        }
        Ok(())
    }

    async fn start_later(&self, epoch: LeaderEpoch, at: Offset) -> Result<(), FollowError> {
        self.change(epoch, |done| self.log().trim(at, done)).await?;
        self.replica.log_start_moved();
        Ok(())
    }

    /// Changes the log for the leader of `epoch`, and of no other: what is asked for while it is
    /// followed goes into the queue ahead of the next one's first word.
    async fn change<T: Send + 'static>(
        &self,
        epoch: LeaderEpoch,
        ask: impl FnOnce(Done<T>) -> Result<(), Busy>,
    ) -> Result<T, FollowError> {
        let (tell, told) = oneshot::channel();
        let done: Done<T> = Box::new(move |result| drop(tell.send(result)));
        let asked = self.replica.if_following(epoch, || ask(done));
        asked.ok_or(FollowError::Stale)??;
        Ok(told.await??)
    }

    fn tell_committed(&self, epoch: LeaderEpoch, end: Offset) {
        self.replica
            .if_following(epoch, || self.replica.know_committed(end));
    }
}
