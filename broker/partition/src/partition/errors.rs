//! Why a partition says no.

use freshet_log::{AppendError, Busy, LogError, ReadError as LogReadError};
use freshet_tier::ColdError;
use freshet_types::{ErrorKind, LeaderEpoch};

/// Why a produce was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// Another broker leads, or nobody does. What was written may be cut again, or may stay: only an
    /// idempotent producer can ask.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// Fewer replicas are in sync than `min.insync.replicas` asks for; nothing was written.
    #[error("{in_sync} replicas are in sync, min.insync.replicas is {needed}")]
    NotEnoughReplicas {
        /// Replicas in sync.
        in_sync: usize,
        /// What the topic asks for.
        needed: usize,
    },
    /// The time of the request is over, and fewer replicas are in sync than `min.insync.replicas` asks
    /// for. It is stored here, and counts once enough have it.
    #[error("stored, but {in_sync} replicas are in sync, min.insync.replicas is {needed}")]
    NotEnoughReplicasAfterAppend {
        /// Replicas in sync.
        in_sync: usize,
        /// What the topic asks for.
        needed: usize,
    },
    /// The time of the request is over. It is stored here, and counts once all in sync have it.
    #[error("stored, but not on all replicas in sync within the time of the request")]
    TimedOut,
    /// The log refused it.
    #[error(transparent)]
    Append(AppendError),
}

impl From<AppendError> for ProduceError {
    /// A log that is fenced has learnt of a newer leader than its caller.
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Log(LogError::Fenced { .. }) => Self::NotLeader,
            error => Self::Append(error),
        }
    }
}

impl ProduceError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotEnoughReplicas { .. }
            | Self::NotEnoughReplicasAfterAppend { .. }
            | Self::TimedOut
            | Self::NotLeader => ErrorKind::Unavailable,
            Self::Append(error) => error.kind(),
        }
    }
}

/// Why a read failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The caller knows an older leader epoch than ours.
    #[error("leader epoch {given} is older than {current}")]
    FencedEpoch {
        /// What the caller gave.
        given: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// The caller knows a newer leader epoch than ours.
    #[error("leader epoch {given} is newer than {current}")]
    UnknownEpoch {
        /// What the caller gave.
        given: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// The read queue is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// What is stored here is damaged; other replicas have it whole, and one of them may lead soon.
    #[error(transparent)]
    Damaged(LogReadError),
    /// What is before the log may be in object storage, and it is not known yet what there is.
    #[error("the manifest of what is in object storage is not known here yet")]
    PastUnknown,
    /// What is before the log may be in object storage, and this broker has none.
    #[error(
        "the topic tiers, and this broker has no object storage: remote.log.storage.system.enable and \
         remote.log.storage.url say where it is"
    )]
    NoStore,
    /// What is in object storage cannot be read.
    #[error(transparent)]
    Cold(#[from] ColdError),
    /// The log refused it.
    #[error(transparent)]
    Log(#[from] LogReadError),
}

impl ReadError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::FencedEpoch { .. } => ErrorKind::Fenced,
            Self::UnknownEpoch { .. } => ErrorKind::Unavailable,
            Self::Busy(error) => error.kind(),
            Self::Damaged(_) | Self::PastUnknown | Self::NoStore => ErrorKind::Unavailable,
            Self::Cold(error) => error.kind(),
            Self::Log(error) => error.kind(),
        }
    }
}

/// Why records could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrimError {
    /// Another broker leads by now.
    #[error("this broker does not lead the partition any more")]
    NotLeader,
    /// Nobody here can delete what is in object storage.
    #[error("the topic tiers, and this broker has no object storage")]
    NoStore,
    /// The append thread's queue is full.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The log refused it.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl TrimError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotLeader | Self::NoStore => ErrorKind::Unavailable,
            Self::Busy(error) => error.kind(),
            Self::Log(error) => error.kind(),
        }
    }
}
