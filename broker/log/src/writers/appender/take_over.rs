//! A copy of a log takes its place: from one directory to another, while the log is in use.
//!
//! Both logs belong to this thread, so nothing is appended meanwhile, and what was sent to the log
//! before and after is done by one of the two. The steps, with what a crash between them leaves:
//!
//! ```text
//! the rest is copied, and synced               t-0  t-0.future
//! what the log knows goes to the copy, durably t-0  t-0.future   the copy could stand for the log
//! the copy is renamed, durably                 t-0  t-0          both are the same
//! the log is renamed away, durably                  t-0
//! the callback runs; from now on the copy is written to
//! ```
//!
//! The copy is renamed first, so that at any time one of the two has the log's name: a directory
//! that does not come back after the crash leaves the whole log in the other. The other order would
//! leave none.

use std::sync::Arc;

use bytes::Bytes;

use super::Appender;
use crate::batch::{Rules, prepare};
use crate::log::{Committed, Log};
use crate::view::Shared;
use crate::writers::command::Answer;
use crate::writers::flusher::rename_away;
use crate::{AppendError, LogError, LogView, OpenLog, Origin, Progress, ReadSpec};

/// What a copy may lack when it takes over: nothing else is appended while that is copied.
const LAST_BYTES: usize = 4 << 20;

impl Appender {
    /// See the module. `ids`: of the log and of the copy. If either is gone, dropping the answer
    /// says so.
    pub(super) fn take_over(
        &mut self,
        ids: (usize, usize),
        progress: Arc<dyn Progress>,
        done: Answer<Option<LogView>>,
    ) {
        if !self.logs.contains_key(&ids.0) || !self.logs.contains_key(&ids.1) {
            return;
        }
        let taken = match self.complete(ids) {
            Ok(true) => self.put_in_place(ids, progress).map(Some),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        done.give(taken);
    }

    /// Copies what the copy lacks, if that is little; whether it has everything then.
    fn complete(&mut self, (present, future): (usize, usize)) -> Result<bool, LogError> {
        let (old, new) = (&self.logs[&present], &self.logs[&future]);
        old.shared().usable()?;
        new.shared().usable()?;
        let (old, new) = (old.view(), new.view());
        let (from, end) = (new.log_end(), old.log_end());
        if old.agrees_with(&new) != Some(from) {
            return Ok(false);
        }
        if from == end {
            return Ok(true);
        }
        let spec = ReadSpec {
            from,
            max_bytes: LAST_BYTES,
            upper_bound: end,
            at_least_one: true,
        };
        let fetched = match old.read_blocking(&spec) {
            Ok(fetched) if fetched.next_offset == end => fetched,
            // Who copies meets the same error, and says so.
            Ok(_) | Err(_) => return Ok(false),
        };
        match self.copy(future, fetched.into_one()) {
            Ok(()) => Ok(self.logs[&future].view().log_end() == end),
            Err(AppendError::Log(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    fn copy(&mut self, future: usize, batches: Bytes) -> Result<(), AppendError> {
        let Some(log) = self.logs.get_mut(&future) else {
            return Ok(());
        };
        let config = log.shared().config.load_full();
        let rules = Rules {
            config: &config,
            origin: Origin::Replica,
            leader_epoch: i32::MAX,
            now: self.context.clock.wall(),
        };
        let prepared = prepare(batches.clone(), batches.len(), &rules)?;
        let (_, rolled) = log.stage(&prepared)?;
        let committed = log.commit()?;
        let written: [Option<Committed>; 2] = [rolled, committed];
        for committed in written.into_iter().flatten() {
            self.written(future, committed);
        }
        Ok(())
    }

    /// The copy has everything: it becomes the log.
    fn put_in_place(
        &mut self,
        (present, future): (usize, usize),
        progress: Arc<dyn Progress>,
    ) -> Result<LogView, LogError> {
        let mut new = self.logs.remove(&future).expect("looked for just now");
        let old = &self.logs[&present];
        let log = OpenLog {
            dir: Arc::clone(&new.shared().dir),
            name: old.shared().name.clone(),
            topic_id: old.shared().topic_id,
            config: old.shared().config.load_full(),
            progress,
        };
        let took = self.become_present(&mut new, old, log);
        let log = took.inspect_err(|_| new.shared().dir.release(&new.shared().name))?;
        let view = log.view();
        let old = self.logs.insert(present, Box::new(log));
        let old = old.expect("looked for just now");
        close(old.shared());
        // The copy stands: a failure here takes the other directory offline and harms only that.
        let removed = rename_away(old.shared(), &self.context);
        let (log, dir) = (view.name(), view.dir().path().display());
        tracing::info!(%log, %dir, end = view.log_end(), clean = removed.is_ok(), "log has moved");
        Ok(view)
    }

    fn become_present(&self, new: &mut Log, old: &Log, log: OpenLog) -> Result<Log, LogError> {
        let dir = Arc::clone(&log.dir);
        let name = log.name.clone();
        new.inherit(old);
        // With the renaming, a crash may bring it to light.
        new.checkpoint().write()?;
        let row = new.stop()?;
        if dir.holds(&name) || !dir.reserve(&name) {
            return Err(LogError::Closed { log: name });
        }
        close(new.shared());
        {
            // Jobs that wait for it must not look for files under its old name.
            let _flushing = new.shared().flushing.lock();
            new.shared().set_deleted();
        }
        let renamed = dir.promote(&new.shared().name, row);
        renamed.inspect_err(|_| dir.release(&name))?;
        let mut opened = match Log::open(log, Arc::clone(&self.context)) {
            Ok(opened) => opened,
            Err(error) => {
                dir.release(&name);
                let error = std::io::Error::other(error.to_string());
                return Err(dir.fail("opening a log in", dir.path(), &error));
            }
        };
        opened.be_fenced_like(old);
        dir.register(opened.shared());
        Ok(opened)
    }
}

fn close(shared: &Shared) {
    shared.close();
    for segment in shared.segments.read().iter() {
        segment.set_gone();
    }
}
