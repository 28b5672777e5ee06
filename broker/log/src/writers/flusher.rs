//! The flush threads of one log directory: fdatasync, checkpoints, deletes, and free space.
//!
//! They take jobs from one queue. Jobs of one log may overtake each other, which does no harm: only
//! one flushes at a time, a checkpoint that is older than the one on the disk is not written, and
//! nothing is written to a log that was deleted.
//!
//! A log that is written again while its flush waits is not queued twice, so one sync covers all
//! that was written before it started: group commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freshet_types::Offset;

use super::command::Answer;
use super::remove_later;
use super::shelf::{Taken, Taker};
use crate::log::CheckpointJob;
use crate::view::Shared;
use crate::writers::context::Context;
use crate::{LogDir, LogError};

/// How often free space is looked at while nothing happens.
const SPACE_IDLE: Duration = Duration::from_secs(2);
/// How often it is looked at while much is written.
const SPACE_BUSY_MS: u64 = 200;

/// What a flush thread does.
pub(super) enum FlushJob {
    /// Sync what is dirty.
    Flush(Arc<Shared>),
    /// The same, and answer with the durable end.
    FlushThen(Arc<Shared>, Answer<Offset>),
    /// Sync, then write a checkpoint.
    Checkpoint(CheckpointJob),
    /// Rename the log away and remove its files.
    Delete(Arc<Shared>, Answer<()>),
}

/// Runs until nobody can send any more. One thread of a directory looks at its space while nothing
/// happens.
pub(super) fn run_flusher(
    dir: &Arc<LogDir>,
    context: &Arc<Context>,
    jobs: &Taker<FlushJob>,
    looks_at_space: bool,
) {
    // Checkpoints that found no room.
    let mut later: Vec<CheckpointJob> = Vec::new();
    loop {
        let patience = (looks_at_space || !later.is_empty()).then_some(SPACE_IDLE);
        match jobs.take(patience) {
            Taken::Job(job) => later.extend(job.run(context)),
            Taken::Nothing => {}
            Taken::Ended => return,
        }
        dir.refresh_space(context.clock.monotonic(), SPACE_BUSY_MS);
        if dir.available_bytes() > 0 {
            later = later.into_iter().filter_map(CheckpointJob::run).collect();
        }
    }
}

impl FlushJob {
    /// Gives back a checkpoint that is to be tried again.
    fn run(self, context: &Arc<Context>) -> Option<CheckpointJob> {
        match self {
            Self::Flush(shared) => {
                // Before the sync: what is written from here on needs another one.
                shared.flush_queued.store(false, Ordering::Release);
                // A failure is told to everybody through `Progress::failed`.
                let _ = shared.flush();
            }
            Self::FlushThen(shared, done) => done.give(shared.flush()),
            Self::Checkpoint(job) => return job.run(),
            Self::Delete(shared, done) => delete(&shared, done, context),
        }
        None
    }
}

fn delete(shared: &Arc<Shared>, done: Answer<()>, context: &Arc<Context>) {
    done.give(rename_away(shared, context));
}

/// Deletes a log that nobody writes to any more: renamed at once, durably; its files go later.
pub(super) fn rename_away(shared: &Arc<Shared>, context: &Arc<Context>) -> Result<(), LogError> {
    let renamed = {
        let _flushing = shared.flushing.lock();
        shared.set_deleted();
        shared.dir.rename_away(&shared.name)
    };
    match renamed {
        Ok(path) => {
            shared.dir.release_deleted(&shared.name);
            remove_later(context, &shared.dir, vec![path]);
            Ok(())
        }
        Err(error) => {
            shared.dir.release(&shared.name);
            let error = std::io::Error::other(error.to_string());
            Err(shared.fail("deleting", &error))
        }
    }
}
