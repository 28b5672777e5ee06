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

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use freshet_env::{Clock, tasks};
use freshet_log::{
    LogConfig, LogDir, LogError, LogName, OpenError, OpenLog, Progress, Retained, Writers,
};
use freshet_metadata::{ConfigOwner, MetadataImage, Topic};
use freshet_settings::{Layers, LogSettings, StaticSettings};
use freshet_types::{LeaderEpoch, NodeId, Position, TopicId, TopicPartition};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{oneshot, watch};
use tokio::time::{Interval, MissedTickBehavior};

use crate::config::log_config;
use crate::partition::Partition;
use crate::replica::Replica;

/// Commands to logs that the directory's thread has under way at most: many share a commit of the
/// file system, and a broker with more partitions than a log thread's queue has places is not
/// refused.
const UNDER_WAY: usize = 64;

/// Pause before what found no room in a log thread's queue is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

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
    applied_version: AtomicU64,
}

impl Directory {
    /// Opens everything that the image assigns to this broker, then keeps following it on a thread
    /// of its own until the returned guard is stopped. Blocks until the first image is applied.
    pub fn start(parts: DirectoryParts) -> std::io::Result<(Arc<Self>, DirectoryThread)> {
        let directory = Arc::new(Self {
            partitions: RwLock::default(),
            broken: RwLock::default(),
            applied: watch::Sender::new(Position::START),
            applied_version: AtomicU64::new(0),
        });
        let logs = Layers::of(Arc::clone(&parts.statics)).logs();
        let period_ms = logs
            .retention_check_interval_ms
            .min(logs.checkpoint_interval_ms);
        let keeper = Keeper {
            directory: Arc::clone(&directory),
            seen: Arc::new(MetadataImage::default()),
            unfinished: Unfinished::default(),
            tried: Mutex::default(),
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

    /// [`MetadataImage::version`] of the image that is applied here.
    pub fn applied_version(&self) -> u64 {
        self.applied_version.load(Ordering::Acquire)
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

/// What one partition on this broker should be like.
struct Wanted {
    id: TopicPartition,
    name: LogName,
    config: Arc<LogConfig>,
    min_in_sync: usize,
    leader_epoch: LeaderEpoch,
    in_sync: usize,
}

impl Wanted {
    fn tell(&self, partition: &Partition) {
        partition.lead(self.leader_epoch, self.in_sync);
        partition.configure(Arc::clone(&self.config), self.min_in_sync);
    }
}

/// Which log directory a partition lives in.
struct Homes<'a> {
    dirs: &'a [Arc<LogDir>],
    /// Directories that take new logs, with what they hold.
    online: Mutex<Vec<(usize, &'a Arc<LogDir>)>>,
}

impl<'a> Homes<'a> {
    fn look(dirs: &'a [Arc<LogDir>]) -> Self {
        let online = dirs.iter().filter(|dir| dir.failure().is_none());
        let online = Mutex::new(online.map(|dir| (dir.log_count(), dir)).collect());
        Self { dirs, online }
    }

    /// The directory that has the log already, else the online one with the fewest logs.
    fn of(&self, name: &LogName) -> Result<Arc<LogDir>, OpenError> {
        if let Some(dir) = self.dirs.iter().find(|dir| dir.holds(name)) {
            return Ok(Arc::clone(dir));
        }
        let mut online = self.online.lock();
        let Some((count, dir)) = online.iter_mut().min_by_key(|(count, _)| *count) else {
            let failure = self.dirs.iter().find_map(|dir| dir.failure());
            return Err(failure
                .expect("a broker without an online directory has a failed one")
                .into());
        };
        *count += 1;
        Ok(Arc::clone(dir))
    }
}

/// Threads for each directory that open so many logs after a clean stop. They read no records and
/// compute little, but wait for the device when the directories' names are not cached.
fn opening_threads(logs: usize) -> usize {
    const MOST: usize = 16;
    const LOGS_EACH: usize = 32;
    (logs / LOGS_EACH).min(MOST)
}

/// Runs `work` on all items, on up to `threads` threads.
fn in_parallel<T: Sync>(items: &[T], threads: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let take = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(take);
        }
        take();
    });
}

/// Ticks once every `period`, the first time one period from now.
async fn every(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once.
    ticks.tick().await;
    ticks
}

fn tell_retained(log: &LogName, result: Result<Retained, LogError>) {
    match result {
        Ok(retained) if retained.segments > 0 => tracing::info!(
            %log,
            segments = retained.segments,
            bytes = retained.bytes,
            log_start = retained.log_start,
            "retention"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%log, %error, "retention failed"),
    }
}

/// What was begun and is tried again until it is done.
#[derive(Default)]
struct Unfinished {
    /// Partitions of deleted topics whose logs are still open: until they are gone, their names are
    /// taken.
    deletes: Vec<Arc<Partition>>,
    /// Logs of deleted topics that could not be opened, and not removed yet either.
    strays: Vec<(LogName, TopicId)>,
    /// Partitions whose retention is due.
    retention: Vec<Arc<Partition>>,
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.strays.is_empty() && self.retention.is_empty()
    }
}

