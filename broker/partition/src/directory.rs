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

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_env::{Clock, tasks};
use freshet_log::{LogDir, LogName, OpenError, OpenLog, Progress, Writers};
use freshet_metadata::{ConfigOwner, MetadataImage, Topic};
use freshet_settings::{Layers, StaticSettings};
use freshet_types::{NodeId, PartitionId, Position, TopicPartition};
use parking_lot::RwLock;
use tokio::sync::{oneshot, watch};

use crate::config::log_config;
use crate::partition::Partition;
use crate::replica::Replica;

/// Told about partitions that come and go; called on the directory's thread.
pub trait Neighbour: Send + Sync {
    /// A partition is open and led here.
    fn opened(&self, partition: &Arc<Partition>);
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
    /// File and command line.
    pub statics: Arc<StaticSettings>,
    /// The image to follow.
    pub image: watch::Receiver<Arc<MetadataImage>>,
    /// For retention.
    pub clock: Arc<dyn Clock>,
    /// Who else wants to know.
    pub neighbours: Vec<Arc<dyn Neighbour>>,
}

/// The partitions of this broker.
#[derive(Debug)]
pub struct Directory {
    partitions: RwLock<HashMap<TopicPartition, Arc<Partition>>>,
    /// Partitions that should be here and cannot be opened, with the reason.
    broken: RwLock<HashMap<TopicPartition, Arc<str>>>,
    applied: watch::Sender<Position>,
}

