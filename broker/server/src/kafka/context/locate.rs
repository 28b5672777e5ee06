//! From what a client names to the partition that serves it.

/// Why there is no such partition here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocateError {
    #[error("no topic of that name")]
    UnknownTopic,
    #[error("no topic of that id")]
    UnknownTopicId,
    #[error("the topic has no partition of that number")]
    UnknownPartition,
    #[error("this broker does not lead the partition")]
    NotLeader,
    #[error("the partition's log directory is offline")]
    Offline,
}
