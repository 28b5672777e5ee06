//! Copies that are damaged, and how they begin anew.
//!
//! ```text
//! found damaged ─► controller: lost ─► others lead, and it is in sync with nothing
//!                                         │ enough others are in sync
//!                                         ▼
//!                       log removed, an empty one made ─► controller: in this directory ─► follows
//! ```
//!
//! Nothing is removed before the controller has agreed that the copy does not count any more, and
//! others who are in sync have everything acknowledged. The controller refuses while nobody else could
//! lead: then a log that can be opened goes on serving what is whole, and one that cannot be opened
//! keeps its partition offline. A person can bring the files back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::channel;

use freshet_log::{Durability, LogError, LogHandle, LogName, OpenError};
use freshet_metadata::DirectoryId;
use freshet_types::{NodeId, Offset, TopicPartition};

use super::{Keeper, Wanted};

/// What is known of damaged copies.
#[derive(Debug, Default)]
pub(super) struct Damaged {
    /// Found while they were read, and still open; with what was found.
    open: HashMap<TopicPartition, Arc<str>>,
    /// Those that have begun anew; the controller does not know yet.
    renewed: HashSet<TopicPartition>,
}

impl Damaged {
    /// This broker has the copy no more.
    pub(super) fn forget(&mut self, at: TopicPartition) {
        self.open.remove(&at);
        self.renewed.remove(&at);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.renewed.is_empty()
    }
}

impl Keeper {
    /// Takes in what readers have found, and tells the controller; again and again, for it may have
    /// refused.
    pub(super) fn look_for_damage(&mut self) {
        for (at, what) in self.around.damage.take() {
            let Some(partition) = self.directory.get(at) else {
                continue;
            };
            if self.damaged.renewed.contains(&at) {
                continue;
            }
            let before = self.damaged.open.insert(at, Arc::clone(&what));
            if before.is_none() {
                let log = partition.name();
                tracing::error!(%log, %what, "the copy is damaged: asking others to take over");
            }
        }
        for at in self.damaged.open.keys() {
            self.tell_lost(*at);
        }
    }

    /// Also those that could not be opened.
    pub(super) fn tell_lost(&self, at: TopicPartition) {
        let assigned = self.seen.partition(at);
        let assigned = assigned.and_then(|state| state.directory(self.parts.node));
        if assigned.is_some_and(|directory| directory != DirectoryId::LOST) {
            self.parts.neighbours.iter().for_each(|n| n.lost(at));
        }
    }

    /// Copies that the controller has written off begin anew, where that is safe. Until then they are
    /// closed: they lead nobody and follow nobody.
    pub(super) fn renew_lost(&mut self, wanted: &[Wanted]) {
        for wanted in wanted {
            if !wanted.is_lost(self.parts.node) {
                self.damaged.renewed.remove(&wanted.id);
                continue;
            }
            if self.damaged.renewed.contains(&wanted.id) {
                continue;
            }
            let was_open = self.take_away(wanted.id);
            if !wanted.others_have_everything(self.parts.node) {
                was_open
                    .iter()
                    .for_each(|partition| close(&partition.log()));
                continue;
            }
            self.delete_logs(was_open.as_slice());
            if was_open.is_some() || self.remove_written_off(&wanted.name) {
                let log = &wanted.name;
                tracing::warn!(%log, "the damaged copy is removed: it is copied again from the leader");
                self.damaged.renewed.insert(wanted.id);
            }
        }
    }

    fn remove_written_off(&self, name: &LogName) -> bool {
        let writers = &self.parts.writers;
        let holders = writers.dirs().iter().filter(|dir| dir.holds(name));
        let mut removed = holders.map(|dir| {
            let removed = writers.remove_stray(dir, name);
            removed.inspect_err(|error| tracing::warn!(log = %name, %error, "not removed yet"))
        });
        removed.all(|removed| removed.is_ok())
    }

    /// A log must reach to what was committed, by the word of the last process: what was flushed does
    /// not go by itself. Otherwise it was cut, and must lead nobody to cut theirs. A topic that leaves
    /// flushing to the kernel may lose its newest records with the power.
    pub(super) fn check_whole(
        &self,
        wanted: &Wanted,
        log: &LogHandle,
        committed: Offset,
    ) -> Result<(), OpenError> {
        let end = log.view().log_end();
        let renewed = self.damaged.renewed.contains(&wanted.id);
        if end >= committed || renewed || wanted.config.durability == Durability::PageCache {
            return Ok(());
        }
        close(log);
        let what = format!("it ends at offset {end}, but {committed} was committed");
        Err(OpenError::Log(LogError::Corrupt {
            log: wanted.name.clone(),
            what: what.into(),
        }))
    }

    /// A log that the controller has written off must not be used as it is.
    pub(super) fn check_not_lost(&self, wanted: &Wanted) -> Result<(), OpenError> {
        if !wanted.is_lost(self.parts.node) || self.damaged.renewed.contains(&wanted.id) {
            return Ok(());
        }
        let what = "it was damaged, and too few others are in sync for it to begin anew";
        Err(OpenError::Log(LogError::Corrupt {
            log: wanted.name.clone(),
            what: what.into(),
        }))
    }
}

/// Its name is free afterwards.
pub(super) fn close(log: &LogHandle) {
    let (tell, told) = channel();
    log.close_waiting(Box::new(move |result| drop(tell.send(result))));
    // An error says that the directory failed meanwhile.
    let _ = told.recv();
}

impl Wanted {
    /// Whether the controller has written the copy of this broker off.
    pub(super) fn is_lost(&self, me: NodeId) -> bool {
        self.state.directory(me) == Some(DirectoryId::LOST)
    }

    /// Whether nobody needs what this broker has: enough others are in sync, and one of them leads.
    fn others_have_everything(&self, me: NodeId) -> bool {
        let state = &self.state;
        let enough = self.min_in_sync.min(state.replicas.len()).max(1);
        let led = state.leader.is_some_and(|leader| leader != me);
        led && !state.clean().any(|node| node == me) && state.isr.len() >= enough
    }
}
