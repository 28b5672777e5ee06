//! What a log knows beside its records: producers, leader epochs, and where it was known good.
//!
//! All of it is pure: bytes in, bytes out. Files and directories are the business of `log` and `dir`.

pub(crate) mod beginning;
pub(crate) mod checkpoint;
pub(crate) mod committed;
pub(crate) mod epochs;
#[cfg(test)]
mod golden;
pub(crate) mod life;
pub(crate) mod producers;
mod snapshot;
pub(crate) mod stop;

/// Ends the name of a producer snapshot's file.
pub(crate) const SNAPSHOT: &str = "producers";

pub(crate) use checkpoint::{Checkpoint, SealedSegment};
pub(crate) use epochs::Epochs;
pub(crate) use producers::{Producers, Repeat};
pub(crate) use stop::StopImage;
