//! The one world: the controllers' machine behind a log that a majority agrees to, and for each
//! broker the brains of its life, of leaders and of followers over a log that a crash cuts; clients
//! who write and read; and everything that may go wrong between them.
//!
//! ```text
//!  controllers ── agreed log ──▶ images, late ──▶ brokers ◀── fetches ──▶ brokers
//!       ▲                                           │  ▲
//!       └── register, heartbeat, AlterPartition ────┘  └── produce, read ── clients
//!                                                └── join, commit ── members of groups
//! ```
//!
//! Brains are the real ones: [`freshet_metadata::MetadataMachine`], [`freshet_peers::lifecycle::Course`],
//! [`freshet_partition::replication::Leader`] and its follower, and
//! [`freshet_coordinators::groups::Groups`] where the partition of groups is led. Bodies, disks and lines are modelled; what
//! they must do is named in `rules`. Everything is drawn from a seed, on one thread, in simulated time.
//!
//! `FRESHET_SEEDS=from..to` lives other lives, `FRESHET_SEED=n` one, with all that happened told.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod agreed;
mod broker;
mod clients;
mod clock;
mod council;
mod disk;
mod faults;
mod groups;
mod guards;
mod invariants;
mod life;
mod lives;
mod message;
mod network;
mod rules;
mod scenes;
mod told;
mod world;
