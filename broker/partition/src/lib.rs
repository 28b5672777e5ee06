//! One partition alive: leader, readers, waiters; host of the state machines.
//!
//! Floor 4: knows logs and metadata, knows neither wire requests nor HTTP.

mod config;
mod directory;
mod groups;
mod host;
mod manifests;
mod partition;
mod replica;
pub mod replication;
mod shards;
mod tiering;
mod traffic;
mod waiters;

pub use directory::{Directory, DirectoryParts, DirectoryThread, MoveError, Neighbour};
pub use freshet_tier::{ColdError, Counters, DiskCounters, GateLoad};
pub use groups::{GroupShards, OFFSETS_TOPIC};
pub use host::{
    AppendWait, Entry, HostError, Hosted, Journal, JournalError, Journaled, PartitionJournal, host,
};
pub use manifests::{
    MANIFESTS_TOPIC, ManifestDoor, ManifestKeeper, ManifestShards, ManifestWait, Unanswered,
};
pub use partition::{
    Acks, ColdRead, Copies, Ends, FetchPoint, Follow, Isolation, KnownPast, Partition, Past,
    PastTrouble, Produce, ProduceError, ReadError, RemoteStanding, ReplicaFetch, ReplicaFetchError,
    Seen, Slice, TierStanding, TrimError,
};
pub use replica::{IsrCounts, NoProposals, ProduceDone, Proposals, Stand};
pub use tiering::{
    BytesPerSecond, CopierLoad, CopyCounts, Custodians, CustodiansParts, Exporter, ExporterParts,
    FETCH_BOUNDS_MS, FetchTimes, Pace, PacedReads, PastReaders, Rate, ScrubCounts,
};
pub use traffic::{RemoteTraffic, Traffic};
pub use waiters::{Watch, Watcher};
