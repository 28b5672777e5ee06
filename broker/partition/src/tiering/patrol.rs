//! Walks through what is in the bucket of one partition, as long as this broker leads it.
//!
//! ```text
//!  looks: list segments ─▶ manifests ─▶ each object: is it there, as long, with its footer? ─▶ pause
//!  reads:                               each object: all its bytes, no faster than allowed ─▶ pause
//!              │                │                │
//!              │                └────────────────┴ damaged ─▶ custodian: mend
//!              └ strangers ─▶ custodian: sweep
//! ```
//! It looks by what the custodian has told readers, and changes nothing that a manifest names: the custodian
//! does, when it rests. The rejected way, one walk that looks and reads, would notice after weeks that an
//! object is gone.
//!
//! Reads take weeks where a bucket is large, and whoever leads next knows nothing of those before: they begin at
//! any segment, and come round. From the first one on, the last would never be read where leaders change.
//!
//! While the store is away a walk waits where it is. One object that a store keeps back which answers
//! otherwise (archived, its key is locked, throttled for ever) is told and left out: what lies behind it is
//! looked at, too.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freshet_env::objects::{Listing, ObjectError, ObjectFailure};
use freshet_tier::{
    Manifest, ObjectName, Segment, SegmentId, VerifyError, check_bytes, check_exported, check_named,
};
use freshet_types::{ErrorKind, Offset, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::sleep;

use super::rate::{PacedReads, Rate};
use super::{CopyCounts, CustodiansParts, ScrubCounts, Shared};
use crate::partition::{Partition, Past};

/// Partitions of a broker that are looked at, and read back, at a time.
const LOOKS: usize = 4;
const READS: usize = 1;
/// Strangers of one walk: as many as one answer dooms. The others come later.
const MOST_STRANGERS: usize = 1000;
/// Manifests that stay before the newest one.
const EARLIER_MANIFESTS: usize = 2;
/// How often a custodian is asked for what it is kept from, in one walk; and a store for what it refuses.
const MOST_TRIES: u32 = 3;
/// The same of what it throttles or cannot be reached for: that passes more often, and takes longer.
const MOST_WAITS: u32 = 10;

/// How closely an object is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Look,
    Read,
}

/// What all walks of a broker share.
pub(super) struct Scrubs {
    /// Nobody keeps one while it waits: others may fare better.
    pub(super) looks: Semaphore,
    pub(super) reads: Semaphore,
    slow: PacedReads,
}

impl Scrubs {
    pub(super) fn new(parts: &CustodiansParts) -> Self {
        let pace = Arc::clone(&parts.pace);
        let rate = Arc::new(move || pace().scrub_bytes_per_second);
        let rate = Rate::new(Arc::clone(&parts.clock), rate);
        Self {
            looks: Semaphore::new(LOOKS),
            reads: Semaphore::new(READS),
            slow: PacedReads::new(Arc::clone(&parts.objects), rate),
        }
    }

    async fn seat(&self, depth: Depth) -> Option<SemaphorePermit<'_>> {
        let seats = match depth {
            Depth::Look => &self.looks,
            Depth::Read => &self.reads,
        };
        seats.acquire().await.ok()
    }
}

/// What the custodian is to see to, and whom it tells.
pub(super) enum Finding {
    /// Objects that nobody knows.
    Strangers(Vec<(SegmentId, Offset)>, oneshot::Sender<()>),
    /// A named object that is not what was put there.
    Damaged(Damaged, oneshot::Sender<Mended>),
}

/// What is damaged or gone.
pub(super) enum Damaged {
    Segment(Segment),
    /// The newest one.
    Manifest {
        version: u64,
        is_gone: bool,
    },
}

impl Damaged {
    fn name(&self) -> ObjectName {
        match self {
            Self::Segment(segment) => name(segment),
            Self::Manifest { version, .. } => ObjectName::Manifest { version: *version },
        }
    }

    fn offsets(&self) -> Option<(Offset, Offset)> {
        match self {
            Self::Segment(segment) => Some((segment.start, segment.end)),
            Self::Manifest { .. } => None,
        }
    }

    /// Where a walk goes on.
    fn next(&self) -> Place {
        match self {
            Self::Segment(segment) => Place::From(segment.end),
            Self::Manifest { .. } => BEHIND_MANIFESTS,
        }
    }
}

