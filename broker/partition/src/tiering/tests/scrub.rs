//! What lies in the bucket and is looked after: strangers go, damage is told, and mended from the disk.

use freshet_tier::{
    EpochStart, Purpose, SectionKind, Segment, SegmentId, Stored, check_named, newest_manifest,
};

use super::*;

const STRANGER: SegmentId = SegmentId([9; 16]);
const GRACE_MS: u64 = 3_600_000;

fn of(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

fn walked(scrub: &ScrubCounts) -> u64 {
    of(&scrub.walks) + of(&scrub.read_walks)
}

impl Rig {
    fn scrub(&self) -> &ScrubCounts {
        &self.counts.scrub
    }

    /// From now on everything is looked at all the time, and read at this rate.
    fn scrubs_at(&self, bytes_per_second: u64) {
        self.scrub.rate.store(bytes_per_second, Ordering::Relaxed);
        self.scrub.interval_ms.store(20, Ordering::Relaxed);
    }

    async fn until_scrubbed(&self, what: &str, is_so: impl Fn(&ScrubCounts) -> bool) {
        for _ in 0..1000 {
            if is_so(self.scrub()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.scrub());
    }

    /// So many walks that begin from now on come to their end, of either kind.
    async fn walks(&self, more: u64) {
        let until = walked(self.scrub()) + 1 + more;
        self.until_scrubbed("walked", |scrub| walked(scrub) >= until)
            .await;
    }

    fn key(&self, segment: &Segment) -> String {
        self.layout.segment(AT, segment.object_start, segment.id)
    }

    async fn bytes(&self, key: &str) -> Bytes {
        let objects = &self.store.objects;
        let head = objects.head(key).await.expect("it is there");
        let bytes = objects.get_range(key, 0..head.len_bytes).await;
        bytes.expect("read")
    }

    fn store_refuses(&self, prefix: &str, why: ObjectFailure) {
        let refusal = Some((prefix.to_owned(), why));
        *self.store.refuses.lock() = refusal;
    }

    async fn lose_manifest(&self, version: u64) {
        let newest = self.layout.manifest(AT, version);
        self.store.objects.delete(&newest).await.expect("deleted");
    }

    fn plant(&self, key: &str) {
        let bytes = Bytes::from_static(b"whatever");
        self.store.objects.damage(key, bytes);
    }

    async fn is_there(&self, key: &str) -> bool {
        self.store.objects.head(key).await.is_ok()
    }

    /// All batches below `end`, from the bucket.
    async fn cold(&self, end: Offset) -> Vec<u8> {
        let (mut bytes, mut next) = (Vec::new(), 0);
        while next < end {
            let slice = self.cold_read(next).await.expect("in the bucket");
            assert!(slice.fetched.next_offset > next, "at {next}");
            next = slice.fetched.next_offset;
            bytes.extend_from_slice(&slice.fetched.into_one());
        }
        bytes
    }

    pub(super) fn say(&self, ask: Ask) {
        let said = self.door.say(Request {
            partition: AT,
            leader_epoch: self.partition().leader_epoch(),
            ask,
        });
        said.expect("it leads");
    }

    pub(super) async fn manifests(&self) -> Vec<u64> {
        let objects = self.objects().await.into_values();
        let version = |name| match name {
            ObjectName::Manifest { version } => Some(version),
            ObjectName::Segment { .. } => None,
        };
        objects.filter_map(version).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_knows_goes_after_a_grace_age_and_nothing_else_does() {
    let rig = Rig::new();
    let first = rig.segment().await;
    rig.tiered(first).await;
    let end = rig.segment().await;
    let manifest = rig.tiered(end).await;
    let stranger = rig.layout.segment(AT, 1, STRANGER);
    // The leader's own copy does not know of this one; the shard does.
    let open = SegmentId([8; 16]);
    rig.say(Ask::Begin {
        id: open,
        start: end,
        end: end + 1,
        purpose: Purpose::Append,
    });
    let open = rig.layout.segment(AT, end, open);
    let foreign = format!("{}notes.txt", rig.layout.segments(AT));
    let other = TopicPartition { partition: 7, ..AT };
    let other = rig.layout.segment(other, 1, STRANGER);
    for key in [&stranger, &open, &foreign, &other] {
        rig.plant(key);
    }
    rig.scrubs_at(0);
    rig.walks(2).await;
    rig.door.now.fetch_add(GRACE_MS - 1, Ordering::Relaxed);
    rig.walks(2).await;
    assert!(rig.is_there(&stranger).await, "it may be on its way yet");
    rig.door.now.fetch_add(1, Ordering::Relaxed);
    rig.until_scrubbed("swept", |scrub| of(&scrub.swept) == 1)
        .await;
    rig.until("collected", |manifest| manifest.unnamed().is_empty())
        .await;
    rig.walks(2).await;
    assert!(!rig.is_there(&stranger).await);
    for key in [&open, &foreign, &other] {
        assert!(rig.is_there(key).await, "{key}");
    }
    rig.check(&manifest).await;
    assert_eq!((of(&rig.scrub().swept), of(&rig.scrub().damaged)), (1, 0));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_or_told_while_the_bucket_is_away() {
    let rig = Rig::new();
    for _ in 0..5 {
        let end = rig.segment().await;
        rig.tiered(end).await;
    }
    let stranger = rig.layout.segment(AT, 1, STRANGER);
    rig.plant(&stranger);
    let before = rig.objects().await;
    use ObjectFailure::{Denied, Throttled, Unanswered, Unreachable};
    for away in [Unreachable, Throttled, Unanswered, Denied] {
        rig.store_refuses("", away);
        rig.scrubs_at(u64::MAX);
        for _ in 0..20 {
            rig.door.now.fetch_add(GRACE_MS, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(rig.objects().await, before);
        let scrub = rig.scrub();
        let counts = [walked(scrub), of(&scrub.damaged), of(&scrub.unread)];
        assert_eq!(counts, [0, 0, 0], "{away:?}");
    }
    rig.store.refuses.lock().take();
    rig.walks(1).await;
    assert!(rig.is_there(&stranger).await, "it is seen since now");
    rig.door.now.fetch_add(GRACE_MS, Ordering::Relaxed);
    rig.until_scrubbed("swept", |scrub| of(&scrub.swept) == 1)
        .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_manifests_go_and_the_newest_stay() {
    let rig = Rig::new();
    let mut versions = Vec::new();
    for _ in 0..6 {
        let end = rig.segment().await;
        versions.push(rig.tiered(end).await.exported());
    }
    // A leader that does not know that it is none may have stored one that is later.
    let later = versions[5] + 5;
    rig.plant(&rig.layout.manifest(AT, later));
    assert!(rig.manifests().await.len() >= 7);
    rig.scrubs_at(0);
    rig.walks(2).await;
    let stay = rig.manifests().await;
    assert_eq!(stay[stay.len() - 2..], [versions[5], later]);
    assert_eq!(
        stay.len(),
        4,
        "two before the newest: {stay:?} of {versions:?}"
    );
    rig.check(&rig.manifest().expect("claimed")).await;
    // While the newest is not there, the others are all there is.
    rig.store.no_manifests.store(true, Ordering::Relaxed);
    rig.lose_manifest(versions[5]).await;
    for version in 1..versions[0] {
        rig.plant(&rig.layout.manifest(AT, version));
    }
    let before = rig.manifests().await;
    assert!(before.len() > 3, "{before:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.manifests().await, before);
    assert_eq!(of(&rig.scrub().damaged_now), 1);
    rig.store.no_manifests.store(false, Ordering::Relaxed);
    rig.until_scrubbed("stored", |scrub| of(&scrub.damaged_now) == 0)
        .await;
    rig.check(&rig.manifest().expect("claimed")).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newest_manifest_that_is_gone_is_told_and_stored_again() {
    let rig = Rig::new();
    let first = rig.segment().await;
    let end = rig.segment().await;
    let manifest = rig.tiered(end).await;
    rig.scrubs_at(0);
    rig.walks(1).await;
    rig.lose_manifest(manifest.exported()).await;
    rig.until_scrubbed("stored", |scrub| of(&scrub.repaired) == 1)
        .await;
    assert_eq!(rig.tiered(end).await.exported(), manifest.exported());
    rig.check(&manifest).await;
    let looked = of(&rig.scrub().looks);
    rig.walks(2).await;
    assert!(of(&rig.scrub().looks) > looked, "it goes on");
    // The one that says nothing new but where the log begins is the newest as well.
    rig.partition().trim(first).await.expect("trimmed");
    let manifest = rig
        .until("the start moves", |manifest| {
            manifest.log_start() == first && manifest.exported() == manifest.version()
        })
        .await;
    rig.lose_manifest(manifest.exported()).await;
    rig.until_scrubbed("stored", |scrub| of(&scrub.repaired) == 2)
        .await;
    rig.check(&manifest).await;
    rig.walks(2).await;
    let scrub = rig.scrub();
    let counts = [&scrub.damaged, &scrub.repaired, &scrub.damaged_now].map(of);
    assert_eq!(counts, [2, 2, 0]);
    rig.stop().await;
}

/// A restore would pass over it, and begin with what was true before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newest_manifest_that_is_damaged_is_told_and_stored_as_the_next_version() {
    // A sound one of another version is none either.
    for kind in [Some(Harm::Flip), Some(Harm::Cut), None] {
        let rig = Rig::new();
        let first = rig.segment().await;
        let earlier = rig.tiered(first).await.exported();
        let earlier = rig.bytes(&rig.layout.manifest(AT, earlier)).await;
        let end = rig.segment().await;
        let before = rig.tiered(end).await;
        let key = rig.layout.manifest(AT, before.exported());
        match kind {
            Some(kind) => harm(&rig, &key, kind).await,
            None => rig.store.objects.damage(&key, earlier),
        }
        let harmed = rig.bytes(&key).await;
        rig.scrubs_at(0);
        rig.until_scrubbed("mended", |scrub| of(&scrub.repaired) == 1)
            .await;
        let after = rig.tiered(end).await;
        assert!(after.exported() > before.exported(), "{kind:?}");
        assert_eq!(after.segments(), before.segments(), "{kind:?}");
        rig.check(&after).await;
        assert_eq!(rig.bytes(&key).await, harmed, "it is written once");
        let found = newest_manifest(&*rig.store, &rig.layout, AT).await;
        let found = found.expect("listed").expect("some");
        let (_, sound) = found.sound.expect("a sound one");
        let (version, damaged) = (sound.version(), found.damaged.len());
        assert_eq!((version, damaged), (after.exported(), 0), "{kind:?}");
        rig.walks(3).await;
        let scrub = rig.scrub();
        let counts = [&scrub.damaged, &scrub.repaired, &scrub.damaged_now].map(of);
        assert_eq!(counts, [1, 1, 0], "{kind:?}");
        assert_eq!(rig.tiered(end).await.version(), after.version(), "{kind:?}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newest_manifest_that_cannot_be_stored_stays_told() {
    let rig = Rig::new();
    let end = rig.segment().await;
    let manifest = rig.tiered(end).await;
    let key = rig.layout.manifest(AT, manifest.exported());
    harm(&rig, &key, Harm::Flip).await;
    rig.store.no_manifests.store(true, Ordering::Relaxed);
    rig.scrubs_at(0);
    rig.until_scrubbed("found", |scrub| of(&scrub.damaged) == 1)
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let scrub = rig.scrub();
    let counts = [&scrub.damaged, &scrub.repaired, &scrub.damaged_now].map(of);
    assert_eq!(counts, [1, 0, 1]);
    assert_eq!(
        rig.manifest().expect("claimed").exported(),
        manifest.exported()
    );
    rig.store.no_manifests.store(false, Ordering::Relaxed);
    rig.until_scrubbed("sound", |scrub| of(&scrub.damaged_now) == 0)
        .await;
    rig.check(&rig.tiered(end).await).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_keeps_back_is_counted_as_unread_and_what_lies_behind_is_looked_at() {
    use ObjectFailure::{Denied, Invalid, Unanswered};
    for why in [Denied, Invalid, Unanswered] {
        let rig = Rig::new();
        let end = rig.away(4).await;
        let manifest = rig.tiered(end).await;
        let [archived, locked, cut, ..] = manifest.segments() else {
            panic!("four segments");
        };
        harm(&rig, &rig.key(cut), Harm::Cut).await;
        rig.store_refuses(&rig.key(archived), why);
        rig.scrubs_at(u64::MAX);
        rig.until_scrubbed("behind it", |scrub| of(&scrub.damaged) == 1)
            .await;
        let stranger = rig.layout.segment(AT, 1, STRANGER);
        rig.plant(&stranger);
        rig.walks(4).await;
        rig.door.now.fetch_add(GRACE_MS, Ordering::Relaxed);
        rig.until_scrubbed("swept", |scrub| of(&scrub.swept) == 1)
            .await;
        rig.store_refuses(&rig.key(locked), why);
        let unread = of(&rig.scrub().unread);
        rig.until_scrubbed("another", |scrub| of(&scrub.unread) > unread + 2)
            .await;
        let scrub = rig.scrub();
        let counts = [&scrub.damaged, &scrub.repaired, &scrub.damaged_now].map(of);
        assert_eq!(counts, [1, 0, 1], "{why:?}: what is unread is not damaged");
        let (unread, walks) = (of(&scrub.unread), walked(scrub));
        assert!(unread <= walks + 2, "once a walk: {unread} in {walks}");
        rig.store.refuses.lock().take();
        rig.walks(2).await;
        let unread = of(&rig.scrub().unread);
        rig.walks(2).await;
        assert_eq!(of(&rig.scrub().unread), unread, "{why:?}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_store_keeps_no_seat() {
    let rig = Rig::new();
    rig.away(2).await;
    // One that is asked to be slower, and may not even list.
    rig.store_refuses(&rig.layout.partition(AT), ObjectFailure::Throttled);
    rig.scrubs_at(u64::MAX);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let scrubs = &rig.custodians.shared.scrubs;
    let mut free = 0;
    for _ in 0..100 {
        let seats = [&scrubs.looks, &scrubs.reads].map(Semaphore::available_permits);
        free += usize::from(seats == [4, 1]);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(free > 50, "free {free} times of 100");
    let counts = [walked(rig.scrub()), of(&rig.scrub().unread)];
    assert_eq!(counts, [0, 0], "whoever is asked to be slower waits");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_throttled_for_ever_is_left_out_and_holds_up_nothing_behind_it() {
    for why in [ObjectFailure::Throttled, ObjectFailure::Unreachable] {
        let rig = Rig::new();
        let end = rig.away(3).await;
        let manifest = rig.tiered(end).await;
        let [throttled, .., cut] = manifest.segments() else {
            panic!("three segments");
        };
        harm(&rig, &rig.key(cut), Harm::Cut).await;
        rig.store_refuses(&rig.key(throttled), why);
        rig.scrubs_at(u64::MAX);
        rig.until_scrubbed("behind it", |scrub| of(&scrub.damaged) == 1)
            .await;
        rig.walks(2).await;
        let scrub = rig.scrub();
        let counts = [&scrub.damaged, &scrub.repaired, &scrub.damaged_now].map(of);
        assert_eq!(counts, [1, 0, 1], "{why:?}: it is not damaged");
        let (unread, walks) = (of(&scrub.unread), walked(scrub));
        assert!(
            (1..=walks + 2).contains(&unread),
            "once a walk: {unread} in {walks}"
        );
        // It was asked for more often than what is refused.
        let asked = of(&rig.store.refused);
        assert!(
            asked >= 10 * unread,
            "{asked} times, left out {unread} times"
        );
        assert_eq!(of(&scrub.failed_lists), 0);
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_list_is_counted_and_told_once() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    rig.tiered(end).await;
    rig.store_refuses(&rig.layout.partition(AT), ObjectFailure::Denied);
    rig.scrubs_at(0);
    rig.until_scrubbed("asked again and again", |scrub| of(&scrub.failed_lists) > 5)
        .await;
    let unlisted = &rig.custodians.shared.unlisted;
    assert!(
        !unlisted.fails(AT, ObjectFailure::Denied),
        "it has been told"
    );
    assert_eq!(walked(rig.scrub()), 0);
    rig.store.refuses.lock().take();
    rig.walks(1).await;
    assert!(
        unlisted.fails(AT, ObjectFailure::Denied),
        "it would be told again"
    );
    rig.stop().await;
}

/// What may become of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Harm {
    Flip,
    Cut,
    Loss,
}

async fn harm(rig: &Rig, key: &str, harm: Harm) {
    let bytes = rig.bytes(key).await;
    let mut flipped = bytes.to_vec();
    flipped[70] ^= 1;
    match harm {
        Harm::Flip => rig.store.objects.damage(key, flipped.into()),
        Harm::Cut => rig
            .store
            .objects
            .damage(key, bytes.slice(..bytes.len() / 2)),
        Harm::Loss => rig.store.objects.delete(key).await.expect("deleted"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_is_mended_by_what_the_disk_has() {
    for kind in [Harm::Flip, Harm::Cut, Harm::Loss] {
        let rig = Rig::new();
        for _ in 0..2 {
            rig.segment().await;
        }
        let end = rig.segment().await;
        let before = rig.tiered(end).await.segments()[1].clone();
        let read = rig.partition();
        let read = read.read(
            0,
            1 << 20,
            crate::partition::Isolation::ReadUncommitted,
            true,
        );
        let written = read.await.expect("on the disk").fetched.into_one();
        harm(&rig, &rig.key(&before), kind).await;
        rig.scrubs_at(0);
        if kind == Harm::Flip {
            rig.walks(2).await;
            let told = of(&rig.scrub().damaged);
            assert_eq!(told, 0, "nobody has read it");
            rig.scrubs_at(u64::MAX);
        }
        rig.until_scrubbed("mended", |scrub| of(&scrub.repaired) == 1)
            .await;
        let manifest = rig.tiered(end).await;
        let after = &manifest.segments()[1];
        assert_ne!(after.id, before.id);
        assert_eq!((after.start, after.end), (before.start, before.end));
        assert_eq!(after.generation, 1);
        rig.check(&manifest).await;
        rig.walks(4).await;
        let scrub = rig.scrub();
        let counts = [&scrub.damaged, &scrub.repaired, &scrub.damaged_now].map(of);
        assert_eq!(counts, [1, 1, 0], "{kind:?}");
        rig.while_hours_pass("collected", |manifest| manifest.unnamed().is_empty())
            .await;
        assert!(!rig.is_there(&rig.key(&before)).await);
        rig.away(1).await;
        assert_eq!(rig.cold(end).await, written, "{kind:?}");
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_and_nowhere_else_stays_told() {
    for kind in [Harm::Flip, Harm::Loss] {
        let rig = Rig::new();
        let end = rig.away(2).await;
        let manifest = rig.tiered(end).await;
        let segment = &manifest.segments()[0];
        let key = rig.key(segment);
        let sound = rig.bytes(&key).await;
        harm(&rig, &key, kind).await;
        rig.scrubs_at(u64::MAX);
        rig.until_scrubbed("found", |scrub| of(&scrub.damaged) == 1)
            .await;
        rig.walks(6).await;
        let scrub = rig.scrub();
        let counts = [&scrub.damaged, &scrub.repaired, &scrub.damaged_now].map(of);
        assert_eq!(counts, [1, 0, 1], "{kind:?}: told once, and still so");
        assert!(rig.cold_read(0).await.is_err());
        assert!(rig.cold_read(segment.end).await.is_ok());
        assert_eq!(rig.tiered(end).await.segments(), manifest.segments());
        // Somebody brings it back.
        rig.store.objects.damage(&key, sound);
        rig.until_scrubbed("sound", |scrub| of(&scrub.damaged_now) == 0)
            .await;
        assert!(rig.cold_read(0).await.is_ok());
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_brokers_have_cut_elsewhere_is_mended_from_several_segments() {
    let rig = Rig::new();
    let copies = |copies| {
        rig.configure(|config| config.tiered = Some(Tiered { copies, ..COPIED }));
    };
    copies(false);
    rig.until("claimed", |_| true).await;
    let first = rig.segment().await;
    let second = rig.segment().await;
    // As a leader before has stored it, and it is gone.
    let id = SegmentId([5; 16]);
    let (start, end) = (0, second - 1);
    rig.say(Ask::Begin {
        id,
        start,
        end,
        purpose: Purpose::Append,
    });
    let epoch = rig.partition().leader_epoch();
    rig.say(Ask::Commit(Stored {
        id,
        start,
        end,
        size_bytes: 1000,
        max_timestamp: Timestamp(1),
        epochs: vec![EpochStart { epoch, offset: 0 }],
    }));
    rig.scrubs_at(0);
    copies(true);
    rig.until_scrubbed("mended", |scrub| of(&scrub.repaired) == 1)
        .await;
    let manifest = rig.tiered(second).await;
    let shown = manifest.segments().iter();
    let shown: Vec<_> = shown.map(|s| (s.start, s.end, s.generation)).collect();
    assert_eq!(
        shown,
        [(0, first, 1), (first, end, 1), (end, second, 0)],
        "what reaches over its end stays hidden"
    );
    rig.check(&manifest).await;
    rig.walks(2).await;
    assert_eq!(of(&rig.scrub().damaged_now), 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_scrub_under_way() {
    let rig = Rig::new();
    rig.away(2).await;
    // A byte a second: what is begun takes hours.
    rig.scrubs_at(1);
    rig.until_scrubbed("begun", |scrub| of(&scrub.read_bytes) > 0)
        .await;
    let clock = SystemClock::new();
    let from = clock.monotonic().0;
    rig.partition().trim(4).await.expect("leads");
    let took = clock.monotonic().0 - from;
    assert!(took < 500, "{took} ms");
    let end = rig.segment().await;
    rig.tiered(end).await;
    assert_eq!(of(&rig.scrub().reads), 0, "it is still under way");
    rig.scrub.rate.store(u64::MAX, Ordering::Relaxed);
    rig.until_scrubbed("done", |scrub| of(&scrub.reads) > 0)
        .await;
    rig.stop().await;
}

/// Numbers of segments in the order in which all their bytes were read, by each of so many leaders.
async fn read_by_leaders(rig: &Rig, end: Offset, leaders: usize) -> Vec<Vec<usize>> {
    let manifest = rig.tiered(end).await;
    let mut batches = Vec::new();
    for segment in manifest.segments() {
        let key = rig.key(segment);
        let footer = check_named(&rig.store.objects, &key, AT, segment).await;
        let sections = footer.expect("whole").sections;
        let section = sections
            .into_iter()
            .find(|it| it.kind == SectionKind::Batches);
        batches.push((key, section.expect("records").range));
    }
    let mut read = Vec::new();
    for _ in 0..leaders {
        rig.scrub.rate.store(0, Ordering::Relaxed);
        rig.elect_again();
        rig.store.reads.lock().clear();
        let before = of(&rig.scrub().reads);
        rig.scrubs_at(u64::MAX);
        let all = before + batches.len() as u64;
        rig.until_scrubbed("read", |scrub| of(&scrub.reads) >= all)
            .await;
        let reads = rig.store.reads.lock();
        let numbers = reads
            .iter()
            .filter_map(|read| batches.iter().position(|it| it == read));
        read.push(numbers.take(batches.len()).collect());
    }
    read
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_begin_anywhere_and_come_round() {
    let rig = Rig::new();
    let end = rig.away(5).await;
    let mut begun = std::collections::BTreeSet::new();
    for read in read_by_leaders(&rig, end, 30).await {
        let from = *read.first().expect("it reads");
        begun.insert(from);
        let round: Vec<_> = (0..5).map(|n| (from + n) % 5).collect();
        assert_eq!(read, round);
    }
    // By chance alone once in 10^10.
    assert!(begun.len() > 2, "{begun:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_goes_on_where_another_question_went_wrong() {
    let rig = Rig::new();
    rig.door.loses.store(5, Ordering::Relaxed);
    let end = rig.away(3).await;
    let stranger = rig.layout.segment(AT, 1, STRANGER);
    rig.plant(&stranger);
    let manifest = rig.tiered(end).await;
    harm(&rig, &rig.key(&manifest.segments()[2]), Harm::Cut).await;
    rig.scrubs_at(u64::MAX);
    rig.until_scrubbed("found", |scrub| of(&scrub.damaged) == 1)
        .await;
    rig.walks(2).await;
    rig.door.now.fetch_add(GRACE_MS, Ordering::Relaxed);
    // Should the answer to the sweep be lost, the object is collected as others are.
    let collected = async {
        while rig.is_there(&stranger).await
            || !rig.manifest().expect("claimed").unnamed().is_empty()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = Duration::from_secs(20);
    let collected = tokio::time::timeout(patience, collected).await;
    collected.expect("swept");
    assert_eq!(of(&rig.scrub().damaged_now), 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looks_and_reads_are_counted_apart_and_the_last_look_is_known() {
    let rig = Rig::new();
    let partition = rig.partition();
    rig.away(2).await;
    let led = partition.looked_through().expect("it tiers");
    rig.scrubs_at(0);
    rig.until_scrubbed("looked at", |scrub| of(&scrub.walks) >= 3)
        .await;
    assert_eq!(of(&rig.scrub().read_walks), 0, "nothing is read back");
    assert!(partition.looked_through() > Some(led));
    rig.scrubs_at(u64::MAX);
    rig.until_scrubbed("read back", |scrub| of(&scrub.read_walks) >= 2)
        .await;
    // A store that is away is not looked at.
    rig.store.away.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = partition.looked_through();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(partition.looked_through(), before);
    rig.configure(|config| config.tiered = None);
    assert_eq!(partition.looked_through(), None);
    rig.stop().await;
}
