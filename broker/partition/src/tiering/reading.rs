//! Where cold reads run: on a thread of their own, for checksums and decompression cost time.

use std::fmt;
use std::sync::Arc;

use freshet_env::Objects;
use freshet_log::{Beginning, TimeQuery};
use freshet_records::envelope::EnvelopeError;
use freshet_tier::{
    Answer, Ask, ColdBatches, ColdError, ColdReader, ColdSpec, Counters, DiskCache, DiskCounters,
    GateLoad, Layout, Manifest, Past, ReadLimits, Refusal, Request, TimedOffset,
};
use freshet_types::{Offset, TopicPartition};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};

use super::CopyCounts;
use crate::manifests::{ManifestDoor, Unanswered};

/// Replicas that begin anew share the turns of one client: this broker.
const ITSELF: u64 = 0;

/// Why it is not known with what a log begins.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginningError {
    /// The manifest's shard is away.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// The shard says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The answer is to another question.
    #[error("the answer is to another question")]
    Strange,
    /// The bucket is away, or the object is damaged.
    #[error(transparent)]
    Cold(#[from] ColdError),
    /// What it has of producers is damaged.
    #[error("the producers in the bucket: {0}")]
    Producers(#[from] EnvelopeError),
    /// The broker stops.
    #[error("the readers have ended: {0}")]
    Ended(#[from] JoinError),
    /// It takes too long.
    #[error("neither the manifest nor the bucket has answered in time")]
    Late,
}

/// Reads the past of all partitions of this broker.
pub struct PastReaders {
    reader: ColdReader,
    manifests: Arc<dyn ManifestDoor>,
    copies: Arc<CopyCounts>,
    runtime: Handle,
}

impl fmt::Debug for PastReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PastReaders({:?})", self.reader)
    }
}

impl PastReaders {
    /// All of it runs on `runtime`; what leaves memory goes to the disk cache, if there is one. `copies`
    /// tells what was brought there.
    pub fn new(
        (objects, layout): (Arc<dyn Objects>, Layout),
        manifests: Arc<dyn ManifestDoor>,
        (limits, disk): (ReadLimits, Option<DiskCache>),
        copies: Arc<CopyCounts>,
        runtime: Handle,
    ) -> Self {
        let home = runtime.clone();
        let spawn = Arc::new(move |task| drop(home.spawn(task)));
        Self {
            reader: ColdReader::new(objects, layout, spawn, limits, disk),
            manifests,
            copies,
            runtime,
        }
    }

    /// What was brought into the bucket, and deleted there.
    pub fn copies(&self) -> &CopyCounts {
        &self.copies
    }

    /// What was read so far.
    pub fn counters(&self) -> &Counters {
        self.reader.counters()
    }

    /// What the disk cache has done, and the bytes that it holds; none without one.
    pub fn disk(&self) -> Option<(&DiskCounters, u64)> {
        self.reader.disk()
    }

    /// Requests for what is read, under way and waiting.
    pub fn load(&self) -> GateLoad {
        self.reader.load()
    }

    /// Has readers keep, ask and wait within these limits from now on.
    pub fn adjust(&self, limits: &ReadLimits) {
        self.reader.adjust(limits);
    }

    /// Bytes that are kept in memory now.
    pub fn held_bytes(&self) -> u64 {
        self.reader.held_bytes()
    }

    /// Runs on the readers' thread.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        reading: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(reading)
    }

    /// A read for one who is on the readers' thread.
    pub(crate) async fn read_here(
        &self,
        past: &Past,
        spec: &ColdSpec,
    ) -> Result<ColdBatches, ColdError> {
        self.reader.read(past, spec).await
    }

    /// With what a log of this partition begins that has nothing: at `least`, or a little later, where a
    /// segment in the bucket ends and its producers are known.
    ///
    /// # Errors
    /// It is not known now. A log that began without would store again what its producers send again.
    pub(crate) async fn beginning(
        self: &Arc<Self>,
        at: TopicPartition,
        least: Offset,
    ) -> Result<Beginning, BeginningError> {
        let this = Arc::clone(self);
        let finding = async move { this.find_beginning(at, least).await };
        let finding: JoinHandle<_> = self.runtime.spawn(finding);
        finding.await?
    }

    async fn find_beginning(
        &self,
        partition: TopicPartition,
        least: Offset,
    ) -> Result<Beginning, BeginningError> {
        let Some(manifest) = self.manifest(partition).await? else {
            return Ok(least.into());
        };
        let past = Past {
            partition,
            manifest: Arc::new(manifest),
        };
        let segments = past.manifest.segments();
        let first = segments.partition_point(|segment| segment.end < least);
        for segment in &segments[first..] {
            let last = segment.end - 1;
            let producers = match self.reader.producers_after(&past, last, ITSELF).await {
                Ok(producers) => producers,
                // It shows a part of its object only; the next one may end where its object does.
                Err(ColdError::NoSection { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let epochs = past.manifest.epochs();
            let covered = epochs.partition_point(|start| start.offset <= last);
            let epoch = covered.checked_sub(1).map(|last| epochs[last].epoch);
            return Ok(Beginning::after(segment.end, epoch, &producers)?);
        }
        Ok(least.into())
    }

    /// The manifest as its shard has it; none if nobody has claimed it, so that nothing is in the
    /// bucket.
    pub(crate) async fn manifest(
        &self,
        at: TopicPartition,
    ) -> Result<Option<Manifest>, BeginningError> {
        let request = Request {
            partition: at,
            leader_epoch: -1,
            ask: Ask::Describe,
        };
        match self.manifests.ask(request).await? {
            Ok(Answer::Manifest(manifest)) => Ok(Some(*manifest)),
            Err(Refusal::NotClaimed { .. }) => Ok(None),
            Err(refusal) => Err(refusal.into()),
            Ok(_) => Err(BeginningError::Strange),
        }
    }

    /// A lookup has the turns of the client that asks.
    pub(crate) fn find_time(
        &self,
        past: Past,
        query: TimeQuery,
        upper_bound: Offset,
        client: u64,
    ) -> JoinHandle<Result<Option<TimedOffset>, ColdError>> {
        let reader = self.reader.clone();
        self.runtime.spawn(async move {
            match query {
                TimeQuery::AtOrAfter(time) => {
                    reader.find_time(&past, time, upper_bound, client).await
                }
                TimeQuery::Max => reader.find_max_time(&past, upper_bound, client).await,
            }
        })
    }
}
