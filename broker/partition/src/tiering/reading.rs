//! Where cold reads run: on a thread of their own, for checksums and decompression cost time.

use std::fmt;
use std::sync::Arc;

use freshet_env::Objects;
use freshet_log::TimeQuery;
use freshet_tier::{
    ColdBatches, ColdError, ColdReader, ColdSpec, Counters, Layout, Past, ReadLimits, TimedOffset,
};
use freshet_types::Offset;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::CopyCounts;

/// Lookups by time have turns of their own.
const LOOKUPS: u64 = 0;

/// Reads the past of all partitions of this broker.
pub struct PastReaders {
    reader: ColdReader,
    copies: Arc<CopyCounts>,
    runtime: Handle,
}

impl fmt::Debug for PastReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PastReaders({:?})", self.reader)
    }
}

impl PastReaders {
    /// All of it runs on `runtime`. `copies` tells what was brought there.
    pub fn new(
        (objects, layout): (Arc<dyn Objects>, Layout),
        limits: ReadLimits,
        copies: Arc<CopyCounts>,
        runtime: Handle,
    ) -> Self {
        let home = runtime.clone();
        let spawn = Arc::new(move |task| drop(home.spawn(task)));
        Self {
            reader: ColdReader::new(objects, layout, spawn, limits),
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

    /// Bytes that are kept in memory now.
    pub fn held_bytes(&self) -> u64 {
        self.reader.held_bytes()
    }

    pub(crate) fn read(
        &self,
        past: Past,
        spec: ColdSpec,
    ) -> JoinHandle<Result<ColdBatches, ColdError>> {
        let reader = self.reader.clone();
        self.runtime
            .spawn(async move { reader.read(&past, &spec).await })
    }

    pub(crate) fn find_time(
        &self,
        past: Past,
        query: TimeQuery,
        upper_bound: Offset,
    ) -> JoinHandle<Result<Option<TimedOffset>, ColdError>> {
        let reader = self.reader.clone();
        self.runtime.spawn(async move {
            match query {
                TimeQuery::AtOrAfter(time) => {
                    reader.find_time(&past, time, upper_bound, LOOKUPS).await
                }
                TimeQuery::Max => reader.find_max_time(&past, upper_bound, LOOKUPS).await,
            }
        })
    }
}
