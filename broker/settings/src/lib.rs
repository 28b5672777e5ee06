//! Every setting, declared once: name, unit, default, range, scope and doc.
//!
//! Floor 1. Kafka's names and defaults (4.4) wherever Kafka has the setting; ours start with
//! `freshet.` (and `http.listener`, `remote.log.storage.url`). The table in `table/` is the only list: the parser of files
//! and arguments, DescribeConfigs, validation of AlterConfigs and the reference page read it.
//!
//! ```text
//! file, --set ─► StaticSettingsBuilder ─► StaticSettings ─┐
//! metadata log ─► Overrides of brokers ───────────────────┴─► Layers ─► slices (SocketSettings, …)
//! metadata log ─► Overrides of a topic ──────────────────────► Layers::topic ─► TopicConfig
//! ```
//!
//! There is no global configuration: each part of the broker is handed its slice.

mod cross;
mod endpoint;
mod error;
mod layers;
mod nearest;
mod overrides;
mod reference;
mod setting;
mod slices;
mod statics;
mod table;
mod topic_config;
mod value;

pub use endpoint::{Endpoint, Listener, SecurityProtocol};
pub use error::SettingError;
pub use layers::{Candidate, Described, Layers, Overrides, Source};
pub use overrides::{OVERRIDE_MAX_BYTES, check_topic};
pub use reference::reference_markdown;
pub use setting::{Importance, Kind, Scope, Setting, Standing, Synonym, Unit, Update, Valid};
pub use slices::{
    CordonedDirs, GroupSettings, LifecycleSettings, LogSettings, MetadataSettings, MoveSettings,
    NodeRoles, NodeSettings, QuorumSettings, ReplicationSettings, SocketSettings, ThrottleSettings,
    TierDiskCache, TierReaderSettings, TierSettings, TopicDefaults,
};
pub use statics::{StaticSettings, StaticSettingsBuilder, Warning};
pub use topic_config::{
    CompressionType, Durability, ReplicationConfig, ThrottledReplicas, TimestampType, TopicConfig,
    TopicThrottle, TopicTier,
};

#[cfg(test)]
mod tests;
