//! Rules that can be taken away. What the brains hold by themselves is named there (`Guard`); what
//! the bodies around them must do is named here, because the bodies of this world are its own.

use freshet_coordinators as coordinators;
use freshet_metadata as metadata;
use freshet_partition::replication;

use crate::invariants::Code;

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
    /// Who waits for that hears of it when its time is over.
    WaitsEnd,
    /// And nothing more after that.
    AnsweredOnce,
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
    /// What is refused for good is not written.
    RefusedUnwritten,
    /// A coordinator answers when what it decided is committed.
    CommitsWait,
    /// What it is asked it answers behind what was decided before.
    FetchesWait,
    /// A new coordinator reads the log first.
    CoordinatorLoads,
    /// And not before what earlier leaders wrote is committed or gone.
    CoordinatorSettles,
    /// Who leads no more is coordinator no more.
    CoordinatorEnds,
}

impl Duty {
    pub(crate) const ALL: [Self; 18] = [
        Self::FlushBeforeReport,
        Self::LeaderEpochs,
        Self::Divergence,
        Self::AcksWait,
        Self::WaitsEnd,
        Self::AnsweredOnce,
        Self::ReadCommitted,
        Self::SettledEnds,
        Self::AgreedReplies,
        Self::Deduplicate,
        Self::OwnRegistration,
        Self::DeleteCommitted,
        Self::RefusedUnwritten,
        Self::CommitsWait,
        Self::FetchesWait,
        Self::CoordinatorLoads,
        Self::CoordinatorSettles,
        Self::CoordinatorEnds,
    ];
}

/// One rule of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Controller(metadata::Guard),
    Replica(replication::Guard),
    Body(Duty),
    Group(coordinators::Guard),
    /// This code is told only when it is so.
    Told(Code),
}

impl Rule {
    /// Lives without it.
    pub(crate) fn without<T>(rule: Option<Self>, live: impl FnOnce() -> T) -> T {
        match rule {
            Some(Self::Controller(guard)) => metadata::without(Some(guard), live),
            Some(Self::Replica(guard)) => replication::without(Some(guard), live),
            Some(Self::Group(guard)) => coordinators::without(Some(guard), live),
            Some(Self::Body(_) | Self::Told(_)) | None => live(),
        }
    }
}
