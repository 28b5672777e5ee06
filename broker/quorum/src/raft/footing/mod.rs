//! What openraft stands on: its runtime, its watched values, and its types as they are here.

pub(crate) mod gate;
pub(crate) mod runtime;
pub(crate) mod types;
mod watch;
