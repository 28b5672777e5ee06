//! The rules of leaders and followers that keep acknowledged records, by name, so that the world of
//! `sim` can take them away one by one and see that somebody notices. Without the feature
//! `simulation` they all hold, at no cost.

#![cfg_attr(
    not(feature = "simulation"),
    allow(unreachable_pub, reason = "public to the simulation only")
)]

/// A rule of a leader or a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Who joins has all that is committed and all that earlier epochs wrote.
    JoinersHaveAll,
    /// Who joins has deleted what its leader has.
    JoinersHaveDeleted,
    /// A fetch of an earlier life of a broker is refused (KIP-903).
    OldBroker,
    /// A follower cuts its log where it departs from the leader's.
    Truncation,
    /// A follower tells its readers of nothing that it has not got.
    WatermarkWithinLog,
    /// The high watermark does not go back.
    WatermarkStays,
}

#[cfg(feature = "simulation")]
impl Guard {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::EnoughInSync,
        Self::LeaderCountsFlushed,
        Self::ProposedCount,
        Self::SilentCount,
        Self::OneProposal,
        Self::JoinersHaveAll,
        Self::JoinersHaveDeleted,
        Self::OldBroker,
        Self::Truncation,
        Self::WatermarkWithinLog,
        Self::WatermarkStays,
    ];
}

freshet_types::removable!(Guard, feature = "simulation");
