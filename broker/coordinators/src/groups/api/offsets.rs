//! Requests about committed offsets.

use std::sync::Arc;

use freshet_types::{ErrorKind, LeaderEpoch, Offset, PartitionId, Timestamp, TopicId};

use crate::groups::OffsetValue;

/// Why one partition's offset was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OffsetError {
    /// The text that came with it is too long.
    #[error("the metadata of the offset is too long")]
    MetadataTooLarge,
    /// The group's members read the topic at this moment.
    #[error("the group is subscribed to the topic")]
    Subscribed,
}

impl OffsetError {
    /// Who has to do what about it.
    pub fn kind(self) -> ErrorKind {
        match self {
            Self::MetadataTooLarge => ErrorKind::Invalid,
            Self::Subscribed => ErrorKind::Conflict,
        }
    }
}

/// Store offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Which group; an empty id is allowed, as in Kafka.
    pub group: Arc<str>,
    /// Who commits; empty for a consumer that is no member.
    pub member_id: Arc<str>,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// Its generation; negative for a consumer that is no member.
    pub generation: i32,
    /// When the offsets expire, if the client wants it otherwise than the broker (versions 2-4).
    pub expires_at: Option<Timestamp>,
    /// What to store. Topics and partitions are known to exist.
    pub topics: Vec<CommitTopic>,
}

/// Offsets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitTopic {
    /// Its name.
    pub topic: Arc<str>,
    /// Its id; [`TopicId::ZERO`] when unknown.
    pub topic_id: TopicId,
    /// What to store.
    pub partitions: Vec<PartitionCommit>,
}

/// The offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionCommit {
    /// Which.
    pub partition: PartitionId,
    /// The next record to read.
    pub offset: Offset,
    /// Leader epoch of the last record read; -1 when unknown.
    pub leader_epoch: LeaderEpoch,
    /// Free text of the client.
    pub metadata: Box<str>,
}

/// What happened to the partitions of one topic, in the order asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicOutcome {
    /// Its name.
    pub topic: Arc<str>,
    /// Its id; [`TopicId::ZERO`] when it was not given.
    pub topic_id: TopicId,
    /// Each partition with its outcome.
    pub partitions: Vec<(PartitionId, Result<(), OffsetError>)>,
}

/// Read offsets of one group.
///
/// Every reply waits until all that was decided before it is committed, so an answer never shows
/// an offset that may still be lost, whether the client asked for stable offsets or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Which group.
    pub group: Arc<str>,
    /// Which partitions; `None` for all that have an offset.
    pub topics: Option<Vec<FetchTopic>>,
}

/// Read all offsets of all groups, for whoever keeps them elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchAll;

/// Partitions of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTopic {
    /// Its name.
    pub topic: Arc<str>,
    /// Its id; an offset that was committed to another topic of the same name is not shown.
    /// [`TopicId::ZERO`] shows any.
    pub topic_id: TopicId,
    /// Which.
    pub partitions: Vec<PartitionId>,
}

/// Offsets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Its name.
    pub topic: Arc<str>,
    /// The id asked for; for "all topics" the id that was committed, or [`TopicId::ZERO`].
    pub topic_id: TopicId,
    /// Each partition; `None` where nothing is committed.
    pub partitions: Vec<(PartitionId, Option<OffsetValue>)>,
}

/// Forget offsets of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// Which group.
    pub group: Arc<str>,
    /// Which partitions.
    pub topics: Vec<(Arc<str>, Vec<PartitionId>)>,
}

/// Forget all offsets of topics that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgetTopics {
    /// Which.
    pub topics: Vec<DeletedTopic>,
}

/// A topic that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub topic: Arc<str>,
    /// Its id: offsets of a younger topic of the same name stay.
    pub topic_id: TopicId,
}
