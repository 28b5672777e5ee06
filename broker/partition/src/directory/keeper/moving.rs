//! Replicas that move between this broker's directories (KIP-113).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use freshet_log::{
    Durability, LogConfig, LogDir, LogError, LogHandle, LogName, OpenError, OpenLog,
};
use freshet_settings::Layers;
use freshet_types::TopicPartition;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Keeper;
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
    tell_ended: mpsc::Sender<Ended>,
    under_way: HashMap<TopicPartition, Move>,
    begun: u64,
    places: Arc<Semaphore>,
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
            tell_ended,
            under_way: HashMap::new(),
            begun: 0,
            places: Arc::new(Semaphore::new(at_a_time.max(1))),
            runtime,
        }
    }
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
            for copy in dir
                .closed_logs()
                .into_iter()
                .filter(|name| name.is_future())
            {
                let topic = self.seen.topic(copy.topic.as_str());
                let at = topic.map(|topic| TopicPartition {
                    topic: topic.id,
                    partition: copy.partition,
                });
                let Some(partition) = at.and_then(|at| self.directory.get(at)) else {
                    continue;
                };
                let view = partition.view();
                if self.moving.under_way.contains_key(&partition.id()) {
                    self.remove_copy(dir, &copy);
                    continue;
                }
                // The log that was copied from is gone, and this began anew: the copy may be all that
                // is left.
                let is_new = view.log_start() == view.log_end();
                if is_new || Arc::ptr_eq(view.dir(), dir) {
                    continue;
                }
                if let Err(error) = self.start_move(&partition, dir) {
                    tracing::warn!(log = %copy, %error, "a move between directories does not go on");
                }
            }
        }
    }

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
        let future = self.open_copy(partition, dir)?;
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
        Ok(())
    }

    /// Opens the copy, or begins one. One that cannot be gone on with is thrown away.
    fn open_copy(&self, partition: &Partition, dir: &Arc<LogDir>) -> Result<LogHandle, OpenError> {
        let name = partition.name().future();
        // The log's own durability begins when the copy is the log; until then it is synced as it
        // grows, so that little is left to sync at the end.
        let config = Arc::new(LogConfig {
            durability: Durability::Fsync,
            ..LogConfig::clone(&partition.view().config())
        });
        let open = || {
            let log = OpenLog {
                dir: Arc::clone(dir),
                name: name.clone(),
                topic_id: partition.id().topic,
                config: Arc::clone(&config),
                progress: Arc::new(Unheard),
            };
            self.parts.writers.open_beside(log, &partition.log())
        };
        match open() {
            Err(OpenError::OtherTopic { .. } | OpenError::Log(LogError::Corrupt { .. })) => {
                self.parts.writers.remove_stray(dir, &name)?;
                open()
            }
            other => other,
        }
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
        let present = self.directory.get(at);
        let is_lost = |it: &Arc<Partition>| {
            let view = it.view();
            Arc::ptr_eq(view.dir(), &under_way.from) && view.failure().is_some()
        };
        if present.as_ref().is_some_and(is_lost) {
            let log = under_way.future.view().name();
            tracing::warn!(%log, "a copy stays: it may be all that is left of its log");
            // What cannot be closed now is closed with the broker.
            let _ = under_way.future.close(Box::new(|_| {}));
            return;
        }
        // Behind whatever the move has asked of the log's thread.
        self.drop_copy(under_way.future.clone());
        let Some(partition) = present else {
            return;
        };
        if !Arc::ptr_eq(partition.view().dir(), &under_way.from) {
            let neighbours = self.parts.neighbours.iter();
            neighbours.for_each(|neighbour| neighbour.moved(&partition));
        }
    }

    /// Deletes a copy that is open, unless it has become the log.
    pub(super) fn drop_copy(&mut self, copy: LogHandle) {
        let (tell, told) = channel();
        let done = Box::new(move |result: Result<(), LogError>| drop(tell.send(result)));
        if copy.delete(done).is_err() {
            self.unfinished.copies.push(copy);
            return;
        }
        let log = copy.view().name();
        match told.recv() {
            Ok(Ok(())) => tracing::info!(%log, "copy deleted"),
            // It is the log now, or was closed after a failure.
            Ok(Err(LogError::Closed { .. })) | Err(_) => {
                let dir = copy.view().dir();
                if dir.failure().is_none() && dir.holds(log) {
                    self.remove_copy(dir, log);
                }
            }
            Ok(Err(error)) => tracing::warn!(%log, %error, "a copy is not deleted"),
        }
    }

    /// Removes a copy that is not open. One that stays is removed by the next move to its directory.
    fn remove_copy(&self, dir: &Arc<LogDir>, copy: &LogName) {
        match self.parts.writers.remove_stray(dir, copy) {
            Ok(()) => tracing::info!(log = %copy, "copy deleted"),
            Err(error) => tracing::warn!(log = %copy, %error, "a copy is not deleted"),
        }
    }
}
