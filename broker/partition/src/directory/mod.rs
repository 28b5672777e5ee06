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
//!
//! The same thread moves replicas between this broker's directories ([`Directory::move_replicas`]).

mod carrier;
mod homes;
mod keeper;
mod moves;

use std::collections::HashMap;
use std::sync::Arc;

use freshet_env::{Clock, tasks};
use freshet_log::{LogDir, LogView, Writers};
use freshet_metadata::{DirectoryId, MetadataImage, Topic};
use freshet_settings::StaticSettings;
use freshet_types::{NodeId, Position, TopicPartition};
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot, watch};

use self::keeper::Keeper;
pub use self::moves::MoveError;
use self::moves::{ORDERS_MAX, Order, Orders};
use crate::partition::Partition;
use crate::replica::{IsrCounts, Proposals, Stand};
use crate::replication::inherited;
use crate::tiering::PastReaders;

/// Told about partitions that come and go; called on the directory's thread.
pub trait Neighbour: Send + Sync {
    /// A partition has taken a place, under the leader epoch that it says. It has none in the
    /// meantime, so this may come twice with the same.
    fn stands(&self, partition: &Arc<Partition>, stand: Stand);
    /// This broker's copy of a partition is damaged: others should lead, and this one begins anew once
    /// the controller has taken note.
    fn lost(&self, _at: TopicPartition) {}
    /// A partition lives in another directory of this broker now.
    fn moved(&self, _partition: &Arc<Partition>) {}
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
    /// Who reads what has left for object storage; none without any.
    pub past_readers: Option<Arc<PastReaders>>,
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
    /// Copies on their way to other directories.
    futures: RwLock<HashMap<TopicPartition, LogView>>,
    orders: mpsc::Sender<Order>,
    past_readers: Option<Arc<PastReaders>>,
}

impl Directory {
    fn new(past_readers: Option<Arc<PastReaders>>) -> (Arc<Self>, Orders) {
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let directory = Self {
            partitions: RwLock::default(),
            broken: RwLock::default(),
            applied: watch::Sender::default(),
            isr_counts: Arc::default(),
            futures: RwLock::default(),
            orders,
            past_readers,
        };
        (Arc::new(directory), taken)
    }

    /// Opens everything that the image assigns to this broker, then keeps following it on a thread
    /// of its own until the returned guard is stopped. Blocks until the first image is applied.
    pub fn start(parts: DirectoryParts) -> std::io::Result<(Arc<Self>, DirectoryThread)> {
        let (directory, orders) = Self::new(parts.past_readers.clone());
        let runtime = tokio::runtime::Handle::current();
        let keeper = Keeper::new((Arc::clone(&directory), orders), parts, runtime.clone());
        let (stop, stopped) = oneshot::channel();
        let (ready, opened) = std::sync::mpsc::channel();
        let body = inherited(move || keeper.run(&runtime, &ready, stopped));
        let thread = tasks::spawn_thread("directory", body)?;
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

    /// Who reads what has left for object storage; none without any.
    pub fn past_readers(&self) -> Option<&Arc<PastReaders>> {
        self.past_readers.as_ref()
    }

    /// How often sets in sync have changed.
    pub fn isr_counts(&self) -> &IsrCounts {
        &self.isr_counts
    }

    /// All partitions that are open, in no order.
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().values().cloned().collect()
    }

    /// Has replicas live in other directories of this broker (KIP-113): each is copied while it goes
    /// on as it is, and the copy takes its place then. What was wanted of one before is replaced by
    /// this; its own directory calls a move off. One that is not here yet is refused, and goes there
    /// when it comes. An answer says that the move has begun.
    pub async fn move_replicas(
        &self,
        replicas: Vec<(TopicPartition, Arc<LogDir>)>,
    ) -> Vec<Result<(), MoveError>> {
        let count = replicas.len();
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.send(Order { replicas, answer }).await;
        let answers = match sent {
            Ok(()) => answered.await.ok(),
            Err(_) => None,
        };
        // The thread has ended: the broker stops.
        answers.unwrap_or_else(|| vec![Err(MoveError::Stopping); count])
    }

    /// Copies of replicas in directories to which they move, in no order.
    pub fn futures(&self) -> Vec<(TopicPartition, LogView)> {
        let futures = self.futures.read();
        futures
            .iter()
            .map(|(at, view)| (*at, view.clone()))
            .collect()
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
