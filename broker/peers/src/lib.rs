//! How the brokers of a cluster speak to each other.
//!
//! | Part | What it does |
//! |---|---|
//! | [`quorum`] | carries the quorum's letters, and proposals to whoever decides |
//! | [`chronicle()`] | tells in the active controller's log which brokers come and go |
//! | [`lifecycle`] | registers this broker, keeps its session alive, lets it leave in order |
//! | [`places`] | tells the controller in which directory a replica is |
//! | [`followers`] | copies the partitions that others lead; tells the controller who is in sync |

mod chronicle;
pub mod followers;
pub mod lifecycle;
pub mod places;
pub mod quorum;

pub use chronicle::chronicle;
