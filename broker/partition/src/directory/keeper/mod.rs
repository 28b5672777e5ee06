//! The thread that makes the directory equal to the image.

mod damage;
mod moving;
mod strays;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use freshet_log::{LogConfig, LogDir, LogError, LogName, OpenError, OpenLog, Progress, Retained};
use freshet_metadata::{Changes, MetadataImage, Topic};
use freshet_settings::{Layers, LogSettings};
use freshet_types::{ErrorKind, Millis, NodeId, Offset, TopicId, TopicPartition};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior};

use self::damage::Damaged;
use self::moving::{Ended, Moving, Over};
use super::carrier::Unheard;
use super::homes::{Homes, in_parallel, opening_threads};
use super::moves::{Order, Orders};
use super::{Directory, DirectoryParts};
use crate::config::log_config;
use crate::partition::Partition;
use crate::replica::{Replica, Reporter, Surroundings};

/// Commands to logs that the directory's thread has under way at most: many share a commit of the
/// file system, and a broker with more partitions than a log thread's queue has places is not
/// refused.
const UNDER_WAY: usize = 64;

/// Pause before what found no room in a log thread's queue is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What one partition on this broker should be like.
struct Wanted {
    id: TopicPartition,
    name: LogName,
    config: Arc<LogConfig>,
    min_in_sync: usize,
    state: Arc<freshet_metadata::Partition>,
    topic: Arc<Topic>,
}

impl Wanted {
    /// Whether the partition, or what its topic is set to, was not like this in an earlier image:
    /// a change in one of ten thousand partitions must not cost a look at each of them.
    fn is_news_since(&self, before: &Topic) -> bool {
        let state = before.partition(self.id.partition);
        !Arc::ptr_eq(&before.configs, &self.topic.configs)
            || state.is_none_or(|state| !Arc::ptr_eq(state, &self.state))
    }

    /// Whether this broker cannot have had a replica before: the partition is as it was created, or
    /// the replica is on its way here.
    fn is_new(&self, me: NodeId) -> bool {
        let state = &self.state;
        (state.leader_epoch == 0 && state.partition_epoch == 0) || state.adding.contains(&me)
    }
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
    /// Partitions whose place could not be taken yet.
    turns: Vec<TopicPartition>,
    /// Moves that are over, with copies that are still open.
    moves: Vec<Over>,
}

impl Unfinished {
    fn is_empty(&self) -> bool {
        self.deletes.is_empty()
            && self.strays.is_empty()
            && self.retention.is_empty()
            && self.turns.is_empty()
            && self.moves.is_empty()
    }
}

/// How far partitions are committed.
type Committed = Vec<(TopicPartition, Offset)>;

/// Why the thread wakes up.
enum Wake {
    Tick,
    Laggards,
    Checkpoint,
    Image,
    Damage,
    Retry,
    Order(Order),
    Moved(Ended),
}

/// What the thread owns.
pub(super) struct Keeper {
    directory: Arc<Directory>,
    around: Arc<Surroundings>,
    seen: Arc<MetadataImage>,
    unfinished: Unfinished,
    damaged: Damaged,
    /// Where partitions that are not open were to be opened last.
    tried: Mutex<HashMap<TopicPartition, Arc<LogDir>>>,
    period: Duration,
    /// How often leaders look for followers that are behind.
    laggards: Duration,
    /// How often what is committed is written down.
    checkpoints: Duration,
    /// What was written down last, for each log directory.
    kept: Vec<Committed>,
    moving: Moving,
    parts: DirectoryParts,
}

