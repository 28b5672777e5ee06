//! What a cluster does to the machine: namespaces, cgroups and processes. All of it can be found again and
//! undone by `down`, whatever happened in between.

pub(crate) mod cgroups;
pub(crate) mod daemons;
pub(crate) mod space;
