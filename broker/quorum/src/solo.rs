//! A quorum of one: one thread owns the machine and its log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::watch::resting;
use freshet_env::{Clock, Disk, tasks};
use freshet_types::{Decision, Millis, Position, StoredRecord, Ticket, Timer};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use crate::guard::{Guard, holds};
use crate::store::{
    Content, Entry, EntryId, Opened, SnapshotMeta, Store, StoreError, encode_snapshot,
};
use crate::{Agreeable, Agreed, Leadership, Quorum, QuorumError};

/// Proposals that share one sync at most.
const PROPOSALS_AT_ONCE: usize = 512;

/// Limits of a [`Solo`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoloOptions {
    /// Proposals that may wait.
    pub queue_len: usize,
    /// Log growth after which a snapshot is written.
    pub snapshot_after_bytes: u64,
}

impl Default for SoloOptions {
    fn default() -> Self {
        Self {
            queue_len: 4096,
            snapshot_after_bytes: 8 << 20,
        }
    }
}

enum Command<M: Agreeable> {
    Propose(M::Request, oneshot::Sender<M::Reply>),
    Barrier(oneshot::Sender<()>),
    Stop,
}

/// The handle. Dropping it stops the thread after what was proposed before.
pub struct Solo<M: Agreeable> {
    commands: SyncSender<Command<M>>,
    image: watch::Receiver<Arc<M::Image>>,
    leadership: watch::Receiver<Leadership>,
    failure: Arc<Mutex<Option<Arc<str>>>>,
    stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<M: Agreeable> std::fmt::Debug for Solo<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Solo")
            .field("failure", &self.failure.lock())
            .finish_non_exhaustive()
    }
}

impl<M: Agreeable> Solo<M> {
    /// Replays the log in `dir` into `machine` and starts the thread. Blocks on the device.
    pub fn start(
        disk: Arc<dyn Disk>,
        dir: &std::path::Path,
        clock: Arc<dyn Clock>,
        mut machine: M,
        options: SoloOptions,
    ) -> Result<Self, StoreError> {
        let opened = Store::open(disk, dir)?;
        if opened.is_replicated() && holds(Guard::SoloStaysOut) {
            return Err(StoreError::Replicated {
                path: dir.to_owned(),
            });
        }
        let store = replay(opened, &mut machine, dir)?;
        let (commands, queue) = sync_channel(options.queue_len);
        let (publish, image) = watch::channel(machine.publish(position(&store)));
        let failure = Arc::new(Mutex::new(None));
        let keeper = Keeper {
            machine,
            store,
            clock,
            publish,
            options,
            failure: Arc::clone(&failure),
            timers: Vec::new(),
        };
        let thread =
            tasks::spawn_thread("metadata", move || keeper.run(&queue)).map_err(|error| {
                let why = error.to_string().into();
                StoreError::Io {
                    doing: "starting the thread for",
                    path: dir.to_owned(),
                    why,
                }
            })?;
        let (stopped, thread) = (AtomicBool::new(false), Mutex::new(Some(thread)));
        Ok(Self {
            commands,
            image,
            leadership: watch::channel(Leadership::ALONE).1,
            failure,
            stopped,
            thread,
        })
    }

    /// Ends the thread after what was proposed before. Blocks.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // A full queue still gets the command: the thread is draining it.
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the metadata thread panicked");
        }
    }

    fn send(&self, command: Command<M>) -> Result<(), QuorumError> {
        self.commands
            .try_send(command)
            .map_err(|refused| match refused {
                TrySendError::Full(_) => QuorumError::Busy,
                TrySendError::Disconnected(_) => self.gone(),
            })
    }

    fn gone(&self) -> QuorumError {
        match &*self.failure.lock() {
            Some(why) if !self.stopped.load(Ordering::Acquire) => {
                QuorumError::Storage(Arc::clone(why))
            }
            _ => QuorumError::Stopped,
        }
    }
}

impl<M: Agreeable> Quorum<M> for Solo<M> {
    fn propose(&self, request: M::Request) -> Agreed<'_, M::Reply> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(Command::Propose(request, reply));
        Box::pin(async move {
            sent?;
            answer.await.map_err(|_| self.gone())
        })
    }

    fn barrier(&self) -> Agreed<'_, ()> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(Command::Barrier(reply));
        Box::pin(async move {
            sent?;
            answer.await.map_err(|_| self.gone())
        })
    }

    fn watch(&self) -> watch::Receiver<Arc<M::Image>> {
        self.image.clone()
    }

    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }
}

/// Brings the machine to where the log is.
fn replay<M: Agreeable>(
    opened: Opened,
    machine: &mut M,
    dir: &std::path::Path,
) -> Result<Store, StoreError> {
    let snapshot = opened.snapshot.unwrap_or_default();
    let behind = |offset: &i64| *offset >= snapshot.meta.next_offset;
    let entries = opened.entries.iter().filter(|(offset, _)| behind(offset));
    let decided = entries.flat_map(|(_, entry)| match &entry.content {
        Content::Records(records) => records.as_slice(),
        Content::Blank | Content::Voters(_) => &[],
    });
    for bytes in snapshot.records.iter().chain(decided) {
        let record = M::Record::from_bytes(bytes).map_err(|error| StoreError::Corrupt {
            path: dir.to_owned(),
            position: 0,
            why: error.to_string().into(),
        })?;
        machine.apply(&record);
    }
    Ok(opened.store)
}

/// One voter has one term.
fn position(store: &Store) -> Position {
    Position {
        offset: store.next_offset() - 1,
        epoch: 0,
    }
}

