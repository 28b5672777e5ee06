//! The stores behind the door: local files, a server that answers as it is told, and real ones.
//!
//! These are versitygw for S3, Azurite for Azure, and for Google versitygw behind a program that speaks as
//! Google does. `cargo xtask peers` installs them; the environment says where: `FRESHET_PEERS`. By hand:
//!
//! ```text
//! cargo xtask peers s3 azure gcs
//! FRESHET_PEERS=~/.cache/freshet/peers cargo test -p freshet-objects --test stores -- --ignored
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a step that fails is a test that fails; real files and processes are what is tested"
)]

mod addresses;
mod answers;
mod azure;
mod cases;
mod files;
mod gateway;
mod google;
mod line;
mod process;
mod real;
mod s3;
mod scripted;
