//! What clients are told of a partition's leader and replicas, by whichever API they ask.

use freshet_metadata::Partition;
use freshet_types::NodeId;
use freshet_wire::ErrorCode;

/// A partition in the image, in the words of the protocol.
pub(crate) struct PartitionState {
    pub(crate) error_code: i16,
    /// -1 without a leader.
    pub(crate) leader_id: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) replica_nodes: Vec<i32>,
    pub(crate) isr_nodes: Vec<i32>,
}

impl PartitionState {
    pub(crate) fn of(partition: &Partition) -> Self {
        let code = match partition.leader {
            Some(_) => ErrorCode::None,
            None => ErrorCode::LeaderNotAvailable,
        };
        Self {
            error_code: code.code(),
            leader_id: partition.leader.map_or(-1, |leader| leader.0),
            leader_epoch: partition.leader_epoch,
            replica_nodes: numbers(&partition.replicas),
            isr_nodes: numbers(&partition.isr),
        }
    }
}

/// Brokers by their numbers.
pub(crate) fn numbers(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}
