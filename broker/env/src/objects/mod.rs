//! The object store, as far as we use it: immutable objects under names, written once, read in ranges.
//!
//! Nothing is ever overwritten: a name is drawn for one attempt. An error says whether the store *has
//! not* done what was asked, or *may* have done it ([`ObjectFailure::Unanswered`]): a put whose
//! answer was lost is asked after with [`Objects::head`], never assumed.

use std::fmt::Debug;
use std::future::{Future, ready};
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use freshet_types::{ErrorKind, Retry, Timestamp};

mod asked;
#[cfg(any(test, feature = "contract"))]
mod memory;
pub mod mounted;

pub use asked::{RequestCounts, RequestKind};
#[cfg(any(test, feature = "contract"))]
pub use memory::{MemoryObjects, whole};

/// What an object store says, some time later.
pub type ObjectWait<'a, T> = Pin<Box<dyn Future<Output = Result<T, ObjectError>> + Send + 'a>>;

/// Why an object store did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectFailure {
    /// No such object.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Slower, please: 429, 503 SlowDown.
    Throttled,
    /// No answer, or 500: it may have been done.
    Unanswered,
    /// It could not be reached: nothing was done.
    Unreachable,
    /// Credentials are missing, expired, or not enough; or the store's own certificate is not believed.
    Denied,
    /// The request can never succeed: no such bucket, a range beyond the end, a name that is too long.
    Invalid,
}

impl ObjectFailure {
    /// Whether it says nothing of what was asked: a moment later the answer may be another.
    pub fn passes(self) -> bool {
        matches!(self, Self::Throttled | Self::Unanswered | Self::Unreachable)
    }
}

/// An operation on the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing} {key}: {failure:?}: {why}")]
pub struct ObjectError {
    /// What was tried.
    pub doing: &'static str,
    /// With which name or prefix.
    pub key: String,
    /// What became of it.
    pub failure: ObjectFailure,
    /// In the store's words.
    pub why: String,
}

impl ObjectError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self.failure {
            ObjectFailure::NotFound => ErrorKind::NotFound,
            ObjectFailure::AlreadyExists => ErrorKind::Conflict,
            ObjectFailure::Throttled => ErrorKind::Busy,
            ObjectFailure::Unanswered | ObjectFailure::Unreachable | ObjectFailure::Denied => {
                ErrorKind::Unavailable
            }
            ObjectFailure::Invalid => ErrorKind::Invalid,
        }
    }

    /// When it is worth trying again. Credentials come back too, so `Denied` is tried for ever.
    pub fn retry(&self) -> Retry {
        self.kind().retry()
    }
}

/// What an object is made of, from its first byte to its last. It is read once: who may have to send a
/// part again keeps it.
pub trait ObjectBody: Send {
    /// The next bytes: as many as are asked for, or all that are left. They may lie in several places,
    /// and nothing is copied to bring them together.
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>>;
}

impl ObjectBody for Bytes {
    fn part(&mut self, bytes: u64) -> ObjectWait<'_, Vec<Bytes>> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let part = self.split_to(bytes.min(self.len()));
        Box::pin(ready(Ok(vec![part])))
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length.
    pub len_bytes: u64,
    /// When it was stored, by the store's own clock, to a second at best. Only compared with that of another object
    /// of the same store.
    pub modified: Timestamp,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Names, ascending as bytes, with what is known of them.
    pub objects: Vec<(String, ObjectHead)>,
    /// Whether there is more behind the last one.
    pub more: bool,
}

/// An object store.
///
/// All that is asked may take a minute, and is answered on whatever thread asks.
pub trait Objects: Debug + Send + Sync + 'static {
    /// Stores a new object, whole or not at all. A large one travels in parts while its body is read: if
    /// that fails, nothing is stored.
    ///
    /// # Errors
    /// The body's own. `AlreadyExists` if the name is taken, also by an earlier try of the same put. A store
    /// that cannot refuse large objects (no conditional completion) may overwrite instead: names are
    /// drawn anew for every attempt, so it is the same attempt's bytes then.
    fn put_new<'a>(&'a self, key: &'a str, body: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()>;

    /// Reads a range, all of it.
    ///
    /// # Errors
    /// `Invalid` if the object ends before the range does.
    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> ObjectWait<'a, Bytes>;

    /// Reads a range, all of it, in pieces of `piece` bytes, the last of which may be shorter. No piece
    /// keeps another one in memory. One request, which costs a store less than one for each piece.
    ///
    /// # Errors
    /// As [`Self::get_range`].
    fn get_pieces<'a>(
        &'a self,
        key: &'a str,
        range: Range<u64>,
        piece: usize,
    ) -> ObjectWait<'a, Vec<Bytes>> {
        Box::pin(async move {
            let whole = self.get_range(key, range).await?;
            let pieces = whole.chunks(piece.max(1));
            Ok(pieces.map(Bytes::copy_from_slice).collect())
        })
    }

    /// What is known of an object.
    fn head<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ObjectHead>;

    /// Names that begin with `prefix` and come behind `after`, `at_most` of them. May be old: an object
    /// that is listed may be gone, one that is there may be missing.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        at_most: usize,
    ) -> ObjectWait<'a, Listing>;

    /// Removes an object. One that is not there is removed already.
    fn delete<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ()>;
}

/// The time of the store: that of an object that is stored now under `key`, which nobody else uses, and removed.
///
/// # Errors
/// As of the three requests; what was stored may stay then.
pub async fn store_time(objects: &dyn Objects, key: &str) -> Result<Timestamp, ObjectError> {
    let mut words = Bytes::from_static(b"stored for a moment, to learn the time of the store\n");
    objects.put_new(key, &mut words).await?;
    let head = objects.head(key).await;
    objects.delete(key).await?;
    Ok(head?.modified)
}
