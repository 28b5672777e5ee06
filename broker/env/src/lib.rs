//! The doors to the world: clock, randomness, disk, objects, threads, network.
//!
//! Floor 1. This is the only crate of the broker that names the operating system; all others take
//! what is here as arguments, so that a simulation can hand them a fake.

mod clock;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod disk;
pub mod host;
pub mod limits;
pub mod objects;
pub mod process;
mod reactors;
mod rng;
pub mod sockets;
pub mod tasks;
pub mod watch;

pub use clock::{Clock, SystemClock};
pub use disk::{Disk, DiskFile, SystemDisk};
pub use objects::Objects;
pub use reactors::{Reactors, within};
pub use rng::{Rng, SystemRng};
