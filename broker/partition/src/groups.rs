//! The group shards of this broker: one hosted machine for each partition of `__consumer_offsets`
//! that it leads.

use std::sync::Arc;

use freshet_coordinators::groups::{Groups, Limits, Record, api};
use freshet_env::Clock;
use freshet_metadata::Topic;
use freshet_types::{PartitionId, Timestamp};

use crate::directory::Neighbour;
use crate::host::{Entry, HostError, Hosted, Journaled};
use crate::partition::Partition;
use crate::replica::Stand;
use crate::shards::Shards;

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

    /// Kinds that a later broker knows are left out, as Kafka does.
    fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, String> {
        Ok(Record::decode(key, value).unwrap_or_else(|error| {
            tracing::warn!(%error, "a record of {OFFSETS_TOPIC} is left out");
            None
        }))
    }

    fn may_write(request: &api::Request) -> bool {
        use api::Request::{Describe, Fetch, FetchAll, Heartbeat, List};
        !matches!(
            request,
            Describe(_) | Fetch(_) | FetchAll(_) | Heartbeat(_) | List(_)
        )
    }
}

/// See the module.
#[derive(Debug)]
pub struct GroupShards(Shards<Groups>);

impl GroupShards {
    /// No shards yet; the directory brings them. Must be called inside the runtime that is to run
    /// them.
    pub fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self(Shards::new(OFFSETS_TOPIC, clock, move || {
            Groups::new(limits)
        }))
    }

    /// The shard of one partition of [`OFFSETS_TOPIC`].
    pub fn shard(&self, partition: PartitionId) -> Result<Hosted<Groups>, HostError> {
        self.0.get(partition)
    }

    /// All shards.
    pub fn all(&self) -> Vec<Hosted<Groups>> {
        self.0.all()
    }

    /// The shards that are here, by number.
    pub(crate) fn hosted(&self) -> Vec<PartitionId> {
        self.0.numbers()
    }
}

impl Neighbour for GroupShards {
    fn stands(&self, partition: &Arc<Partition>, stand: Stand) {
        self.0.stands(partition, stand);
    }

    fn closed(&self, partition: &Partition) {
        self.0.closed(partition);
    }

    fn deleted(&self, topic: &Topic) {
        let gone = api::DeletedTopic {
            topic: topic.name.as_str().into(),
            topic_id: topic.id,
        };
        let request = api::ForgetTopics { topics: vec![gone] };
        for shard in self.all() {
            let request = request.clone();
            self.0.runtime.spawn(async move {
                if let Err(error) = shard.ask(request.into()).await {
                    tracing::warn!(%error, "offsets of a deleted topic stay until they expire");
                }
            });
        }
    }
}
