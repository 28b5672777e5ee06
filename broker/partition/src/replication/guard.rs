//! The rules of leaders and followers that keep acknowledged records, by name, so that tests of `sim`
//! can take them away one by one and see that somebody notices. Without the feature `simulation` they
//! all hold, at no cost.

freshet_types::removable! {
    feature = "simulation";
    /// A rule of a leader or a follower.
    pub enum Guard {
        /// The high watermark does not move while too few are in sync.
        EnoughInSync,
        /// A leader counts itself by what it has flushed.
        LeaderCountsFlushed,
        /// Who is proposed counts already.
        ProposedCount,
        /// A member of the set in sync that has not fetched in this epoch counts.
        SilentCount,
        /// One proposal at a time.
        OneProposal,
        /// A proposal that was refused for its epochs stays open until the leader hears what is committed.
        StaleIsOpen,
        /// What is committed replaces only what was committed before it.
        NewestTerm,
        /// Who joins has all that is committed and all that earlier epochs wrote.
        JoinersHaveAll,
        /// Who joins has deleted what its leader has.
        JoinersHaveDeleted,
        /// Who joins is the process that fetched, neither fenced nor about to stop (KIP-841, 903).
        JoinersLive,
        /// A fetch of an earlier life of a broker is refused (KIP-903).
        OldBroker,
        /// A follower cuts its log where it departs from the leader's.
        Truncation,
        /// A follower tells its readers of nothing that it has not got.
        WatermarkWithinLog,
        /// The high watermark does not go back.
        WatermarkStays,
        /// A follower drops what its leader has dropped.
        FollowStart,
        /// A follower whose log ends below its leader's start begins anew there.
        RestartAtStart,
        /// Only what is committed is deleted.
        DeleteCommitted,
        /// Records count as deleted when all replicas that live have dropped them.
        DeletedEverywhere,
        /// And not while too few are in sync: one that is away may lead next (KIP-966).
        DeletedByEnough,
        /// Nor while one has them that is in sync as far as the leader knows, whatever newer images
        /// say of its broker: it may be eligible by now.
        DeletedInSync,
        /// A follower reports what it has flushed.
        FlushBeforeReport,
        /// Who asks and names another leader epoch is refused (KIP-320).
        FetchEpochs,
        /// What the follower of another epoch's leader reports does not count.
        ReportEpochs,
        /// Nobody has flushed what the leader's log has not got.
        ReportWithinLog,
        /// Who copies is told where its log departs from the leader's (KIP-101, 279, 595).
        Divergence,
        /// Only the leader of the present epoch has a follower change its log.
        FollowedEpoch,
        /// A log takes nothing of an earlier leader epoch once another one has begun.
        EpochFence,
        /// Records of an earlier epoch's leader are not stored.
        CopiedEpoch,
        /// An answer to another fetch than the present one is dropped.
        LateAnswers,
        /// Only a leader takes records from producers.
        LeadersWrite,
        /// A produce for another leader epoch is refused.
        ProduceEpochs,
        /// `acks=all` is refused while too few are in sync.
        EnoughToProduce,
        /// `acks=all` is answered when the record is committed.
        AcksWait,
        /// A producer whose time is over while too few are in sync is told so.
        OverdueWithTooFew,
        /// And only then: else nobody has to mend anything.
        OverdueWithEnough,
        /// Who waits for a leader that leads no more is sent to the next one.
        WaitersSentAway,
        /// Consumers see what is committed, and no more.
        ReadCommitted,
        /// A leader that does not know yet what was committed names no end (KIP-207).
        SettledEnds,
    }
}

#[cfg(feature = "simulation")]
impl Guard {
    /// Those that `sim`'s world notices as well: its bodies are its own, and the decisions these.
    pub const OF_DECISIONS: [Self; 18] = [
        Self::EnoughInSync,
        Self::LeaderCountsFlushed,
        Self::ProposedCount,
        Self::SilentCount,
        Self::OneProposal,
        Self::StaleIsOpen,
        Self::JoinersHaveAll,
        Self::JoinersHaveDeleted,
        Self::OldBroker,
        Self::Truncation,
        Self::WatermarkWithinLog,
        Self::WatermarkStays,
        Self::FollowStart,
        Self::RestartAtStart,
        Self::DeletedEverywhere,
        Self::DeletedInSync,
        Self::OverdueWithTooFew,
        Self::OverdueWithEnough,
    ];
}

/// What a thread does that this one starts: without the rule that is taken away here, if one is.
#[cfg(feature = "simulation")]
pub(crate) fn inherited<T>(body: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let removed = Guard::ALL.iter().copied().find(|rule| !holds(*rule));
    move || without(removed, body)
}

/// What a thread does that this one starts: with all rules.
#[cfg(not(feature = "simulation"))]
pub(crate) fn inherited<T>(body: impl FnOnce() -> T) -> impl FnOnce() -> T {
    body
}