impl Directory {
    /// Opens everything that the image assigns to this broker, then keeps following it on a thread
    /// of its own until the returned guard is stopped. Blocks until the first image is applied.
    pub fn start(parts: DirectoryParts) -> std::io::Result<(Arc<Self>, DirectoryThread)> {
        let directory = Arc::new(Self {
            partitions: RwLock::default(),
            broken: RwLock::default(),
            applied: watch::Sender::new(Position::START),
        });
        let logs = Layers::of(Arc::clone(&parts.statics)).logs();
        let period_ms = logs
            .retention_check_interval_ms
            .min(logs.checkpoint_interval_ms);
        let keeper = Keeper {
            directory: Arc::clone(&directory),
            seen: Arc::new(MetadataImage::default()),
            period: Duration::from_millis(period_ms.max(1000)),
            parts,
        };
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
        let _ = applied.wait_for(|now| *now >= position).await;
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

/// What the thread owns.
struct Keeper {
    directory: Arc<Directory>,
    seen: Arc<MetadataImage>,
    period: Duration,
    parts: DirectoryParts,
}

impl Keeper {
    fn run(
        mut self,
        runtime: &tokio::runtime::Handle,
        ready: &std::sync::mpsc::Sender<()>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        self.follow();
        self.report_strays();
        // Nobody may listen any more.
        let _ = ready.send(());
        let mut image = self.parts.image.clone();
        let period = self.period;
        loop {
            let changed = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = &mut stopped => None,
                    changed = image.changed() => changed.ok().map(|()| true),
                    () = tokio::time::sleep(period) => Some(false),
                }
            });
            match changed {
                None => return,
                Some(true) => self.follow(),
                Some(false) => self.retain(),
            }
        }
    }

    /// Makes the directory equal to the newest image.
    fn follow(&mut self) {
        let image = Arc::clone(&self.parts.image.borrow_and_update());
        let changes = image.changes_since(&self.seen);
        let layers = self.layers(&image);
        for topic in &changes.deleted {
            self.delete(topic);
        }
        let topics: Vec<&Arc<Topic>> = if changes.configs {
            image.topics().collect()
        } else {
            changes.topics.iter().collect()
        };
        for topic in topics {
            self.serve(topic, &layers);
        }
        self.directory.applied.send_replace(image.position());
        self.seen = image;
    }

    fn layers(&self, image: &MetadataImage) -> Layers {
        Layers {
            statics: Arc::clone(&self.parts.statics),
            cluster: image.configs(&ConfigOwner::Cluster),
            broker: image.configs(&ConfigOwner::Broker(self.parts.node)),
        }
    }

    /// Opens what is missing of a topic and hands everything its present settings.
    fn serve(&self, topic: &Topic, layers: &Layers) {
        let resolved = layers.topic(&topic.configs);
        let config = Arc::new(log_config(&resolved, &layers.logs()));
        let min_in_sync = usize::try_from(resolved.min_insync_replicas).unwrap_or(usize::MAX);
        for (index, state) in topic.iter() {
            if !state.replicas.contains(&self.parts.node) {
                continue;
            }
            let id = TopicPartition {
                topic: topic.id,
                partition: index,
            };
            let (partition, is_new) = match self.directory.get(id) {
                Some(partition) => (partition, false),
                None => match self.open(topic, index, &config) {
                    Ok(partition) => (partition, true),
                    Err(error) => {
                        tracing::error!(topic = %topic.name, partition = index, %error, "offline");
                        self.directory
                            .broken
                            .write()
                            .insert(id, error.to_string().into());
                        continue;
                    }
                },
            };
            partition.lead(state.leader_epoch, state.isr.len());
            partition.configure(Arc::clone(&config), min_in_sync);
            if is_new {
                self.directory.broken.write().remove(&id);
                self.directory
                    .partitions
                    .write()
                    .insert(id, Arc::clone(&partition));
                self.parts
                    .neighbours
                    .iter()
                    .for_each(|n| n.opened(&partition));
            }
        }
    }

    fn open(
        &self,
        topic: &Topic,
        index: PartitionId,
        config: &Arc<freshet_log::LogConfig>,
    ) -> Result<Arc<Partition>, OpenError> {
        let name = LogName {
            topic: topic.name.clone(),
            partition: index,
        };
        let dir = self.choose_dir(&name)?;
        let replica = Arc::new(Replica::default());
        let open = || {
            self.parts.writers.open(OpenLog {
                dir: Arc::clone(&dir),
                name: name.clone(),
                topic_id: topic.id,
                config: Arc::clone(config),
                progress: Arc::clone(&replica) as Arc<dyn Progress>,
            })
        };
        let log = match open() {
            // The committed metadata gives the name to another life of the topic: the one on disk
            // was deleted while we were away.
            Err(OpenError::OtherTopic { .. }) => {
                tracing::warn!(log = %name, "removing the log of a deleted topic of that name");
                self.parts.writers.remove_stray(&dir, &name)?;
                open()?
            }
            other => other?,
        };
        let id = TopicPartition {
            topic: topic.id,
            partition: index,
        };
        Ok(Arc::new(Partition::new(id, log, replica)))
    }

    /// The directory that has the log already, else the online one with the fewest logs.
    fn choose_dir(&self, name: &LogName) -> Result<Arc<LogDir>, OpenError> {
        let dirs = self.parts.writers.dirs();
        if let [only] = dirs {
            return Ok(Arc::clone(only));
        }
        let mut best: Option<(usize, &Arc<LogDir>)> = None;
        for dir in dirs {
            let Ok(logs) = dir.logs() else { continue };
            if logs.iter().any(|(present, _)| present == name) {
                return Ok(Arc::clone(dir));
            }
            if dir.failure().is_none() && best.is_none_or(|(count, _)| logs.len() < count) {
                best = Some((logs.len(), dir));
            }
        }
        let offline = || dirs.iter().find_map(|dir| dir.failure());
        match (best, offline()) {
            (Some((_, dir)), _) => Ok(Arc::clone(dir)),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(Arc::clone(
                dirs.first().expect("a broker has a log directory"),
            )),
        }
    }

    fn delete(&self, topic: &Topic) {
        for (index, _) in topic.iter() {
            let id = TopicPartition {
                topic: topic.id,
                partition: index,
            };
            self.directory.broken.write().remove(&id);
            let Some(partition) = self.directory.partitions.write().remove(&id) else {
                continue;
            };
            self.parts
                .neighbours
                .iter()
                .for_each(|n| n.closed(&partition));
            let name = partition.name().clone();
            let (tell, told) = std::sync::mpsc::channel();
            let done = Box::new(move |result| drop(tell.send(result)));
            if let Err(error) = partition.log().delete(done) {
                // Named by no image, the log is a stray from now on.
                tracing::warn!(log = %name, %error, "not deleted");
                continue;
            }
            match told.recv() {
                Ok(Ok(())) => tracing::info!(log = %name, "deleted"),
                Ok(Err(error)) => tracing::error!(log = %name, %error, "cannot delete"),
                Err(_) => tracing::error!(log = %name, "cannot delete: the log threads have ended"),
            }
        }
        self.parts.neighbours.iter().for_each(|n| n.deleted(topic));
    }

    fn retain(&self) {
        let now = self.parts.clock.wall();
        for partition in self.directory.all() {
            let name = partition.name().clone();
            let limit = partition.ends().high_watermark;
            let done = move |result: Result<freshet_log::Retained, _>| match result {
                Ok(retained) if retained.segments > 0 => tracing::info!(
                    log = %name,
                    segments = retained.segments,
                    bytes = retained.bytes,
                    log_start = retained.log_start,
                    "retention"
                ),
                Ok(_) => {}
                Err(error) => tracing::warn!(log = %name, %error, "retention failed"),
            };
            if partition.log().retain(now, limit, Box::new(done)).is_err() {
                return; // The threads are busy with appends; the next period comes.
            }
        }
    }

    fn report_strays(&self) {
        for dir in self.parts.writers.dirs() {
            for (name, id) in dir.logs().unwrap_or_default() {
                if self.seen.topic_by_id(id).is_none() {
                    let dir = dir.path().display().to_string();
                    tracing::warn!(dir, log = %name, "not in the metadata: left untouched");
                }
            }
        }
    }
}
