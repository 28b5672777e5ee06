//! Runs a [`Machine`] on one partition: persists what it decides, keeps its timers, releases its
//! replies once they are true.
//!
//! ```text
//!            ask()                       append                     committed
//!  caller ─────────► mailbox ─► decide ─────────► in flight (FIFO) ──────────► reply
//!                      ▲          │ apply at once      │
//!                    timers ◄─────┘                    └─ failed: answer all with an error,
//!                                                         forget the machine, load again
//! ```
//!
//! Records are applied as soon as they are decided, so decisions never wait for the disk; replies
//! wait in decision order behind the last record decided before them. A reader of state therefore
//! never sees anything that could still be lost (docs/decisions/0002).
//!
//! While the journal has no room, requests that may need it are refused before they are decided, and
//! timers wait: nothing was applied, so nothing has to be forgotten.
//!
//! The log stays bounded without a cleaner: after enough growth the host appends a full snapshot of
//! the machine as ordinary records, and once that is committed moves the log start up to it.

mod journal;
mod partition_journal;
mod timers;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use freshet_env::Clock;
use freshet_types::{Decision, ErrorKind, Machine, Now, Offset, Ticket, Timestamp};
use tokio::sync::{mpsc, oneshot};

pub use journal::{AppendWait, Entry, Journal, JournalError, Journaled};
pub use partition_journal::PartitionJournal;
use timers::Timers;

/// Requests that may wait for one machine.
const MAILBOX_REQUESTS: usize = 4096;
/// Requests decided between two appends.
const DECIDE_AT_ONCE: usize = 256;
/// Appends that may be under way for one machine.
const APPENDS_IN_FLIGHT: usize = 16;
/// Log growth that is always tolerated before a snapshot is written.
const SNAPSHOT_AFTER_BYTES: u64 = 16 << 20;
/// ... or this many times the size of the last snapshot, whichever is more.
const SNAPSHOT_GROWTH: u64 = 4;
/// How often timers that wait for room in the journal look for it.
const ROOM_PAUSE_MS: u64 = 1000;
/// Pause before a machine whose journal failed is loaded again.
const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// Why a machine did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Its log is still being replayed.
    #[error("the state of {0} is being loaded: try again in a moment")]
    Loading(Arc<str>),
    /// It does not live here (any more).
    #[error("{0} is not hosted by this broker")]
    NotHere(Arc<str>),
    /// Too many requests wait for it, or its log has no room. Nothing has happened.
    #[error("the queue or the log of {0} has no room: try again in a moment")]
    Busy(Arc<str>),
    /// What it decided could not be made durable.
    #[error("the log of {0} failed: the change may or may not have happened")]
    Storage(Arc<str>),
}

impl HostError {
    /// What the error means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Loading(_) | Self::NotHere(_) | Self::Storage(_) => ErrorKind::Unavailable,
            Self::Busy(_) => ErrorKind::Busy,
        }
    }
}

const LOADING: u8 = 0;
const READY: u8 = 1;
const FAILED: u8 = 2;

struct Envelope<M: Machine> {
    request: M::Request,
    reply: oneshot::Sender<Result<M::Reply, HostError>>,
}

/// A cheap handle on a hosted machine. The machine stops when the last handle is gone, or [`host`] is told
/// to end it: a request that waits holds a handle.
pub struct Hosted<M: Machine> {
    name: Arc<str>,
    mailbox: mpsc::Sender<Envelope<M>>,
    state: Arc<AtomicU8>,
}

impl<M: Machine> Clone for Hosted<M> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            mailbox: self.mailbox.clone(),
            state: Arc::clone(&self.state),
        }
    }
}

