//! What can go wrong for a caller, and what to do about it.

use std::time::Duration;

use freshet_codec::{DecodeError, EncodeError};
use freshet_records::BatchError;
use freshet_types::{ErrorKind, Retry};
use freshet_wire::ErrorCode;

/// Why a call failed. Cheap to clone: one failure may have many waiters.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// No connection could be made.
    #[error("no broker answers at {address} ({cause})")]
    Unreachable {
        /// `host:port`, or several.
        address: String,
        /// The operating system's word.
        cause: String,
    },
    /// A connection broke while the request was under way; the broker may have acted on it.
    #[error("the connection to {address} broke ({cause})")]
    Disconnected {
        /// `host:port`.
        address: String,
        /// What broke it.
        cause: String,
    },
    /// A connection could not be protected: what the other side shows is not trusted, or it does not take
    /// what we show.
    #[error("there is no TLS connection to {address}: {cause}")]
    Tls {
        /// `host:port`.
        address: String,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// The broker does not let us in, or is not the one that knows the password.
    #[error("the login at {address} with {mechanism} failed: {cause}")]
    Authentication {
        /// `host:port`.
        address: String,
        /// The mechanism's name.
        mechanism: &'static str,
        /// What is wrong, without the password.
        cause: String,
    },
    /// Time is up, retries included.
    #[error("{what} was not done within {} ms{}", limit.as_millis(), tail(last.as_deref()))]
    TimedOut {
        /// What was tried.
        what: String,
        /// How long.
        limit: Duration,
        /// The failure before time was up.
        last: Option<Box<ClientError>>,
    },
    /// The broker does not serve this API in any version we know.
    #[error("the broker at {address} does not serve {api}")]
    Unsupported {
        /// `host:port`.
        address: String,
        /// The API's name.
        api: &'static str,
    },
    /// The broker said no.
    #[error("{what}: {}{}", code.name(), detail(message.as_deref()))]
    Refused {
        /// What was tried.
        what: String,
        /// The broker's error code.
        code: ErrorCode,
        /// The broker's words.
        message: Option<String>,
    },
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The reply cannot be read.
    #[error("the reply cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// Records cannot be written or read.
    #[error("{what}: {source}")]
    Records {
        /// Which records.
        what: String,
        /// What is wrong with them.
        source: BatchError,
    },
    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The client, producer or consumer was closed.
    #[error("{0} is closed")]
    Closed(&'static str),
}

fn tail(last: Option<&ClientError>) -> String {
    last.map(|e| format!("; the last try failed: {e}"))
        .unwrap_or_default()
}

fn detail(message: Option<&str>) -> String {
    message
        .filter(|m| !m.is_empty())
        .map(|m| format!(" ({m})"))
        .unwrap_or_default()
}

impl ClientError {
    /// The broker's no, or nothing when `code` is 0.
    pub fn check(
        code: i16,
        message: Option<&str>,
        what: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        if code == 0 {
            return Ok(());
        }
        let code = ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError);
        Err(Self::Refused {
            what: what(),
            code,
            message: message.map(str::to_owned),
        })
    }

    /// The broker's error code, when it was the broker that said no.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::TimedOut {
                last: Some(last), ..
            } => last.code(),
            _ => None,
        }
    }

    /// Whether the brokers are there and do not let us in, or we do not trust them: no try helps before
    /// somebody changes what we show or trust.
    pub fn is_barred(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::Authentication { .. } => true,
            Self::TimedOut { last, .. } => last.as_ref().is_some_and(|last| last.is_barred()),
            _ => false,
        }
    }

    /// The same, about one of several things that were tried together: `cause` is what happened to it.
    pub(crate) fn after(self, cause: Self) -> Self {
        match self {
            Self::TimedOut { what, limit, .. } => Self::TimedOut {
                what,
                limit,
                last: Some(Box::new(cause)),
            },
            _ => cause,
        }
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::Disconnected { .. } | Self::TimedOut { .. } => {
                ErrorKind::Unavailable
            }
            Self::Refused { code, .. } if code.is_retriable() => ErrorKind::Unavailable,
            Self::Refused { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Unsupported { .. }
            | Self::Encode(_)
            | Self::Invalid(_)
            | Self::Closed(_) => ErrorKind::Invalid,
            Self::Decode(_) => ErrorKind::Corrupt,
            Self::Records { source, .. } => source.kind(),
        }
    }

    /// Whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Unreachable { .. } | Self::Disconnected { .. } => Retry::After,
            Self::Refused { code, .. } if code.is_retriable() => Retry::After,
            _ => Retry::Never,
        }
    }

    /// Whether the cached picture of the cluster may be what is wrong.
    pub(crate) fn blames_metadata(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Disconnected { .. } => true,
            Self::Refused { code, .. } => is_stale_metadata(*code),
            _ => false,
        }
    }
}

/// Codes that say: you asked the wrong broker, or about something I do not know yet.
pub(crate) fn is_stale_metadata(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::KafkaStorageError
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::NotController
    )
}

/// Codes that say: the coordinator is elsewhere, or not ready.
pub(crate) fn is_stale_coordinator(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::CoordinatorLoadInProgress
    )
}
