//! Batches on their way in: checked on the caller's thread, before they are queued.

mod check;

pub(crate) use check::{Prepared, PreparedBatch, Rules, prepare};