impl<M: Machine> std::fmt::Debug for Hosted<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hosted")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<M: Machine> Hosted<M> {
    /// Asks the machine and waits for a reply that is committed.
    pub async fn ask(&self, request: M::Request) -> Result<M::Reply, HostError> {
        match self.state.load(Ordering::Acquire) {
            READY => {}
            LOADING => return Err(HostError::Loading(Arc::clone(&self.name))),
            _ => return Err(HostError::Storage(Arc::clone(&self.name))),
        }
        let (reply, answer) = oneshot::channel();
        self.mailbox
            .try_send(Envelope { request, reply })
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => HostError::Busy(Arc::clone(&self.name)),
                mpsc::error::TrySendError::Closed(_) => HostError::NotHere(Arc::clone(&self.name)),
            })?;
        answer
            .await
            .unwrap_or_else(|_| Err(HostError::NotHere(Arc::clone(&self.name))))
    }
}

/// Starts hosting: replays the journal into `fresh()`, then serves until all handles are dropped, or `end` is
/// ready: then whoever waits is told that it is not here.
pub fn host<M, J>(
    name: &str,
    (journal, end): (J, impl Future + Send + 'static),
    clock: Arc<dyn Clock>,
    fresh: impl Fn() -> M + Send + 'static,
) -> Hosted<M>
where
    M: Journaled + Send + 'static,
    J: Journal,
{
    let (mailbox, requests) = mpsc::channel(MAILBOX_REQUESTS);
    let state = Arc::new(AtomicU8::new(LOADING));
    let name: Arc<str> = name.into();
    let task = Task {
        name: Arc::clone(&name),
        journal,
        clock,
        state: Arc::clone(&state),
        requests,
    };
    tokio::spawn(async move {
        tokio::select! {
            () = task.live(fresh) => {}
            _ = end => {}
        }
    });
    Hosted {
        name,
        mailbox,
        state,
    }
}

struct Task<M: Machine, J> {
    name: Arc<str>,
    journal: J,
    clock: Arc<dyn Clock>,
    state: Arc<AtomicU8>,
    requests: mpsc::Receiver<Envelope<M>>,
}

impl<M, J> Task<M, J>
where
    M: Journaled + Send + 'static,
    J: Journal,
{
    /// Loads and serves, again and again: a failed journal costs the machine, not the host.
    async fn live(mut self, fresh: impl Fn() -> M) {
        loop {
            match Life::load(&self, fresh()).await {
                Ok(life) => {
                    self.state.store(READY, Ordering::Release);
                    if self.serve(life).await.is_ok() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(machine = %self.name, %error, "cannot load: trying again");
                }
            }
            self.state.store(FAILED, Ordering::Release);
            self.refuse_waiting();
            tokio::time::sleep(RELOAD_PAUSE).await;
            if self.requests.is_closed() {
                return;
            }
            self.state.store(LOADING, Ordering::Release);
        }
    }

    /// Serves until all handles are gone (`Ok`) or the journal fails.
    async fn serve(&mut self, mut life: Life<M>) -> Result<(), JournalError> {
        let mut batch = Vec::with_capacity(DECIDE_AT_ONCE);
        let mut is_full = false;
        let now = self.clock.now();
        let loaded = life.machine.loaded(now);
        life.absorb(now, loaded);
        loop {
            life.flush(&self.journal);
            let pause = life.timers.next_at().map(|at| at - self.clock.monotonic());
            let at_least = if is_full { ROOM_PAUSE_MS } else { 0 };
            let pause = pause.map(|pause| pause.max(at_least));
            let room = life.in_flight.len() < APPENDS_IN_FLIGHT;
            tokio::select! {
                count = self.requests.recv_many(&mut batch, DECIDE_AT_ONCE), if room => {
                    if count == 0 {
                        return Ok(());
                    }
                    let now = self.clock.now();
                    is_full = self.look_for_room(is_full);
                    for envelope in batch.drain(..) {
                        if is_full && M::may_write(&envelope.request) {
                            let busy = HostError::Busy(Arc::clone(&self.name));
                            // A caller that has gone away needs no answer.
                            let _ = envelope.reply.send(Err(busy));
                        } else {
                            life.decide(now, envelope);
                        }
                    }
                }
                done = first(&mut life.in_flight) => {
                    if let Err(error) = self.committed(&mut life, done) {
                        tracing::error!(machine = %self.name, %error, "append failed: reloading");
                        return self.outlast(life).await.map_or(Ok(()), |()| Err(error));
                    }
                }
                () = sleep(pause), if room => {
                    is_full = self.look_for_room(is_full);
                    if !is_full {
                        life.fire(self.clock.now());
                    }
                }
            }
        }
    }

    /// Forgets a machine whose append has failed. What was appended behind that may still be committed: a
    /// machine that is loaded before this is known would not have what its log will have. Gives nothing if all
    /// handles are gone meanwhile.
    async fn outlast(&mut self, mut life: Life<M>) -> Option<()> {
        self.state.store(FAILED, Ordering::Release);
        let failed = HostError::Storage(Arc::clone(&self.name));
        life.fail_all(&failed);
        loop {
            tokio::select! {
                _ = first(&mut life.in_flight), if !life.in_flight.is_empty() => {
                    life.in_flight.pop_front();
                }
                envelope = self.requests.recv(), if !life.in_flight.is_empty() => {
                    // A caller that has gone away needs no answer.
                    let _ = envelope?.reply.send(Err(failed.clone()));
                }
                else => return Some(()),
            }
        }
    }

    /// The oldest append under way has ended.
    fn committed(
        &self,
        life: &mut Life<M>,
        done: Result<Offset, JournalError>,
    ) -> Result<(), JournalError> {
        let Some(append) = life.in_flight.pop_front() else {
            return Ok(());
        };
        match done {
            Ok(base_offset) if append.is_snapshot => self.journal.trim(base_offset),
            Ok(_) => {}
            // It says nothing new: the log only stays longer, until the next one.
            Err(error) if append.is_snapshot => {
                tracing::warn!(machine = %self.name, %error, "no snapshot: the log keeps its past");
            }
            Err(error) => return Err(error),
        }
        life.release(append.replies);
        Ok(())
    }

    /// Whether the journal is full now; says so when that changes.
    fn look_for_room(&self, was_full: bool) -> bool {
        let room = self.journal.room();
        match &room {
            Err(error) if !was_full => {
                tracing::warn!(machine = %self.name, %error, "no room: changes are refused");
            }
            Ok(()) if was_full => {
                tracing::info!(machine = %self.name, "there is room again");
            }
            _ => {}
        }
        room.is_err()
    }

    /// Answers what waits in the mailbox of a machine that is gone.
    fn refuse_waiting(&mut self) {
        while let Ok(envelope) = self.requests.try_recv() {
            let _ = envelope
                .reply
                .send(Err(HostError::Storage(Arc::clone(&self.name))));
        }
    }
}

async fn sleep(pause_ms: Option<u64>) {
    match pause_ms {
        Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
        None => std::future::pending().await,
    }
}

async fn first<R>(in_flight: &mut VecDeque<InFlight<R>>) -> Result<Offset, JournalError> {
    match in_flight.front_mut() {
        Some(append) => (&mut append.wait).await,
        None => std::future::pending().await,
    }
}

/// One append under way, with the replies that become true with it.
struct InFlight<R> {
    wait: AppendWait,
    replies: Vec<(Ticket, R)>,
    /// It carries a whole snapshot: all before it may go.
    is_snapshot: bool,
}

/// One loaded machine and all that hangs on it.
struct Life<M: Journaled> {
    machine: M,
    timers: Timers<M::TimerKey>,
    waiting: std::collections::HashMap<Ticket, oneshot::Sender<Result<M::Reply, HostError>>>,
    next_ticket: u64,
    entries: Vec<Entry>,
    replies: Vec<(Ticket, M::Reply)>,
    in_flight: VecDeque<InFlight<M::Reply>>,
    bytes_since_snapshot: u64,
    snapshot_bytes: u64,
}

impl<M: Journaled + Send + 'static> Life<M> {
    async fn load<J: Journal>(task: &Task<M, J>, mut machine: M) -> Result<Self, JournalError> {
        let mut bytes = 0;
        let mut unread = None;
        task.journal
            .replay(&mut |key, value| {
                bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
                match M::decode(key, value) {
                    Ok(Some(record)) if unread.is_none() => machine.apply(&record),
                    Ok(_) => {}
                    Err(why) => drop(unread.get_or_insert(why)),
                }
            })
            .await?;
        if let Some(why) = unread {
            return Err(JournalError {
                doing: "reading a record of",
                why,
                kind: ErrorKind::Corrupt,
            });
        }
        Ok(Self {
            machine,
            timers: Timers::new(),
            waiting: std::collections::HashMap::new(),
            next_ticket: 0,
            entries: Vec::new(),
            replies: Vec::new(),
            in_flight: VecDeque::new(),
            bytes_since_snapshot: bytes,
            snapshot_bytes: 0,
        })
    }

    fn decide(&mut self, now: Now, envelope: Envelope<M>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, envelope.reply);
        let decision = self.machine.decide(now, ticket, envelope.request);
        self.absorb(now, decision);
    }

    fn fire(&mut self, now: Now) {
        while let Some(key) = self.timers.due(now.monotonic) {
            let decision = self.machine.fire(now, key);
            self.absorb(now, decision);
        }
    }

    fn absorb(&mut self, now: Now, decision: Decision<M>) {
        for record in decision.records {
            let mut entry = M::encode(&record);
            if entry.timestamp == Timestamp::NONE {
                entry.timestamp = now.wall;
            }
            self.entries.push(entry);
            self.machine.apply(&record);
        }
        for timer in decision.timers {
            self.timers.set(timer);
        }
        self.replies.extend(decision.replies);
    }

    /// Starts the append of what was decided, and releases replies that wait for nothing.
    fn flush<J: Journal>(&mut self, journal: &J) {
        if !self.entries.is_empty() {
            let entries = std::mem::take(&mut self.entries);
            self.bytes_since_snapshot += entries.iter().map(Entry::size_bytes).sum::<u64>();
            let replies = std::mem::take(&mut self.replies);
            let wait = journal.append(entries);
            self.in_flight.push_back(InFlight {
                wait,
                replies,
                is_snapshot: false,
            });
            self.snapshot_if_grown(journal);
        } else if !self.replies.is_empty() {
            let replies = std::mem::take(&mut self.replies);
            match self.in_flight.back_mut() {
                Some(append) => append.replies.extend(replies),
                None => self.release(replies),
            }
        }
    }

    fn snapshot_if_grown<J: Journal>(&mut self, journal: &J) {
        let tolerated = SNAPSHOT_AFTER_BYTES.max(self.snapshot_bytes * SNAPSHOT_GROWTH);
        if self.bytes_since_snapshot < tolerated {
            return;
        }
        let entries: Vec<Entry> = self.machine.snapshot().iter().map(M::encode).collect();
        self.snapshot_bytes = entries.iter().map(Entry::size_bytes).sum();
        self.bytes_since_snapshot = 0;
        if entries.is_empty() {
            return;
        }
        let wait = journal.append(entries);
        self.in_flight.push_back(InFlight {
            wait,
            replies: Vec::new(),
            is_snapshot: true,
        });
    }

    fn release(&mut self, replies: Vec<(Ticket, M::Reply)>) {
        for (ticket, reply) in replies {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // A caller that has gone away needs no answer.
                let _ = waiting.send(Ok(reply));
            }
        }
    }

    fn fail_all(&mut self, error: &HostError) {
        for (_, waiting) in self.waiting.drain() {
            let _ = waiting.send(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
