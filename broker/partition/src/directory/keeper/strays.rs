//! Logs that are found at the start and that no partition of this broker has.
//!
//! A log goes only because of what was agreed: its topic was deleted, or its replica moved to other
//! brokers. That the metadata does not know its topic says nothing: it may have been restored from
//! an old copy, or begun anew. The first image that a broker follows has all that was agreed before
//! its start, so what it says of replicas is not out of date.

use std::sync::Arc;

use freshet_log::{LogDir, LogName};
use freshet_types::{TopicId, TopicPartition};

use super::Keeper;

/// What becomes of a stray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is none: it should be open. Why it is not was told already.
    Missed,
    /// It may go, because of this.
    Goes(&'static str),
    /// It stays, because of this.
    Stays(&'static str),
}

impl Keeper {
    /// Removes strays that may go, and tells about the others.
    pub(super) fn clear_strays(&self) {
        let dirs = self.parts.writers.dirs().iter();
        for dir in dirs.filter(|dir| dir.failure().is_none()) {
            for log in dir.closed_logs() {
                match self.verdict(&log, dir.topic_id(&log)) {
                    Verdict::Missed => {}
                    Verdict::Goes(why) => self.clear(dir, &log, why),
                    Verdict::Stays(why) => {
                        let dir = dir.path().display().to_string();
                        tracing::warn!(dir, %log, why, "left untouched: no partition has this log");
                    }
                }
            }
        }
    }

    fn verdict(&self, log: &LogName, id: TopicId) -> Verdict {
        let me = self.parts.node;
        // A broker that is not registered has heard of nothing.
        if self.seen.broker(me).is_none() {
            return Verdict::Stays("this broker is not in the metadata");
        }
        if id == TopicId::ZERO {
            return Verdict::Stays("its state is lost: nobody knows whose it is");
        }
        if self.is_broken_here(log) {
            return Verdict::Missed;
        }
        let Some(topic) = self.seen.topic_by_id(id) else {
            return match self.seen.is_deleted(id) {
                true => Verdict::Goes("its topic was deleted"),
                false => Verdict::Stays("the metadata never heard of its topic, or forgot it"),
            };
        };
        match topic.partition(log.partition) {
            None => Verdict::Stays("its topic does not have so many partitions"),
            Some(state) if !state.replicas.contains(&me) => {
                Verdict::Goes("its replica moved to other brokers")
            }
            Some(_) if log.is_future() => Verdict::Stays("a copy, and the log it is of is gone"),
            Some(_) => Verdict::Missed,
        }
    }

    /// Whether a partition of this name should be here and could not be opened: whatever was found out
    /// about its log may be wrong for the same reason. If it is in its way, its next open removes it.
    fn is_broken_here(&self, log: &LogName) -> bool {
        let topic = self.seen.topic(log.topic.as_str());
        let at = topic.map(|topic| TopicPartition {
            topic: topic.id,
            partition: log.partition,
        });
        !log.is_future() && at.is_some_and(|at| self.directory.broken(at).is_some())
    }

    fn clear(&self, dir: &Arc<LogDir>, log: &LogName, why: &'static str) {
        match self.parts.writers.remove_stray(dir, log) {
            Ok(()) => tracing::info!(%log, why, "removed a log that was left behind"),
            Err(error) => tracing::warn!(%log, why, %error, "a log that was left behind stays"),
        }
    }
}
