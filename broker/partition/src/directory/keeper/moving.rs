//! Replicas that move between this broker's directories (KIP-113).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::channel;

use freshet_log::{
    Durability, LogConfig, LogDir, LogError, LogHandle, LogName, LogView, OpenError, OpenLog,
};
use freshet_settings::Layers;
use freshet_types::TopicPartition;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Keeper;
use super::damage::close;
use crate::directory::DirectoryParts;
use crate::directory::carrier::{Carrier, Pace, Unheard};
use crate::directory::moves::{MoveError, Order, Orders, WISHES_MAX};
use crate::partition::Partition;

/// Moves that are over may wait for the thread.
const ENDED_MAX: usize = 64;

/// A move is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    at: TopicPartition,
    serial: u64,
}

/// A copy under way.
struct Move {
    from: Arc<LogDir>,
    future: LogHandle,
    serial: u64,
    task: JoinHandle<()>,
}

/// A move that is over, complete or not, and its copy, which is not needed unless it is the log now.
pub(super) struct Over {
    at: TopicPartition,
    from: Arc<LogDir>,
    copy: LogHandle,
}

impl Drop for Move {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All moves.
pub(super) struct Moving {
    pub(super) orders: Orders,
    pub(super) ended: mpsc::Receiver<Ended>,
    pub(super) pace: Arc<Pace>,
    /// Where replicas shall live that are not here yet.
    pub(super) wishes: HashMap<TopicPartition, Arc<LogDir>>,
    /// Replicas with a copy of an earlier process that may be all that is left of their logs.
    left_alone: HashSet<TopicPartition>,
    tell_ended: mpsc::Sender<Ended>,
    under_way: HashMap<TopicPartition, Move>,
    begun: u64,
    pub(super) places: Arc<Semaphore>,
    runtime: Handle,
}

impl Moving {
    pub(super) fn new(
        (parts, layers): (&DirectoryParts, &Layers),
        orders: Orders,
        runtime: Handle,
    ) -> Self {
        let (tell_ended, ended) = mpsc::channel(ENDED_MAX);
        let dirs = parts.writers.dirs().len();
        let at_a_time = layers.moves().at_a_time.unwrap_or(dirs);
        Self {
            orders,
            ended,
            pace: Arc::new(Pace::new(Arc::clone(&parts.clock))),
            wishes: HashMap::new(),
            left_alone: HashSet::new(),
            tell_ended,
            under_way: HashMap::new(),
            begun: 0,
            places: Arc::new(Semaphore::new(at_a_time.max(1))),
            runtime,
        }
    }

    /// This broker has the replica no more.
    pub(super) fn forget(&mut self, at: TopicPartition) {
        self.left_alone.remove(&at);
    }

    #[cfg(test)]
    pub(super) fn copy_of(&self, at: TopicPartition) -> Option<LogHandle> {
        self.under_way
            .get(&at)
            .map(|under_way| under_way.future.clone())
    }
}

/// Whether a log has every record of a copy, or had it and began later since.
fn has_all_of(log: &LogView, copy: &LogView) -> bool {
    let end = copy.log_end();
    let is_empty = copy.log_start() == end;
    is_empty || log.log_start() >= end || log.agrees_with(copy) == Some(end)
}

impl Keeper {
    pub(super) fn take_order(&mut self, order: Order) {
        let replicas = order.replicas.iter();
        let answers = replicas.map(|(at, dir)| self.move_replica(*at, dir));
        let answers = answers.collect();
        // Who asked may have gone.
        let _ = order.answer.send(answers);
    }

    /// Has a replica live in `dir`. What was wanted of it before holds no more.
    pub(super) fn move_replica(
        &mut self,
        at: TopicPartition,
        dir: &Arc<LogDir>,
    ) -> Result<(), MoveError> {
        if let Some(failure) = dir.failure() {
            return Err(MoveError::Offline(failure.to_string()));
        }
        if let Some(why) = self.directory.broken(at) {
            return Err(MoveError::Offline(why.to_string()));
        }
        let Some(partition) = self.directory.get(at) else {
            if self.moving.wishes.len() >= WISHES_MAX && !self.moving.wishes.contains_key(&at) {
                return Err(MoveError::TooMany);
            }
            self.moving.wishes.insert(at, Arc::clone(dir));
            return Err(MoveError::NotHere);
        };
        if partition.name().future().is_too_long() {
            return Err(MoveError::NameTooLong);
        }
        if let Some(failure) = partition.view().failure() {
            return Err(MoveError::Offline(failure.to_string()));
        }
        if let Some(under_way) = self.moving.under_way.get(&at) {
            if Arc::ptr_eq(under_way.future.view().dir(), dir) {
                return Ok(());
            }
            self.stop_move(at);
        }
        if Arc::ptr_eq(partition.view().dir(), dir) {
            return Ok(());
        }
        self.start_move(&partition, dir)
            .map_err(|error| MoveError::Offline(error.to_string()))
    }

