//! What goes wrong with files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freshet_types::ErrorKind;

/// Why the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{doing} {}: {why}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's words.
        why: Arc<str>,
    },
    /// Bytes that were durable are not what was written.
    #[error(
        "{} is damaged at byte {position}: {why}. Restore it from a copy; nothing was changed",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        position: u64,
        /// What is wrong.
        why: Arc<str>,
    },
    /// Others vote on what this directory holds; deciding alone would contradict them.
    #[error(
        "{} belongs to a quorum of several controllers: start it with them", path.display()
    )]
    Replicated {
        /// The directory.
        path: PathBuf,
    },
}

impl StoreError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Replicated { .. } => ErrorKind::Conflict,
        }
    }
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}

pub(super) fn io_error<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> StoreError + 'a {
    move |error| StoreError::Io {
        doing,
        path: path.to_owned(),
        why: error.to_string().into(),
    }
}

pub(super) fn corrupt(path: &Path, position: usize, why: impl Into<Arc<str>>) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        position: position as u64,
        why: why.into(),
    }
}
