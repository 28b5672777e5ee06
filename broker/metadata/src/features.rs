//! Feature levels that this version can work with (KIP-584).
//!
//! What is here is advertised to clients and must be true: a client that reads `group.version` or
//! `transaction.version` uses what it promises. Kafka's `metadata.version` counts the formats of Kafka's
//! own metadata records, which are not ours; ours are counted under a name of our own.

use crate::state::{FeatureRange, MetadataImage};

/// A feature and the levels of it that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level. Above 0 the feature is always there, and nobody has to finalize it.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

/// Dynamic voters (KIP-853). True only where a replicated quorum keeps the metadata.
pub const KRAFT_VERSION: &str = "kraft.version";

/// All features, by name.
pub const FEATURES: &[Feature] = &[
    // KIP-966: leaders keep to it always.
    Feature {
        name: "eligible.leader.replicas.version",
        min: 1,
        max: 1,
    },
    // What metadata records look like; rises when an older version could not read them.
    Feature {
        name: "freshet.metadata.version",
        min: 1,
        max: 1,
    },
    Feature {
        name: KRAFT_VERSION,
        min: 1,
        max: 1,
    },
];

impl Feature {
    /// The level that the cluster uses; 0 when it uses none.
    pub fn level(&self, image: &MetadataImage) -> i16 {
        image.features().get(self.name).copied().unwrap_or(self.min)
    }

    /// The same, as a broker says it when it registers.
    pub fn range(&self) -> FeatureRange {
        FeatureRange {
            name: self.name.to_owned(),
            min: self.min,
            max: self.max,
        }
    }
}
