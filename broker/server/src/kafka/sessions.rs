//! Incremental fetch sessions (KIP-227): a client names its partitions once, afterwards both sides
//! speak only of what has changed.
//!
//! A request costs what it names and what has moved, not what the session holds: see [`agenda`].
//!
//! A session is taken out of the cache while its request runs, so one fetch at a time works on it;
//! a second one for the same session finds it gone and gets [`SessionError::NotFound`], after which
//! every client falls back to a full fetch.

mod agenda;

use std::collections::HashMap;
use std::sync::Arc;

use freshet_partition::Isolation;
use freshet_types::{LeaderEpoch, Millis, Offset, PartitionId, TopicId};
use parking_lot::Mutex;

pub(crate) use agenda::{Agenda, Item};

/// A session may be pushed out by a new one after being idle for this long.
const EVICTABLE_AFTER_MS: u64 = 120_000;
/// Partitions that all sessions may hold together; a fetch above that gets no session.
const SESSION_PARTITIONS: usize = 1_000_000;

/// Asks for no session, or ends one.
const FINAL_EPOCH: i32 = -1;
/// Asks for a new session.
const INITIAL_EPOCH: i32 = 0;

/// Names a topic as the client did: by id from version 13 on, by name before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Named {
    Id(TopicId),
    Name(String),
}

/// What the client wants from a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) fetch_offset: Offset,
    pub(crate) last_fetched_epoch: LeaderEpoch,
    /// Where a replica's log starts; -1 for consumers.
    pub(crate) log_start: Offset,
    pub(crate) max_bytes: i32,
}

/// What the last response said of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable: Offset,
    pub(crate) log_start: Offset,
    /// It was an error, which is repeated until it has gone.
    pub(crate) error: bool,
}

impl Told {
    /// Nothing yet: the next response names the partition whatever its state.
    pub(crate) const NOTHING: Self = Self {
        high_watermark: -1,
        last_stable: -1,
        log_start: -1,
        error: true,
    };
}

/// Why a fetch cannot use its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("no such fetch session")]
    NotFound,
    #[error("the fetch session is at another epoch")]
    InvalidEpoch,
    #[error("the fetch session names topics in another way")]
    TopicIds,
}

/// A partition list with memory.
#[derive(Debug)]
pub(crate) struct Session {
    id: i32,
    /// The epoch that the next request must carry.
    next_epoch: i32,
    by_id: bool,
    isolation: Isolation,
    agenda: Agenda,
    /// Slots of the agenda.
    index: HashMap<Arc<Named>, HashMap<PartitionId, usize>>,
    /// What [`Cache::partitions`] counts for it.
    counted: usize,
}

impl Session {
    fn new(id: i32, by_id: bool, isolation: Isolation) -> Self {
        Self {
            id,
            next_epoch: INITIAL_EPOCH,
            by_id,
            isolation,
            agenda: Agenda::default(),
            index: HashMap::new(),
            counted: 0,
        }
    }

    /// What the client names in a request: new partitions, and new wishes for known ones.
    fn set(&mut self, asked: Asked) {
        if asked.partitions.is_empty() {
            return;
        }
        let named = match self.index.get_key_value(&asked.named) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::new(asked.named),
        };
        let slots = self.index.entry(Arc::clone(&named)).or_default();
        for (partition, position) in asked.partitions {
            match slots.get(&partition) {
                Some(&slot) => self.agenda.update(slot, position),
                None => {
                    let slot = self.agenda.add(&named, partition, position);
                    slots.insert(partition, slot);
                }
            }
        }
    }

    fn forget(&mut self, (named, partitions): (Named, Vec<PartitionId>)) {
        let Some(slots) = self.index.get_mut(&named) else {
            return;
        };
        for partition in partitions {
            if let Some(slot) = slots.remove(&partition) {
                self.agenda.remove(slot);
            }
        }
        if slots.is_empty() {
            self.index.remove(&named);
        }
    }

    /// What is readable depends on it: a change makes everything worth a look.
    fn isolate(&mut self, isolation: Isolation) {
        if self.isolation != isolation {
            self.isolation = isolation;
            self.agenda.make_all_due();
        }
    }

    fn advance(&mut self) {
        self.next_epoch = if self.next_epoch == i32::MAX {
            1
        } else {
            self.next_epoch + 1
        };
    }
}

/// How a fetch works.
#[derive(Debug)]
pub(crate) enum Fetching {
    /// All partitions are in the request and all are answered.
    Full(Agenda),
    /// The first fetch of a session: all partitions are answered.
    Fresh(Session),
    /// Only changes are answered.
    Incremental(Session),
}

impl Fetching {
    fn full(topics: Vec<Asked>) -> Self {
        let mut agenda = Agenda::default();
        for asked in topics {
            let named = Arc::new(asked.named);
            for (partition, position) in asked.partitions {
                agenda.add(&named, partition, position);
            }
        }
        Self::Full(agenda)
    }

    /// The id to answer with; 0 without a session.
    pub(crate) fn id(&self) -> i32 {
        match self {
            Self::Full(_) => 0,
            Self::Fresh(session) | Self::Incremental(session) => session.id,
        }
    }

    /// What to read.
    pub(crate) fn agenda(&mut self) -> &mut Agenda {
        match self {
            Self::Full(agenda) => agenda,
            Self::Fresh(session) | Self::Incremental(session) => &mut session.agenda,
        }
    }