fn name(segment: &Segment) -> ObjectName {
    let (start, id) = (segment.object_start, segment.id);
    ObjectName::Segment { start, id }
}

/// What became of a damaged object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mended {
    /// Another one is named in its place.
    Anew,
    /// It is not named any more.
    Gone,
    /// These records are nowhere else here.
    Never,
}

/// Where a walk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Strangers,
    Manifests,
    /// The first segment that ends behind this.
    From(Offset),
}

/// Where a walk goes on once manifests were looked at.
const BEHIND_MANIFESTS: Place = Place::From(0);

/// What one step comes to.
enum Step {
    To(Place),
    Strangers(Vec<(SegmentId, Offset)>),
    Damaged(Damaged, VerifyError),
    /// The store does not do what was asked; and where a walk goes on without it.
    Refused(ObjectError, Place),
    /// What is there is not known yet.
    Unknown,
    /// No segment lies behind.
    Behind,
    /// Nobody wants to know any more.
    End,
}

/// One walk after the other.
struct Walk {
    depth: Depth,
    /// `None` between two walks.
    place: Option<Place>,
    /// The offset where it began, and whether it has come round to what lies before that.
    round: (Offset, bool),
    /// How often the custodian was asked at this place.
    tries: u32,
    /// How often in a row the store has refused what was asked.
    refusals: u32,
    /// When the walk before ended, ms; and which part of the interval passes until the next one.
    since: u64,
    share: f32,
}

impl Walk {
    fn go(&mut self, place: Place) {
        self.place = Some(place);
        self.tries = 0;
        self.refusals = 0;
    }

    fn begin(&mut self, place: Place) {
        self.round = match place {
            Place::From(offset) => (offset, false),
            Place::Strangers | Place::Manifests => (0, false),
        };
        self.go(place);
    }

    /// Nothing lies behind: whether something does before the beginning.
    fn comes_round(&mut self) -> bool {
        let comes = !self.round.1 && self.round.0 > 0;
        if comes {
            self.round.1 = true;
            self.go(Place::From(0));
        }
        comes
    }

    /// Whether all was seen by then.
    fn is_round(&self, place: Place) -> bool {
        let (began, is_second) = self.round;
        is_second && matches!(place, Place::From(offset) if offset >= began)
    }
}

/// See the module.
pub(super) struct Patrol {
    guard: Guard,
    looks: Walk,
    reads: Walk,
}

impl Patrol {
    /// One that hands over what it finds.
    pub(super) fn new(
        shared: &Arc<Shared>,
        partition: &Arc<Partition>,
    ) -> (Self, mpsc::Receiver<Finding>) {
        let (findings, found) = mpsc::channel(1);
        let walk = |depth| {
            // A broker that begins to lead many partitions does not look at all of them at once.
            let [dice, ..] = shared.parts.rng.id();
            Walk {
                depth,
                place: None,
                round: (0, false),
                tries: 0,
                refusals: 0,
                since: shared.parts.clock.monotonic().0,
                share: f32::from(dice) / 256.0,
            }
        };
        let (looks, reads) = (walk(Depth::Look), walk(Depth::Read));
        // Who leads since today has not missed yesterday's walk.
        partition.is_looked_through(shared.parts.clock.wall());
        let guard = Guard {
            shared: Arc::clone(shared),
            partition: Arc::clone(partition),
            findings,
            told: Told {
                names: Mutex::default(),
                counts: Arc::clone(&shared.parts.counts),
            },
        };
        let patrol = Self {
            guard,
            looks,
            reads,
        };
        (patrol, found)
    }

    /// For ever. Who stops it and calls it again goes on where it was, but for an object that was half
    /// read.
    pub(super) async fn walk(&mut self) -> Infallible {
        let Self {
            guard,
            looks,
            reads,
        } = self;
        tokio::select! {
            never = guard.walk(looks) => never,
            never = guard.walk(reads) => never,
        }
    }
}

/// Objects whose damage has been told.
struct Told {
    names: Mutex<BTreeMap<ObjectName, Depth>>,
    counts: Arc<CopyCounts>,
}

