//! The one owner of the files: it takes jobs in order, and syncs once for all appends that wait.
//!
//! In a process it is a thread of its own, because it blocks on the device. In a simulation it is a
//! task, because there the device is memory, and a thread would race with the simulated clock.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::{Clock, tasks, watch};
use freshet_types::Offset;
use openraft::storage::IOFlushed;
use tokio::sync::{mpsc, oneshot};

use crate::raft::footing::gate::spawn;
use crate::raft::footing::types::Types;
use crate::store::{Entry, EntryId, SnapshotMeta, Store, StoreError, StoredVote};

/// Jobs that may wait. openraft waits for its own appends, so that few ever do.
const QUEUE_LEN: usize = 1024;
/// Entries that share one sync at most.
const ENTRIES_AT_ONCE: usize = 4096;

/// Where the keeper runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seat {
    /// A thread of its own.
    #[default]
    Thread,
    /// A task on the runtime; for disks that never block.
    Task,
}

pub(crate) type Done<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the files are asked for.
pub(crate) enum Job {
    Append(Vec<Entry>, IOFlushed<Types>),
    Vote(StoredVote, Done<()>),
    TruncateFrom(u64, Done<()>),
    /// Gives the offset at which the log goes on.
    Purge(EntryId, Done<Offset>),
    Snapshot(Box<SnapshotMeta>, Bytes, Done<()>),
    ReadSnapshot(Done<Option<(SnapshotMeta, Bytes)>>),
}

/// The way to the keeper.
#[derive(Debug, Clone)]
pub(crate) struct Jobs(mpsc::Sender<Job>);

impl Jobs {
    pub(crate) async fn send(&self, job: Job) -> io::Result<()> {
        let gone = |_| io::Error::other("the metadata log is closed");
        self.0.send(job).await.map_err(gone)
    }

    /// Sends a job and waits for its end.
    pub(crate) async fn ask<T>(&self, job: impl FnOnce(Done<T>) -> Job) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        self.send(job(done)).await?;
        let answer = answer.await;
        Ok(answer.map_err(|_| io::Error::other("the metadata log is closed"))??)
    }
}

struct Keeper {
    store: Store,
    clock: Arc<dyn Clock>,
}

/// Starts the keeper. It ends when every way to it is gone, or after the first failure: what a
/// failed sync left on the disk is unknown, and it must not be tried again.
pub(crate) fn start(store: Store, clock: Arc<dyn Clock>, seat: Seat) -> io::Result<Jobs> {
    let (jobs, mut queue) = mpsc::channel(QUEUE_LEN);
    let mut keeper = Keeper { store, clock };
    match seat {
        Seat::Thread => {
            tasks::spawn_thread("metadata", move || {
                let mut next = watch::resting(|| queue.blocking_recv());
                while let Some(job) = next.take() {
                    match keeper.work(job, &mut queue) {
                        Ok(left) => {
                            next = left.or_else(|| watch::resting(|| queue.blocking_recv()))
                        }
                        Err(error) => return report(&error),
                    }
                }
            })?;
        }
        Seat::Task => {
            spawn(async move {
                let mut next = queue.recv().await;
                while let Some(job) = next.take() {
                    match keeper.work(job, &mut queue) {
                        Ok(Some(left)) => next = Some(left),
                        Ok(None) => next = queue.recv().await,
                        Err(error) => return report(&error),
                    }
                }
            });
        }
    }
    Ok(Jobs(jobs))
}

fn report(error: &StoreError) {
    tracing::error!(%error, "the metadata log can no longer be written: restart the broker");
}

impl Keeper {
    /// Does a job. Appends take along those that wait behind them; the job that ended this is
    /// given back.
    fn work(
        &mut self,
        job: Job,
        queue: &mut mpsc::Receiver<Job>,
    ) -> Result<Option<Job>, StoreError> {
        match job {
            Job::Append(entries, flushed) => return self.append(entries, flushed, queue),
            Job::Vote(vote, done) => answer(done, self.store.save_vote(vote))?,
            Job::TruncateFrom(index, done) => answer(done, self.store.truncate_from(index))?,
            Job::Purge(last, done) => {
                let purged = self.store.purge(last);
                answer(done, purged.map(|()| self.store.next_offset()))?;
            }
            Job::Snapshot(meta, bytes, done) => {
                answer(done, self.store.write_snapshot(&meta, &bytes))?;
            }
            Job::ReadSnapshot(done) => answer(done, self.store.read_snapshot())?,
        }
        Ok(None)
    }

    fn append(
        &mut self,
        mut entries: Vec<Entry>,
        flushed: IOFlushed<Types>,
        queue: &mut mpsc::Receiver<Job>,
    ) -> Result<Option<Job>, StoreError> {
        let (mut waiting, mut left) = (vec![flushed], None);
        while entries.len() < ENTRIES_AT_ONCE {
            match queue.try_recv() {
                Ok(Job::Append(more, flushed)) => {
                    entries.extend(more);
                    waiting.push(flushed);
                }
                Ok(other) => {
                    left = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let appended = self.store.append(&entries, self.clock.wall());
        for flushed in waiting {
            flushed.io_completed(appended.clone().map_err(io::Error::from));
        }
        appended.map(|()| left)
    }
}

fn answer<T>(done: Done<T>, result: Result<T, StoreError>) -> Result<(), StoreError> {
    let failed = result.as_ref().err().cloned();
    let _ = done.send(result);
    failed.map_or(Ok(()), Err)
}