impl Keeper {
    /// Moves run on `runtime`.
    pub(super) fn new(
        (directory, orders): (Arc<Directory>, Orders),
        parts: DirectoryParts,
        runtime: Handle,
    ) -> Self {
        let layers = Layers::of(Arc::clone(&parts.statics));
        let logs = layers.logs();
        let replicas = layers.replicas();
        let lag_max_ms = replicas.lag_max_ms;
        let period_ms = logs
            .retention_check_interval_ms
            .min(logs.checkpoint_interval_ms);
        let around = Arc::new(Surroundings {
            me: parts.node,
            clock: Arc::clone(&parts.clock),
            proposals: Arc::clone(&parts.proposals),
            lag_max: Millis(lag_max_ms),
            by_rack: replicas.by_rack,
            counts: Arc::clone(&directory.isr_counts),
            traffic: Arc::default(),
            damage: Arc::default(),
            past_readers: parts.past_readers.clone(),
        });
        Self {
            directory,
            around,
            seen: Arc::new(MetadataImage::default()),
            unfinished: Unfinished::default(),
            damaged: Damaged::default(),
            tried: Mutex::default(),
            period: Duration::from_millis(period_ms.max(1000)),
            laggards: Duration::from_millis((lag_max_ms / 2).max(100)),
            checkpoints: Duration::from_millis(replicas.checkpoint_interval_ms.max(100)),
            kept: Vec::new(),
            moving: Moving::new((&parts, &layers), orders, runtime),
            parts,
        }
    }