impl Told {
    /// Whether it is new.
    fn add(&self, name: ObjectName, depth: Depth) -> bool {
        let is_new = self.names.lock().insert(name, depth).is_none();
        if is_new {
            self.counts.scrub.damaged.fetch_add(1, Ordering::Relaxed);
            self.now().fetch_add(1, Ordering::Relaxed);
        }
        is_new
    }

    fn retain(&self, stays: impl Fn(&ObjectName, Depth) -> bool) {
        let mut names = self.names.lock();
        let before = names.len();
        names.retain(|name, depth| stays(name, *depth));
        let gone = (before - names.len()) as u64;
        self.now().fetch_sub(gone, Ordering::Relaxed);
    }

    fn now(&self) -> &AtomicU64 {
        &self.counts.scrub.damaged_now
    }
}

impl Drop for Told {
    /// Whoever leads next finds it out anew.
    fn drop(&mut self) {
        self.retain(|_, _| false);
    }
}

/// What walks have in common.
struct Guard {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    findings: mpsc::Sender<Finding>,
    told: Told,
}

impl Guard {
    fn counts(&self) -> &ScrubCounts {
        &self.shared.parts.counts.scrub
    }

    fn wall(&self) -> Timestamp {
        self.shared.parts.clock.wall()
    }

    fn is_wanted(&self, depth: Depth) -> bool {
        depth == Depth::Look || (self.shared.parts.pace)().scrub_bytes_per_second > 0
    }

    async fn pause(&self) {
        let pause = Duration::from_millis(self.shared.interval_ms());
        sleep(self.shared.jittered(pause)).await;
    }

    async fn walk(&self, walk: &mut Walk) -> Infallible {
        loop {
            let Some(place) = walk.place else {
                self.until_due(walk).await;
                walk.begin(match walk.depth {
                    Depth::Look => Place::Strangers,
                    Depth::Read => Place::From(self.anywhere()),
                });
                continue;
            };
            if walk.is_round(place) {
                self.end(walk);
                continue;
            }
            let seat = self.shared.scrubs.seat(walk.depth).await;
            match self.step(walk.depth, place).await {
                Step::To(place) => walk.go(place),
                Step::Strangers(listed) => {
                    drop(seat);
                    self.strangers(walk, listed).await;
                }
                Step::Damaged(damaged, wrong) => {
                    drop(seat);
                    self.damaged(walk, damaged, &wrong).await;
                }
                Step::Refused(error, next) => {
                    drop(seat);
                    self.refused(walk, &error, next).await;
                }
                Step::Unknown => {
                    drop(seat);
                    self.pause().await;
                }
                Step::Behind if walk.comes_round() => {}
                Step::Behind | Step::End => self.end(walk),
            }
        }
    }

    /// Where one of the segments begins.
    fn anywhere(&self) -> Offset {
        let Past::Known(past) = self.partition.past() else {
            return 0;
        };
        let segments = past.manifest.segments();
        let dice = u128::from_be_bytes(self.shared.parts.rng.id());
        let any = usize::try_from(dice % segments.len().max(1) as u128);
        let any = any.ok().and_then(|any| segments.get(any));
        any.map_or(0, |segment| segment.start)
    }

    async fn until_due(&self, walk: &Walk) {
        loop {
            let pace = (self.shared.parts.pace)();
            let interval = Duration::from_millis(pace.scrub_interval_ms).mul_f32(walk.share);
            let now = self.shared.parts.clock.monotonic().0;
            let passed = Duration::from_millis(now.saturating_sub(walk.since));
            let left = interval.saturating_sub(passed);
            if left.is_zero() && self.is_wanted(walk.depth) {
                return;
            }
            // No longer than that: the settings may become others.
            let most = Duration::from_millis(pace.interval_ms.max(1));
            let least = Duration::from_millis(1);
            sleep(if left.is_zero() {
                most
            } else {
                left.clamp(least, most)
            })
            .await;
        }
    }

