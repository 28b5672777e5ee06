//! Why a cold read gives nothing.

use freshet_env::objects::{ObjectError, ObjectFailure};
use freshet_types::{ErrorKind, Offset, Retry};

/// Why the past was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColdError {
    /// No named segment has the offset: it is below the log start, or in the local log only.
    #[error("offset {offset} is outside of {start}..{end} in the bucket")]
    OutOfRange {
        /// What was asked.
        offset: Offset,
        /// Log start.
        start: Offset,
        /// Remote end.
        end: Offset,
    },
    /// A named object is not there. Who reads by an old copy of the manifest looks at a newer one.
    #[error("{key} is named and not there")]
    Missing {
        /// Its name.
        key: String,
    },
    /// Stored bytes are not what was written; other offsets may still be readable.
    #[error("{key} is damaged at byte {position}: {what}")]
    Damaged {
        /// Name of the object.
        key: String,
        /// Where in it.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// The object is sound, but it has no such section, or one that is too large to be read.
    #[error("{key}: {what}")]
    NoSection {
        /// Name of the object.
        key: String,
        /// What is wrong.
        what: &'static str,
    },
    /// More wait for the store than may.
    #[error("{waiting} reads wait for the object store already")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// The store refuses, is slow, or gives no answer.
    #[error(transparent)]
    Store(ObjectError),
}

impl ColdError {
    /// What it means to the caller. A store that misbehaves is *away*, whatever it says.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfRange { .. } => ErrorKind::NotFound,
            // Not `NotFound`: nobody may take it for a log that begins later.
            Self::Missing { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::NoSection { .. } => ErrorKind::Invalid,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Store(error) => match error.kind() {
                ErrorKind::Busy => ErrorKind::Busy,
                _ => ErrorKind::Unavailable,
            },
        }
    }

    /// When it is worth trying again.
    pub fn retry(&self) -> Retry {
        self.kind().retry()
    }

    /// The task that asked the store has ended without a word: its runtime is gone.
    pub(super) fn unanswered(what: &'static str) -> Self {
        Self::Store(ObjectError {
            doing: "wait for",
            key: what.to_owned(),
            failure: ObjectFailure::Unreachable,
            why: "cold reads have ended".to_owned(),
        })
    }
}