    pub(super) fn run(
        mut self,
        runtime: &tokio::runtime::Handle,
        ready: &std::sync::mpsc::Sender<()>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        self.follow();
        // Nobody may listen any more.
        let _ = ready.send(());
        self.resume_moves();
        self.clear_strays();
        let mut image = self.parts.image.clone();
        let mut retention = runtime.block_on(every(self.period));
        let mut laggards = runtime.block_on(every(self.laggards));
        let mut checkpoints = runtime.block_on(every(self.checkpoints));
        loop {
            let unfinished = !self.unfinished.is_empty();
            let woken = runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = &mut stopped => None,
                    // Before the image: changes that never end must not keep retention waiting.
                    _ = retention.tick() => Some(Wake::Tick),
                    _ = laggards.tick() => Some(Wake::Laggards),
                    _ = checkpoints.tick() => Some(Wake::Checkpoint),
                    () = self.around.damage.found() => Some(Wake::Damage),
                    changed = image.changed() => changed.ok().map(|()| Wake::Image),
                    Some(order) = self.moving.orders.recv() => Some(Wake::Order(order)),
                    Some(ended) = self.moving.ended.recv() => Some(Wake::Moved(ended)),
                    () = tokio::time::sleep(RETRY_PAUSE), if unfinished => Some(Wake::Retry),
                }
            });
            let Some(wake) = woken else {
                return self.keep_committed();
            };
            // First of all: what is deleted may have the name of what is to be opened.
            let mut done = self.finish();
            match wake {
                Wake::Image => self.follow(),
                Wake::Tick => {
                    self.unfinished.retention.clear();
                    self.retain(&self.directory.all());
                    done = true;
                }
                Wake::Laggards => {
                    self.look_for_laggards();
                    self.look_for_damage();
                }
                Wake::Damage => self.look_for_damage(),
                Wake::Checkpoint => self.keep_committed(),
                Wake::Retry => {}
                Wake::Order(order) => self.take_order(order),
                Wake::Moved(ended) => self.end_move(&ended),
            }
            if done {
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
            turns,
            moves,
        } = std::mem::take(&mut self.unfinished);
        let before = deletes.len() + strays.len();
        self.delete_logs(&deletes);
        moves.into_iter().for_each(|over| self.clear_up(over));
        for (name, topic) in strays {
            self.remove_unopened(name, topic);
        }
        // Some may have been deleted meanwhile.
        retention.retain(|partition| self.directory.get(partition.id()).is_some());
        self.retain(&retention);
        if !turns.is_empty() {
            self.serve_again(&turns);
        }
        self.unfinished.deletes.len() + self.unfinished.strays.len() < before
    }

    /// Tries again to open what could not be opened.
    fn open_broken(&mut self) {
        let broken: Vec<TopicPartition> = self.directory.broken.read().keys().copied().collect();
        if !broken.is_empty() {
            self.serve_again(&broken);
            self.resume_moves();
        }
    }

    /// Sees once more to partitions that are not as they should be.
    fn serve_again(&mut self, ids: &[TopicPartition]) {
        let ids: HashSet<TopicPartition> = ids.iter().copied().collect();
        let image = Arc::clone(&self.seen);
        let layers = self.layers(&image);
        let logs = layers.logs();
        let topics: HashSet<TopicId> = ids.iter().map(|id| id.topic).collect();
        let topics = topics.iter().filter_map(|id| image.topic_by_id(*id));
        let wanted: Vec<Wanted> = topics
            .flat_map(|topic| self.wanted(topic, &layers, &logs))
            .filter(|wanted| ids.contains(&wanted.id))
            .collect();
        self.serve(&wanted, logs.recovery_threads);
    }

    /// Makes the directory equal to the newest image.
    fn follow(&mut self) {
        let image = Arc::clone(&self.parts.image.borrow_and_update());
        let changes = image.changes_since(&self.seen);
        let layers = self.layers(&image);
        self.moving.pace.set(layers.moves().bytes_per_second);
        for topic in &changes.deleted {
            self.delete(topic);
        }
        for topic in &changes.topics {
            self.leave(topic);
        }
        let logs = layers.logs();
        let topics: Vec<&Arc<Topic>> = if changes.configs {
            image.topics().collect()
        } else {
            changes.topics.iter().collect()
        };
        let wanted: Vec<Wanted> = topics
            .into_iter()
            .flat_map(|topic| {
                let before = self.seen.topic_by_id(topic.id);
                let before = before.filter(|_| !changes.configs);
                self.wanted(topic, &layers, &logs)
                    .filter(move |wanted| before.is_none_or(|topic| wanted.is_news_since(topic)))
            })
            .collect();
        if !wanted.is_empty() {
            self.serve(&wanted, logs.recovery_threads);
        }
        self.look_for_joiners(&image, &changes, &wanted);
        self.directory.applied.send_replace(Arc::clone(&image));
        self.seen = image;
    }

    /// Who may be in sync depends on who lives; and what was just settled makes room for another
    /// proposal.
    fn look_for_joiners(&self, image: &MetadataImage, changes: &Changes, wanted: &[Wanted]) {
        if changes.brokers {
            for partition in self.directory.all() {
                partition.look_for_joiners(image);
            }
            return;
        }
        let partitions = wanted.iter().filter_map(|w| self.directory.get(w.id));
        partitions.for_each(|partition| partition.look_for_joiners(image));
    }

    /// Writes down how far replicated partitions are committed, where that has changed. Those with
    /// one replica are committed as far as they are flushed, which their logs know.
    fn keep_committed(&mut self) {
        let dirs = self.parts.writers.dirs();
        let mut rows = vec![Committed::new(); dirs.len()];
        for partition in self.directory.all() {
            let view = partition.view();
            let at = dirs.iter().position(|other| Arc::ptr_eq(other, view.dir()));
            let known = partition.ends().high_watermark;
            if let Some(at) = at.filter(|_| partition.is_replicated()) {
                rows[at].push((partition.id(), known));
            }
        }
        // What is known of those that cannot be opened may tell once more that they are cut short.
        for at in self.directory.broken.read().keys() {
            for (dir, rows) in dirs.iter().zip(&mut rows) {
                rows.extend(dir.committed(*at).map(|known| (*at, known)));
            }
        }
        rows.iter_mut().for_each(|rows| rows.sort_unstable());
        self.kept.resize(dirs.len(), Committed::new());
        for (at, dir) in dirs.iter().enumerate() {
            if self.kept[at] == rows[at] || dir.failure().is_some() {
                continue;
            }
            match dir.keep_committed(&rows[at]) {
                Ok(()) => self.kept[at] = std::mem::take(&mut rows[at]),
                Err(error) => tracing::error!(%error, "cannot keep what is committed"),
            }
        }
    }

    fn look_for_laggards(&self) {
        for partition in self.directory.all() {
            partition.look_for_laggards();
        }
    }

    /// Replicas that were moved to other brokers go, with their logs.
    fn leave(&mut self, topic: &Topic) {
        let mut gone = Vec::new();
        for (partition, state) in topic.iter() {
            if state.replicas.contains(&self.parts.node) {
                continue;
            }
            let id = TopicPartition {
                topic: topic.id,
                partition,
            };
            // One that could not be opened is missed no more; its log stays where it is.
            if self.directory.broken.write().remove(&id).is_some() {
                self.tried.lock().remove(&id);
            }
            gone.extend(self.take_away(id));
        }
        if !gone.is_empty() {
            tracing::info!(topic = %topic.name, replicas = gone.len(), "moved to other brokers");
            self.delete_logs(&gone);
        }
    }

    fn layers(&self, image: &MetadataImage) -> Layers {
        image.layers(&self.parts.statics, self.parts.node)
    }

    /// What a topic's partitions on this broker should be like.
    fn wanted<'a>(
        &self,
        topic: &'a Arc<Topic>,
        layers: &Layers,
        logs: &LogSettings,
    ) -> impl Iterator<Item = Wanted> + use<'a> {
        let resolved = layers.topic(&topic.configs);
        let mut tier = layers.topic_tier(&topic.configs);
        // The manifests themselves are in one, and nobody takes care of the others' past.
        tier.enabled &= !topic.name.is_internal();
        let config = Arc::new(log_config(&resolved, &tier, logs));
        let min_in_sync = usize::try_from(resolved.min_insync_replicas).unwrap_or(usize::MAX);
        let node = self.parts.node;
        let ours = topic
            .iter()
            .filter(move |(_, state)| state.replicas.contains(&node));
        ours.map(move |(index, state)| Wanted {
            id: TopicPartition {
                topic: topic.id,
                partition: index,
            },
            name: LogName::new(topic.name.clone(), index),
            config: Arc::clone(&config),
            min_in_sync,
            state: Arc::clone(state),
            topic: Arc::clone(topic),
        })
    }

    /// Opens what is missing, several logs at a time, and has all take their places.
    fn serve(&mut self, wanted: &[Wanted], recovery_threads: usize) {
        self.renew_lost(wanted);
        let missing = wanted.iter().filter(|w| self.directory.get(w.id).is_none());
        let missing: Vec<&Wanted> = missing.collect();
        let dirs = self.parts.writers.dirs();
        let homes = Homes::look(dirs, &self.parts.directory_ids);
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
        let directory = &self.directory;
        let missing = |at: &TopicPartition| directory.get(*at).is_none();
        self.moving.wishes.retain(|at, _| missing(at));
        for some in wanted.chunks(UNDER_WAY) {
            self.place(some);
        }
    }

    /// Has partitions take the places that the image gives them, and tells the neighbours.
    fn place(&mut self, wanted: &[Wanted]) {
        let mut turns = Vec::new();
        for wanted in wanted {
            let Some(partition) = self.directory.get(wanted.id) else {
                continue;
            };
            partition.configure(Arc::clone(&wanted.config));
            match partition.begin(&wanted.state, wanted.min_in_sync) {
                Ok(Some(turn)) => turns.push((partition, turn)),
                Ok(None) => {}
                Err(_) => self.unfinished.turns.push(wanted.id),
            }
        }
        for (partition, turn) in turns {
            let stand = partition.finish(turn);
            let neighbours = self.parts.neighbours.iter();
            neighbours.for_each(|neighbour| neighbour.stands(&partition, stand));
        }
    }

    fn welcome(&self, wanted: &Wanted, partition: &Arc<Partition>) {
        self.directory.broken.write().remove(&wanted.id);
        self.tried.lock().remove(&wanted.id);
        self.directory
            .partitions
            .write()
            .insert(wanted.id, Arc::clone(partition));
    }

    /// Remembers why a partition is not here, and says so unless that is known.
    fn give_up(&self, wanted: &Wanted, error: &OpenError) {
        let reason: Arc<str> = error.to_string().into();
        let mut broken = self.directory.broken.write();
        let before = broken.insert(wanted.id, Arc::clone(&reason));
        if before.as_ref() != Some(&reason) {
            tracing::error!(log = %wanted.name, %error, "the partition is offline");
        }
        drop(broken);
        if error.kind() == ErrorKind::Corrupt && !wanted.is_lost(self.parts.node) {
            self.parts.neighbours.iter().for_each(|n| n.lost(wanted.id));
        }
    }

    /// Where to open a partition. A log that could not be made may be there in part: another attempt
    /// must not make it a second time elsewhere.
    fn home(&self, wanted: &Wanted, homes: &Homes) -> Result<Arc<LogDir>, OpenError> {
        let is_new = wanted.is_new(self.parts.node) || wanted.is_lost(self.parts.node);
        let mut tried = self.tried.lock();
        let gone = |dir: &LogDir| is_new && dir.failure().is_some();
        if let Some(dir) = tried.get(&wanted.id).filter(|dir| !gone(dir)) {
            return Ok(Arc::clone(dir));
        }
        let assigned = wanted.state.directory(self.parts.node);
        let wish = self.moving.wishes.get(&wanted.id);
        let dir = homes.of(&wanted.name, assigned.unwrap_or_default(), wish, is_new)?;
        tried.insert(wanted.id, Arc::clone(&dir));
        Ok(dir)
    }

    fn open(&self, wanted: &Wanted, homes: &Homes) -> Result<Arc<Partition>, OpenError> {
        self.check_not_lost(wanted)?;
        self.keep_one(wanted, homes)?;
        let dir = self.home(wanted, homes)?;
        let replica = Arc::new(Replica::new(wanted.id, &self.around));
        let reporter = Reporter::new(Arc::clone(&replica));
        let open = || {
            self.parts.writers.open(OpenLog {
                dir: Arc::clone(&dir),
                name: wanted.name.clone(),
                topic_id: wanted.id.topic,
                config: Arc::clone(&wanted.config),
                progress: Arc::clone(&reporter) as Arc<dyn Progress>,
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
        // A hint of the last process; a leader knows better soon. It is in another directory if the
        // process ended just after the log had moved.
        let dirs = self.parts.writers.dirs();
        let elsewhere = || dirs.iter().filter_map(|dir| dir.committed(wanted.id)).max();
        let known = dir.committed(wanted.id).or_else(elsewhere);
        if let Some(known) = known {
            self.check_whole(wanted, &log, known)?;
            dirs.iter().for_each(|dir| dir.forget_committed(wanted.id));
            replica.know_committed(known.clamp(log.view().log_start(), log.view().log_end()));
        }
        Ok(Arc::new(Partition::new(wanted.id, log, reporter)))
    }

    /// A crash while a log moved may leave it in two directories. Where they are the same the one
    /// stays that the controller does not know of: there it was to go.
    fn keep_one(&self, wanted: &Wanted, homes: &Homes) -> Result<(), OpenError> {
        let assigned = wanted.state.directory(self.parts.node);
        let several = homes.all_of(&wanted.name, assigned.unwrap_or_default());
        if several.len() < 2 {
            return Ok(());
        }
        self.parts.writers.keep_one(&several, |dir| OpenLog {
            dir: Arc::clone(dir),
            name: wanted.name.clone(),
            topic_id: wanted.id.topic,
            config: Arc::clone(&wanted.config),
            progress: Arc::new(Unheard),
        })?;
        Ok(())
    }

    fn delete(&mut self, topic: &Topic) {
        let mut gone = Vec::new();
        for (partition, _) in topic.iter() {
            let id = TopicPartition {
                topic: topic.id,
                partition,
            };
            self.moving.wishes.remove(&id);
            if self.directory.broken.write().remove(&id).is_some() {
                self.tried.lock().remove(&id);
                self.remove_unopened(LogName::new(topic.name.clone(), partition), id.topic);
            }
            gone.extend(self.take_away(id));
        }
        self.delete_logs(&gone);
        self.parts.neighbours.iter().for_each(|n| n.deleted(topic));
    }

    /// From now on nobody finds the partition any more.
    fn take_away(&mut self, id: TopicPartition) -> Option<Arc<Partition>> {
        self.damaged.forget(id);
        self.moving.forget(id);
        let partition = self.directory.partitions.write().remove(&id)?;
        self.stop_move(id);
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
}
