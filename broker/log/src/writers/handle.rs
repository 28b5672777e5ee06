//! The outside of a log's owner: commands into its queue.

use std::sync::Arc;

use freshet_types::{LeaderEpoch, Offset, Timestamp};

use super::command::{Answer, Command, FULL, Op, Queue, QueuedAppend};
use super::{Replaced, Retained};
use crate::batch::{Rules, prepare};
use crate::{
    Append, AppendError, Beginning, Busy, Done, Here, LogConfig, LogView, Origin, Progress, Refused,
};

/// Changes one log. Cheap to clone. Commands run in the order in which they were sent.
///
/// Callbacks run on the log's append thread, in that order, or on the thread that makes an append
/// itself ([`LogHandle::append_here`]); those of `trim`, `flush`, `close` and `delete` on its
/// directory's flush thread, once what they answer is durable.
#[derive(Debug, Clone)]
pub struct LogHandle {
    view: LogView,
    id: usize,
    queue: Arc<Queue>,
}

impl LogHandle {
    pub(super) fn new(view: LogView, id: usize, queue: Arc<Queue>) -> Self {
        Self { view, id, queue }
    }

    /// Readers' side of the log.
    pub fn view(&self) -> &LogView {
        &self.view
    }

    /// Stores batches. They are checked on the calling thread (CRC, and decompression where a
    /// setting forces it); the answer always comes through `append.done` on the append thread,
    /// unless there is no room for the question: then the callback is given back. Producers have
    /// limits here that other origins do not have.
    pub fn append(&self, append: Append) -> Result<(), Refused> {
        let queued = self.prepared(append)?;
        self.queued(queued)
    }

    /// The same, but few bytes are stored by the calling thread if the log's own has nothing to do;
    /// `done` has run then when this returns.
    pub fn append_here(&self, append: Append, here: Here) -> Result<(), Refused> {
        let queued = self.prepared(append)?;
        match self.queue.do_here(self.id, queued, here) {
            Some(queued) => self.queued(queued),
            None => Ok(()),
        }
    }

    fn prepared(&self, append: Append) -> Result<QueuedAppend, Refused> {
        let bytes = append.batches.len();
        let permit = match self.queue.permit(bytes, append.origin) {
            Ok(permit) => permit,
            Err(busy) => return Err(Refused::new(busy, append.done)),
        };
        let shared = &self.view.0;
        let config = shared.config.load();
        let rules = Rules {
            config: &config,
            origin: append.origin,
            leader_epoch: append.leader_epoch,
            now: shared.context.clock.wall(),
        };
        let prepared = self
            .room(append.origin)
            .and_then(|()| prepare(append.batches, append.frame_bytes, &rules));
        Ok(QueuedAppend {
            prepared,
            permit,
            done: Answer::new(append.done, shared),
        })
    }

    fn queued(&self, append: QueuedAppend) -> Result<(), Refused> {
        let command = self.command(Op::Append(append));
        match self.queue.offer(command).and_then(Command::refuse) {
            Some(done) => Err(Refused::new(FULL, done)),
            None => Ok(()),
        }
    }

    /// Whether the disk has room for appends of this origin, as `append` would find it. Reads,
    /// deletes and trims go on below the reserve; what the broker itself must write may use half of
    /// it.
    pub fn room(&self, origin: Origin) -> Result<(), AppendError> {
        let shared = &self.view.0;
        let reserve = shared.context.options.reserve_bytes;
        let needed = match origin {
            Origin::Client => reserve,
            Origin::Coordinator | Origin::Replica => reserve / 2,
        };
        let available_bytes = shared.dir.available_bytes();
        if available_bytes < needed {
            return Err(AppendError::DiskFull { available_bytes });
        }
        Ok(())
    }

