//! Rules that can be taken away. What the brains hold by themselves is named there (`Guard`); what
//! the bodies around them must do is named here, because the bodies of this world are its own.

use freshet_metadata as metadata;
use freshet_partition::replication;

/// A rule of the bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// A follower asks for more only once what it has is flushed.
    FlushBeforeReport,
    /// Leader and follower talk only within one epoch.
    LeaderEpochs,
    /// A leader tells a follower where their logs part.
    Divergence,
    /// `acks=all` is answered when the record is committed.
    AcksWait,
    /// Consumers see what is committed, and no more.
    ReadCommitted,
    /// A leader that does not know yet what was committed names no end (KIP-207).
    SettledEnds,
    /// The controller answers when its decision is agreed to.
    AgreedReplies,
    /// What a producer sends again is not stored again.
    Deduplicate,
    /// A new process follows no image that is older than its registration.
    OwnRegistration,
    /// Only what is committed is deleted.
    DeleteCommitted,
}

impl Duty {
    pub(crate) const ALL: [Self; 10] = [
        Self::FlushBeforeReport,
        Self::LeaderEpochs,
        Self::Divergence,
        Self::AcksWait,
        Self::ReadCommitted,
        Self::SettledEnds,
        Self::AgreedReplies,
        Self::Deduplicate,
        Self::OwnRegistration,
        Self::DeleteCommitted,
    ];
}

/// One rule of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Controller(metadata::Guard),
    Replica(replication::Guard),
    Body(Duty),
}

impl Rule {
    /// Lives without it.
    pub(crate) fn without<T>(rule: Option<Self>, live: impl FnOnce() -> T) -> T {
        match rule {
            Some(Self::Controller(guard)) => metadata::without(Some(guard), live),
            Some(Self::Replica(guard)) => replication::without(Some(guard), live),
            Some(Self::Body(_)) | None => live(),
        }
    }
}
