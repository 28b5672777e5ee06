//! Groups of one `__consumer_offsets` partition: who is a member, who does what, how far they are.
//!
//! ```text
//!              Groups ── BTreeMap<group id, Group>
//!                          │
//!            ┌─────────────┼──────────────────┐
//!         stored        classic            offsets
//!    what the log says  the live dance     committed offsets
//!    (changed by apply) (lost on failover) (changed by apply)
//! ```
//!
//! The two halves of a group never mix. `stored` and `offsets` change only in
//! [`Machine::apply`], from records in Kafka's `__consumer_offsets` format, so a follower that
//! applies the same records holds the same. The live half (who waits in a rebalance, heartbeat
//! deadlines) is rebuilt from `stored` by [`Machine::loaded`]: after a failover a stable group goes
//! on with the heartbeats of its members, and a group caught in a rebalance starts that anew. The
//! rejected way was one struct for both, as Kafka has it: there every record must be kept from
//! being replayed where it was made.
//!
//! Other kinds of groups (consumer, share, streams) become siblings of `classic`; offsets, expiry
//! and deletion do not care about the kind.

mod admin;
pub mod api;
mod classic;
mod group;
mod limits;
mod offsets;
mod owner;
pub mod records;
mod shard;
mod turn;

pub use limits::Limits;
pub use owner::owner_partition;
pub use records::{GroupValue, MemberValue, OffsetValue, Record};
pub use shard::{Groups, TimerKey};

#[cfg(test)]
mod tests;
