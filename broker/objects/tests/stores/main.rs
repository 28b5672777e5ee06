//! The stores behind the door: local files, a server that answers as it is told, and a real one.
//!
//! The real one is versitygw, which `cargo xtask peers` installs; the environment says where:
//! `FRESHET_PEERS`. By hand:
//!
//! ```text
//! cargo xtask peers s3
//! FRESHET_PEERS=~/.cache/freshet/peers cargo test -p freshet-objects --test stores -- --ignored
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a step that fails is a test that fails; real files and processes are what is tested"
)]

mod addresses;
mod answers;
mod cases;
mod files;
mod gateway;
mod line;
mod s3;
mod scripted;
