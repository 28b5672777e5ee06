//! What the leader of a partition does for its past: closed segments go to the object store, and its
//! manifest says so (docs/tiering.md, rules T1 to T9).
//!
//! ```text
//! led here ─▶ claim ─▶ ┌ begin ─▶ put, verify ─▶ commit ┐ ─▶ put manifest, exported ─▶ collect ─▶ rest
//!              ▲       └──────── each closed segment ───┘                                          │
//!              └── missed an answer, or refused: with the manifest as it is now ◀──────────────────┘
//! ```
//!
//! Beside that each looks after what lies in the bucket: what nobody knows, and what is damaged there.
//!
//! One task for each partition that is led and tiers, on a runtime of the caller's choice. It waits
//! for the store as long as the store takes; producers and readers never wait for it.

mod adopt;
mod carry;
mod custodian;
mod exports;
mod mend;
mod old_manifests;
mod patrol;
mod rate;
mod reading;
mod tended;
#[cfg(test)]
mod tests;
mod undertaker;
mod unlisted;

use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freshet_env::objects::RequestCounts;
use freshet_env::{Clock, Objects, Rng};
use freshet_metadata::{MetadataImage, Topic};
use freshet_tier::Layout;
use freshet_types::TopicPartition;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::directory::Neighbour;
use crate::manifests::{ManifestDoor, ManifestShards};
use crate::partition::Partition;
use crate::replica::Stand;
use crate::traffic::RemoteTraffic;
use custodian::Custodian;
pub use exports::{Exporter, ExporterParts};
use patrol::Scrubs;
pub use rate::{BytesPerSecond, FETCH_BOUNDS_MS, FetchTimes, PacedReads, Rate};
pub(crate) use reading::BeginningError;
pub use reading::PastReaders;
use unlisted::Unlisted;

/// Who waits for a seat looks so often whether there are others now.
const SEATS_PAUSE: Duration = Duration::from_millis(500);

/// What custodians have done, and readers, counted for whoever makes metrics of it; each only grows.
#[derive(Debug, Default)]
pub struct CopyCounts {
    /// Of all topics.
    pub traffic: RemoteTraffic,
    /// Manifests that were stored.
    pub exports: AtomicU64,
    /// Objects with topics and settings, or positions of groups, that were stored.
    pub cluster_exports: AtomicU64,
    /// Tries at that which failed.
    pub failed_cluster_exports: AtomicU64,
    /// How long the store takes to answer readers.
    pub fetch_times: FetchTimes,
    /// How long parts of segments were held up by the bound for copies; those that were not do not count.
    pub copy_throttle_times: FetchTimes,
    /// The same of what is asked of the store for readers.
    pub fetch_throttle_times: FetchTimes,
    /// Places for segments under way.
    pub copiers: CopierLoad,
    /// Of the scrub and the sweep.
    pub scrub: ScrubCounts,
    /// What was asked of the store by all who use it, readers too.
    pub asked: Arc<RequestCounts>,
}

/// How many segments are carried to the store at a time, as of now.
#[derive(Debug, Default)]
pub struct CopierLoad {
    /// How many may be (`remote.log.manager.copier.thread.pool.size`); 0 before anybody has wanted one.
    pub places: AtomicU64,
    /// How many are.
    pub busy: AtomicU64,
}

/// What was seen to that nobody asked for. All but one only grow.
#[derive(Debug, Default)]
pub struct ScrubCounts {
    /// Walks that looked at all that is in the bucket of a partition.
    pub walks: AtomicU64,
    /// Walks that read all of it back.
    pub read_walks: AtomicU64,
    /// Segments whose objects were looked at.
    pub looks: AtomicU64,
    /// Segments whose objects were read back.
    pub reads: AtomicU64,
    /// Bytes of these.
    pub read_bytes: AtomicU64,
    /// Objects that were damaged or missing.
    pub damaged: AtomicU64,
    /// Of these, those that were stored anew.
    pub repaired: AtomicU64,
    /// Those that are damaged or missing now, as far as the leaders here have come.
    pub damaged_now: AtomicU64,
    /// Objects that the store refused or throttled, counted by each walk that left them out.
    pub unread: AtomicU64,
    /// Objects that nobody knew, and that were to be deleted.
    pub swept: AtomicU64,
    /// Old manifests that were deleted.
    pub old_manifests: AtomicU64,
    /// Listings that the store refused or did not answer.
    pub failed_lists: AtomicU64,
}

