//! The rules that keep tiered records, by name, so that tests can take them away one by one and see
//! that somebody notices. Outside of tests they all hold, at no cost.

freshet_types::removable! {
    test;
    /// A rule of the manifest machine; the letters are those of docs/tiering.md.
    pub(crate) enum Guard {
        /// T1: only the leader that claimed last changes a manifest.
        LeaderEpoch,
        /// T1: a refusal that a leader may throw records away for comes from the host that has the shard.
        RefusalsCommit,
        /// T2: an id is used once.
        UniqueId,
        /// T2: only what was begun, as it was begun, is committed.
        BegunFirst,
        /// T3: a commit goes on where the manifest ends.
        Contiguity,
        /// T4: a claim finds what departs from the leader's history.
        Lineage,
        /// T5: the log start never goes back.
        StartForward,
        /// T6: a replacement takes the place of segments that are named still, one after the other.
        ReplaceCurrent,
        /// T6: a replacement covers exactly what it replaces.
        ReplaceCovers,
        /// T7: what is named no more is deleted only a grace age later.
        GraceAge,
        /// T7: ... and after a manifest without it is in the bucket.
        ExportedFirst,
        /// T7: what is listed is deleted only if no manifest names it.
        SweepSparesNamed,
        /// T9: a snapshot, or what is adopted, takes the place of a manifest when all of it is there.
        WholeOrNothing,
        /// T9: a manifest from the bucket takes the place of none that knows anything.
        AdoptedIntoNothing,
        /// T9: what comes after an adoption has versions that nothing had before.
        VersionsApart,
    }
}
