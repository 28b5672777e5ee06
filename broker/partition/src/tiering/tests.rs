//! Custodians at work: a real directory of real logs, a store in memory, the machine behind a door
//! that loses answers.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freshet_env::objects::{
    Listing, MemoryObjects, ObjectBody, ObjectError, ObjectFailure, ObjectHead, ObjectWait, whole,
};
use freshet_env::{Clock, Disk, SystemClock, SystemDisk, SystemRng};
use freshet_log::{LogConfig, LogDir, Origin, Tiered, Writers, WritersOptions};
use freshet_metadata::{
    CreateTopics, MetadataMachine, MetadataOptions, NewTopic, PastLife, RegisterBroker,
};
use freshet_records::{BatchBuilder, Codec, NewRecord};
use freshet_settings::StaticSettingsBuilder;
use freshet_tier::{
    Answer, Ask, Limits, Manifest, Manifests, ObjectName, ReadLimits, Request, Said, check_whole,
};
use freshet_types::{ClusterId, Machine, Millis, NodeId, Now, Offset, Ticket, Timestamp, TopicId};
use tokio::sync::oneshot;

mod adoption;
mod again;
mod burial;
mod copies;
mod local;
mod past;
mod scrub;
mod seats;
mod standing;

use super::*;
use crate::directory::{Directory, DirectoryParts, DirectoryThread};
use crate::manifests::{MANIFESTS_TOPIC, ManifestKeeper, ManifestWait, Unanswered};
use crate::partition::{Acks, Produce};
use crate::replica::NoProposals;

const NODE: NodeId = NodeId(1);
const AT: TopicPartition = TopicPartition {
    topic: TopicId([3; 16]),
    partition: 0,
};

/// What is copied stays here as well.
const COPIED: Tiered = Tiered {
    copies: true,
    local_retention_ms: None,
    local_retention_bytes: None,
    copy_lag_ms: Some(0),
    copy_lag_bytes: None,
};

/// One machine for all, whose answers are lost now and then.
struct Door {
    machine: Mutex<Manifests>,
    now: AtomicU64,
    asked: AtomicU64,
    /// Every so many answers are lost; 0 for none.
    loses: AtomicU64,
    /// Nobody hears what is asked.
    away: AtomicBool,
    /// Nobody is answered.
    hangs: AtomicBool,
}

impl Door {
    fn say(&self, request: Request) -> Said {
        let now = Now {
            monotonic: Millis(self.now.load(Ordering::Relaxed)),
            wall: Timestamp(0),
        };
        let mut machine = self.machine.lock();
        let mut decision = machine.decide(now, Ticket(1), request);
        for record in &decision.records {
            machine.apply(record);
        }
        decision.replies.remove(0).1
    }
}

impl ManifestDoor for Door {
    fn ask(&self, request: Request) -> ManifestWait<'_, Unanswered> {
        let unheard = |why: &str| Unanswered { why: why.into() };
        if self.away.load(Ordering::Relaxed) {
            return Box::pin(ready(Err(unheard("it is away"))));
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if self.hangs.load(Ordering::Relaxed) {
            return Box::pin(pending());
        }
        let said = self.say(request);
        let loses = self.loses.load(Ordering::Relaxed);
        let is_lost = loses > 0 && asked.is_multiple_of(loses);
        let lost = is_lost.then(|| unheard("it is lost"));
        Box::pin(ready(lost.map_or(Ok(said), Err)))
    }
}

/// A store that is away now and then, and loses answers.
#[derive(Debug, Default)]
pub(super) struct Store {
    objects: MemoryObjects,
    pub(super) away: AtomicBool,
    /// What is read does not come.
    pub(super) held: AtomicBool,
    /// What was read.
    reads: Mutex<Vec<(String, std::ops::Range<u64>)>>,
    /// Names in a page of a listing at most; 0 for as many as are asked for.
    page: AtomicUsize,
    /// Segments that are being put, and that may be by now: with a number here each waits for its turn.
    putting: AtomicUsize,
    gate: Mutex<Option<Arc<Semaphore>>>,
    /// It takes segments, and nothing else.
    no_manifests: AtomicBool,
    /// What it answers where a name begins like this.
    pub(super) refuses: Mutex<Option<(String, ObjectFailure)>>,
    refused: AtomicU64,
    puts: AtomicU64,
    /// Every so many puts are done and not answered; 0 for none.
    loses: AtomicU64,
    /// Every so many puts store only a part.
    tears: AtomicU64,
    deletes: AtomicU64,
    /// Every so many deletions are refused.
    spares: AtomicU64,
}

