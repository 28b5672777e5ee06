//! The rules that keep committed offsets, by name, so that the world of `sim` can take them away one by
//! one and see that somebody notices. Without the feature `simulation` they all hold, at no cost.

freshet_types::removable! {
    feature = "simulation";
    /// A rule of a group.
    pub enum Guard {
        /// A member commits in the present generation only.
        CommitGeneration,
        /// Nobody commits in a generation that is told and not stored yet.
        CommitStored,
        /// After a failover a group goes on from the generation that is stored.
        RestoredGeneration,
    }
}
