//! The log as openraft sees it: what is not purged is held in memory, the keeper makes it durable.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use freshet_types::Offset;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use parking_lot::RwLock;

use super::keeper::{Job, Jobs};
use crate::guard::{Guard, holds};
use crate::raft::footing::types::{
    LogId, RaftLogEntry, Types, Vote, entry_id, log_id, raft_entry, stored_entry, stored_vote, vote,
};
use crate::store::{Entry, Purged, StoredVote};

/// A message to a follower carries no more than this, or one entry.
const MESSAGE_BYTES: usize = 1 << 20;

/// An entry with its place.
#[derive(Debug, Clone)]
struct Kept {
    entry: RaftLogEntry,
    offset: Offset,
    len_bytes: usize,
}

#[derive(Debug)]
struct Shared {
    /// Without a hole, from the entry after `purged` on.
    entries: VecDeque<Kept>,
    purged: Option<LogId>,
    next_offset: Offset,
    vote: Option<Vote>,
}

/// What was found on the disk.
pub(crate) struct Found {
    pub(crate) entries: Vec<(Offset, Entry)>,
    pub(crate) vote: Option<StoredVote>,
    pub(crate) purged: Option<Purged>,
    pub(crate) next_offset: Offset,
}

/// The log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    shared: Arc<RwLock<Shared>>,
    jobs: Jobs,
}

impl Log {
    pub(crate) fn new(found: Found, jobs: Jobs) -> io::Result<Self> {
        let kept = |(offset, entry): (Offset, Entry)| {
            let len_bytes = entry.content.len_bytes();
            raft_entry(entry).map(|entry| Kept {
                entry,
                offset,
                len_bytes,
            })
        };
        let shared = Shared {
            entries: found
                .entries
                .into_iter()
                .map(kept)
                .collect::<Result<_, _>>()?,
            purged: found.purged.map(|purged| log_id(purged.last)),
            next_offset: found.next_offset,
            vote: found.vote.map(vote),
        };
        Ok(Self {
            shared: Arc::new(RwLock::new(shared)),
            jobs,
        })
    }

    /// The offset after an entry: after the last one, when there is no such entry yet.
    pub(crate) fn offset_after(&self, index: u64) -> Option<Offset> {
        let shared = self.shared.read();
        let first = shared.entries.front()?.entry.log_id.index;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        let next = shared.entries.get(at + 1);
        Some(next.map_or(shared.next_offset, |kept| kept.offset))
    }

    /// The offset after the last entry.
    pub(crate) fn next_offset(&self) -> Offset {
        self.shared.read().next_offset
    }
}

impl Shared {
    fn place(&self, index: u64) -> usize {
        self.entries
            .partition_point(|kept| kept.entry.log_id.index < index)
    }

    fn range<R: RangeBounds<u64>>(&self, range: &R) -> impl Iterator<Item = &Kept> + use<'_, R> {
        let from = match range.start_bound() {
            Bound::Included(&index) => index,
            Bound::Excluded(&index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(&index) => index.saturating_add(1),
            Bound::Excluded(&index) => index,
            Bound::Unbounded => u64::MAX,
        };
        let (from, to) = (self.place(from), self.place(to));
        self.entries.range(from..to.max(from))
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<RaftLogEntry>> {
        let shared = self.shared.read();
        Ok(shared
            .range(&range)
            .map(|kept| kept.entry.clone())
            .collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<RaftLogEntry>> {
        let shared = self.shared.read();
        let mut room = MESSAGE_BYTES;
        let fits = |kept: &&Kept| {
            let fits = room > 0;
            room = room.saturating_sub(kept.len_bytes);
            fits
        };
        let entries = shared.range(&(start..end)).take_while(fits);
        Ok(entries.map(|kept| kept.entry.clone()).collect())
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.read().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        let shared = self.shared.read();
        let last = shared.entries.back().map(|kept| kept.entry.log_id);
        Ok(LogState {
            last_purged_log_id: shared.purged,
            last_log_id: last.or(shared.purged),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let stored = stored_vote(vote);
        if holds(Guard::VoteBeforeAnswer) {
            self.jobs.ask(|done| Job::Vote(stored, done)).await?;
        }
        self.shared.write().vote = Some(*vote);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftLogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut stored = Vec::new();
        {
            let mut shared = self.shared.write();
            for entry in entries {
                let to_store = stored_entry(&entry);
                let (offset, len_bytes) = (shared.next_offset, to_store.content.len_bytes());
                shared.next_offset += to_store.content.offsets();
                shared.entries.push_back(Kept {
                    entry,
                    offset,
                    len_bytes,
                });
                stored.push(to_store);
            }
        }
        self.jobs.send(Job::Append(stored, callback)).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index + 1);
        {
            let mut shared = self.shared.write();
            let keep = shared.place(from);
            if let Some(first) = shared.entries.get(keep) {
                shared.next_offset = first.offset;
            }
            shared.entries.truncate(keep);
        }
        self.jobs.ask(|done| Job::TruncateFrom(from, done)).await
    }

    async fn purge(&mut self, last: LogId) -> io::Result<()> {
        {
            let mut shared = self.shared.write();
            let gone = shared.place(last.index + 1);
            shared.entries.drain(..gone);
            shared.purged = shared.purged.max(Some(last));
        }
        let purge = |done| Job::Purge(entry_id(&last), done);
        let next_offset = self.jobs.ask(purge).await?;
        let mut shared = self.shared.write();
        if shared.entries.is_empty() {
            // A snapshot may have been further than the log.
            shared.next_offset = next_offset;
        }
        Ok(())
    }
}