    fn end(&self, walk: &mut Walk) {
        if let Past::Known(past) = self.partition.past() {
            let segments = past.manifest.segments();
            let is_named = |told: &ObjectName| match *told {
                ObjectName::Segment { id, .. } => segments.iter().any(|segment| segment.id == id),
                ObjectName::Manifest { version } => version == past.manifest.exported(),
            };
            self.told.retain(|told, _| is_named(told));
        }
        let walks = match walk.depth {
            Depth::Look => {
                self.partition.is_looked_through(self.wall());
                &self.counts().walks
            }
            Depth::Read => &self.counts().read_walks,
        };
        walks.fetch_add(1, Ordering::Relaxed);
        walk.place = None;
        walk.since = self.shared.parts.clock.monotonic().0;
        let whole = self.shared.jittered(Duration::from_secs(1));
        walk.share = whole.as_secs_f32();
    }

    async fn step(&self, depth: Depth, place: Place) -> Step {
        let Past::Known(past) = self.partition.past() else {
            return Step::Unknown;
        };
        let manifest = &past.manifest;
        match place {
            Place::Strangers => match self.list_strangers(manifest).await {
                Ok(strangers) => Step::Strangers(strangers),
                Err(error) => Step::Refused(error, Place::Manifests),
            },
            Place::Manifests => {
                let step = self.look_at_manifests(manifest).await;
                step.unwrap_or_else(|error| Step::Refused(error, BEHIND_MANIFESTS))
            }
            Place::From(offset) => self.look_at_segment(depth, manifest, offset).await,
        }
    }

    async fn look_at_segment(&self, depth: Depth, manifest: &Manifest, offset: Offset) -> Step {
        let segments = manifest.segments();
        let behind = segments.partition_point(|segment| segment.end <= offset);
        let Some(segment) = segments.get(behind) else {
            return Step::Behind;
        };
        let next = Place::From(segment.end);
        match self.check(depth, segment).await {
            Ok(true) => {
                // Who only looked knows nothing of what was read.
                let only_looked = depth == Depth::Look;
                let is_it = |told: &ObjectName| *told == name(segment);
                self.told
                    .retain(|told, depth| !is_it(told) || (only_looked && depth == Depth::Read));
                Step::To(next)
            }
            Ok(false) => Step::End,
            Err(VerifyError::Store(error)) => Step::Refused(error, next),
            Err(wrong) => Step::Damaged(Damaged::Segment(segment.clone()), wrong),
        }
    }

    /// Whether an object is sound; `false` if nobody wants to know any more.
    async fn check(&self, depth: Depth, segment: &Segment) -> Result<bool, VerifyError> {
        if !self.is_wanted(depth) {
            return Ok(false);
        }
        let objects = &*self.shared.parts.objects;
        let key = self.key(name(segment));
        let footer = check_named(objects, &key, self.partition.id(), segment).await?;
        let counts = self.counts();
        if depth == Depth::Look {
            counts.looks.fetch_add(1, Ordering::Relaxed);
            return Ok(true);
        }
        let slow = &self.shared.scrubs.slow;
        tokio::select! {
            checked = check_bytes(slow, &key, &footer, &counts.read_bytes) => checked?,
            () = self.until_unwanted(depth) => return Ok(false),
        }
        counts.reads.fetch_add(1, Ordering::Relaxed);
        Ok(true)
    }

