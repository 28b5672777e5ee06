//! What administrators ask of a cluster, typed.

mod cluster;
mod configs;
mod features;
mod group_offsets;
mod groups;
mod many;
mod offsets;
mod placement;
mod quorum;
mod reassignments;
mod records;
mod topics;

use crate::{Client, ClientError};

pub use cluster::{ClusterDescription, ClusterNode, LogDir, LogDirPartition, UncleanElection};
pub use configs::{ConfigChange, ConfigEntry, ConfigOperation, ConfigSource, Resource};
pub use features::FeatureLevel;
pub(crate) use group_offsets::{Committer, commit};
pub use group_offsets::{GroupOffset, NewGroupOffset};
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use offsets::{FoundOffset, OffsetSpec, TierStanding, TierState};
pub use placement::{NoPlace, Placement, PlacementBroker};
pub use quorum::{NewVoter, QuorumDescription, QuorumReplica};
pub use reassignments::{Election, OngoingMove, Reassignment};
pub use topics::{CreatedTopic, Floors, NewTopic, PartitionCopies, RestoredTopic};

/// A topic and the index of one of its partitions.
pub type TopicPartition = (String, freshet_types::PartitionId);

/// One outcome for each thing that was asked about, in the order of the question where the API has
/// one.
pub type Outcomes<K, V> = Vec<(K, Result<V, ClientError>)>;

/// Administration through a [`Client`].
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

impl Client {
    /// The administrator's view of this client.
    pub fn admin(&self) -> Admin {
        Admin {
            client: self.clone(),
        }
    }
}

/// The outcome of the only thing that was asked about.
fn only<K, V>(outcomes: Outcomes<K, V>, what: &str) -> Result<V, ClientError> {
    match outcomes.into_iter().next() {
        Some((_, outcome)) => outcome,
        None => Err(ClientError::Invalid(format!(
            "the broker left {what} out of its answer"
        ))),
    }
}

/// Milliseconds as the wire has them.
pub(crate) fn millis(duration: std::time::Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
