//! The faces as a client sees them: a whole broker in this process, over real sockets.
#![allow(
    clippy::disallowed_methods,
    reason = "a black box is driven by the real clock"
)]

mod administration;
mod metrics;
mod peers;
mod replicas;
mod retries;
mod rig;
mod sessions;
mod tiering;
mod versions;
