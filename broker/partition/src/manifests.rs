//! The manifests that this broker keeps: one machine for each partition of `__remote_log_metadata`
//! that it leads (docs/tiering.md); and the way to those that others keep.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::Clock;
use freshet_metadata::Topic;
use freshet_tier::{Answer, Ask, Limits, Manifests, Record, Request, Said};
use freshet_types::{PartitionId, StoredRecord, Timestamp, TopicId, TopicPartition};

use crate::directory::Neighbour;
use crate::host::{Entry, HostError, Journaled};
use crate::partition::Partition;
use crate::replica::Stand;
use crate::shards::Shards;

/// A question about no partition names this one.
const NOBODY: TopicPartition = TopicPartition {
    topic: TopicId::ZERO,
    partition: 0,
};

/// The topic that keeps what is in the bucket.
pub const MANIFESTS_TOPIC: &str = "__remote_log_metadata";

impl Journaled for Manifests {
    fn encode(record: &Record) -> Entry {
        Entry {
            key: Bytes::copy_from_slice(&record.partition.topic.0),
            value: Some(record.to_bytes().into()),
            timestamp: Timestamp::NONE,
        }
    }

    /// A record that is left out could be the doom of an object, or its name.
    fn decode(_: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, String> {
        let value = value.ok_or("a record without a value")?;
        let record = Record::from_bytes(value);
        record.map(Some).map_err(|error| error.to_string())
    }

    fn may_write(request: &Request) -> bool {
        !matches!(request.ask, Ask::Describe | Ask::Export | Ask::List)
    }
}

/// Something about a manifest, some time later.
pub type ManifestWait<'a, E> = Pin<Box<dyn Future<Output = Result<Said, E>> + Send + 'a>>;

/// Answers for the shards of this broker.
pub trait ManifestKeeper: Send + Sync {
    /// What the machine of a shard says, once that is committed.
    fn answer(&self, shard: PartitionId, request: Request) -> ManifestWait<'_, HostError>;
}

/// Brings questions to whichever broker keeps the manifest, and answers back. All that is asked may
/// be asked again.
pub trait ManifestDoor: Send + Sync {
    /// Asks until there is an answer, for some seconds.
    fn ask(&self, request: Request) -> ManifestWait<'_, Unanswered>;
}

/// Nobody has answered in time. It may have been done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer about a manifest: {why}")]
pub struct Unanswered {
    /// What came of the last try.
    pub why: String,
}

/// See the module.
#[derive(Debug)]
pub struct ManifestShards(Shards<Manifests>);

impl ManifestShards {
    /// No shards yet; the directory brings them. Must be called inside the runtime that is to run
    /// them.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self(Shards::new(MANIFESTS_TOPIC, clock, move || {
            Manifests::new(limits)
        }))
    }
}

impl ManifestShards {
    /// The partitions whose manifests are kept here, as far as their shards are loaded.
    pub(crate) async fn kept(&self) -> Vec<TopicPartition> {
        let mut kept = Vec::new();
        for shard in self.0.all() {
            let request = Request {
                partition: NOBODY,
                leader_epoch: -1,
                ask: Ask::List,
            };
            if let Ok(Ok(Answer::Partitions(partitions))) = shard.ask(request).await {
                kept.extend(partitions);
            }
        }
        kept
    }
}

impl ManifestKeeper for ManifestShards {
    fn answer(&self, shard: PartitionId, request: Request) -> ManifestWait<'_, HostError> {
        Box::pin(async move { self.0.get(shard)?.ask(request).await })
    }
}

impl Neighbour for ManifestShards {
    fn stands(&self, partition: &Arc<Partition>, stand: Stand) {
        self.0.stands(partition, stand);
    }

    fn closed(&self, partition: &Partition) {
        self.0.closed(partition);
    }

    // Objects of deleted topics are found by whoever collects, not by hearing of it: a deletion while
    // a shard has no host would be missed.
    fn deleted(&self, _: &Topic) {}
}