    /// Goes on with what was begun by an earlier process.
    pub(super) fn resume_moves(&mut self) {
        let dirs = self.parts.writers.dirs().to_vec();
        for dir in dirs.iter().filter(|dir| dir.failure().is_none()) {
            let closed = dir.closed_logs().into_iter();
            for copy in closed.filter(|name| name.is_future()) {
                let topic = self.seen.topic(copy.topic.as_str());
                let at = topic.map(|topic| TopicPartition {
                    topic: topic.id,
                    partition: copy.partition,
                });
                let partition = at.and_then(|at| self.directory.get(at));
                let Some(partition) = partition.filter(|it| self.may_resume(it, dir)) else {
                    continue;
                };
                if let Err(error) = self.resume_move(&partition, dir) {
                    self.moving.left_alone.insert(partition.id());
                    tracing::warn!(log = %copy, %error, "a move between directories does not go on");
                }
            }
        }
    }

    fn may_resume(&self, partition: &Partition, dir: &Arc<LogDir>) -> bool {
        let view = partition.view();
        // The log that was copied from is gone, and this began anew: the copy may be all that is left.
        let is_new = view.log_start() == view.log_end();
        let is_known = self.moving.left_alone.contains(&partition.id());
        view.failure().is_none() && !is_new && !is_known && !Arc::ptr_eq(view.dir(), dir)
    }

    /// Goes on, unless the copy has what its log has not: the log may have begun anew since. Then it
    /// is left as it is, and only an order overwrites it.
    fn resume_move(
        &mut self,
        partition: &Arc<Partition>,
        dir: &Arc<LogDir>,
    ) -> Result<(), OpenError> {
        let name = partition.name().future();
        let copy = match self.open_copy(partition, dir) {
            // The committed metadata gives the name to another life of the topic.
            Err(OpenError::OtherTopic { .. }) => {
                self.remove_copy(dir, &name);
                return Ok(());
            }
            opened => opened?,
        };
        if !has_all_of(&partition.view(), copy.view()) {
            close(&copy);
            self.moving.left_alone.insert(partition.id());
            let (end, dir) = (copy.view().log_end(), dir.path().display());
            tracing::warn!(log = %name, %dir, end, "a copy stays: it has records that its log has not");
        } else if self.moving.under_way.contains_key(&partition.id()) {
            close(&copy);
            self.remove_copy(dir, &name);
        } else {
            self.carry(partition, copy);
        }
        Ok(())
    }

    /// What is there of an earlier move is used, or thrown away.
    fn start_move(
        &mut self,
        partition: &Arc<Partition>,
        dir: &Arc<LogDir>,
    ) -> Result<(), OpenError> {
        let name = partition.name().future();
        let others = self.parts.writers.dirs().iter();
        for other in others.filter(|other| !Arc::ptr_eq(other, dir) && other.holds(&name)) {
            self.remove_copy(other, &name);
        }
        self.moving.left_alone.remove(&partition.id());
        let copy = match self.open_copy(partition, dir) {
            Err(OpenError::OtherTopic { .. } | OpenError::Log(LogError::Corrupt { .. })) => {
                self.parts.writers.remove_stray(dir, &name)?;
                self.open_copy(partition, dir)?
            }
            opened => opened?,
        };
        self.carry(partition, copy);
        Ok(())
    }

