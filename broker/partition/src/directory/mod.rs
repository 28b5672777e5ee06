//! All partitions that live on this broker, kept equal to the metadata image.
//!
//! A reconcile, not callbacks: a thread of its own waits for a newer image, takes what is different
//! from the one before ([`MetadataImage::changes_since`]), opens, configures and deletes, and then
//! says how far it has come ([`Directory::applied`]). Who has just created a topic waits for that,
//! so that the reply is not followed by "unknown partition".
//!
//! Deletion needs a reason. A log is removed when a topic that we served disappears from the image,
//! or when another life of the topic takes its name. A log that is merely unknown at start is left
//! where it is, with a warning: absence of evidence must never delete data.
//!
//! What cannot be done at once is not forgotten: a deletion that finds a log thread's queue full is
//! tried again until it is done, and a partition that cannot be opened is tried again with retention.

mod homes;
mod keeper;

use std::collections::HashMap;
use std::sync::Arc;

use freshet_env::{Clock, tasks};
use freshet_log::Writers;
use freshet_metadata::{DirectoryId, MetadataImage, Topic};
use freshet_settings::StaticSettings;
use freshet_types::{NodeId, Position, TopicPartition};
use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use self::keeper::Keeper;
use crate::partition::Partition;
use crate::replica::{IsrCounts, Proposals, Stand};

/// Told about partitions that come and go; called on the directory's thread.
pub trait Neighbour: Send + Sync {
    /// A partition has taken a place, under the leader epoch that it says. It has none in the
    /// meantime, so this may come twice with the same.
    fn stands(&self, partition: &Arc<Partition>, stand: Stand);
    /// This broker's copy of a partition is damaged: others should lead, and this one begins anew once
    /// the controller has taken note.
    fn lost(&self, _at: TopicPartition) {}
    /// A partition is no longer served here.
    fn closed(&self, partition: &Partition);
    /// A topic was deleted.
    fn deleted(&self, topic: &Topic);
}

/// What a directory works with.
pub struct DirectoryParts {
    /// This broker.
    pub node: NodeId,
    /// The log threads.
    pub writers: Arc<Writers>,
    /// The ids of their directories, in their order; none where nobody assigns replicas to them.
    pub directory_ids: Vec<DirectoryId>,
    /// File and command line.
    pub statics: Arc<StaticSettings>,
    /// The image to follow.
    pub image: watch::Receiver<Arc<MetadataImage>>,
    /// For retention.
    pub clock: Arc<dyn Clock>,
    /// Where wishes of leaders to the controller go.
    pub proposals: Arc<dyn Proposals>,
    /// Who else wants to know.
    pub neighbours: Vec<Arc<dyn Neighbour>>,
}

/// The partitions of this broker.
#[derive(Debug)]
pub struct Directory {
    partitions: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
    /// Partitions that should be here and cannot be opened, with the reason.
    broken: RwLock<HashMap<TopicPartition, Arc<str>>>,
    applied: watch::Sender<Arc<MetadataImage>>,
    pub(crate) isr_counts: Arc<IsrCounts>,
}

impl Directory {
    /// Opens everything that the image assigns to this broker, then keeps following it on a thread
    /// of its own until the returned guard is stopped. Blocks until the first image is applied.
    pub fn start(parts: DirectoryParts) -> std::io::Result<(Arc<Self>, DirectoryThread)> {
        let directory = Arc::new(Self {
            partitions: RwLock::default(),
            broken: RwLock::default(),
            applied: watch::Sender::default(),
            isr_counts: Arc::default(),
        });
        let keeper = Keeper::new(Arc::clone(&directory), parts);
        let runtime = tokio::runtime::Handle::current();
        let (stop, stopped) = oneshot::channel();
        let (ready, opened) = std::sync::mpsc::channel();
        let thread = tasks::spawn_thread("directory", move || {
            keeper.run(&runtime, &ready, stopped);
        })?;
        // An error means that the thread panicked; its join reports it.
        let _ = opened.recv();
        Ok((
            directory,
            DirectoryThread {
                stop: Some(stop),
                thread: Some(thread),
            },
        ))
    }

    /// A partition that is open here.
    pub fn get(&self, id: TopicPartition) -> Option<Arc<Partition>> {
        self.partitions.read().get(&id).cloned()
    }

    /// Why a partition that should be here is not.
    pub fn broken(&self, id: TopicPartition) -> Option<Arc<str>> {
        self.broken.read().get(&id).cloned()
    }

    /// How often sets in sync have changed.
    pub fn isr_counts(&self) -> &IsrCounts {
        &self.isr_counts
    }

    /// All partitions that are open, in no order.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }

    /// How many partitions should be here and are not.
    pub fn broken_count(&self) -> usize {
        self.broken.read().len()
    }

    /// Waits until the image at `position` is applied here.
    pub async fn applied(&self, position: Position) {
        let mut applied = self.applied.subscribe();
        // An error means that the broker stops.
        let _ = applied.wait_for(|now| now.position() >= position).await;
    }

    /// The image that is applied here.
    pub fn applied_image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.applied.borrow())
    }
}

/// The directory's thread; ends when stopped or dropped.
#[derive(Debug)]
pub struct DirectoryThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl DirectoryThread {
    /// Ends the thread and waits for it. Partitions stay as they are.
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the directory thread panicked");
        }
    }
}