    /// A rate of 0 would hold up whoever reads for ever.
    async fn until_unwanted(&self, depth: Depth) {
        while self.is_wanted(depth) {
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn key(&self, name: ObjectName) -> String {
        let (layout, at) = (&self.shared.parts.layout, self.partition.id());
        match name {
            ObjectName::Segment { start, id } => layout.segment(at, start, id),
            ObjectName::Manifest { version } => layout.manifest(at, version),
        }
    }

    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Listing, ObjectError> {
        self.shared.list(self.partition.id(), prefix, after).await
    }

    async fn list_strangers(
        &self,
        manifest: &Manifest,
    ) -> Result<Vec<(SegmentId, Offset)>, ObjectError> {
        let (layout, at) = (&self.shared.parts.layout, self.partition.id());
        let prefix = layout.segments(at);
        let mut after: Option<String> = None;
        let mut strangers = Vec::new();
        loop {
            let page = self.page(&prefix, after.as_deref()).await?;
            let named = page
                .objects
                .iter()
                .filter_map(|(key, _)| match layout.parse(at, key)? {
                    ObjectName::Segment { start, id } => Some((id, start)),
                    ObjectName::Manifest { .. } => None,
                });
            strangers.append(&mut manifest.strangers(named));
            after = page.objects.last().map(|(key, _)| key.clone());
            if !page.more || after.is_none() || strangers.len() >= MOST_STRANGERS {
                strangers.truncate(MOST_STRANGERS);
                return Ok(strangers);
            }
        }
    }

    /// Restore takes the newest one, and nobody else reads it. It must be sound, and a few before it stay for a
    /// human's look.
    async fn look_at_manifests(&self, manifest: &Manifest) -> Result<Step, ObjectError> {
        let version = manifest.exported();
        if version == 0 {
            return Ok(Step::To(BEHIND_MANIFESTS));
        }
        let (parts, at) = (&self.shared.parts, self.partition.id());
        match check_exported(&*parts.objects, &parts.layout, at, manifest).await {
            Ok(()) => {}
            Err(VerifyError::Store(error)) => return Err(error),
            Err(wrong) => {
                let is_gone = wrong.kind() == ErrorKind::NotFound;
                return Ok(Step::Damaged(Damaged::Manifest { version, is_gone }, wrong));
            }
        }
        let is_segment = |told: &ObjectName| matches!(told, ObjectName::Segment { .. });
        self.told.retain(|told, _| is_segment(told));
        let dropping = self.shared.drop_manifests(at, version, EARLIER_MANIFESTS);
        dropping.await?;
        Ok(Step::To(BEHIND_MANIFESTS))
    }

    /// What the custodian answers; nothing if it is kept from that.
    async fn hand_over<T>(&self, finding: impl FnOnce(oneshot::Sender<T>) -> Finding) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.findings.send(finding(tell)).await.ok()?;
        told.await.ok()
    }

    async fn strangers(&self, walk: &mut Walk, listed: Vec<(SegmentId, Offset)>) {
        walk.tries += 1;
        let is_enough = listed.is_empty() || walk.tries > MOST_TRIES;
        let hand_over = async || {
            let finding = |seen| Finding::Strangers(listed, seen);
            self.hand_over(finding).await.is_some()
        };
        if is_enough || hand_over().await {
            walk.go(Place::Manifests);
        }
    }

    async fn damaged(&self, walk: &mut Walk, damaged: Damaged, wrong: &VerifyError) {
        let (name, next) = (damaged.name(), damaged.next());
        if self.told.add(name, walk.depth) {
            let (log, key) = (self.partition.name(), self.key(name));
            let (start, end) = damaged.offsets().unzip();
            tracing::warn!(%log, key, start, end, what = %wrong, "an object in the bucket is damaged or gone");
        }
        walk.tries += 1;
        if walk.tries > MOST_TRIES {
            return walk.go(next);
        }
        let mended = self.hand_over(|seen| Finding::Damaged(damaged, seen));
        match mended.await {
            Some(Mended::Anew | Mended::Gone) => self.told.retain(|told, _| *told != name),
            Some(Mended::Never) => {}
            None => return,
        }
        walk.go(next);
    }

    async fn refused(&self, walk: &mut Walk, error: &ObjectError, next: Place) {
        use ObjectFailure::{Throttled, Unreachable};
        let most = match error.failure {
            Throttled | Unreachable => MOST_WAITS,
            _ => MOST_TRIES,
        };
        walk.refusals += 1;
        if walk.refusals < most {
            return self.wait(error).await;
        }
        if !self.answers().await {
            walk.refusals = 0;
            return self.wait(error).await;
        }
        let (log, key) = (self.partition.name(), &error.key);
        tracing::warn!(%log, key, why = %error, "the store refuses an object: it is left out");
        self.counts().unread.fetch_add(1, Ordering::Relaxed);
        // Where many are archived nobody waits for each. What was not answered, or not now, says nothing of
        // others.
        let in_a_row = match error.failure.passes() {
            true => 0,
            false => walk.refusals,
        };
        walk.go(next);
        walk.refusals = in_a_row;
    }

    async fn wait(&self, error: &ObjectError) {
        let log = self.partition.name();
        tracing::debug!(%log, why = %error, "the bucket cannot be looked at now");
        self.pause().await;
    }

    /// Whether the store does what it is asked where no object's own fate is in the way.
    async fn answers(&self) -> bool {
        let prefix = self.shared.parts.layout.partition(self.partition.id());
        self.page(&prefix, None).await.is_ok()
    }
}
