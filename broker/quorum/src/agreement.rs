//! The trait that a quorum answers to, whatever is behind it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use freshet_types::{ErrorKind, Published, StoredRecord};
use tokio::sync::watch;

/// What a quorum can keep.
pub trait Agreeable:
    Published<Request: Send, Reply: Send, Record: StoredRecord + Send, TimerKey: Send>
{
}

impl<M> Agreeable for M where
    M: Published<Request: Send, Reply: Send, Record: StoredRecord + Send, TimerKey: Send>
{
}

/// Why the quorum did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// Too many proposals wait.
    #[error("too many metadata changes are waiting: try again")]
    Busy,
    /// A write failed; nothing is agreed any more until the process restarts. Whether the change
    /// happened is unknown.
    #[error("the metadata log failed: {0}")]
    Storage(Arc<str>),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopped,
}

impl QuorumError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Busy => ErrorKind::Busy,
            Self::Storage(_) | Self::Stopped => ErrorKind::Unavailable,
        }
    }
}

/// An answer on its way.
pub type Agreed<'a, T> = Pin<Box<dyn Future<Output = Result<T, QuorumError>> + Send + 'a>>;

/// Agreement on one machine.
pub trait Quorum<M: Agreeable>: Send + Sync {
    /// Has the machine decide a request. The reply comes when its records are committed and the
    /// image that holds them is published.
    fn propose(&self, request: M::Request) -> Agreed<'_, M::Reply>;

    /// Ends when the published image holds everything that was committed before the call.
    fn barrier(&self) -> Agreed<'_, ()>;

    /// The committed image, now and whenever it changes.
    fn watch(&self) -> watch::Receiver<Arc<M::Image>>;
}
