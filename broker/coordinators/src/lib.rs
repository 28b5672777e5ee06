//! Pure coordinators: groups and their offsets.
//!
//! Floor 2: nothing here waits, sleeps, draws random bits or knows the wire. A coordinator is a
//! [`Machine`](freshet_types::Machine); its host (broker/partition) gives it time, durable records
//! and tickets.

pub mod groups;
mod guard;

#[cfg(feature = "simulation")]
pub use guard::{Guard, without};
