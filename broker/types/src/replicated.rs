//! What a machine adds when it is kept by the metadata quorum: records as bytes, state as an image.

use std::fmt;
use std::sync::Arc;

use crate::{Machine, Offset};

/// How far a replicated log has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Offset of the last record applied; -1 before the first.
    pub offset: Offset,
    /// Term of the leader that wrote it.
    pub epoch: i32,
}

impl Position {
    /// Before the first record.
    pub const START: Self = Self {
        offset: -1,
        epoch: 0,
    };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (epoch {})", self.offset, self.epoch)
    }
}

/// A machine whose state others read as an immutable image.
pub trait Published: Machine {
    /// The state at one position. Shares what has not changed with the image before.
    type Image: fmt::Debug + Send + Sync + 'static;

    /// The image of the present state.
    fn publish(&self, position: Position) -> Arc<Self::Image>;
}

/// A record's bytes are not what this version of the house writes or reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable record: {what}")]
pub struct StoredRecordError {
    /// What is wrong with it.
    pub what: String,
}

/// A record that is kept in a log. The bytes carry their own type and version.
pub trait StoredRecord: Sized {
    /// The record as bytes.
    fn to_bytes(&self) -> Vec<u8>;

    /// The record of these bytes. Bytes come from disk or from the network: no panic, no
    /// allocation beyond what they hold.
    ///
    /// # Errors
    /// The bytes are damaged, or a newer version wrote them.
    fn from_bytes(bytes: &[u8]) -> Result<Self, StoredRecordError>;
}
