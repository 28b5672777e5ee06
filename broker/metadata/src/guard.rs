//! The rules that keep acknowledged records, by name, so that tests can take them away one by one
//! and see that somebody notices: `tests/world.rs` here, and the world of `sim`, for which the feature
//! `simulation` is. Outside of tests they all hold, at no cost.

freshet_types::removable! {
    any(test, feature = "simulation");
    /// A rule of the controller.
    pub enum Guard {
        /// A leader changes the set in sync only if it leads still, and from the set that is committed:
        /// compare and set. The leader epoch alone would not do, and is told apart only for its error.
        CompareAndSet,
        /// Who is taken in is the process that the leader saw.
        MemberEpochs,
        /// Nobody fenced or stopping is taken in.
        MemberStanding,
        /// A copy counts only if its disk knows of the epoch in which the broker served last.
        DiskKnowsEpoch,
        /// A crash makes the copies of topics with page-cache durability doubtful.
        TailMayBeLost,
        /// A broker that is fenced leaves the sets in sync.
        FencedLeave,
        /// Another process of a broker is in sync with nothing.
        NewProcessLeaves,
        /// Who is doubtful is not eligible.
        LostAreNotEligible,
        /// Only who left while too few were in sync is eligible.
        EligibleOnlyBelowMin,
        /// Who is eligible leads alone at first.
        EligibleLeadsAlone,
        /// Leaders come from those who are clean, unless it is allowed otherwise.
        CleanElection,
        /// A broker that was silent for a session is fenced.
        SilentAreFenced,
        /// A process of a broker that another one has replaced does not register again.
        ReplacedStayOut,
        /// A reassignment ends when all who come are in sync.
        ComersAreInSync,
        /// A copy that begins anew in a process that goes on does so in a new leader epoch: what that
        /// process has told of the old copy may still come.
        NewCopyNewEpoch,
        /// A proposal that is refused ends its partition epoch: what was sent of it before may still come.
        RefusedAreOver,
    }
}

#[cfg(test)]
impl Guard {
    /// Whether it takes a whole cluster to notice.
    pub(crate) fn is_of_clusters(self) -> bool {
        matches!(
            self,
            Self::SilentAreFenced
                | Self::ReplacedStayOut
                | Self::ComersAreInSync
                | Self::NewCopyNewEpoch
                | Self::RefusedAreOver
        )
    }
}
