//! Incremental fetch sessions (KIP-227): a client names its partitions once, afterwards both sides
//! speak only of what has changed.
//!
//! Pure bookkeeping. A session is taken out of the cache while its request runs, so one fetch at a
//! time works on it; a second one for the same session finds it gone and gets
//! [`SessionError::NotFound`], after which every client falls back to a full fetch.

use std::collections::HashMap;

use freshet_types::{LeaderEpoch, Millis, Offset, PartitionId, TopicId};

/// A session may be pushed out by a new one after being idle for this long.
const EVICTABLE_AFTER_MS: u64 = 120_000;
/// Partitions that all sessions may hold together; a fetch above that gets no session.
const SESSION_PARTITIONS: usize = 1_000_000;

/// Asks for no session, or ends one.
const FINAL_EPOCH: i32 = -1;
/// Asks for a new session.
const INITIAL_EPOCH: i32 = 0;

/// Names a partition as the client did: by id from version 13 on, by name before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) topic_id: TopicId,
    pub(crate) topic: String,
    pub(crate) partition: PartitionId,
}

/// What the client wants from a partition, and what it was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) fetch_offset: Offset,
    pub(crate) last_fetched_epoch: LeaderEpoch,
    pub(crate) max_bytes: i32,
    pub(crate) told: Told,
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
    /// In the order in which they are served; those that had data go to the end.
    pub(crate) partitions: Vec<(Wanted, Position)>,
    index: HashMap<Wanted, usize>,
}

impl Session {
    fn new(id: i32, by_id: bool) -> Self {
        let (partitions, index) = (Vec::new(), HashMap::new());
        Self {
            id,
            next_epoch: INITIAL_EPOCH,
            by_id,
            partitions,
            index,
        }
    }

    fn set(&mut self, wanted: Wanted, position: Position) {
        match self.index.get(&wanted) {
            Some(&at) => {
                let told = self.partitions[at].1.told;
                self.partitions[at].1 = Position { told, ..position };
            }
            None => {
                self.index.insert(wanted.clone(), self.partitions.len());
                self.partitions.push((wanted, position));
            }
        }
    }

    fn forget(&mut self, gone: &[Wanted]) {
        if gone.is_empty() {
            return;
        }
        for wanted in gone {
            self.index.remove(wanted);
        }
        let index = &self.index;
        self.partitions
            .retain(|(wanted, _)| index.contains_key(wanted));
        self.reindex();
    }

    /// Serves partitions first next time that got nothing this time.
    pub(crate) fn rotate(&mut self, had_data: &[bool]) {
        if !had_data.contains(&true) {
            return;
        }
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for (entry, had) in self.partitions.drain(..).zip(had_data) {
            if *had {
                last.push(entry)
            } else {
                first.push(entry)
            }
        }
        first.append(&mut last);
        self.partitions = first;
        self.reindex();
    }

    fn reindex(&mut self) {
        let keys = self.partitions.iter().map(|(wanted, _)| wanted.clone());
        self.index = keys.zip(0..).collect();
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
    Full(Vec<(Wanted, Position)>),
    /// The first fetch of a session: all partitions are answered.
    Fresh(Session),
    /// Only changes are answered.
    Incremental(Session),
}

impl Fetching {
    /// The id to answer with; 0 without a session.
    pub(crate) fn id(&self) -> i32 {
        match self {
            Self::Full(_) => 0,
            Self::Fresh(session) | Self::Incremental(session) => session.id,
        }
    }

    /// What to read, in order.
    pub(crate) fn partitions(&self) -> &[(Wanted, Position)] {
        match self {
            Self::Full(partitions) => partitions,
            Self::Fresh(session) | Self::Incremental(session) => &session.partitions,
        }
    }
}

/// The session part of a fetch request.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) session_id: i32,
    pub(crate) session_epoch: i32,
    pub(crate) by_id: bool,
    pub(crate) partitions: Vec<(Wanted, Position)>,
    pub(crate) forgotten: Vec<Wanted>,
}

#[derive(Debug)]
struct Cached {
    session: Session,
    last_used: Millis,
}

/// All sessions of a broker that wait for their next request.
#[derive(Debug)]
pub(crate) struct Sessions {
    /// `max.incremental.fetch.session.cache.slots`
    slots: usize,
    idle: HashMap<i32, Cached>,
    partitions: usize,
}

impl Sessions {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots,
            idle: HashMap::new(),
            partitions: 0,
        }
    }

    /// Finds, makes or ends the session a request speaks of. `random_id` names a new one.
    pub(crate) fn open(
        &mut self,
        opening: Opening,
        random_id: i32,
        now: Millis,
    ) -> Result<Fetching, SessionError> {
        match opening.session_epoch {
            FINAL_EPOCH => {
                self.take(opening.session_id);
                Ok(Fetching::Full(opening.partitions))
            }
            INITIAL_EPOCH => {
                self.take(opening.session_id);
                Ok(self.create(opening, random_id, now))
            }
            _ => self.resume(opening),
        }
    }

    fn create(&mut self, opening: Opening, random_id: i32, now: Millis) -> Fetching {
        let id = random_id & i32::MAX;
        let fits = self.partitions + opening.partitions.len() <= SESSION_PARTITIONS;
        if id == 0 || self.idle.contains_key(&id) || !fits || !self.make_room(now) {
            return Fetching::Full(opening.partitions);
        }
        let mut session = Session::new(id, opening.by_id);
        for (wanted, position) in opening.partitions {
            session.set(wanted, position);
        }
        Fetching::Fresh(session)
    }

    fn resume(&mut self, opening: Opening) -> Result<Fetching, SessionError> {
        let cached = self
            .idle
            .get(&opening.session_id)
            .ok_or(SessionError::NotFound)?;
        if cached.session.next_epoch != opening.session_epoch {
            return Err(SessionError::InvalidEpoch);
        }
        if cached.session.by_id != opening.by_id {
            return Err(SessionError::TopicIds);
        }
        let mut session = self
            .take(opening.session_id)
            .ok_or(SessionError::NotFound)?;
        session.forget(&opening.forgotten);
        for (wanted, position) in opening.partitions {
            session.set(wanted, position);
        }
        Ok(Fetching::Incremental(session))
    }

    fn take(&mut self, id: i32) -> Option<Session> {
        let session = self.idle.remove(&id)?.session;
        self.partitions -= session.partitions.len();
        Some(session)
    }

    /// Puts a session back after its request; it expects the next epoch from now on.
    pub(crate) fn give_back(&mut self, mut session: Session, now: Millis) {
        session.advance();
        self.partitions += session.partitions.len();
        self.idle.insert(
            session.id,
            Cached {
                session,
                last_used: now,
            },
        );
    }

    fn make_room(&mut self, now: Millis) -> bool {
        if self.idle.len() < self.slots {
            return true;
        }
        let oldest = self.idle.iter().min_by_key(|(_, cached)| cached.last_used);
        let Some((&id, cached)) = oldest else {
            return false;
        };
        if now - cached.last_used < EVICTABLE_AFTER_MS {
            return false;
        }
        self.take(id);
        true
    }

    /// Sessions between two requests.
    pub(crate) fn len(&self) -> usize {
        self.idle.len()
    }
}

#[cfg(test)]
#[path = "sessions/tests.rs"]
mod tests;