    /// Moves the log start up to `to` (never back, never above the log end) and deletes segments
    /// below. Readers see the new start before the answer, which comes once it is durable.
    pub fn trim(&self, to: Offset, done: Done<Offset>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Trim { to, done })
    }

    /// Cuts all records at `to` and above; answers the new log end once that is durable. A batch
    /// that spans `to` goes whole, so the end may be below `to`.
    pub fn truncate(&self, to: Offset, done: Done<Offset>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Truncate { to, done })
    }

    /// Throws all records away and begins elsewhere: what is before that others have.
    pub fn restart_at(
        &self,
        beginning: impl Into<Beginning>,
        done: Done<Offset>,
    ) -> Result<(), Busy> {
        let beginning = beginning.into();
        let done = self.answer(done);
        self.send(Op::RestartAt { beginning, done })
    }

    /// A new leader epoch begins at the log end, before its first record.
    pub fn start_epoch(&self, epoch: LeaderEpoch, done: Done<()>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::StartEpoch { epoch, done })
    }

    /// From now on appends that were asked for under an earlier leader epoch are refused. Nothing is
    /// stored: a follower's log knows an epoch only by its records.
    pub fn fence(&self, epoch: LeaderEpoch, done: Done<()>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Fence { epoch, done })
    }

    /// New settings, from the next append on. Never refused.
    pub fn configure(&self, config: Arc<LogConfig>) {
        self.view.0.configure(config);
    }

    /// Applies `retention.*`, forgets idle producers, and checkpoints what was written since the
    /// last time. Only records below `limit` (the high watermark) are deleted.
    pub fn retain(&self, now: Timestamp, limit: Offset, done: Done<Retained>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Retain { now, limit, done })
    }

    /// Closes the active segment and starts a new one, unless it is empty.
    pub fn roll(&self, done: Done<()>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Roll { done })
    }

    /// Makes all that was appended before durable, whatever the topic's durability; answers the
    /// durable end.
    pub fn flush(&self, done: Done<Offset>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Flush { done })
    }

    /// Flushes and closes; later commands answer `Closed`, the view still reads.
    pub fn close(&self, done: Done<()>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Close { done })
    }

    /// Closes and deletes: renamed at once, which is durable when `done` runs; files go later.
    pub fn delete(&self, done: Done<()>) -> Result<(), Busy> {
        let done = self.answer(done);
        self.send(Op::Delete { done })
    }

    /// Has a copy of this log in another directory take its place, and deletes what it replaces. What
    /// the copy lacks still is copied now, if that is not much; all that the log knows of producers
    /// and leader epochs goes with it. Commands sent before to this handle are done before, later
    /// ones by the copy, so nothing gets lost between the two; but this handle's view stays behind.
    ///
    /// `done` runs before anything is written to the copy. Whatever fails before that leaves the log
    /// as it was; a crash leaves either or both, and then both are the same
    /// ([`Writers::keep_one`](crate::Writers::keep_one)).
    ///
    /// # Panics
    /// When `future` was not opened beside this log.
    pub fn replace_by(
        &self,
        future: &Self,
        progress: Arc<dyn Progress>,
        done: Done<Replaced>,
    ) -> Result<(), Busy> {
        let same = Arc::ptr_eq(&self.queue, &future.queue);
        assert!(
            same,
            "a copy takes the place of the log it was opened beside"
        );
        let (id, queue) = (self.id, Arc::clone(&self.queue));
        let taken = move |result: Result<Option<LogView>, _>| {
            done(result.map(|view| match view {
                Some(view) => Replaced::By(Self::new(view, id, queue)),
                None => Replaced::Behind,
            }));
        };
        self.send(Op::TakeOver {
            future: future.id,
            progress,
            done: self.answer(Box::new(taken)),
        })
    }

    /// The thread that owns the log.
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// [`LogHandle::close`] for a plain thread that must not be refused: waits for room in the queue.
    pub fn close_waiting(&self, done: Done<()>) {
        let done = self.answer(done);
        self.queue.send(self.command(Op::Close { done }));
    }

    /// Deletes; waits for room in the queue.
    pub(super) fn delete_waiting(&self, done: Done<()>) {
        let done = self.answer(done);
        self.queue.send(self.command(Op::Delete { done }));
    }

    fn answer<T>(&self, done: Done<T>) -> Answer<T> {
        Answer::new(done, &self.view.0)
    }

    fn send(&self, op: Op) -> Result<(), Busy> {
        match self.queue.offer(self.command(op)) {
            Some(command) => {
                command.refuse();
                Err(FULL)
            }
            None => Ok(()),
        }
    }

    fn command(&self, op: Op) -> Command {
        Command::Op { id: self.id, op }
    }
}
