//! What a log tells its replica, as long as it is the replica's log.

use std::sync::Arc;

use freshet_log::{LogError, Progress};
use freshet_types::Offset;
use parking_lot::Mutex;

use super::Replica;

/// Ears for one log. After a move to another directory the log that was left may still fail, which
/// means nothing to the replica then.
#[derive(Debug)]
pub(crate) struct Reporter {
    replica: Arc<Replica>,
    /// Held while a failure is told: none is after [`Reporter::retire`].
    retired: Mutex<bool>,
}

impl Reporter {
    pub(crate) fn new(replica: Arc<Replica>) -> Arc<Self> {
        Arc::new(Self {
            replica,
            retired: Mutex::new(false),
        })
    }

    pub(crate) fn replica(&self) -> &Arc<Replica> {
        &self.replica
    }

    /// The log is the replica's no more.
    pub(crate) fn retire(&self) {
        *self.retired.lock() = true;
    }
}

impl Progress for Reporter {
    fn appended(&self, end: Offset) {
        self.replica.appended(end);
    }

    fn flushed(&self, end: Offset) {
        self.replica.flushed(end);
    }

    fn failed(&self, error: &LogError) {
        let retired = self.retired.lock();
        if !*retired {
            self.replica.failed(error);
        }
    }
}
