//! The rules that keep what was agreed, by name, so that the storms of `sim` can take them away one
//! by one and see that somebody notices. Without the feature `simulation` they all hold, at no cost.

freshet_types::removable! {
    feature = "simulation";
    /// A rule of the quorum.
    pub enum Guard {
        /// A node that was away asks whether it could win before it begins a term.
        PreVote,
        /// A letter that is meant for another disk of this node is refused.
        DiskIsMeant,
        /// A letter of another cluster is refused.
        ClusterIsMeant,
        /// A round enters the log only in the term that it was decided in.
        ExpectedTerm,
        /// The deciding machine knows all that was agreed to before its term.
        LeaderCaughtUp,
        /// A machine that has decided what was not agreed to is thrown away.
        FreshMind,
        /// What is said about the state is confirmed by a majority when it is said.
        ConfirmedAnswers,
        /// A read waits until what was agreed to before it is applied here.
        BarrierWaits,
        /// Entries are flushed before they are reported.
        FlushBeforeReport,
        /// A vote is on the disk before it is given.
        VoteBeforeAnswer,
        /// A voter whose disk is of yesterday is sent again what it has lost.
        OldDisksAreMended,
        /// A log of several voters is not decided on by one alone.
        SoloStaysOut,
        /// A voter votes for nobody else for as long as the leader that it heard trusts its word.
        LeasesAreKept,
        /// A leader that hears of no majority gives the lead away.
        DeafLeadersGo,
        /// A disk whose node was heard a moment ago is not replaced.
        LivingStay,
        /// A new disk takes the vote of the old one away.
        OneVoteForEach,
        /// Who becomes a voter has caught up.
        VotersCaughtUp,
        /// The last voter stays.
        OneVoterStays,
        /// No voter leaves if those who were heard a moment ago are no majority of the others.
        MajorityStays,
        /// All who were named answer before a quorum is formed.
        AllAnswer,
        /// Who shall vote asks until it does, also after a restart.
        AsksUntilVoting,
        /// Who replaces its old disk asks until that one votes no more.
        AsksUntilReplaced,
        /// A change of voters that was left half-way is finished by the next leader.
        ChangesAreFinished,
    }
}
