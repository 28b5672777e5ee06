//! The partition log on a disk that tears, loses and lies.
//!
//! `crashes` runs random histories through crashes at random points and checks what is left against
//! a model; `faults` looks at single faults; `lies` takes away one guard after the other and demands
//! that the checks of `crashes` notice. `moves` has a log go to another directory meanwhile.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod crashes;
mod cuts;
mod faults;
mod history;
mod lies;
mod lives;
mod machine;
mod model;
mod moves;