/// What the thread owns.
struct Keeper<M: Agreeable> {
    machine: M,
    store: Store,
    clock: Arc<dyn Clock>,
    publish: watch::Sender<Arc<M::Image>>,
    options: SoloOptions,
    failure: Arc<Mutex<Option<Arc<str>>>>,
    /// Few: a list is enough.
    timers: Vec<(Millis, M::TimerKey)>,
}

/// What one round of the loop has gathered.
struct Round<M: Agreeable> {
    records: Vec<Bytes>,
    waiting: Vec<(Ticket, oneshot::Sender<M::Reply>)>,
    replies: Vec<(Ticket, M::Reply)>,
    barriers: Vec<oneshot::Sender<()>>,
    stop: bool,
}

impl<M: Agreeable> Keeper<M> {
    fn run(mut self, queue: &Receiver<Command<M>>) {
        let loaded = self.machine.loaded(self.clock.now());
        let mut first = Round::new();
        self.absorb(&mut first, loaded);
        if self.commit(first).is_err() {
            return;
        }
        loop {
            let mut round = Round::new();
            match self.wait(queue) {
                Ok(command) => self.take(&mut round, command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for command in queue.try_iter().take(PROPOSALS_AT_ONCE) {
                self.take(&mut round, command);
            }
            self.fire(&mut round);
            let stop = round.stop;
            if self.commit(round).is_err() || stop {
                return;
            }
        }
    }

    /// Until a command comes or the next timer is due.
    fn wait(&self, queue: &Receiver<Command<M>>) -> Result<Command<M>, RecvTimeoutError> {
        let next = self.timers.iter().map(|(at, _)| *at).min();
        resting(|| match next {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => queue.recv_timeout(Duration::from_millis(at - self.clock.monotonic())),
        })
    }

    fn fire(&mut self, round: &mut Round<M>) {
        let now = self.clock.now();
        while let Some(due) = self.timers.iter().position(|(at, _)| *at <= now.monotonic) {
            let (_, key) = self.timers.swap_remove(due);
            let decision = self.machine.fire(now, key);
            self.absorb(round, decision);
        }
    }

    fn take(&mut self, round: &mut Round<M>, command: Command<M>) {
        match command {
            Command::Propose(request, reply) => {
                let ticket = Ticket(round.waiting.len() as u64);
                round.waiting.push((ticket, reply));
                let decision = self.machine.decide(self.clock.now(), ticket, request);
                self.absorb(round, decision);
            }
            Command::Barrier(reply) => round.barriers.push(reply),
            Command::Stop => round.stop = true,
        }
    }

    fn absorb(&mut self, round: &mut Round<M>, decision: Decision<M>) {
        for record in decision.records {
            round.records.push(record.to_bytes().into());
            self.machine.apply(&record);
        }
        round.replies.extend(decision.replies);
        for Timer { key, at } in decision.timers {
            self.timers.retain(|(_, other)| *other != key);
            self.timers.extend(at.map(|at| (at, key)));
        }
    }

    /// Makes the round's records durable, shows the image, then answers. An error ends the
    /// thread: a failed sync must not be tried again, and what is in memory is ahead of the disk.
    fn commit(&mut self, round: Round<M>) -> Result<(), ()> {
        if !round.records.is_empty() {
            let now = self.clock.wall();
            let stored = self
                .store
                .append(&[self.entry(&round.records)], now)
                .and_then(|()| self.shorten());
            if let Err(error) = stored {
                tracing::error!(%error, "metadata can no longer be changed: restart the broker");
                *self.failure.lock() = Some(error.to_string().into());
                return Err(());
            }
            self.publish
                .send_replace(self.machine.publish(position(&self.store)));
        }
        round.answer();
        Ok(())
    }

    /// What was decided in one round is one entry: all of it survives a crash, or nothing.
    fn entry(&self, records: &[Bytes]) -> Entry {
        let last = self.store.last();
        let id = EntryId {
            term: last.map_or(0, |last| last.term),
            index: last.map_or(0, |last| last.index + 1),
        };
        Entry {
            id,
            content: Content::Records(records.to_vec()),
        }
    }

    fn shorten(&mut self) -> Result<(), StoreError> {
        let Some(last) = self.store.last() else {
            return Ok(());
        };
        if self.store.len_bytes() < self.options.snapshot_after_bytes {
            return Ok(());
        }
        let records = self.machine.snapshot();
        let records: Vec<Bytes> = records.iter().map(|r| r.to_bytes().into()).collect();
        let next_offset = self.store.next_offset();
        let meta = SnapshotMeta {
            last,
            next_offset,
            ..SnapshotMeta::default()
        };
        let bytes = encode_snapshot(&meta, &records, self.clock.wall())?;
        self.store.write_snapshot(&meta, &bytes)?;
        self.store.purge(last)
    }
}

impl<M: Agreeable> Round<M> {
    fn new() -> Self {
        Self {
            records: Vec::new(),
            waiting: Vec::new(),
            replies: Vec::new(),
            barriers: Vec::new(),
            stop: false,
        }
    }

    fn answer(self) {
        let mut replies = self.replies;
        replies.sort_by_key(|(ticket, _)| *ticket);
        let mut replies = replies.into_iter().peekable();
        for (ticket, waiting) in self.waiting {
            // Every proposal is answered in its own round; one without a reply is a bug of the
            // machine, and its caller sees `Stopped`.
            if let Some((_, reply)) = replies.next_if(|(replied, _)| *replied == ticket) {
                let _ = waiting.send(reply);
            }
        }
        for barrier in self.barriers {
            let _ = barrier.send(());
        }
    }
}

#[cfg(test)]
mod tests;
