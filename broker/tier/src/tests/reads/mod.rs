//! The past, read: against the log that it was; with a store that fails, or a disk; together with others;
//! and read back by nobody but the scrub.

mod bucket;
mod disk;
mod faults;
mod model;
mod objects;
mod scrub;
mod together;
