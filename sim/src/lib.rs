//! Fake worlds for tests: a disk that tears, loses and lies; scenarios; checkers. Never shipped.
//!
//! Everything random here is drawn from a seed and from *what* is decided, not from *when*: the fate
//! of a sector depends on the seed, its file and its position. Threads that race inside of a test
//! therefore do not change what a seed does to the same bytes.

mod clock;
mod dice;
mod disk;
mod idle;
mod rng;
mod throws;
mod weather;

pub use clock::FakeClock;
pub use dice::Dice;
pub use disk::{Effect, FakeDisk, Fault, Op};
pub use idle::{Proof, idle};
pub use rng::FakeRng;
pub use throws::Throws;
pub use weather::Weather;
