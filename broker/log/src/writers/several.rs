//! Several logs of one partition, of which one counts.
//!
//! A log that takes another one's place does so in two steps, one in each directory. A crash in
//! between leaves both, and both are the same then. They differ only if one directory was away for a
//! while: then the one that was used meanwhile has later records.

use std::sync::Arc;
use std::sync::mpsc::channel;

use super::{LogHandle, OpenLog, Writers};
use crate::{Done, LogDir, LogError, OpenError};

impl Writers {
    /// Keeps the log that reaches furthest (by leader epoch, then by its end) and deletes the same
    /// log in the other directories; of equal ones the one in the first directory stays. Gives the
    /// directory that it is in; it is closed there. Where one cannot be read none is deleted.
    /// Blocks on the device.
    ///
    /// # Panics
    /// When one is not one of the directories given at start, or when there is none.
    pub fn keep_one(
        &self,
        dirs: &[Arc<LogDir>],
        log: impl Fn(&Arc<LogDir>) -> OpenLog,
    ) -> Result<Arc<LogDir>, OpenError> {
        let mut open: Vec<LogHandle> = Vec::new();
        for dir in dirs {
            let opened = self.open(log(dir));
            match opened {
                Ok(handle) => open.push(handle),
                // Of a life of the topic that has ended.
                Err(OpenError::OtherTopic { log, .. }) => self.remove_stray(dir, &log)?,
                Err(error) => {
                    for handle in &open {
                        wait(|done| handle.close_waiting(done))?;
                    }
                    return Err(error);
                }
            }
        }
        let reach = |handle: &LogHandle| {
            let view = handle.view();
            let epoch = view.latest_epoch().map_or(-1, |(epoch, _)| epoch);
            (epoch, view.log_end())
        };
        // Stable, so that the first of equal ones stays the first.
        open.sort_by_key(|handle| std::cmp::Reverse(reach(handle)));
        let Some((kept, others)) = open.split_first() else {
            let first = dirs.first().expect("one of several directories is kept");
            return Ok(Arc::clone(first));
        };
        wait(|done| kept.close_waiting(done))?;
        for other in others {
            let (log, dir) = (kept.view().name(), other.view().dir().path().display());
            let (end, kept_end) = (other.view().log_end(), kept.view().log_end());
            tracing::warn!(%log, %dir, end, kept_end, "removing a second log of a partition");
            wait(|done| other.delete_waiting(done))?;
        }
        Ok(Arc::clone(kept.view().dir()))
    }
}

fn wait(ask: impl FnOnce(Done<()>)) -> Result<(), LogError> {
    let (tell, told) = channel();
    ask(Box::new(move |result| drop(tell.send(result))));
    // Every command is answered, also by threads that end.
    told.recv().unwrap_or(Ok(()))
}
