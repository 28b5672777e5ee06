//! The machines of one internal topic: one for each of its partitions that this broker leads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use freshet_env::Clock;
use freshet_types::PartitionId;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::host::{HostError, Hosted, Journaled, PartitionJournal, host};
use crate::partition::Partition;
use crate::replica::Stand;

/// See the module. Follows what its owner hears as a neighbour of the directory.
pub(crate) struct Shards<M: Journaled> {
    topic: &'static str,
    hosted: RwLock<BTreeMap<PartitionId, Shard<M>>>,
    fresh: Arc<dyn Fn() -> M + Send + Sync>,
    clock: Arc<dyn Clock>,
    pub(crate) runtime: Handle,
}

/// A machine, which ends with this even while requests wait in it: a member that joins would otherwise wait for a
/// coordinator that decides nothing any more.
struct Shard<M: Journaled> {
    machine: Hosted<M>,
    _ends: oneshot::Sender<()>,
}

impl<M: Journaled> fmt::Debug for Shards<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl<M: Journaled + Send + 'static> Shards<M> {
    /// None yet; the directory brings them. Must be called inside the runtime that is to run them.
    pub(crate) fn new(
        topic: &'static str,
        clock: Arc<dyn Clock>,
        fresh: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        Self {
            topic,
            hosted: RwLock::default(),
            fresh: Arc::new(fresh),
            clock,
            runtime: Handle::current(),
        }
    }

    /// The machine of one partition of the topic.
    pub(crate) fn get(&self, partition: PartitionId) -> Result<Hosted<M>, HostError> {
        let missing = || HostError::NotHere(format!("{}-{partition}", self.topic).into());
        let hosted = self.hosted.read();
        let shard = hosted.get(&partition).ok_or_else(missing)?;
        Ok(shard.machine.clone())
    }

    /// Which are here.
    pub(crate) fn numbers(&self) -> Vec<PartitionId> {
        self.hosted.read().keys().copied().collect()
    }

    /// All that are here.
    pub(crate) fn all(&self) -> Vec<Hosted<M>> {
        let hosted = self.hosted.read();
        hosted.values().map(|it| it.machine.clone()).collect()
    }

    /// A machine lives where its partition is led. One that led before and leads again in a newer
    /// epoch is loaded anew: others may have written meanwhile.
    pub(crate) fn stands(&self, partition: &Arc<Partition>, stand: Stand) {
        if partition.name().topic.as_str() != self.topic {
            return;
        }
        if stand != Stand::Leads {
            return self.closed(partition);
        }
        let journal = PartitionJournal::new(Arc::clone(partition));
        let _inside = self.runtime.enter();
        let (name, fresh) = (partition.name().to_string(), Arc::clone(&self.fresh));
        let (ends, end) = oneshot::channel();
        let clock = Arc::clone(&self.clock);
        let machine = host(&name, (journal, end), clock, move || fresh());
        let shard = Shard {
            machine,
            _ends: ends,
        };
        let mut hosted = self.hosted.write();
        hosted.insert(partition.name().partition, shard);
    }

    pub(crate) fn closed(&self, partition: &Partition) {
        if partition.name().topic.as_str() == self.topic {
            self.hosted.write().remove(&partition.name().partition);
        }
    }
}