    /// What outlives the fetch.
    pub(crate) fn into_session(self) -> Option<Session> {
        match self {
            Self::Full(_) => None,
            Self::Fresh(session) | Self::Incremental(session) => Some(session),
        }
    }
}

/// A topic of a request, with what is wanted from its partitions.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) named: Named,
    pub(crate) partitions: Vec<(PartitionId, Position)>,
}

/// The session part of a fetch request.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) isolation: Isolation,
    pub(crate) topics: Vec<Asked>,
    pub(crate) forgotten: Vec<(Named, Vec<PartitionId>)>,
}

#[derive(Debug)]
struct Cached {
    session: Session,
    last_used: Millis,
}

/// All sessions of a broker. Its lock is held to find one or to
/// put it back, never while a session's partitions are gone through.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// `max.incremental.fetch.session.cache.slots`
    slots: usize,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    /// Those that wait for their next request.
    idle: HashMap<i32, Cached>,
    /// How many are at a request.
    out: usize,
    /// Of all of them.
    partitions: usize,
}

impl Sessions {
    pub(crate) fn new(slots: usize) -> Self {
        let cache = Mutex::default();
        Self { slots, cache }
    }

    /// Finds, makes or ends the session a request speaks of. `random_id` names a new one.
    pub(crate) fn open(
        &self,
        opening: Opening,
        random_id: impl FnOnce() -> i32,
        now: Millis,
    ) -> Result<Fetching, SessionError> {
        let id = opening.session_id;
        match opening.session_epoch {
            FINAL_EPOCH => {
                self.end(id);
                Ok(Fetching::full(opening.topics))
            }
            INITIAL_EPOCH => {
                self.end(id);
                Ok(self.create(opening, random_id() & i32::MAX, now))
            }
            _ => self.resume(opening),
        }
    }

    /// Requests without a session name 0.
    fn end(&self, id: i32) {
        if id != 0 {
            let ended = self.cache.lock().end(id);
            drop(ended);
        }
    }

    fn create(&self, opening: Opening, id: i32, now: Millis) -> Fetching {
        let count = opening.topics.iter().map(|t| t.partitions.len()).sum();
        let Some(evicted) = self.cache.lock().make_room(id, count, self.slots, now) else {
            return Fetching::full(opening.topics);
        };
        drop(evicted);
        let mut session = Session::new(id, opening.by_id, opening.isolation);
        session.counted = count;
        for asked in opening.topics {
            session.set(asked);
        }
        Fetching::Fresh(session)
    }

    fn resume(&self, opening: Opening) -> Result<Fetching, SessionError> {
        let mut session = self.cache.lock().resume(&opening)?;
        for forgotten in opening.forgotten {
            session.forget(forgotten);
        }
        for asked in opening.topics {
            session.set(asked);
        }
        session.isolate(opening.isolation);
        Ok(Fetching::Incremental(session))
    }

    /// Puts a session back after its request; it expects the next epoch from now on.
    pub(crate) fn give_back(&self, mut session: Session, now: Millis) {
        session.advance();
        let mut cache = self.cache.lock();
        cache.out -= 1;
        cache.partitions -= session.counted;
        session.counted = session.agenda.len();
        cache.partitions += session.counted;
        let cached = Cached {
            last_used: now,
            session,
        };
        cache.idle.insert(cached.session.id, cached);
    }

    /// Sessions between two requests.
    pub(crate) fn len(&self) -> usize {
        self.cache.lock().idle.len()
    }
}

impl Cache {
    fn end(&mut self, id: i32) -> Option<Session> {
        let session = self.idle.remove(&id)?.session;
        self.partitions -= session.counted;
        Some(session)
    }

    fn resume(&mut self, opening: &Opening) -> Result<Session, SessionError> {
        let id = opening.session_id;
        let known = self.idle.get(&id).ok_or(SessionError::NotFound)?;
        if known.session.next_epoch != opening.session_epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if known.session.by_id != opening.by_id {
            return Err(SessionError::TopicIds);
        }
        let added: usize = opening.topics.iter().map(|t| t.partitions.len()).sum();
        if self.partitions + added > SESSION_PARTITIONS {
            drop(self.end(id));
            return Err(SessionError::NotFound);
        }
        let cached = self.idle.remove(&id).ok_or(SessionError::NotFound)?;
        self.out += 1;
        self.partitions += added;
        let mut session = cached.session;
        session.counted += added;
        Ok(session)
    }

    /// Whether a session of `count` partitions may be made; with the old one that must go for it.
    fn make_room(
        &mut self,
        id: i32,
        count: usize,
        slots: usize,
        now: Millis,
    ) -> Option<Option<Session>> {
        let fits = self.partitions + count <= SESSION_PARTITIONS;
        if id == 0 || self.idle.contains_key(&id) || !fits {
            return None;
        }
        let mut evicted = None;
        if self.idle.len() + self.out >= slots {
            let (&oldest, cached) = self.idle.iter().min_by_key(|(_, c)| c.last_used)?;
            if now - cached.last_used < EVICTABLE_AFTER_MS {
                return None;
            }
            evicted = self.end(oldest);
        }
        self.out += 1;
        self.partitions += count;
        Some(evicted)
    }
}

#[cfg(test)]
#[path = "sessions/tests.rs"]
mod tests;
