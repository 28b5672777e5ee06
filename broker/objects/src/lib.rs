//! The real object stores behind the [`Objects`](freshet_env::objects::Objects) door: S3 and what speaks
//! like it, Google Cloud Storage, Azure Blob Storage, and local files.
//!
//! Floor 1. One URL says which store, the environment says who asks ([`Bucket::open`]). The client is
//! `object_store`, and this crate keeps it on a short leash:
//!
//! - **It never tries again.** Its own retries would hide that an answer was lost, and whether something
//!   may have been done is what the door's errors are about. Only a part of an upload is sent again: it
//!   has a number, so twice is once.
//! - **Every answer that is no success is read here** (`answer`): the store's own code tells a bucket
//!   that is not there from an object that is not there.
//! - **Everything ends.** A request has a time limit, and a request without an answer is
//!   [`Unanswered`](freshet_env::objects::ObjectFailure::Unanswered).
//!
//! What the stores need, and how they differ, is in `docs/tiering.md`.

mod address;
mod answer;
mod bucket;
mod failure;
mod ini;
mod keys;
mod mounted;
mod open;
mod page;
mod profile;
mod trust;
mod upload;

pub use address::OpenError;
pub use bucket::{Bucket, Limits};
