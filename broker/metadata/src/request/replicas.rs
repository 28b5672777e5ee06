//! Who keeps and leads partitions, after they were created.

use freshet_types::{LeaderEpoch, NodeId, PartitionId, TopicPartition};
use serde::{Deserialize, Serialize};

use crate::error::Outcome;
use crate::state::DirectoryId;

/// A leader says who is in sync. Each partition succeeds or fails alone; answers come in the order
/// of the request and hold the partition as it is afterwards, which may have another leader when a
/// reassignment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartitions {
    /// Who asks: the leader.
    pub node: NodeId,
    /// Its broker epoch.
    pub broker_epoch: i64,
    /// What it proposes.
    pub partitions: Vec<ProposedIsr>,
}

/// Replicas in sync as a leader sees them. Holds only if the leader knew of everything that was
/// decided before: a compare-and-set on both epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedIsr {
    /// Which partition.
    pub at: TopicPartition,
    /// The leader epoch it knows.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch it knows.
    pub partition_epoch: i32,
    /// Replicas in sync with their broker epochs as their fetches said (KIP-903); -1 is not
    /// checked.
    pub isr: Vec<(NodeId, i64)>,
}

/// A partition as clients name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionName {
    /// The topic's name, unchecked.
    pub topic: String,
    /// The partition's number, unchecked.
    pub partition: PartitionId,
}

/// Changes who keeps partitions (AlterPartitionReassignments). Each succeeds or fails alone;
/// answers come in the order of the request. A reassignment goes on until all new replicas are in
/// sync; [`crate::MetadataImage::moving`] lists those under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassign {
    /// Which.
    pub changes: Vec<Reassignment>,
    /// Whether the number of replicas may change.
    pub allow_factor_change: bool,
}

/// Who shall keep a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// Which.
    pub partition: PartitionName,
    /// The replicas it shall have, the preferred leader first; `None` cancels what is under way.
    pub replicas: Option<Vec<NodeId>>,
}

/// Elects leaders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectLeaders {
    /// `false`: the preferred one, if it is in sync. `true`: anybody, where nobody leads; what only
    /// others had is lost.
    pub unclean: bool,
    /// Which partitions; `None` for all that need it.
    pub partitions: Option<Vec<PartitionName>>,
}

/// What came of an election.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectedLeader {
    /// Of which partition.
    pub partition: PartitionName,
    /// The leader, or why there was no election.
    pub outcome: Outcome<NodeId>,
}

/// A broker says in which of its directories replicas are (KIP-858). Each succeeds or fails alone;
/// answers come in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignDirectories {
    /// Who.
    pub node: NodeId,
    /// Its broker epoch.
    pub broker_epoch: i64,
    /// Which replica is where.
    pub replicas: Vec<AssignedPartition>,
}

/// Where one replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedPartition {
    /// Which partition.
    pub at: TopicPartition,
    /// In which directory; [`DirectoryId::LOST`] if the copy is of no use.
    pub directory: DirectoryId,
    /// This very process has moved it there, with all that it had, out of the directory that the
    /// controller knows: nothing is lost if that one is gone by now.
    #[serde(default)]
    pub whole: bool,
}
