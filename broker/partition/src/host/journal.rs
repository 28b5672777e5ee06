//! Where a hosted machine's records live: one partition of an internal topic.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use freshet_types::{ErrorKind, Machine, Offset, Timestamp};

/// A machine whose records have a key and a value, as records of a compacted topic do.
pub trait Journaled:
    Machine<Request: Send, Reply: Send, Record: Send, TimerKey: Send> + Sized
{
    /// A record's form in the log.
    fn encode(record: &Self::Record) -> Entry;

    /// Reads a record back; `None` for one that may be left out.
    ///
    /// # Errors
    /// It may not be: the machine would decide against what was agreed. Its loading ends there.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Self::Record>, String>;

    /// Whether records may come of a request. Others are answered also while the journal has no
    /// room.
    fn may_write(_request: &Self::Request) -> bool {
        true
    }
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What the record is about.
    pub key: Bytes,
    /// Its new value; `None` forgets the key.
    pub value: Option<Bytes>,
    /// When it was decided; the host fills in its own time where the record has none.
    pub timestamp: Timestamp,
}

impl Entry {
    /// Key and value together.
    pub fn size_bytes(&self) -> u64 {
        (self.key.len() + self.value.as_ref().map_or(0, Bytes::len)) as u64
    }
}

/// Why a journal could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing} the journal: {why}")]
pub struct JournalError {
    /// What was tried.
    pub doing: &'static str,
    /// What went wrong.
    pub why: String,
    /// What it means.
    pub kind: ErrorKind,
}

/// Ends when all entries of an append are committed; gives the offset of the first.
pub type AppendWait = Pin<Box<dyn Future<Output = Result<Offset, JournalError>> + Send>>;

/// Called with key and value of each record, oldest first.
pub(crate) type Replayed<'a> = &'a mut (dyn FnMut(&[u8], Option<&[u8]>) + Send);

/// An ordered, durable list of entries.
pub trait Journal: Send + Sync + 'static {
    /// Reads all committed entries.
    fn replay(&self, each: Replayed<'_>) -> impl Future<Output = Result<(), JournalError>> + Send;

    /// Whether an append would find room now. Cheap: asked before each decision that may need one.
    fn room(&self) -> Result<(), JournalError>;

    /// Appends entries as a whole. The order of calls is the order in the log.
    fn append(&self, entries: Vec<Entry>) -> AppendWait;

    /// Entries below `offset` are not needed any more.
    fn trim(&self, offset: Offset);
}
