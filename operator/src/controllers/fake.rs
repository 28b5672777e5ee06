//! A Kubernetes of one process, for tests of whole reconciles: an API server that remembers, the
//! controllers behind it that the operator relies on, and a fault on any request.
//!
//! ```text
//! operator ─► faults ─► API server ─► objects ◄─ collector, StatefulSets, kubelet (one step at a time)
//! ```
//!
//! It is as faithful as the operator relies on it: versions, generations and UIDs, server-side apply with
//! what others own, preconditions, objects that linger while they are deleted, fields that cannot
//! change. It checks no schema, admits everybody, and nobody can watch.

mod disks;
mod faults;
mod merge;
mod objects;
mod path;
mod server;
mod workloads;

pub(crate) use disks::add_node;
pub(crate) use faults::{Dice, Fault, Faults};
pub(crate) use merge::{merge_patch, text};
pub(crate) use objects::Key;
pub(crate) use server::Kube;
pub(crate) use workloads::{HOST_IP, Started};
