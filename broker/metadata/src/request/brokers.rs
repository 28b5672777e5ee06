//! What brokers say of themselves, and what is decided about them.

use freshet_types::NodeId;
use serde::{Deserialize, Serialize};

use crate::state::{BrokerListener, DirectoryId, FeatureRange};

/// A broker says that it is there. Answered with its broker epoch, which is greater than that of
/// any registration before; the same incarnation gets the same epoch again.
///
/// A new incarnation gives up what the one before it led: in a cluster it begins fenced, and leads
/// again once its heartbeats have let it in. A broker that is its own controller leads at once,
/// under new leader epochs: what its log lost in a crash must never be mistaken for what it writes
/// from now on (KIP-320).
///
/// Another incarnation is refused while the session of the present one is alive and not stopping,
/// and for good once it was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBroker {
    /// Its number.
    pub node: NodeId,
    /// Random bits, new with each start of the process.
    pub incarnation: [u8; 16],
    /// Where clients reach it.
    pub listeners: Vec<BrokerListener>,
    /// Where it stands.
    pub rack: Option<String>,
    /// Its log directories that are online.
    pub directories: Vec<DirectoryId>,
    /// Feature levels that it can work with; empty for a broker that does not say, which is not
    /// checked.
    pub features: Vec<FeatureRange>,
    /// How its last life ended. Means nothing for a broker that is its own controller.
    pub past: PastLife,
}

/// How the last life of a broker ended, by what its disks say. A broker writes its epoch to its
/// disks before its first heartbeat under it, and marks a clean stop (KIP-966).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PastLife {
    /// The disks know of none: they are new, or older than they should be.
    #[default]
    None,
    /// It ended in this broker epoch without a mark.
    Crashed(i64),
    /// It stopped cleanly in this broker epoch.
    Clean(i64),
}

/// A broker says that it lives, and what it wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who.
    pub node: NodeId,
    /// Its epoch.
    pub epoch: i64,
    /// [`crate::MetadataImage::version`] of the image it works with.
    pub version: u64,
    /// It is not ready to serve.
    pub wants_fence: bool,
    /// It wants to stop.
    pub wants_shutdown: bool,
    /// Directories that failed.
    pub offline_directories: Vec<DirectoryId>,
    /// Directories that take no new replicas; replaces what was said before.
    pub cordoned_directories: Vec<DirectoryId>,
    /// Directories whose disk has become slow; replaces what was said before. An older controller does
    /// not read it, an older broker does not say it.
    #[serde(default)]
    pub slow_directories: Vec<DirectoryId>,
    /// Directories whose disk has no room for producers; likewise.
    #[serde(default)]
    pub full_directories: Vec<DirectoryId>,
}

/// What a broker learns from its heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerState {
    /// It has seen the metadata up to its own registration.
    pub caught_up: bool,
    /// It is fenced and must not serve.
    pub fenced: bool,
    /// It wanted to stop, and may: all that others could lead is led by others, and they know.
    pub may_stop: bool,
}

/// The controller has found out that a broker's process is gone. What silence would say after a
/// session is said at once; a new process of the broker may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceBroker {
    /// Which.
    pub node: NodeId,
    /// Its epoch: another process may have taken its place.
    pub epoch: i64,
}

/// Takes a broker out of the cluster. Refused while it is alive or keeps replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterBroker {
    /// Which.
    pub node: NodeId,
}

/// Says whether a broker takes new replicas. What it has stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CordonBroker {
    /// Which.
    pub node: NodeId,
    /// `true`: it takes none.
    pub cordoned: bool,
}
