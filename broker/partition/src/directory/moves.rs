//! What is asked of the directory's thread, and what it answers.

use std::sync::Arc;

use freshet_log::LogDir;
use freshet_types::{ErrorKind, TopicPartition};
use tokio::sync::{mpsc, oneshot};

/// Orders that wait for the thread; whoever has another one waits as well.
pub(super) const ORDERS_MAX: usize = 64;
/// Directories that are remembered for replicas that are not here yet.
pub(super) const WISHES_MAX: usize = 10_000;

/// Replicas, and the directories where they shall live.
pub(super) struct Order {
    pub(super) replicas: Vec<(TopicPartition, Arc<LogDir>)>,
    /// One answer for each.
    pub(super) answer: oneshot::Sender<Vec<Result<(), MoveError>>>,
}

/// Where orders come in.
pub(super) type Orders = mpsc::Receiver<Order>;

/// Why a replica does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    /// It is not here. Should it come, it comes into the wanted directory.
    #[error("the replica is not on this broker yet; its directory is remembered")]
    NotHere,
    /// So many replicas that are not here have a directory already.
    #[error("directories of {WISHES_MAX} replicas that are not here are remembered already")]
    TooMany,
    /// Its copy's folder would have a longer name than file systems take.
    #[error("the topic's name is too long for a copy beside the log")]
    NameTooLong,
    /// The replica, or the directory, is offline, or the copy could not be begun.
    #[error("{0}")]
    Offline(String),
    /// The broker stops.
    #[error("the broker stops")]
    Stopping,
}

impl MoveError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotHere => ErrorKind::NotFound,
            Self::TooMany => ErrorKind::Busy,
            Self::NameTooLong => ErrorKind::Invalid,
            Self::Offline(_) | Self::Stopping => ErrorKind::Unavailable,
        }
    }
}
