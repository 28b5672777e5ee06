//! The trait that a quorum answers to, whatever is behind it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use freshet_types::{ErrorKind, NodeId, Published, StoredRecord};
use tokio::sync::watch;

/// What a quorum can keep.
pub trait Agreeable:
    Published<Request: Send, Reply: Send, Record: StoredRecord + Send + Sync, TimerKey: Send>
    + Send
    + 'static
{
}

impl<M> Agreeable for M where
    M: Published<Request: Send, Reply: Send, Record: StoredRecord + Send + Sync, TimerKey: Send>
        + Send
        + 'static
{
}

/// Why the quorum did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// Too many proposals wait.
    #[error("too many metadata changes are waiting: try again")]
    Busy,
    /// Another controller decides, or none does at the moment. Nothing was changed.
    #[error("this is not the active controller; {}", leader.map_or_else(
        || "nobody is at the moment: is a majority of the controllers up?".to_owned(),
        |leader| format!("{leader} is"),
    ))]
    NotLeader {
        /// Who is, as far as it is known here.
        leader: Option<NodeId>,
    },
    /// The controller was deposed before its decision was agreed to. Whether the change happened
    /// is unknown.
    #[error("the active controller changed: whether the change was made is not known yet")]
    Deposed,
    /// What was decided does not fit into one message between controllers. Nothing was changed.
    #[error("the change makes {bytes} bytes of metadata at once: divide it")]
    TooLarge {
        /// What it would have taken.
        bytes: usize,
    },
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
            Self::TooLarge { .. } => ErrorKind::Invalid,
            Self::NotLeader { .. } | Self::Deposed | Self::Storage(_) | Self::Stopped => {
                ErrorKind::Unavailable
            }
        }
    }
}

/// An answer on its way.
pub type Agreed<'a, T> = Pin<Box<dyn Future<Output = Result<T, QuorumError>> + Send + 'a>>;

/// A moment that will come.
pub type Moment<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Who decides, as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// The node that decides; `None` while nobody is known to.
    pub leader: Option<NodeId>,
    /// The term, which Kafka calls the controller's epoch. It never goes back.
    pub epoch: i32,
    /// Whether this node decides, and has taken in all that was decided before it.
    pub is_mine: bool,
}

impl Leadership {
    /// A quorum of one has nobody to lose the lead to, and does not need to know its own name.
    pub const ALONE: Self = Self {
        leader: None,
        epoch: 0,
        is_mine: true,
    };
    /// Nothing is known yet.
    pub const NOBODY: Self = Self {
        leader: None,
        epoch: 0,
        is_mine: false,
    };
}

/// Agreement on one machine.
pub trait Quorum<M: Agreeable>: Send + Sync {
    /// Has the machine decide a request. The reply comes when its records are committed and the
    /// image that holds them is published. Only the leader decides; the error names it.
    fn propose(&self, request: M::Request) -> Agreed<'_, M::Reply>;

    /// Ends when the published image holds everything that was committed before the call.
    fn barrier(&self) -> Agreed<'_, ()>;

    /// The committed image, now and whenever it changes.
    fn watch(&self) -> watch::Receiver<Arc<M::Image>>;

    /// Who decides, now and whenever it changes.
    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// Ends when this node has just spoken with the leader, or as the leader with the others: what is
    /// soon to be said can be said then, while processors are awake. Never, where nobody speaks.
    fn pulse(&self) -> Moment<'_> {
        Box::pin(std::future::pending())
    }
}
