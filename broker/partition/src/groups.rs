//! The group shards of this broker: one hosted machine for each partition of `__consumer_offsets`
//! that it leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_coordinators::groups::{Groups, Limits, Record, api};
use freshet_env::Clock;
use freshet_metadata::Topic;
use freshet_types::{PartitionId, Timestamp};
use parking_lot::RwLock;

use crate::directory::Neighbour;
use crate::host::{Entry, HostError, Hosted, Journaled, PartitionJournal, host};
use crate::partition::Partition;
use crate::replica::Stand;

/// The topic that keeps groups and their offsets.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";

impl Journaled for Groups {
    fn encode(record: &Record) -> Entry {
        let (key, value) = record.encode();
        Entry {
            key,
            value,
            timestamp: record.decided_at().unwrap_or(Timestamp::NONE),
        }
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Record> {
        Record::decode(key, value).unwrap_or_else(|error| {
            tracing::warn!(%error, "a record of {OFFSETS_TOPIC} is left out");
            None
        })
    }

    fn may_write(request: &api::Request) -> bool {
        use api::Request::{Describe, Fetch, Heartbeat, List};
        !matches!(request, Describe(_) | Fetch(_) | Heartbeat(_) | List(_))
    }
}

/// See the module.
pub struct GroupShards {
    shards: RwLock<BTreeMap<PartitionId, Hosted<Groups>>>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Handle,
}

impl std::fmt::Debug for GroupShards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupShards")
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

impl GroupShards {
    /// No shards yet; the directory brings them. Must be called inside the runtime that is to run
    /// them.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self {
            shards: RwLock::default(),
            limits,
            clock,
            runtime,
        }
    }

    /// The shard of one partition of [`OFFSETS_TOPIC`].
    pub fn shard(&self, partition: PartitionId) -> Result<Hosted<Groups>, HostError> {
        let missing = || HostError::NotHere(format!("{OFFSETS_TOPIC}-{partition}").into());
        self.shards
            .read()
            .get(&partition)
            .cloned()
            .ok_or_else(missing)
    }

    /// All shards.
    pub fn all(&self) -> Vec<Hosted<Groups>> {
        self.shards.read().values().cloned().collect()
    }
}

impl Neighbour for GroupShards {
    /// A coordinator lives where its partition is led. One that led before and leads again in a
    /// newer epoch is loaded anew: others may have written meanwhile.
    fn stands(&self, partition: &Arc<Partition>, stand: Stand) {
        if partition.name().topic.as_str() != OFFSETS_TOPIC {
            return;
        }
        if stand != Stand::Leads {
            return self.closed(partition);
        }
        let limits = self.limits;
        let journal = PartitionJournal::new(Arc::clone(partition));
        let _inside = self.runtime.enter();
        let name = partition.name().to_string();
        let shard = host(&name, journal, Arc::clone(&self.clock), move || {
            Groups::new(limits)
        });
        self.shards
            .write()
            .insert(partition.name().partition, shard);
    }

    fn closed(&self, partition: &Partition) {
        if partition.name().topic.as_str() == OFFSETS_TOPIC {
            self.shards.write().remove(&partition.name().partition);
        }
    }

    fn deleted(&self, topic: &Topic) {
        let gone = api::DeletedTopic {
            topic: topic.name.as_str().into(),
            topic_id: topic.id,
        };
        let request = api::ForgetTopics { topics: vec![gone] };
        for shard in self.all() {
            let request = request.clone();
            self.runtime.spawn(async move {
                if let Err(error) = shard.ask(request.into()).await {
                    tracing::warn!(%error, "offsets of a deleted topic stay until they expire");
                }
            });
        }
    }
}
