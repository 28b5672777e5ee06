//! The past, read: against the log that it was; with a store that fails; together with others;
//! and read back by nobody but the scrub.

mod bucket;
mod faults;
mod model;
mod objects;
mod scrub;
mod together;
