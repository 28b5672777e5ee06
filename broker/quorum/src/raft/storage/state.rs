//! The machine as openraft sees it: committed entries go in, images come out.
//!
//! This machine only ever applies. What is decided, and may still be lost, lives in the leader's own
//! machine (see `leader.rs`), so that nobody is shown a state that is not agreed.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::Clock;
use freshet_types::{Offset, Position, StoredRecord};
use futures_util::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::keeper::{Job, Jobs};
use crate::Agreeable;
use crate::raft::footing::types::{
    LogId, Meta, StoredVoters, Types, decode_voters, encode_voters, entry_id, log_id,
};
use crate::store::{Snapshot, SnapshotMeta, decode_snapshot, encode_snapshot};

type RaftSnapshot = openraft::alias::SnapshotOf<Types, Bytes>;

/// Makes a machine that knows nothing yet.
pub(crate) type Blank<M> = Arc<dyn Fn() -> M + Send + Sync>;

/// The committed state. Behind a lock because openraft wants to share it; it never does.
pub(crate) struct State<M: Agreeable> {
    applied: Mutex<Applied<M>>,
    blank: Blank<M>,
    publish: watch::Sender<Arc<M::Image>>,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
    /// Tells that the log has grown enough for a snapshot.
    grown: mpsc::Sender<()>,
    snapshot_after_bytes: usize,
}

struct Applied<M> {
    machine: M,
    last: Option<LogId>,
    next_offset: Offset,
    voters: StoredVoters,
    /// Since the last snapshot was asked for.
    grown_bytes: usize,
}

/// What a state is made with.
pub(crate) struct StateParts<M: Agreeable> {
    pub(crate) blank: Blank<M>,
    pub(crate) jobs: Jobs,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) grown: mpsc::Sender<()>,
    pub(crate) snapshot_after_bytes: usize,
}

impl<M: Agreeable> State<M> {
    /// The state of the snapshot found on the disk.
    pub(crate) fn new(
        parts: StateParts<M>,
        found: Option<Snapshot>,
    ) -> io::Result<(Self, watch::Receiver<Arc<M::Image>>)> {
        let applied = match found {
            Some(snapshot) => restore(&parts.blank, &snapshot)?,
            None => Applied {
                machine: (parts.blank)(),
                last: None,
                next_offset: 0,
                voters: StoredVoters::default(),
                grown_bytes: 0,
            },
        };
        let (publish, image) = watch::channel(applied.machine.publish(applied.position()));
        let state = Self {
            applied: Mutex::new(applied),
            blank: parts.blank,
            publish,
            jobs: parts.jobs,
            clock: parts.clock,
            grown: parts.grown,
            snapshot_after_bytes: parts.snapshot_after_bytes,
        };
        Ok((state, image))
    }

    /// A second machine with all that is committed here. It has no soft state.
    pub(crate) fn copy(&self) -> M {
        let mut copy = (self.blank)();
        for record in self.applied.lock().machine.snapshot() {
            copy.apply(&record);
        }
        copy
    }

    fn show(&mut self) {
        let applied = self.applied.get_mut();
        self.publish
            .send_replace(applied.machine.publish(applied.position()));
    }
}

impl<M: Agreeable> Applied<M> {
    fn position(&self) -> Position {
        Position {
            offset: self.next_offset - 1,
            epoch: self.last.map_or(0, |last| epoch(last.leader_id.term)),
        }
    }

    fn take(&mut self, id: LogId, payload: &openraft::alias::PayloadOf<Types>) -> io::Result<()> {
        match payload {
            EntryPayload::Normal(decided) => {
                for bytes in &decided.0 {
                    self.machine.apply(&read::<M>(bytes)?);
                    self.grown_bytes += bytes.len();
                }
                self.next_offset += (decided.0.len() as Offset).max(1);
            }
            EntryPayload::Membership(voters) => {
                self.voters = StoredVoters::new(Some(id), voters.clone());
                self.next_offset += 1;
            }
            EntryPayload::Blank => self.next_offset += 1,
        }
        self.last = Some(id);
        Ok(())
    }

    fn meta(&self) -> SnapshotMeta {
        let voters_at = self.voters.log_id().as_ref().map(entry_id);
        SnapshotMeta {
            last: self.last.as_ref().map(entry_id).unwrap_or_default(),
            next_offset: self.next_offset,
            voters_at,
            voters: voters_at
                .map(|_| encode_voters(self.voters.membership()))
                .unwrap_or_default(),
        }
    }
}

