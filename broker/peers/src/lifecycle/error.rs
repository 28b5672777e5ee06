//! Why a broker cannot live in its cluster.

use freshet_metadata::MetadataError;
use freshet_types::{ErrorKind, NodeId};

/// Why a broker gave up to be one of its cluster. The process has to end: nothing gets better by
/// itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifeError {
    /// Another process has the number, and its session goes on.
    #[error(
        "another process is broker {node}, and alive: stop it, or give this one another node.id"
    )]
    AnotherProcess {
        /// The number that both claim.
        node: NodeId,
    },
    /// The controller does not want this broker as it is.
    #[error("the controller refuses this broker: {0}")]
    Refused(#[source] MetadataError),
    /// Nobody registered it in time.
    #[error(
        "not registered within {waited_ms} ms ({last}): are the controllers up, and can they be \
         reached? initial.broker.registration.timeout.ms is how long a start waits for them"
    )]
    NotRegistered {
        /// How long it tried, in ms.
        waited_ms: u64,
        /// What the last attempt said.
        last: String,
    },
    /// No controller could be told that a log directory failed.
    #[error(
        "a log directory is offline, and no controller heard of it for {waited_ms} ms \
         (log.dir.failure.timeout.ms): stopping, so that others take over what is in it"
    )]
    UntoldFailure {
        /// How long it was tried, in ms.
        waited_ms: u64,
    },
}

impl LifeError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::AnotherProcess { .. } => ErrorKind::Conflict,
            Self::Refused(error) => error.kind(),
            Self::NotRegistered { .. } | Self::UntoldFailure { .. } => ErrorKind::Unavailable,
        }
    }
}