    fn carry(&mut self, partition: &Arc<Partition>, future: LogHandle) {
        let dir = Arc::clone(future.view().dir());
        let (at, from) = (partition.id(), Arc::clone(partition.view().dir()));
        let mut futures = self.directory.futures.write();
        futures.insert(at, future.view().clone());
        drop(futures);
        self.moving.begun += 1;
        let serial = self.moving.begun;
        let carrier = Carrier {
            partition: Arc::clone(partition),
            future: future.clone(),
            pace: Arc::clone(&self.moving.pace),
            places: Arc::clone(&self.moving.places),
        };
        let ended = self.moving.tell_ended.clone();
        let task = self.moving.runtime.spawn(async move {
            if let Err(error) = carrier.run().await {
                let log = carrier.partition.name();
                tracing::warn!(%log, %error, "a move between directories has failed");
            }
            // An error means that the broker stops.
            let _ = ended.send(Ended { at, serial }).await;
        });
        let (log, to) = (partition.name(), dir.path().display());
        tracing::info!(%log, from = %from.path().display(), %to, "a replica moves");
        let begun = Move {
            from,
            future,
            serial,
            task,
        };
        self.moving.under_way.insert(at, begun);
    }

    /// Opens the copy, or begins one.
    fn open_copy(&self, partition: &Partition, dir: &Arc<LogDir>) -> Result<LogHandle, OpenError> {
        let name = partition.name().future();
        // The log's own durability begins when the copy is the log; until then it is synced as it
        // grows, so that little is left to sync at the end.
        let config = Arc::new(LogConfig {
            durability: Durability::Fsync,
            ..LogConfig::clone(&partition.view().config())
        });
        let log = OpenLog {
            dir: Arc::clone(dir),
            name,
            topic_id: partition.id().topic,
            config,
            progress: Arc::new(Unheard),
        };
        self.parts.writers.open_beside(log, &partition.log())
    }

    /// A move ended by itself.
    pub(super) fn end_move(&mut self, ended: &Ended) {
        let under_way = self.moving.under_way.get(&ended.at);
        // Not of one that was stopped meanwhile.
        if under_way.is_some_and(|it| it.serial == ended.serial) {
            self.stop_move(ended.at);
        }
    }

    /// Ends a move, whether it is complete or not.
    pub(super) fn stop_move(&mut self, at: TopicPartition) {
        let Some(under_way) = self.moving.under_way.remove(&at) else {
            return;
        };
        under_way.task.abort();
        self.directory.futures.write().remove(&at);
        let over = Over {
            at,
            from: Arc::clone(&under_way.from),
            copy: under_way.future.clone(),
        };
        let is_there = |it: &Arc<Partition>| Arc::ptr_eq(it.view().dir(), &over.from);
        let is_here = self.directory.get(at).as_ref().is_some_and(is_there);
        if !is_here || over.from.failure().is_none() {
            // Behind whatever the move has asked of the log's thread.
            return self.clear_up(over);
        }
        let log = over.copy.view().name();
        tracing::warn!(%log, "a copy stays: it may be all that is left of its log");
        close(&over.copy);
        self.take_in(&over);
    }

    /// Deletes a copy that is open, unless it has become the log.
    pub(super) fn clear_up(&mut self, over: Over) {
        let (tell, told) = channel();
        let done = Box::new(move |result: Result<(), LogError>| drop(tell.send(result)));
        if over.copy.delete(done).is_err() {
            self.unfinished.moves.push(over);
            return;
        }
        let log = over.copy.view().name();
        match told.recv() {
            Ok(Ok(())) => tracing::info!(%log, "copy deleted"),
            // It is the log now, or was closed after a failure.
            Ok(Err(LogError::Closed { .. })) | Err(_) => {
                let dir = over.copy.view().dir();
                if dir.failure().is_none() && dir.holds(log) {
                    self.remove_copy(dir, log);
                }
            }
            Ok(Err(error)) => tracing::warn!(%log, %error, "a copy is not deleted"),
        }
        self.take_in(&over);
    }

    /// Only now is it known whether the log lives in another directory. Settings that came while it
    /// took its place may have gone to the log that it replaced.
    fn take_in(&mut self, over: &Over) {
        let present = self.directory.get(over.at);
        let moved = present.filter(|it| !Arc::ptr_eq(it.view().dir(), &over.from));
        let Some(partition) = moved else {
            return;
        };
        self.unfinished.turns.push(over.at);
        let neighbours = self.parts.neighbours.iter();
        neighbours.for_each(|neighbour| neighbour.moved(&partition));
    }

    /// Removes a copy that is not open. One that stays is removed by the next move to its directory.
    fn remove_copy(&self, dir: &Arc<LogDir>, copy: &LogName) {
        match self.parts.writers.remove_stray(dir, copy) {
            Ok(()) => tracing::info!(log = %copy, "copy deleted"),
            Err(error) => tracing::warn!(log = %copy, %error, "a copy is not deleted"),
        }
    }
}