impl Store {
    /// Waits at the gate, if there is one.
    async fn pass(&self, key: &str) {
        let gate = self.gate.lock().clone();
        let Some(gate) = gate.filter(|_| !key.contains("/manifests/")) else {
            return;
        };
        self.putting.fetch_add(1, Ordering::Relaxed);
        gate.acquire().await.expect("it stays open").forget();
        self.putting.fetch_sub(1, Ordering::Relaxed);
    }

    fn check(&self, key: &str) -> Result<(), ObjectError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(failure(key, ObjectFailure::Unreachable));
        }
        match &*self.refuses.lock() {
            Some((prefix, why)) if key.starts_with(prefix) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(failure(key, *why))
            }
            _ => Ok(()),
        }
    }
}

fn failure(key: &str, failure: ObjectFailure) -> ObjectError {
    ObjectError {
        doing: "ask for",
        key: key.to_owned(),
        failure,
        why: "as the test wants it".to_owned(),
    }
}

fn is_due(every: &AtomicU64, count: u64) -> bool {
    let every = every.load(Ordering::Relaxed);
    every > 0 && count.is_multiple_of(every)
}

impl Objects for Store {
    fn put_new<'a>(&'a self, key: &'a str, body: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()> {
        Box::pin(async move {
            self.check(key)?;
            if self.no_manifests.load(Ordering::Relaxed) && key.contains("/manifests/") {
                return Err(failure(key, ObjectFailure::Denied));
            }
            self.pass(key).await;
            let count = self.puts.fetch_add(1, Ordering::Relaxed) + 1;
            if is_due(&self.tears, count) {
                let mut part = whole(body).await?;
                part.truncate(part.len() / 2);
                self.objects.put_new(key, &mut part).await?;
                return Err(failure(key, ObjectFailure::Unanswered));
            }
            self.objects.put_new(key, body).await?;
            match is_due(&self.loses, count) {
                false => Ok(()),
                true => Err(failure(key, ObjectFailure::Unanswered)),
            }
        })
    }

    fn get_range<'a>(&'a self, key: &'a str, range: std::ops::Range<u64>) -> ObjectWait<'a, Bytes> {
        Box::pin(async move {
            self.check(key)?;
            while self.held.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            self.reads.lock().push((key.to_owned(), range.clone()));
            self.objects.get_range(key, range).await
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ObjectHead> {
        Box::pin(async move {
            self.check(key)?;
            self.objects.head(key).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        at_most: usize,
    ) -> ObjectWait<'a, Listing> {
        Box::pin(async move {
            self.check(prefix)?;
            let most = match self.page.load(Ordering::Relaxed) {
                0 => at_most,
                page => at_most.min(page),
            };
            self.objects.list(prefix, after, most).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ()> {
        Box::pin(async move {
            self.check(key)?;
            let count = self.deletes.fetch_add(1, Ordering::Relaxed) + 1;
            match is_due(&self.spares, count) {
                false => self.objects.delete(key).await,
                true => Err(failure(key, ObjectFailure::Denied)),
            }
        })
    }
}

/// What is kept by this broker's own shards.
struct Here(Arc<ManifestShards>);

impl ManifestDoor for Here {
    fn ask(&self, request: Request) -> ManifestWait<'_, Unanswered> {
        Box::pin(async move {
            let said = self.0.answer(0, request).await;
            said.map_err(|error| Unanswered {
                why: error.to_string(),
            })
        })
    }
}

/// How often is scrubbed, and how fast: never, until a test wants it.
struct ScrubPace {
    interval_ms: AtomicU64,
    rate: AtomicU64,
}

impl Default for ScrubPace {
    fn default() -> Self {
        Self {
            interval_ms: AtomicU64::new(u64::MAX),
            rate: AtomicU64::new(0),
        }
    }
}

/// A broker that leads one partition.
struct Rig {
    directory: Arc<Directory>,
    thread: Option<DirectoryThread>,
    writers: Arc<Writers>,
    custodians: Arc<Custodians>,
    door: Arc<Door>,
    store: Arc<Store>,
    layout: Layout,
    /// Bytes a second.
    rate: Arc<AtomicU64>,
    /// Segments under way.
    at_once: Arc<AtomicUsize>,
    scrub: Arc<ScrubPace>,
    counts: Arc<CopyCounts>,
    leaves: Arc<AtomicBool>,
    image: watch::Sender<Arc<MetadataImage>>,
    folder: tempfile::TempDir,
}

fn change(machine: &mut MetadataMachine, request: freshet_metadata::Request) {
    let now = Now {
        monotonic: Millis(1),
        wall: Timestamp(1_700_000_000_000),
    };
    let decision = machine.decide(now, Ticket(0), request);
    for record in &decision.records {
        machine.apply(record);
    }
}

fn registered(node: NodeId) -> RegisterBroker {
    RegisterBroker {
        node,
        incarnation: [1; 16],
        listeners: Vec::new(),
        rack: None,
        directories: Vec::new(),
        features: Vec::new(),
        past: PastLife::None,
    }
}

/// A broker, and a topic of one partition for each of these.
fn metadata(
    statics: &Arc<freshet_settings::StaticSettings>,
    topics: &[(&str, TopicId)],
) -> MetadataMachine {
    let mut machine = MetadataMachine::new(MetadataOptions::of(Arc::clone(statics)));
    change(&mut machine, registered(NODE).into());
    let topic = |(name, id): &(&str, TopicId)| NewTopic {
        name: (*name).to_owned(),
        id: *id,
        partitions: 1,
        replication_factor: 1,
        configs: match *name {
            MANIFESTS_TOPIC => Vec::new(),
            _ => [("remote.storage.enable", "true"), ("retention.ms", "-1")]
                .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
                .into(),
        },
        ..NewTopic::default()
    };
    let topics = CreateTopics {
        topics: topics.iter().map(topic).collect(),
        validate_only: false,
    };
    change(&mut machine, topics.into());
    machine
}

/// What is below a rig.
struct Ground {
    writers: Arc<Writers>,
    statics: Arc<freshet_settings::StaticSettings>,
    clock: Arc<dyn Clock>,
    folder: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self::over(tempfile::tempdir().expect("a folder"))
    }

    /// What a broker has left there is found again.
    fn over(folder: tempfile::TempDir) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let dir = LogDir::open(disk, folder.path()).expect("a log directory");
        let options = WritersOptions {
            append_threads: 1,
            reserve_bytes: 0,
            ..WritersOptions::default()
        };
        let writers = Writers::start(vec![dir], Arc::clone(&clock), options).expect("threads");
        let mut settings = StaticSettingsBuilder::default();
        for set in [
            "remote.log.storage.system.enable=true",
            "remote.log.storage.url=file:///bucket",
        ] {
            settings = settings.set(set).expect("declared");
        }
        let statics = settings.finish();
        Self {
            writers,
            statics: Arc::new(statics.expect("settings that agree").0),
            clock,
            folder,
        }
    }
}

/// Writes a batch of one record; gives the log end.
async fn produce_to(partition: &Partition, value: &[u8]) -> Offset {
    let mut builder = BatchBuilder::new(Codec::None);
    let record = NewRecord {
        timestamp: Timestamp(1),
        key: None,
        value: Some(value),
        headers: &[],
    };
    builder.push(&record).expect("small");
    let batch = builder.finish().expect("a batch").bytes().clone();
    let (tell, told) = oneshot::channel();
    partition.produce(Produce {
        frame_bytes: batch.len(),
        batch,
        origin: Origin::Client,
        acks: Acks::All,
        leader_epoch: None,
        done: Box::new(move |done| drop(tell.send(done))),
    });
    told.await.expect("told").expect("stored").last_offset + 1
}

async fn roll(partition: &Partition) {
    let (tell, told) = oneshot::channel();
    let rolled = partition.log().roll(Box::new(|done| drop(tell.send(done))));
    rolled.expect("room");
    told.await.expect("told").expect("rolled");
}

impl Rig {
    fn new() -> Self {
        let ground = Ground::new();
        let metadata = metadata(&ground.statics, &[("t", AT.topic)]);
        Self::with(ground, &metadata, None)
    }

    /// Manifests are kept by `shards`, or by a machine of the test's own.
    fn with(
        ground: Ground,
        metadata: &MetadataMachine,
        shards: Option<&Arc<ManifestShards>>,
    ) -> Self {
        Self::beside(ground, metadata, shards, Vec::new())
    }

    /// The same, and these hear of partitions as well.
    fn beside(
        ground: Ground,
        metadata: &MetadataMachine,
        shards: Option<&Arc<ManifestShards>>,
        mut neighbours: Vec<Arc<dyn Neighbour>>,
    ) -> Self {
        let (image, watched) = watch::channel(Arc::new(metadata.image().clone()));
        let door = Arc::new(Door {
            machine: Mutex::new(Manifests::new(Limits::default())),
            now: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            loses: AtomicU64::new(0),
            away: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
        });
        let manifests: Arc<dyn ManifestDoor> = match shards {
            Some(shards) => Arc::new(Here(Arc::clone(shards))),
            None => Arc::clone(&door) as Arc<dyn ManifestDoor>,
        };
        let store = Arc::<Store>::default();
        let layout = Layout::new("", &ClusterId("c".into()));
        let rate = Arc::new(AtomicU64::new(u64::MAX));
        let allowed = Arc::clone(&rate);
        let at_once = Arc::new(AtomicUsize::new(2));
        let seats = Arc::clone(&at_once);
        let scrub = Arc::new(ScrubPace::default());
        let scrubbing = Arc::clone(&scrub);
        let counts = Arc::<CopyCounts>::default();
        let leaves = Arc::new(AtomicBool::new(false));
        let leaving = Arc::clone(&leaves);
        let custodians = Arc::new(Custodians::new(CustodiansParts {
            objects: Arc::clone(&store) as Arc<dyn Objects>,
            layout: layout.clone(),
            manifests: Arc::clone(&manifests),
            image: watched.clone(),
            rng: Arc::new(SystemRng),
            leaves: Arc::new(move |_| leaving.load(Ordering::Relaxed)),
            clock: Arc::clone(&ground.clock),
            pace: Arc::new(move || Pace {
                interval_ms: 20,
                at_once: seats.load(Ordering::Relaxed),
                bytes_per_second: allowed.load(Ordering::Relaxed),
                scrub_interval_ms: scrubbing.interval_ms.load(Ordering::Relaxed),
                scrub_bytes_per_second: scrubbing.rate.load(Ordering::Relaxed),
            }),
            counts: Arc::clone(&counts),
            runtime: Handle::current(),
        }));
        let readers = Arc::new(PastReaders::new(
            (Arc::clone(&store) as Arc<dyn Objects>, layout.clone()),
            Arc::clone(&manifests),
            (ReadLimits::default(), None),
            Arc::default(),
            Handle::current(),
        ));
        neighbours.push(Arc::clone(&custodians) as Arc<dyn Neighbour>);
        neighbours.extend(shards.map(|shards| Arc::clone(shards) as Arc<dyn Neighbour>));
        let (directory, thread) = Directory::start(DirectoryParts {
            node: NODE,
            writers: Arc::clone(&ground.writers),
            directory_ids: Vec::new(),
            statics: ground.statics,
            image: watched,
            clock: ground.clock,
            proposals: Arc::new(NoProposals),
            past_readers: Some(readers),
            neighbours,
        })
        .expect("a thread");
        Self {
            directory,
            thread: Some(thread),
            writers: ground.writers,
            custodians,
            door,
            store,
            layout,
            rate,
            at_once,
            scrub,
            counts,
            leaves,
            image,
            folder: ground.folder,
        }
    }

    fn partition(&self) -> Arc<Partition> {
        self.directory.get(AT).expect("open")
    }

    fn configure(&self, change: impl FnOnce(&mut LogConfig)) {
        let mut config = LogConfig::clone(&self.partition().view().config());
        change(&mut config);
        self.partition().configure(Arc::new(config));
    }

    /// Writes a batch of one record; gives the log end.
    async fn produce(&self, value: &[u8]) -> Offset {
        produce_to(&self.partition(), value).await
    }

    async fn roll(&self) {
        roll(&self.partition()).await;
    }

    /// A closed segment of three records.
    async fn segment(&self) -> Offset {
        for value in [b"a", b"b", b"c"] {
            self.produce(value).await;
        }
        let end = self.partition().view().log_end();
        self.roll().await;
        end
    }

    /// The manifest, as its machine has it.
    fn manifest(&self) -> Option<Manifest> {
        let machine = self.door.machine.lock();
        machine.get(AT).cloned()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Manifest) -> bool) -> Manifest {
        for _ in 0..2000 {
            if let Some(manifest) = self.manifest().filter(&is_so) {
                return manifest;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.manifest());
    }

    /// The same, while hours pass in the shard.
    async fn while_hours_pass(&self, what: &str, is_so: impl Fn(&Manifest) -> bool) -> Manifest {
        self.until(what, |manifest| {
            let some = Limits::default().grace_ms / 10;
            self.door.now.fetch_add(some, Ordering::Relaxed);
            is_so(manifest)
        })
        .await
    }

    /// All that is in the bucket up to `end`, and a manifest that says so.
    async fn tiered(&self, end: Offset) -> Manifest {
        self.until("tiered", |manifest| {
            manifest.remote_end() == end && manifest.exported() == manifest.version()
        })
        .await
    }

    /// All that lies below the partition's name, whatever it is.
    async fn names(&self) -> Vec<String> {
        let prefix = self.layout.partition(AT);
        let listing = self.store.objects.list(&prefix, None, 1000).await;
        let objects = listing.expect("listed").objects;
        objects.into_iter().map(|(key, _)| key).collect()
    }

    async fn objects(&self) -> BTreeMap<String, ObjectName> {
        let named = |key: String| Some((key.clone(), self.layout.parse(AT, &key)?));
        self.names().await.into_iter().filter_map(named).collect()
    }

    async fn until_names(&self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        for _ in 0..1000 {
            if is_so(&self.names().await) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.names().await);
    }

    /// Every named segment is there, whole, and what the log has at its place.
    async fn check(&self, manifest: &Manifest) {
        let mut next = manifest.log_start();
        for segment in manifest.segments() {
            assert_eq!(segment.start.max(manifest.log_start()), next);
            let key = self.layout.segment(AT, segment.object_start, segment.id);
            let footer = check_whole(&*self.store, &key).await.expect("whole");
            assert_eq!((footer.partition, footer.id), (AT, segment.id));
            next = segment.end;
        }
        assert_eq!(next, manifest.remote_end());
        let newest = self.layout.manifest(AT, manifest.exported());
        let bytes = self.store.objects.head(&newest).await.expect("stored");
        let bytes = self
            .store
            .objects
            .get_range(&newest, 0..bytes.len_bytes)
            .await;
        let (at, restored) = Manifest::restore(&bytes.expect("read")).expect("a manifest");
        assert_eq!((at, restored.segments()), (AT, manifest.segments()));
    }

    async fn stop(self) {
        drop(self.leave().await);
    }

    /// The same, and what is on the disk stays.
    #[expect(
        clippy::disallowed_methods,
        reason = "the directory's thread waits for tasks of this runtime"
    )]
    async fn leave(mut self) -> tempfile::TempDir {
        self.custodians.stop();
        let thread = self.thread.take().expect("it runs");
        let writers = Arc::clone(&self.writers);
        tokio::task::spawn_blocking(move || {
            thread.stop();
            writers.stop().expect("a clean stop");
        })
        .await
        .expect("stopped");
        self.folder
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_segments_are_carried_into_the_bucket_and_the_open_one_is_not() {
    let rig = Rig::new();
    let first = rig.segment().await;
    let manifest = rig.tiered(first).await;
    rig.check(&manifest).await;
    let second = rig.segment().await;
    let third = rig.segment().await;
    rig.produce(b"open").await;
    let manifest = rig.tiered(third).await;
    let ranges: Vec<_> = manifest
        .segments()
        .iter()
        .map(|s| (s.start, s.end))
        .collect();
    assert_eq!(ranges, [(0, first), (first, second), (second, third)]);
    rig.check(&manifest).await;
    // Nothing more happens while nothing is closed.
    let asked = rig.door.asked.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.door.asked.load(Ordering::Relaxed), asked);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_takes_leaves_the_bucket_after_a_grace_age() {
    let rig = Rig::new();
    let first = rig.segment().await;
    let second = rig.segment().await;
    let manifest = rig.tiered(second).await;
    let gone = rig.layout.segment(AT, 0, manifest.segments()[0].id);
    rig.partition().trim(first).await.expect("trimmed");
    let manifest = rig
        .until("the start moves", |manifest| {
            manifest.log_start() == first && manifest.exported() == manifest.version()
        })
        .await;
    assert_eq!(manifest.segments().len(), 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        rig.objects().await.contains_key(&gone),
        "readers may be there"
    );
    let collected = |manifest: &Manifest| manifest.unnamed().is_empty();
    let manifest = rig.while_hours_pass("collected", collected).await;
    rig.check(&manifest).await;
    assert!(!rig.objects().await.contains_key(&gone));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_holds_up_nobody_and_is_caught_up_with() {
    let rig = Rig::new();
    rig.store.away.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        let within = tokio::time::timeout(Duration::from_secs(5), rig.segment()).await;
        within.expect("producers do not wait for the store");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let waiting = rig.until("claimed", |_| true).await;
    assert_eq!(waiting.remote_end(), 0);
    rig.store.away.store(false, Ordering::Relaxed);
    let end = rig.partition().view().log_end();
    let manifest = rig.tiered(end).await;
    rig.check(&manifest).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_torn_objects_leave_nothing_wrong() {
    let rig = Rig::new();
    rig.door.loses.store(7, Ordering::Relaxed);
    rig.store.loses.store(3, Ordering::Relaxed);
    rig.store.tears.store(5, Ordering::Relaxed);
    let mut end = 0;
    for _ in 0..8 {
        end = rig.segment().await;
    }
    let manifest = rig.tiered(end).await;
    rig.check(&manifest).await;
    rig.door.loses.store(0, Ordering::Relaxed);
    rig.store.tears.store(0, Ordering::Relaxed);
    // What was torn, or given up, is collected in the end, and what is named is not.
    let collected = |m: &Manifest| m.unnamed().is_empty() && m.open().is_empty();
    let manifest = rig.while_hours_pass("collected", collected).await;
    rig.check(&manifest).await;
    let objects = rig.objects().await;
    let segments = objects
        .values()
        .filter(|name| matches!(name, ObjectName::Segment { .. }));
    assert_eq!(segments.count(), manifest.segments().len());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_tier_asks_nothing_until_it_does() {
    let rig = Rig::new();
    rig.configure(|config| config.tiered = None);
    // It may have begun before that was said.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = rig.manifest().map(|manifest| manifest.remote_end());
    let end = rig.segment().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.manifest().map(|manifest| manifest.remote_end()), before);
    rig.configure(|config| config.tiered = Some(COPIED));
    let manifest = rig.tiered(end).await;
    rig.check(&manifest).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leads_in_a_later_epoch_ends_the_custodian_before() {
    let rig = Rig::new();
    let end = rig.segment().await;
    rig.tiered(end).await;
    // Somebody else claims in a later epoch: as if this broker did not know that it leads no more.
    let later = rig.partition().leader_epoch() + 1;
    let view = rig.partition().view();
    let claim = freshet_tier::Claim {
        log_start: 0,
        local_start: 0,
        log_end: view.log_end(),
        epochs: view
            .epochs()
            .iter()
            .map(|&(epoch, offset)| freshet_tier::EpochStart { epoch, offset })
            .collect(),
        unclean: None,
    };
    let said = rig.door.say(Request {
        partition: AT,
        leader_epoch: later,
        ask: Ask::Claim(claim),
    });
    assert!(matches!(said, Ok(Answer::Claimed(_))), "{said:?}");
    let objects = rig.objects().await.len();
    rig.segment().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let manifest = rig.manifest().expect("claimed");
    assert_eq!(
        (manifest.leader_epoch(), manifest.remote_end()),
        (later, end)
    );
    assert_eq!(
        rig.objects().await.len(),
        objects,
        "nothing is stored by who was fenced"
    );
    rig.stop().await;
}
