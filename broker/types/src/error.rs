//! What an error means to its caller. Every public error in the house answers `kind()`.

/// Who has to do what about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request can never succeed as it is: the caller must change it.
    Invalid,
    /// The named thing does not exist (or not yet, where the caller knows better).
    NotFound,
    /// The request contradicts present state: exists already, wrong version, not empty.
    Conflict,
    /// The caller is stale: an epoch, generation or lease has moved on.
    Fenced,
    /// A limit is reached: the same request can succeed once load has gone down.
    Busy,
    /// A needed part is away: leader, coordinator, directory, quorum.
    Unavailable,
    /// Stored bytes are not what was written.
    Corrupt,
    /// An invariant of ours is broken.
    Internal,
}

/// When the same request is worth sending again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Not without a change.
    Never,
    /// At once.
    Now,
    /// After a pause.
    After,
}

impl ErrorKind {
    /// The retry advice that goes with a kind where an error has no better knowledge.
    pub fn retry(self) -> Retry {
        match self {
            Self::Busy | Self::Unavailable => Retry::After,
            Self::Invalid
            | Self::NotFound
            | Self::Conflict
            | Self::Fenced
            | Self::Corrupt
            | Self::Internal => Retry::Never,
        }
    }
}
