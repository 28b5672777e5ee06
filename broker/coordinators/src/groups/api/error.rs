//! Why a group says no.

use freshet_types::ErrorKind;

/// Why a request about a group was refused. Kafka has an error code for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum GroupError {
    /// The group id is empty.
    #[error("a group id must not be empty")]
    InvalidGroupId,
    /// There is no such group.
    #[error("the group does not exist")]
    NotFound,
    /// The group does not know this member: it has to join as a new one.
    #[error("the member is not in the group")]
    UnknownMember,
    /// Another member holds this instance id now (KIP-345).
    #[error("another member took the instance id over")]
    FencedInstance,
    /// The member speaks of a generation that is not the present one.
    #[error("the generation is not the present one")]
    IllegalGeneration,
    /// A rebalance is under way: join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The protocol type differs from the group's, or no protocol is spoken by all members.
    #[error("the protocols do not fit those of the group")]
    InconsistentProtocol,
    /// Join again with the id that comes with this error (KIP-394).
    #[error("join again with the member id given")]
    MemberIdRequired,
    /// The session timeout is outside of the broker's limits.
    #[error("the session timeout is outside of the allowed range")]
    InvalidSessionTimeout,
    /// group.max.size is reached.
    #[error("the group has all the members it may have")]
    MaxSizeReached,
    /// It cannot be done while the group has members.
    #[error("the group has members")]
    NotEmpty,
    /// Protocols or assignments are larger than what can be stored.
    #[error("the members' metadata is too large to be stored")]
    TooLarge,
    /// A limit of the broker, not of the group, is reached: groups, or members with unused ids.
    #[error("the coordinator holds all the groups or pending members it may hold")]
    Busy,
}

impl GroupError {
    /// Who has to do what about it.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::InvalidGroupId
            | Self::InconsistentProtocol
            | Self::InvalidSessionTimeout
            | Self::TooLarge => ErrorKind::Invalid,
            Self::NotFound => ErrorKind::NotFound,
            Self::UnknownMember | Self::FencedInstance | Self::IllegalGeneration => {
                ErrorKind::Fenced
            }
            Self::RebalanceInProgress | Self::MemberIdRequired | Self::NotEmpty => {
                ErrorKind::Conflict
            }
            Self::MaxSizeReached | Self::Busy => ErrorKind::Busy,
        }
    }
}
