//! The quorum of several in one process: one thread, a simulated clock, disks that lose what was
//! not synced, a network that loses, delays, doubles and cuts. A seed replays the world.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod blows;
mod changes;
mod cluster;
mod guards;
mod history;
mod lost;
mod machine;
mod net;
mod rules;
mod scenarios;
mod storms;
