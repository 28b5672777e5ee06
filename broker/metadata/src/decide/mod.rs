//! Decisions, one file per request. Each reads the machine, pushes records, and returns the answer;
//! an item that fails pushes nothing.

pub(crate) mod brokers;
pub(crate) mod configs;
mod draft;
pub(crate) mod replicas;
pub(crate) mod topics;

pub(crate) use draft::Draft;