/// How custodians go about it; asked for each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks for closed segments, ms (`remote.log.manager.task.interval.ms`).
    pub interval_ms: u64,
    /// Segments that are carried at a time (`remote.log.manager.copier.thread.pool.size`).
    pub at_once: usize,
    /// Bytes a second of all of them (`remote.log.manager.copy.max.bytes.per.second`); `u64::MAX` for
    /// no bound.
    pub bytes_per_second: u64,
    /// Between two looks at all that is in the bucket, ms (`freshet.remote.scrub.interval.ms`).
    pub scrub_interval_ms: u64,
    /// Bytes a second of what is read back (`freshet.remote.scrub.bytes.per.second`); 0 for none.
    pub scrub_bytes_per_second: u64,
}

/// What custodians work with.
pub struct CustodiansParts {
    /// Where objects go.
    pub objects: Arc<dyn Objects>,
    /// What they are called.
    pub layout: Layout,
    /// Where manifests are kept.
    pub manifests: Arc<dyn ManifestDoor>,
    /// Who was elected uncleanly.
    pub image: watch::Receiver<Arc<MetadataImage>>,
    /// Draws ids.
    pub rng: Arc<dyn Rng>,
    /// Whether what is in the object store has to go, of a partition that does not tier
    /// (`remote.log.delete.on.disable`).
    pub leaves: Arc<dyn Fn(&Partition) -> bool + Send + Sync>,
    /// Tells the age of records.
    pub clock: Arc<dyn Clock>,
    /// How, as of now.
    pub pace: Arc<dyn Fn() -> Pace + Send + Sync>,
    /// What they have done.
    pub counts: Arc<CopyCounts>,
    /// Where all of it runs.
    pub runtime: Handle,
}

/// The custodians of all partitions that this broker leads.
pub struct Custodians {
    shared: Arc<Shared>,
    tasks: Mutex<HashMap<TopicPartition, AbortHandle>>,
}

/// What they share.
struct Shared {
    parts: CustodiansParts,
    /// For segments under way.
    seats: Semaphore,
    /// How many seats there are, taken ones included.
    seat_count: Mutex<usize>,
    /// When the settings were asked how many there should be.
    seats_judged: Mutex<Option<Instant>>,
    /// Of what is sent.
    sent: Rate,
    /// What is read back.
    scrubs: Scrubs,
    /// What the store does not list.
    unlisted: Unlisted,
}

fn jittered(rng: &dyn Rng, pause: Duration) -> Duration {
    let [dice, ..] = rng.id();
    pause.mul_f32(0.75 + f32::from(dice) / 512.0)
}

impl Shared {
    fn interval_ms(&self) -> u64 {
        (self.parts.pace)().interval_ms
    }

    /// Between three and five quarters of it: partitions do not ask all at once.
    fn jittered(&self, pause: Duration) -> Duration {
        jittered(&*self.parts.rng, pause)
    }

