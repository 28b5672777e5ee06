//! Cold segments in object storage: which objects hold a partition's past, who may change that, and
//! what the objects are called and look like (docs/tiering.md, docs/formats/tier.md; KIP-405).
//!
//! Floor 3. What decides is pure: the [`Manifest`] answers readers, [`Manifests`] is the machine that
//! keeps all manifests of one shard, [`Layout`] names objects, [`Footer`] describes one. What meets the
//! bucket stands beside it: [`upload`] makes an object of a segment, stores it and looks at it,
//! [`check_named`], [`check_bytes`] and [`check_exported`] look whether it still is what it was, [`ColdReader`]
//! reads.

mod codec;
mod exports;
mod guard;
mod layout;
mod machine;
mod manifest;
mod newest;
mod object;
mod read;
mod segment;
#[cfg(test)]
mod tests;

pub use exports::{
    ClusterExport, ExportedShard, ExportedTopic, GroupPositions, OwnedSettings, Position,
    PositionsExport, PositionsOf, SettingsOwner,
};
pub use layout::{CLAIMS, CLUSTERS, Layout, ObjectName, claim, nth_claim, shard_of};
pub use machine::{
    Answer, Ask, Change, Changed, Claim, Limits, Manifests, Purpose, Record, Refusal, Request,
    Said, Stored, said_from_bytes, said_to_bytes,
};
pub use manifest::{EpochEnd, ExportedManifest, Head, Manifest, Part, Retention, Unnamed};
pub use newest::{NewestManifest, check_exported, newest_manifest};
pub use object::{
    CHUNK_BYTES, ComposeError, Footer, Section, SectionKind, SegmentBytes, SegmentSource,
    UploadError, VerifyError, check_bytes, check_named, check_whole, upload,
};
pub use read::{
    ColdBatches, ColdError, ColdReader, ColdSpec, Counters, DiskCache, DiskCacheParts,
    DiskCounters, GateLoad, Past, Pause, ReadLimits, Spawn, TimedOffset,
};
pub use segment::{Attempt, EpochStart, Segment, SegmentId};
