//! The past, read: against the log that it was; with a store that fails; together with others.

mod bucket;
mod faults;
mod model;
mod objects;
mod together;
