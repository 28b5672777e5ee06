//! How a partition is replicated: decisions only, no log, no network, no clock.
//!
//! ```text
//!   controller ── term: epochs, replicas, ISR ──▶ leader ◀── fetch: "I have flushed up to N" ── follower
//!        ▲                                          │                                             │
//!        └────── ISR change, compare and set ───────┘──── records, high watermark, divergence ───▶┘
//! ```
//!
//! A follower reports what it has *flushed*; so does the leader to itself. The high watermark is the
//! least of that over every replica that may be in the ISR by now, so whoever is elected from the
//! ISR has all of it on its disk. `docs/replication.md` tells the whole story.

mod follower;
mod guard;
mod leader;
#[cfg(test)]
mod simulation;
mod throttle;

pub use follower::{Answer, Divergence, Local, Step, next_step};
pub use guard::Guard;
pub(crate) use guard::inherited;
#[cfg(feature = "simulation")]
pub use guard::without;
pub use leader::{
    BrokerEpoch, FetchRefusal, Fetched, IsrChange, Leader, LeaderStart, Moved, Overdue, Term,
};
pub use throttle::{Throttle, is_throttled};

/// Whether a rule holds: all do, but for tests that take one away.
#[inline]
pub fn holds(rule: Guard) -> bool {
    guard::holds(rule)
}