/// Why the thread wakes up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wake {
    Tick,
    Image,
    Retry,
}

/// What the thread owns.
struct Keeper {
    directory: Arc<Directory>,
    seen: Arc<MetadataImage>,
    unfinished: Unfinished,
    /// Where partitions that are not open were to be opened last.
    tried: Mutex<HashMap<TopicPartition, Arc<LogDir>>>,
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
        // Nobody may listen any more.
        let _ = ready.send(());
        self.report_strays();
        let mut image = self.parts.image.clone();
        let mut retention = runtime.block_on(every(self.period));
        loop {
            let unfinished = !self.unfinished.is_empty();
            let woken = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = &mut stopped => None,
                    // Before the image: changes that never end must not keep retention waiting.
                    _ = retention.tick() => Some(Wake::Tick),
                    changed = image.changed() => changed.ok().map(|()| Wake::Image),
                    () = tokio::time::sleep(RETRY_PAUSE), if unfinished => Some(Wake::Retry),
                }
            });
            let Some(wake) = woken else { return };
            // First of all: what is deleted may have the name of what is to be opened.
            let done = self.finish();
            match wake {
                Wake::Image => self.follow(),
                Wake::Tick => {
                    self.unfinished.retention.clear();
                    self.retain(&self.directory.all());
                }
                Wake::Retry => {}
            }
            if done || wake == Wake::Tick {
                self.open_broken();
            }
        }
    }

    /// Goes on with what is unfinished; tells whether a deletion is done now.
    fn finish(&mut self) -> bool {
        let Unfinished {
            deletes,
            strays,
            mut retention,
        } = std::mem::take(&mut self.unfinished);
        let before = deletes.len() + strays.len();
        self.delete_logs(&deletes);
        for (name, topic) in strays {
            self.remove_unopened(name, topic);
        }
        // Some may have been deleted meanwhile.
        retention.retain(|partition| self.directory.get(partition.id()).is_some());
        self.retain(&retention);
        self.unfinished.deletes.len() + self.unfinished.strays.len() < before
    }

    /// Tries again to open what could not be opened.
    fn open_broken(&self) {
        let broken: HashSet<TopicPartition> =
            self.directory.broken.read().keys().copied().collect();
        if broken.is_empty() {
            return;
        }
        let layers = self.layers(&self.seen);
        let logs = layers.logs();
        let topics: HashSet<TopicId> = broken.iter().map(|id| id.topic).collect();
        let topics = topics.iter().filter_map(|id| self.seen.topic_by_id(*id));
        let wanted: Vec<Wanted> = topics
            .flat_map(|topic| self.wanted(topic, &layers, &logs))
            .filter(|wanted| broken.contains(&wanted.id))
            .collect();
        self.serve(&wanted, logs.recovery_threads);
    }

    /// Makes the directory equal to the newest image.
    fn follow(&mut self) {
        let image = Arc::clone(&self.parts.image.borrow_and_update());
        let changes = image.changes_since(&self.seen);
        let layers = self.layers(&image);
        for topic in &changes.deleted {
            self.delete(topic);
        }
        let logs = layers.logs();
        let topics: Vec<&Arc<Topic>> = if changes.configs {
            image.topics().collect()
        } else {
            changes.topics.iter().collect()
        };
        let wanted: Vec<Wanted> = topics
            .into_iter()
            .flat_map(|topic| self.wanted(topic, &layers, &logs))
            .collect();
        if !wanted.is_empty() {
            self.serve(&wanted, logs.recovery_threads);
        }
        let version = image.version();
        self.directory
            .applied_version
            .store(version, Ordering::Release);
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

    /// What a topic's partitions on this broker should be like.
    fn wanted(&self, topic: &Arc<Topic>, layers: &Layers, logs: &LogSettings) -> Vec<Wanted> {
        let resolved = layers.topic(&topic.configs);
        let config = Arc::new(log_config(&resolved, logs));
        let min_in_sync = usize::try_from(resolved.min_insync_replicas).unwrap_or(usize::MAX);
        let ours = topic
            .iter()
            .filter(|(_, state)| state.replicas.contains(&self.parts.node));
        let wanted = ours.map(|(index, state)| Wanted {
            id: TopicPartition {
                topic: topic.id,
                partition: index,
            },
            name: LogName {
                topic: topic.name.clone(),
                partition: index,
            },
            config: Arc::clone(&config),
            min_in_sync,
            leader_epoch: state.leader_epoch,
            in_sync: state.isr.len(),
        });
        wanted.collect()
    }

    /// Opens what is missing, several logs at a time, and hands everything its present settings.
    fn serve(&self, wanted: &[Wanted], recovery_threads: usize) {
        let mut missing = Vec::new();
        for wanted in wanted {
            match self.directory.get(wanted.id) {
                Some(partition) => wanted.tell(&partition),
                None => missing.push(wanted),
            }
        }
        let dirs = self.parts.writers.dirs();
        let homes = Homes::look(dirs);
        let of_dir = |dir: &Arc<LogDir>| match dir.was_clean() {
            true => recovery_threads.max(opening_threads(missing.len())),
            false => recovery_threads,
        };
        let threads = dirs.iter().map(of_dir).sum();
        in_parallel(&missing, threads, |wanted| {
            match self.open(wanted, &homes) {
                Ok(partition) => self.welcome(wanted, &partition),
                Err(error) => self.give_up(wanted, &error),
            }
        });
    }

    fn welcome(&self, wanted: &Wanted, partition: &Arc<Partition>) {
        wanted.tell(partition);
        self.directory.broken.write().remove(&wanted.id);
        self.tried.lock().remove(&wanted.id);
        self.directory
            .partitions
            .write()
            .insert(wanted.id, Arc::clone(partition));
        self.parts
            .neighbours
            .iter()
            .for_each(|neighbour| neighbour.opened(partition));
    }

    /// Remembers why a partition is not here, and says so unless that is known.
    fn give_up(&self, wanted: &Wanted, error: &OpenError) {
        let reason: Arc<str> = error.to_string().into();
        let mut broken = self.directory.broken.write();
        let before = broken.insert(wanted.id, Arc::clone(&reason));
        if before.as_ref() != Some(&reason) {
            tracing::error!(log = %wanted.name, %error, "the partition is offline");
        }
    }

    /// Where to open a partition. A log that could not be made may be there in part: another attempt
    /// must not make it a second time elsewhere.
    fn home(&self, wanted: &Wanted, homes: &Homes) -> Result<Arc<LogDir>, OpenError> {
        let mut tried = self.tried.lock();
        if let Some(dir) = tried.get(&wanted.id) {
            return Ok(Arc::clone(dir));
        }
        let dir = homes.of(&wanted.name)?;
        tried.insert(wanted.id, Arc::clone(&dir));
        Ok(dir)
    }

    fn open(&self, wanted: &Wanted, homes: &Homes) -> Result<Arc<Partition>, OpenError> {
        let dir = self.home(wanted, homes)?;
        let replica = Arc::new(Replica::default());
        let open = || {
            self.parts.writers.open(OpenLog {
                dir: Arc::clone(&dir),
                name: wanted.name.clone(),
                topic_id: wanted.id.topic,
                config: Arc::clone(&wanted.config),
                progress: Arc::clone(&replica) as Arc<dyn Progress>,
            })
        };
        let log = match open() {
            // The committed metadata gives the name to another life of the topic: the one on disk
            // was deleted while we were away.
            Err(OpenError::OtherTopic { .. }) => {
                tracing::warn!(log = %wanted.name, "removing the log of a deleted topic");
                self.parts.writers.remove_stray(&dir, &wanted.name)?;
                open()?
            }
            other => other?,
        };
        Ok(Arc::new(Partition::new(wanted.id, log, replica)))
    }

    fn delete(&mut self, topic: &Topic) {
        let mut gone = Vec::new();
        for (partition, _) in topic.iter() {
            let id = TopicPartition {
                topic: topic.id,
                partition,
            };
            if self.directory.broken.write().remove(&id).is_some() {
                self.tried.lock().remove(&id);
                let topic = topic.name.clone();
                self.remove_unopened(LogName { topic, partition }, id.topic);
            }
            gone.extend(self.take_away(id));
        }
        self.delete_logs(&gone);
        self.parts.neighbours.iter().for_each(|n| n.deleted(topic));
    }

    /// From now on nobody finds the partition any more.
    fn take_away(&self, id: TopicPartition) -> Option<Arc<Partition>> {
        let partition = self.directory.partitions.write().remove(&id)?;
        // Only now: who looks for it because of this must not find it any more.
        partition.close();
        self.parts
            .neighbours
            .iter()
            .for_each(|n| n.closed(&partition));
        Some(partition)
    }

    /// Deletes the logs of partitions that were taken away; those that find no room stay unfinished.
    fn delete_logs(&mut self, gone: &[Arc<Partition>]) {
        for some in gone.chunks(UNDER_WAY) {
            let mut going = Vec::new();
            for partition in some {
                let (tell, told) = channel();
                let done = Box::new(move |result: Result<(), LogError>| drop(tell.send(result)));
                match partition.log().delete(done) {
                    Ok(()) => going.push((partition.name(), told)),
                    Err(_) => self.unfinished.deletes.push(Arc::clone(partition)),
                }
            }
            for (name, told) in going {
                match told.recv() {
                    Ok(Ok(())) => tracing::info!(log = %name, "deleted"),
                    Ok(Err(error)) => tracing::error!(log = %name, %error, "cannot delete"),
                    Err(_) => {
                        tracing::error!(log = %name, "cannot delete: the log threads have ended");
                    }
                }
            }
        }
    }

    /// Removes a log of a deleted topic that could not be opened, wherever it is.
    fn remove_unopened(&mut self, name: LogName, topic: TopicId) {
        let writers = &self.parts.writers;
        for dir in writers.dirs().iter().filter(|dir| dir.holds(&name)) {
            let of = dir.topic_id(&name);
            // The name may belong to another life of the topic. A log that has lost its state would
            // have been taken for the deleted topic's.
            if dir.failure().is_some() || (of != topic && of != TopicId::ZERO) {
                continue;
            }
            match writers.remove_stray(dir, &name) {
                Ok(()) => tracing::info!(log = %name, "deleted"),
                Err(error) => {
                    tracing::warn!(log = %name, %error, "not deleted yet");
                    self.unfinished.strays.push((name, topic));
                    return;
                }
            }
        }
    }

    /// Applies retention. Logs whose threads have no room hold up none of the others.
    fn retain(&mut self, partitions: &[Arc<Partition>]) {
        let now = self.parts.clock.wall();
        for some in partitions.chunks(UNDER_WAY) {
            let (going, gone) = channel::<()>();
            for partition in some {
                let (name, going) = (partition.name().clone(), going.clone());
                let done = move |result| {
                    tell_retained(&name, result);
                    drop(going);
                };
                if partition.retain(now, Box::new(done)).is_err() {
                    self.unfinished.retention.push(Arc::clone(partition));
                }
            }
            drop(going);
            // Nothing is sent: it ends when all are done.
            let _ = gone.recv();
        }
    }

    /// Tells about logs that no topic of the image has. Those that should be open and cannot be were
    /// told about already.
    fn report_strays(&self) {
        for dir in self.parts.writers.dirs() {
            for name in dir.closed_logs() {
                if self.seen.topic_by_id(dir.topic_id(&name)).is_none() {
                    let dir = dir.path().display().to_string();
                    tracing::warn!(dir, log = %name, "not in the metadata: left untouched");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
