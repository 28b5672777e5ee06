//! Tells the controller where replicas are, when that is not where it thinks (KIP-858).
//!
//! A disk that was replaced has another id. The replicas that were on it begin anew elsewhere, and
//! count for nothing until the controller knows: before that it takes them for out of reach. The same way
//! a copy that was found damaged is given up ([`DirectoryId::LOST`]), and later begins anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_log::LogDir;
use freshet_metadata::{
    Ask, AssignDirectories, AssignedPartition, DirectoryId, MetadataImage, MetadataMachine, Topic,
};
use freshet_partition::{Neighbour, Partition, Stand};
use freshet_quorum::Quorum;
use freshet_types::{NodeId, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

/// Replicas of one request.
const BATCH: usize = 1000;
/// Pause before what was not decided is sent again.
const PAUSE: Duration = Duration::from_millis(200);

/// What the telling works with.
pub struct PlacesParts {
    /// This broker.
    pub node: NodeId,
    /// Its log directories with their ids.
    pub directories: Vec<(DirectoryId, Arc<LogDir>)>,
    /// Who decides, and the image.
    pub quorum: Arc<dyn Quorum<MetadataMachine>>,
    /// Its registration; below 0 while it has none.
    pub broker_epoch: watch::Receiver<i64>,
}

/// See the module.
pub struct Places {
    parts: PlacesParts,
    image: watch::Receiver<Arc<MetadataImage>>,
    waiting: Mutex<BTreeMap<TopicPartition, Replica>>,
    told: Notify,
}

/// A replica to be told of.
#[derive(Clone)]
enum Replica {
    Lives(Arc<Partition>),
    Lost,
}

/// Replicas, and where they are.
type Batch = Vec<(TopicPartition, Replica, DirectoryId)>;

impl Places {
    /// Gathers, until somebody runs it.
    pub fn new(parts: PlacesParts) -> Arc<Self> {
        Arc::new(Self {
            image: parts.quorum.watch(),
            parts,
            waiting: Mutex::default(),
            told: Notify::new(),
        })
    }

    /// Sends what gathers, for ever; one request at a time.
    pub async fn run(self: Arc<Self>) {
        loop {
            let batch = self.take();
            if batch.is_empty() {
                self.told.notified().await;
            } else if self.send(&batch).await {
                self.look_again(batch);
            } else {
                self.put_again(batch);
                sleep(PAUSE).await;
            }
        }
    }

    fn take(&self) -> Batch {
        let mut waiting = self.waiting.lock();
        let mut batch = std::mem::take(&mut *waiting);
        if let Some(rest) = batch.keys().nth(BATCH).copied() {
            *waiting = batch.split_off(&rest);
        }
        drop(waiting);
        let told = |(at, replica): (TopicPartition, Replica)| {
            let directory = self.place_of(&replica)?;
            Some((at, replica, directory))
        };
        batch.into_iter().filter_map(told).collect()
    }

    fn put_again(&self, batch: Batch) {
        let mut waiting = self.waiting.lock();
        for (at, replica, _) in batch {
            waiting.entry(at).or_insert(replica);
        }
    }

    /// Those that moved while that was told are told again.
    fn look_again(&self, batch: Batch) {
        let moved = |(_, replica, told): &(TopicPartition, Replica, DirectoryId)| {
            self.place_of(replica).is_some_and(|is| is != *told)
        };
        self.put_again(batch.into_iter().filter(moved).collect());
    }

    /// Whether it was decided.
    async fn send(&self, batch: &Batch) -> bool {
        let mut epoch = self.parts.broker_epoch.clone();
        let Ok(epoch) = epoch
            .wait_for(|epoch| *epoch >= 0)
            .await
            .map(|epoch| *epoch)
        else {
            return false;
        };
        let replica =
            |(at, replica, directory): &(TopicPartition, Replica, DirectoryId)| AssignedPartition {
                at: *at,
                directory: *directory,
                whole: self.is_whole(replica),
            };
        let request = AssignDirectories {
            node: self.parts.node,
            broker_epoch: epoch,
            replicas: batch.iter().map(replica).collect(),
        };
        let outcomes = match self.parts.quorum.propose(request.into()).await {
            Ok(reply) => AssignDirectories::answer(reply),
            Err(error) => {
                tracing::debug!(%error, "the controller does not know yet where replicas are");
                return false;
            }
        };
        match outcomes {
            Ok(outcomes) => {
                for error in outcomes.into_iter().filter_map(Result::err) {
                    tracing::warn!(%error, "the controller does not take where a replica is");
                }
                tracing::info!(replicas = batch.len(), "told where replicas are");
                true
            }
            // It registers again, and then this is sent with its new epoch.
            Err(_) => false,
        }
    }

    fn directory_of(&self, partition: &Partition) -> Option<DirectoryId> {
        let view = partition.view();
        let mut known = self.parts.directories.iter();
        known
            .find(|(_, other)| Arc::ptr_eq(other, view.dir()))
            .map(|(id, _)| *id)
    }

    fn place_of(&self, replica: &Replica) -> Option<DirectoryId> {
        match replica {
            Replica::Lives(partition) => self.directory_of(partition),
            Replica::Lost => Some(DirectoryId::LOST),
        }
    }

    /// Whether it has moved, in this process, out of the directory where the controller has it. That
    /// one may have failed since, and only this broker knows that nothing was lost with it.
    fn is_whole(&self, replica: &Replica) -> bool {
        let Replica::Lives(partition) = replica else {
            return false;
        };
        let Some(assigned) = self.assigned(partition) else {
            return false;
        };
        let mut known = self.parts.directories.iter();
        let dir = known.find(|(id, _)| *id == assigned);
        dir.is_some_and(|(_, dir)| partition.has_moved_from(dir))
    }

    /// Where the controller has it.
    fn assigned(&self, partition: &Partition) -> Option<DirectoryId> {
        let image = Arc::clone(&self.image.borrow());
        let state = image.partition(partition.id())?;
        state.directory(self.parts.node)
    }

    fn tell(&self, at: TopicPartition, replica: Replica) {
        self.waiting.lock().insert(at, replica);
        self.told.notify_one();
    }

    fn look(&self, partition: &Arc<Partition>) {
        let (assigned, is) = (self.assigned(partition), self.directory_of(partition));
        if assigned.is_some() && is.is_some() && assigned != is {
            self.tell(partition.id(), Replica::Lives(Arc::clone(partition)));
        }
    }
}

impl Neighbour for Places {
    fn stands(&self, partition: &Arc<Partition>, _: Stand) {
        self.look(partition);
    }

    fn moved(&self, partition: &Arc<Partition>) {
        self.look(partition);
    }

    fn lost(&self, at: TopicPartition) {
        self.tell(at, Replica::Lost);
    }

    fn closed(&self, partition: &Partition) {
        self.waiting.lock().remove(&partition.id());
    }

    fn deleted(&self, _: &Topic) {}
}