    /// A seat for one segment. There are as many as the settings say by now; where those are fewer,
    /// taken ones go when they are given back.
    async fn seat(&self) -> Option<Seat<'_>> {
        let mut seat = pin!(self.seats.acquire());
        loop {
            self.judge_seats();
            // Those who wait have asked by the settings of then, and those who sit may do so for long.
            tokio::select! {
                permit = &mut seat => {
                    let permit = permit.ok()?;
                    if !self.is_one_too_many() {
                        return Some(Seat::take(permit, &self.parts.counts));
                    }
                    permit.forget();
                    seat.set(self.seats.acquire());
                }
                () = sleep(SEATS_PAUSE) => {}
            }
        }
    }

    /// Whether a seat that is given back goes. While somebody waits none is ever free, so whoever comes to it asks.
    fn is_one_too_many(&self) -> bool {
        let wanted = (self.parts.pace)().at_once.max(1);
        let mut count = self.seat_count.lock();
        let is_so = *count > wanted;
        *count -= usize::from(is_so);
        is_so
    }

    /// Thousands may wait, and one of them is enough to ask.
    fn judge_seats(&self) {
        let now = Instant::now();
        let last = &mut *self.seats_judged.lock();
        if last.is_none_or(|last| now.duration_since(last) >= SEATS_PAUSE / 2) {
            *last = Some(now);
            self.set_seats((self.parts.pace)().at_once.max(1));
        }
    }

    fn set_seats(&self, wanted: usize) {
        let mut count = self.seat_count.lock();
        if *count < wanted {
            self.seats.add_permits(wanted - *count);
            *count = wanted;
        } else {
            *count -= self.seats.forget_permits(*count - wanted);
        }
        let places = &self.parts.counts.copiers.places;
        places.store(wanted as u64, Ordering::Relaxed);
    }
}

/// One segment is under way as long as this is there.
struct Seat<'a> {
    load: &'a CopierLoad,
    _permit: SemaphorePermit<'a>,
}

impl<'a> Seat<'a> {
    fn take(permit: SemaphorePermit<'a>, counts: &'a CopyCounts) -> Self {
        let load = &counts.copiers;
        load.busy.fetch_add(1, Ordering::Relaxed);
        Self {
            load,
            _permit: permit,
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.load.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Custodians {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custodians({})", self.tasks.lock().len())
    }
}

impl Custodians {
    /// None yet; the directory brings the partitions.
    pub fn new(parts: CustodiansParts) -> Self {
        let pace = Arc::clone(&parts.pace);
        let sent = Rate::new(
            Arc::clone(&parts.clock),
            Arc::new(move || pace().bytes_per_second),
        );
        let shared = Shared {
            scrubs: Scrubs::new(&parts),
            parts,
            seats: Semaphore::new(0),
            seat_count: Mutex::new(0),
            seats_judged: Mutex::new(None),
            sent,
            unlisted: Unlisted::default(),
        };
        Self {
            shared: Arc::new(shared),
            tasks: Mutex::default(),
        }
    }

    /// Rids the bucket of topics that are deleted, as far as their manifests are `kept` here; until the
    /// task is aborted.
    pub fn bury(&self, kept: Arc<ManifestShards>) -> AbortHandle {
        let shared = Arc::clone(&self.shared);
        let runtime = &self.shared.parts.runtime;
        runtime.spawn(undertaker::bury(shared, kept)).abort_handle()
    }

    /// Ends all of them. What is under way is found and collected later.
    pub fn stop(&self) {
        self.tasks.lock().drain().for_each(|(_, task)| task.abort());
    }

    fn end(&self, at: TopicPartition) {
        if let Some(task) = self.tasks.lock().remove(&at) {
            task.abort();
        }
        self.shared.unlisted.forget(at);
    }
}

impl Neighbour for Custodians {
    /// The epoch is part of all that is asked: who leads anew begins anew.
    fn stands(&self, partition: &Arc<Partition>, stand: Stand) {
        let at = partition.id();
        self.end(at);
        if stand != Stand::Leads || partition.name().topic.is_internal() {
            return;
        }
        let custodian = Custodian::new(Arc::clone(&self.shared), Arc::clone(partition));
        let task = self.shared.parts.runtime.spawn(custodian.keep());
        self.tasks.lock().insert(at, task.abort_handle());
    }

    fn closed(&self, partition: &Partition) {
        self.end(partition.id());
    }

    fn deleted(&self, _: &Topic) {}
}
