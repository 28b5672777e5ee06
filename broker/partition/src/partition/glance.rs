//! The past as a follower sees it: it asks the shard what is in the bucket, and believes that for a moment. So
//! whoever reads from a replica nearby goes on there when what it reads has left the disks.

use std::sync::Arc;
use std::time::Duration;

use freshet_env::Clock;
use freshet_log::ReadError as LogReadError;
use freshet_tier::{ColdBatches, ColdError, ColdSpec, Manifest, Past as Source};
use freshet_types::{LeaderEpoch, Millis, Offset, TopicPartition};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::ReadError;
use crate::tiering::PastReaders;

/// How long an answer is believed, ms: far below any grace age, after which objects go that are named no more.
const BELIEVED_MS: u64 = 10_000;
/// How often the shard is asked at most where an answer does not do, ms.
const PAUSE_MS: u64 = 500;
/// How long one waits for the shard: less than a fetch waits for cold records (`remote.fetch.max.wait.ms`, 500),
/// so that a consumer hears in time to go back to its leader.
const PATIENCE: Duration = Duration::from_millis(300);

/// What the shard has said last; one asks, all others wait for that.
#[derive(Debug, Default)]
pub(super) struct Glance(Mutex<Option<(Millis, Option<Arc<Manifest>>)>>);

/// Who looks.
pub(super) struct Follower {
    pub(super) readers: Arc<PastReaders>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) partition: TopicPartition,
    /// The latest that it knows of: one that has not claimed may be about to cut what is in the bucket.
    pub(super) leader_epoch: LeaderEpoch,
    /// The end of its log.
    pub(super) log_end: Offset,
}

impl Follower {
    /// What is there from `spec.from` on, before this log.
    ///
    /// # Errors
    /// `OutOfRange`: it was deleted. `PastUnknown`: ask again.
    pub(super) async fn read(
        &self,
        glance: &Glance,
        spec: ColdSpec,
    ) -> Result<ColdBatches, ReadError> {
        let manifest = self.manifest(glance, spec.from).await?;
        let (offset, start, end) = (spec.from, manifest.log_start(), self.log_end);
        if offset < start {
            return Err(LogReadError::OutOfRange { offset, start, end }.into());
        }
        let partition = self.partition;
        let source = Source {
            partition,
            manifest,
        };
        let read = self.readers.read_here(&source, &spec).await;
        if let Err(ColdError::Missing { .. } | ColdError::OutOfRange { .. }) = read {
            // It names what is gone.
            *glance.0.lock().await = None;
        }
        Ok(read?)
    }

    /// One that may name what is at `offset`.
    async fn manifest(&self, glance: &Glance, offset: Offset) -> Result<Arc<Manifest>, ReadError> {
        let seen = timeout(PATIENCE, glance.0.lock()).await;
        let mut seen = seen.map_err(|_| ReadError::PastUnknown)?;
        let now = self.clock.monotonic();
        let names_it = |manifest: &&Arc<Manifest>| {
            let is_current = manifest.leader_epoch() >= self.leader_epoch;
            is_current && !manifest.segments().is_empty() && offset < manifest.remote_end()
        };
        if let Some((since, manifest)) = &*seen {
            let age = now.0.saturating_sub(since.0);
            match manifest.as_ref().filter(names_it) {
                Some(manifest) if age < BELIEVED_MS => return Ok(Arc::clone(manifest)),
                None if age < PAUSE_MS => return Err(ReadError::PastUnknown),
                _ => {}
            }
        }
        let asked = match timeout(PATIENCE, self.readers.manifest(self.partition)).await {
            Ok(Ok(asked)) => asked.map(Arc::new),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a follower does not hear what is in the bucket");
                None
            }
            Err(_) => None,
        };
        *seen = Some((self.clock.monotonic(), asked.clone()));
        let named = asked.as_ref().filter(names_it).map(Arc::clone);
        named.ok_or(ReadError::PastUnknown)
    }
}