/// Kafka's name and width for a term.
pub(crate) fn epoch(term: u64) -> i32 {
    i32::try_from(term).unwrap_or(i32::MAX)
}

fn read<M: Agreeable>(bytes: &Bytes) -> io::Result<M::Record> {
    M::Record::from_bytes(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn restore<M: Agreeable>(blank: &Blank<M>, snapshot: &Snapshot) -> io::Result<Applied<M>> {
    let mut machine = blank();
    for bytes in &snapshot.records {
        machine.apply(&read::<M>(bytes)?);
    }
    let meta = raft_meta(&snapshot.meta)?;
    Ok(Applied {
        machine,
        last: meta.last_log_id,
        next_offset: snapshot.meta.next_offset,
        voters: meta.last_membership,
        grown_bytes: 0,
    })
}

/// The part of a snapshot that openraft looks at.
pub(crate) fn raft_meta(meta: &SnapshotMeta) -> io::Result<Meta> {
    let last_membership = match meta.voters_at {
        Some(at) => StoredVoters::new(Some(log_id(at)), decode_voters(&meta.voters)?),
        None => StoredVoters::default(),
    };
    Ok(Meta {
        last_log_id: Some(log_id(meta.last)),
        last_membership,
    })
}

fn invalid_snapshot((position, why): (usize, String)) -> io::Error {
    let why = format!("the snapshot is damaged at byte {position}: {why}");
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl<M: Agreeable> RaftStateMachine<Types> for State<M> {
    type SnapshotData = Bytes;
    type SnapshotBuilder = Builder<M>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredVoters)> {
        let applied = self.applied.get_mut();
        Ok((applied.last, applied.voters.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        let mut waiting = Vec::new();
        while let Some((entry, responder)) = entries.try_next().await? {
            self.applied.get_mut().take(entry.log_id, &entry.payload)?;
            waiting.extend(responder);
        }
        // Who gets an answer must find what it says in the image.
        self.show();
        for responder in waiting {
            responder.send(());
        }
        let applied = self.applied.get_mut();
        if applied.grown_bytes >= self.snapshot_after_bytes {
            applied.grown_bytes = 0;
            // When one is asked for already, that one will do.
            let _ = self.grown.try_send(());
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<M> {
        let applied = self.applied.get_mut();
        Builder {
            meta: applied.meta(),
            records: applied.machine.snapshot(),
            jobs: self.jobs.clone(),
            clock: Arc::clone(&self.clock),
        }
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: Bytes) -> io::Result<()> {
        let found = decode_snapshot(&snapshot, -1).map_err(invalid_snapshot)?;
        let restored = restore(&self.blank, &found)?;
        if restored.last != meta.last_log_id {
            let why = "the snapshot is not the one that was announced";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let write = |done| Job::Snapshot(Box::new(found.meta.clone()), snapshot, done);
        self.jobs.ask(write).await?;
        *self.applied.get_mut() = restored;
        self.show();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<RaftSnapshot>> {
        let Some((meta, snapshot)) = self.jobs.ask(Job::ReadSnapshot).await? else {
            return Ok(None);
        };
        let meta = raft_meta(&meta)?;
        Ok(Some(RaftSnapshot { meta, snapshot }))
    }
}

/// A state at one moment, to be made a snapshot of while the original goes on.
pub(crate) struct Builder<M: Agreeable> {
    meta: SnapshotMeta,
    records: Vec<M::Record>,
    jobs: Jobs,
    clock: Arc<dyn Clock>,
}

impl<M: Agreeable> RaftSnapshotBuilder<Types> for Builder<M> {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> io::Result<RaftSnapshot> {
        let records: Vec<Bytes> = self.records.iter().map(|r| r.to_bytes().into()).collect();
        let bytes = encode_snapshot(&self.meta, &records, self.clock.wall())?;
        let (meta, written) = (self.meta.clone(), bytes.clone());
        let write = |done| Job::Snapshot(Box::new(meta), written, done);
        self.jobs.ask(write).await?;
        let meta = raft_meta(&self.meta)?;
        Ok(RaftSnapshot {
            meta,
            snapshot: bytes,
        })
    }
}
