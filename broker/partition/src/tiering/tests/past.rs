//! What has left the disk: what is told of it, how it is read, and when it goes.

use freshet_log::{Cleanup, ReadError as LogReadError, Retained, TimeQuery};
use freshet_tier::{Claim, ColdError};

use super::*;
use crate::partition::{Ends, Isolation, Past, ProduceError, ReadError, Slice, TrimError};

const UNCOMMITTED: Isolation = Isolation::ReadUncommitted;
const CLIENT: u64 = 7;

impl Rig {
    /// Whatever is in the bucket leaves the disk at the next look.
    fn keeps_nothing_here(&self) {
        self.configure(|config| {
            config.tiered = Some(Tiered {
                local_retention_bytes: Some(0),
                ..COPIED
            });
        });
    }

    pub(super) async fn retain(&self) -> Retained {
        let (tell, told) = oneshot::channel();
        let now = SystemClock::new().wall();
        let done = Box::new(|retained| drop(tell.send(retained)));
        self.partition().retain(now, done).expect("room");
        told.await.expect("told").expect("retained")
    }

    /// So many segments of three records, in the bucket and not on the disk any more.
    pub(super) async fn away(&self, count: usize) -> Offset {
        let mut end = 0;
        for _ in 0..count {
            end = self.segment().await;
        }
        self.tiered(end).await;
        self.keeps_nothing_here();
        for _ in 0..500 {
            self.retain().await;
            if self.partition().ends().local_start == end {
                return end;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it stays: {:?}", self.partition().ends());
    }

    /// The log is empty, as if it had never had anything.
    pub(super) async fn lose_disk(&self) {
        let (tell, told) = oneshot::channel();
        let done = Box::new(|restarted| drop(tell.send(restarted)));
        self.partition().log().restart_at(0, done).expect("room");
        assert_eq!(told.await.expect("told"), Ok(0));
    }

    /// The same broker leads in another epoch.
    pub(super) fn elect_again(&self) {
        self.elect(NODE);
    }

    fn elect(&self, leader: NodeId) {
        let partition = self.partition();
        let image = Arc::clone(&self.image.borrow());
        let topic = image.topic("t").expect("created");
        let (_, state) = topic.iter().next().expect("one partition");
        let mut state = freshet_metadata::Partition::clone(state);
        state.leader_epoch = partition.leader_epoch() + 1;
        state.leader = Some(leader);
        let turn = partition.begin(&state, 1).expect("room");
        let turn = turn.expect("another epoch");
        let stand = tokio::task::block_in_place(|| partition.finish(turn));
        self.custodians.stands(&partition, stand);
    }

    pub(super) async fn cold_read(&self, from: Offset) -> Result<Slice, ReadError> {
        let partition = self.partition();
        let read = partition.begin_cold_read((from, 1 << 20), UNCOMMITTED, true, 7)?;
        partition.finish_cold_read(read, UNCOMMITTED).await
    }

    pub(super) async fn until_ends(&self, what: &str, is_so: impl Fn(Ends) -> bool) {
        for _ in 0..1000 {
            if is_so(self.partition().ends()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.partition().ends());
    }
}

/// With a turn that all lookups share, the client that waits already would wait with another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_by_time_counts_to_the_client_that_asks() {
    let rig = Rig::new();
    rig.away(7).await;
    let readers = Arc::clone(rig.directory.past_readers().expect("it tiers"));
    // Of eight that may wait no client has more than half.
    readers.adjust(&ReadLimits {
        requests: 2,
        waiting: 8,
        ..ReadLimits::default()
    });
    rig.store.held.store(true, Ordering::Relaxed);
    let partition = rig.partition();
    let reads = [3, 6, 9, 12, 15, 18].map(|from| {
        let read = partition.begin_cold_read((from, 1000), UNCOMMITTED, true, CLIENT);
        read.expect("in the bucket")
    });
    let is_full = || (readers.load().busy, readers.load().waiting) == (2, 4);
    for _ in 0..500 {
        if is_full() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(is_full(), "{:?}", readers.load());
    let query = TimeQuery::AtOrAfter(Timestamp(1));
    let refused = partition.find_time(query, UNCOMMITTED, CLIENT);
    let refused = tokio::time::timeout(Duration::from_secs(5), refused).await;
    let refused = refused.expect("it does not wait");
    assert!(
        matches!(refused, Err(ReadError::Cold(ColdError::Busy { .. }))),
        "{refused:?}"
    );
    let asked = Arc::clone(&partition);
    let other = tokio::spawn(async move { asked.find_time(query, UNCOMMITTED, CLIENT + 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!other.is_finished(), "it may wait");
    rig.store.held.store(false, Ordering::Relaxed);
    let found = other.await.expect("it ends").expect("in the bucket");
    assert_eq!(found.map(|found| found.offset), Some(0));
    drop(reads);
    rig.stop().await;
}

fn is_out_of_range<T>(read: &Result<T, ReadError>) -> bool {
    matches!(read, Err(ReadError::Log(LogReadError::OutOfRange { .. })))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_left_the_disk_is_read_from_the_bucket() {
    let rig = Rig::new();
    for _ in 0..3 {
        rig.segment().await;
    }
    let partition = rig.partition();
    let before = partition.read(0, 1 << 20, UNCOMMITTED, true).await;
    let before = before.expect("on the disk").fetched.into_one();
    let end = rig.away(1).await;
    let ends = partition.ends();
    assert_eq!((ends.log_start, ends.local_start), (0, end));
    assert_eq!(partition.first_offset(), Ok(0));
    assert!(is_out_of_range(
        &partition.read(0, 100, UNCOMMITTED, true).await
    ));
    let mut after = Vec::new();
    let mut next = 0;
    while next < 9 {
        let slice = rig.cold_read(next).await.expect("in the bucket");
        assert!(slice.fetched.next_offset > next, "at {next}");
        next = slice.fetched.next_offset;
        after.extend_from_slice(&slice.fetched.into_one());
    }
    assert_eq!(after, before);
    // The newest are here, as ever.
    let newest = rig.produce(b"new").await;
    let slice = partition.read(newest - 1, 100, UNCOMMITTED, true).await;
    assert_eq!(slice.expect("on the disk").fetched.next_offset, newest);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_compacted_topic_has_in_the_bucket_leaves_the_disk_and_is_kept() {
    let rig = Rig::new();
    let end = rig.segment().await;
    rig.tiered(end).await;
    rig.configure(|config| {
        config.cleanup = Cleanup {
            delete: false,
            compact: true,
        };
        config.retention_bytes = Some(0);
        config.retention_ms = Some(0);
    });
    rig.keeps_nothing_here();
    for _ in 0..50 {
        rig.retain().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.partition().ends().local_start, end, "the disk is free");
    assert_eq!(rig.partition().first_offset(), Ok(0), "nothing is deleted");
    assert!(rig.cold_read(0).await.is_ok());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaves_the_disk_that_no_manifest_in_the_bucket_names() {
    let rig = Rig::new();
    rig.store.away.store(true, Ordering::Relaxed);
    rig.keeps_nothing_here();
    let end = rig.segment().await;
    for _ in 0..20 {
        assert_eq!(rig.retain().await.segments, 0);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // A copy alone does not do: nobody would find it if all disks were lost.
    rig.store.no_manifests.store(true, Ordering::Relaxed);
    rig.store.away.store(false, Ordering::Relaxed);
    rig.until("copied", |manifest| manifest.remote_end() == end)
        .await;
    for _ in 0..20 {
        assert_eq!(rig.retain().await.segments, 0);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.partition().ends().local_start, 0);
    rig.store.no_manifests.store(false, Ordering::Relaxed);
    rig.tiered(end).await;
    let away = rig.away(1).await;
    assert!(away > end);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_does_not_know_its_past_says_so() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    // Another epoch begins, and nobody answers its claim.
    rig.door.loses.store(1, Ordering::Relaxed);
    rig.elect_again();
    let partition = rig.partition();
    assert!(matches!(partition.past(), Past::Unknown));
    assert_eq!(partition.first_offset(), Err(ReadError::PastUnknown));
    let read = rig.cold_read(0).await.map(|_| ());
    assert_eq!(read, Err(ReadError::PastUnknown));
    let found = partition
        .find_time(TimeQuery::Max, UNCOMMITTED, CLIENT)
        .await;
    assert_eq!(found, Err(ReadError::PastUnknown));
    assert_eq!(partition.end_of_epoch(0), Err(ReadError::PastUnknown));
    // Who is in sync has what was trimmed; of others nobody knows.
    let ended = |node| {
        partition
            .end_of_epoch_for(node, 0)
            .map(|end| end.end_offset)
    };
    assert_eq!(ended(NODE), Ok(end));
    assert_eq!(ended(NodeId(99)), Err(ReadError::PastUnknown));
    // Who waits for an epoch that is over waits no more.
    let (_, ()) = tokio::join!(partition.past_known(), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        rig.elect_again();
    });
    assert!(matches!(partition.past(), Past::Unknown));
    let (_, ()) = tokio::join!(partition.past_known(), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(matches!(partition.past(), Past::Unknown));
        rig.door.loses.store(0, Ordering::Relaxed);
    });
    assert_eq!(partition.first_offset(), Ok(0));
    assert_eq!(partition.ends().local_start, end);
    assert!(rig.cold_read(0).await.is_ok());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_reads_what_has_left_the_disks_by_what_the_shard_says() {
    let rig = Rig::new();
    let end = rig.away(3).await;
    assert!(rig.partition().trim(3).await.is_ok());
    let led = rig.cold_read(3).await.expect("it leads");
    rig.elect(NodeId(2));
    assert!(!rig.partition().leads());
    let read = rig.cold_read(3).await.map(|_| ());
    assert_eq!(
        read,
        Err(ReadError::PastUnknown),
        "its leader knows no more"
    );
    rig.say(Ask::Claim(Claim {
        log_start: 0,
        local_start: end,
        log_end: end,
        epochs: Vec::new(),
        unclean: None,
    }));
    // Nobody asks all the time.
    tokio::time::sleep(Duration::from_millis(600)).await;
    rig.door.loses.store(1, Ordering::Relaxed);
    let read = rig.cold_read(3).await.map(|_| ());
    assert_eq!(read, Err(ReadError::PastUnknown), "nobody says");
    rig.door.loses.store(0, Ordering::Relaxed);
    let asked = || rig.door.asked.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(600)).await;
    rig.door.hangs.store(true, Ordering::Relaxed);
    let (before, since) = (asked(), tokio::time::Instant::now());
    let (one, other) = tokio::join!(rig.cold_read(3), rig.cold_read(3));
    for read in [one, other, rig.cold_read(3).await] {
        assert_eq!(read.map(|_| ()), Err(ReadError::PastUnknown));
    }
    // A fetch waits for 500 ms, and all those that wait have one question.
    assert!(since.elapsed() < Duration::from_millis(450));
    assert_eq!(asked(), before + 1);
    rig.door.hangs.store(false, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let before = asked();
    let followed = rig.cold_read(3).await.expect("it is told");
    assert_eq!(followed.fetched.into_one(), led.fetched.into_one());
    let gone = LogReadError::OutOfRange {
        offset: 0,
        start: 3,
        end,
    };
    let read = rig.cold_read(0).await.map(|_| ());
    assert_eq!(read, Err(ReadError::Log(gone)), "it was deleted");
    assert!(rig.cold_read(end - 1).await.is_ok());
    assert_eq!(asked(), before + 1, "that is believed for a while");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_deleted_in_both_tiers() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let partition = rig.partition();
    partition.trim(4).await.expect("leads");
    assert_eq!(rig.manifest().expect("claimed").log_start(), 4);
    assert_eq!(partition.first_offset(), Ok(4));
    assert!(is_out_of_range(&rig.cold_read(3).await));
    assert!(rig.cold_read(4).await.is_ok());
    // All there is: what is not in the bucket goes as well.
    let newest = rig.produce(b"new").await;
    partition.trim(newest).await.expect("leads");
    let ends = partition.ends();
    assert_eq!((ends.log_start, ends.local_start), (newest, newest));
    assert!(is_out_of_range(&rig.cold_read(end - 1).await));
    // And it goes on from there.
    let end = rig.segment().await;
    let manifest = rig.tiered(end).await;
    assert_eq!(manifest.log_start(), newest);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_deletion_hears_that_another_epoch_has_begun() {
    let rig = Rig::new();
    rig.away(1).await;
    rig.door.loses.store(1, Ordering::Relaxed);
    let partition = rig.partition();
    let waiting = tokio::spawn(async move { partition.trim(2).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    rig.elect_again();
    assert_eq!(waiting.await.expect("no panic"), Err(TrimError::NotLeader));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_takes_what_is_old_from_both_tiers() {
    let rig = Rig::new();
    let end = rig.away(3).await;
    rig.produce(b"open").await;
    // All records are of 1970.
    rig.configure(|config| config.retention_ms = Some(86_400_000));
    rig.until_ends("old", |ends| ends.log_start == end).await;
    let manifest = rig.while_hours_pass("collected", |manifest| manifest.unnamed().is_empty());
    assert!(manifest.await.segments().is_empty());
    assert!(
        rig.objects()
            .await
            .values()
            .all(|name| matches!(name, ObjectName::Manifest { .. }))
    );
    let read = rig.partition().read(end, 100, UNCOMMITTED, true).await;
    assert!(
        read.is_ok(),
        "the open segment is not due before it is in the bucket"
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_takes_what_is_too_much_from_both_tiers() {
    let rig = Rig::new();
    let end = rig.away(4).await;
    let size = rig.manifest().expect("claimed").segments()[0].size_bytes;
    rig.configure(|config| config.retention_bytes = Some(2 * size));
    rig.until_ends("small", |ends| ends.log_start == end - 6)
        .await;
    assert!(rig.cold_read(end - 6).await.is_ok());
    assert!(is_out_of_range(&rig.cold_read(end - 7).await));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_copies_no_more_still_reads_and_expires() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let quiet = Tiered {
        copies: false,
        ..COPIED
    };
    rig.configure(|config| config.tiered = Some(quiet));
    rig.segment().await;
    assert!(rig.cold_read(0).await.is_ok());
    // Local retention means nothing then: what is here is all there will be.
    rig.configure(|config| {
        config.tiered = Some(Tiered {
            local_retention_bytes: Some(0),
            ..quiet
        });
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(rig.retain().await.segments, 0);
    assert_eq!(rig.manifest().expect("claimed").remote_end(), end);
    rig.configure(|config| config.retention_ms = Some(86_400_000));
    rig.until_ends("old", |ends| ends.log_start == end).await;
    rig.retain().await;
    rig.until_ends("all old", |ends| {
        ends.log_start > end && ends.local_start > end
    })
    .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tiers_no_more_leaves_nothing_behind() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let here = rig.segment().await;
    rig.tiered(here).await;
    rig.leaves.store(true, Ordering::Relaxed);
    rig.configure(|config| config.tiered = None);
    let partition = rig.partition();
    assert_eq!(
        partition.first_offset(),
        Ok(end),
        "what is here is all there is"
    );
    assert!(matches!(partition.past(), Past::None));
    rig.while_hours_pass("left", |manifest| {
        manifest.log_start() == end && manifest.unnamed().is_empty()
    })
    .await;
    let left = rig.tiered(here).await;
    let [segment] = left.segments() else {
        panic!("what the disk has as well goes when the disk drops it: {left:?}");
    };
    assert_eq!(segment.start, end);
    let names = [
        rig.layout.manifest(AT, left.exported()),
        rig.layout.segment(AT, segment.object_start, segment.id),
    ];
    rig.until_names("left", |left| left == names).await;
    // On again: nothing that is here was lost.
    rig.leaves.store(false, Ordering::Relaxed);
    rig.configure(|config| config.tiered = Some(COPIED));
    rig.until_ends("known", |ends| ends.log_start == end).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_found_by_time_in_either_tier() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let newest = rig.produce(b"new").await;
    let partition = rig.partition();
    let at = |query| {
        let partition = Arc::clone(&partition);
        async move {
            let found = partition.find_time(query, UNCOMMITTED, CLIENT).await;
            found.expect("known").map(|found| found.offset)
        }
    };
    // All records have the same time.
    assert_eq!(at(TimeQuery::AtOrAfter(Timestamp(0))).await, Some(0));
    assert_eq!(at(TimeQuery::Max).await, Some(0), "the first of them");
    assert_eq!(at(TimeQuery::AtOrAfter(Timestamp(2))).await, None);
    partition.trim(end).await.expect("leads");
    assert_eq!(at(TimeQuery::AtOrAfter(Timestamp(1))).await, Some(end));
    assert!(newest > end);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_ends_where_it_did_although_its_records_are_away() {
    let rig = Rig::new();
    let first = rig.partition().leader_epoch();
    let end = rig.segment().await;
    rig.elect_again();
    let partition = rig.partition();
    rig.away(2).await;
    let ended = partition.end_of_epoch(first).expect("known");
    assert_eq!((ended.epoch, ended.end_offset), (first, end));
    assert_eq!(partition.epoch_at(0), Some(first));
    assert_eq!(partition.epoch_at(end), Some(partition.leader_epoch()));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_faster_than_it_may_be() {
    let rig = Rig::new();
    let end = rig.segment().await;
    let size = rig.tiered(end).await.segments()[0].size_bytes;
    rig.rate.store(size / 2, Ordering::Relaxed);
    let clock = SystemClock::new();
    let from = clock.monotonic().0;
    let mut end = end;
    for _ in 0..3 {
        end = rig.segment().await;
    }
    rig.tiered(end).await;
    // The first one may begin at once; a segment is about half of its object.
    let took = clock.monotonic().0 - from;
    assert!((1000..10_000).contains(&took), "{took} ms");
    rig.rate.store(1, Ordering::Relaxed);
    let end = rig.segment().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.rate.store(u64::MAX, Ordering::Relaxed);
    rig.tiered(end).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_goes_on_between_off_and_on() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    rig.leaves.store(true, Ordering::Relaxed);
    rig.configure(|config| config.tiered = None);
    rig.while_hours_pass("left", |manifest| {
        manifest.segments().is_empty() && manifest.unnamed().is_empty()
    })
    .await;
    let newest = rig.manifest().expect("claimed").exported();
    let newest = rig.layout.manifest(AT, newest);
    rig.until_names("one manifest", |left| left == [newest.as_str()])
        .await;
    // Nobody is told of what goes now.
    let here = again::trimmed_and_on_again(&rig, end).await;
    assert!(
        !matches!(&rig.partition().past(), Past::Known(past) if past.manifest.log_start() < here)
    );
    let newest = rig.segment().await;
    let manifest = rig.tiered(newest).await;
    assert_eq!(manifest.log_start(), here);
    assert_eq!(rig.partition().first_offset(), Ok(here));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_copies_nothing_may_lose_the_lead_between_retention_and_its_word() {
    let rig = Rig::new();
    rig.store.away.store(true, Ordering::Relaxed);
    let quiet = Tiered {
        copies: false,
        ..COPIED
    };
    rig.configure(|config| {
        config.tiered = Some(quiet);
        config.retention_bytes = Some(1);
    });
    rig.until("claimed", |_| true).await;
    let end = rig.segment().await;
    rig.produce(b"young").await;
    rig.door.loses.store(1, Ordering::Relaxed);
    while rig.partition().ends().local_start < end {
        rig.retain().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.elect_again();
    rig.door.loses.store(0, Ordering::Relaxed);
    rig.store.away.store(false, Ordering::Relaxed);
    let here = rig.partition().ends().local_start;
    rig.until("claimed anew", |manifest| manifest.log_start() >= here)
        .await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_does_not_wait_for_the_bucket() {
    let rig = Rig::new();
    rig.away(2).await;
    rig.store.away.store(true, Ordering::Relaxed);
    rig.segment().await;
    // By then it is tried again every other second or so.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let clock = SystemClock::new();
    let from = clock.monotonic().0;
    rig.partition().trim(4).await.expect("leads");
    let took = clock.monotonic().0 - from;
    assert!(took < 500, "{took} ms");
    assert_eq!(rig.partition().first_offset(), Ok(4));
    // A byte a second: one segment goes, and the next one waits for hours.
    rig.rate.store(1, Ordering::Relaxed);
    rig.store.away.store(false, Ordering::Relaxed);
    let end = rig.segment().await;
    rig.until("under way", |manifest| {
        manifest.remote_end() < end && !manifest.open().is_empty() && manifest.remote_end() > 6
    })
    .await;
    rig.partition().trim(5).await.expect("leads");
    assert_eq!(rig.partition().first_offset(), Ok(5));
    let manifest = rig.manifest().expect("claimed");
    assert!(!manifest.open().is_empty(), "{manifest:?}");
    rig.rate.store(u64::MAX, Ordering::Relaxed);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_away_is_asked_ever_less_often() {
    let rig = Rig::new();
    let end = rig.segment().await;
    rig.tiered(end).await;
    rig.store.away.store(true, Ordering::Relaxed);
    rig.segment().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    // Pauses of a half, one, two seconds, and a quarter more or less of each.
    let begun = rig.manifest().expect("claimed").unnamed().len();
    assert!((2..=4).contains(&begun), "{begun}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_young_and_little_is_not_copied_yet() {
    let rig = Rig::new();
    let with = |copy_lag_ms, copy_lag_bytes| {
        rig.configure(|config| {
            config.tiered = Some(Tiered {
                copy_lag_ms,
                copy_lag_bytes,
                ..COPIED
            });
        });
    };
    // All records are of 1970: whatever is asked for in years, they are older.
    with(Some(u64::MAX), None);
    let first = rig.segment().await;
    let size = rig.partition().view().size_bytes();
    let second = rig.segment().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.manifest().expect("claimed").remote_end(), 0);
    // So much lies after the first, and nothing after the second.
    with(Some(u64::MAX), Some(size));
    rig.tiered(first).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(rig.manifest().expect("claimed").remote_end(), first);
    with(Some(86_400_000), None);
    rig.tiered(second).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_a_quiet_partition_expire_too() {
    let rig = Rig::new();
    rig.keeps_nothing_here();
    let end = rig.produce(b"lonely").await;
    // All records are of 1970; the segment that has it is the open one.
    rig.configure(|config| config.retention_ms = Some(86_400_000));
    for _ in 0..500 {
        rig.retain().await;
        if rig.partition().ends().log_start == end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.partition().first_offset(), Ok(end));
    assert_eq!(rig.partition().ends().log_end, end);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_wanted_in_one_epoch_is_not_done_in_another() {
    let rig = Rig::new();
    rig.away(2).await;
    rig.door.loses.store(1, Ordering::Relaxed);
    let partition = rig.partition();
    let trimming = Arc::clone(&partition);
    let waiting = tokio::spawn(async move { trimming.trim(4).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Whether the question before its lost answer was heard is another matter.
    let moved = rig.manifest().expect("claimed").log_start();
    rig.elect_again();
    assert_eq!(waiting.await.expect("no panic"), Err(TrimError::NotLeader));
    rig.door.loses.store(0, Ordering::Relaxed);
    rig.until_ends("known", |ends| ends.log_start == moved)
        .await;
    assert_eq!(partition.wanted_start(), 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_begins_at_0_needs_no_manifest_to_say_so() {
    let rig = Rig::new();
    rig.produce(b"first").await;
    rig.door.loses.store(1, Ordering::Relaxed);
    rig.elect_again();
    let partition = rig.partition();
    rig.produce(b"second").await;
    assert!(matches!(partition.past(), Past::Unknown));
    assert_eq!(partition.first_offset(), Ok(0));
    let found = partition
        .find_time(TimeQuery::Max, UNCOMMITTED, CLIENT)
        .await;
    assert_eq!(
        found.map(|found| found.map(|found| found.offset)),
        Ok(Some(0))
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_are_freed_while_there_is_more_to_copy() {
    let rig = Rig::new();
    rig.keeps_nothing_here();
    let first = rig.segment().await;
    let size = rig.tiered(first).await.segments()[0].size_bytes;
    // About half a second for each of many.
    rig.rate.store(size, Ordering::Relaxed);
    let mut end = first;
    for _ in 0..20 {
        end = rig.segment().await;
    }
    for _ in 0..500 {
        rig.retain().await;
        if rig.partition().ends().local_start > first {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let manifest = rig.manifest().expect("claimed");
    assert!(rig.partition().ends().local_start > first, "{manifest:?}");
    assert!(manifest.remote_end() < end, "it was too fast for this test");
    rig.rate.store(u64::MAX, Ordering::Relaxed);
    rig.stop().await;
}

/// All disks of a partition are lost, and a broker leads that has nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_goes_on_where_the_bucket_ends() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let partition = rig.partition();
    rig.lose_disk().await;
    // Nobody may write what would contradict the bucket, whatever metadata says of the election.
    rig.door.loses.store(1, Ordering::Relaxed);
    rig.elect_again();
    assert_eq!(partition.ends().log_end, 0);
    let refused = partition.may_produce(Acks::Leader, None);
    assert_eq!(refused, Err(ProduceError::NotLeader));
    rig.door.loses.store(0, Ordering::Relaxed);
    rig.until_ends("behind the bucket", |ends| {
        (ends.log_start, ends.local_start, ends.high_watermark) == (0, end, end)
    })
    .await;
    assert!(rig.cold_read(0).await.is_ok());
    assert_eq!(rig.produce(b"new").await, end + 1);
    assert_eq!(partition.view().latest_epoch().expect("written").1, end);
    // And it is copied from there.
    let end = rig.segment().await;
    assert_eq!(rig.tiered(end).await.log_start(), 0);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_begins_where_an_object_ends() {
    let rig = Rig::new();
    let end = rig.away(3).await;
    let partition = rig.partition();
    let at = async |least| {
        let beginning = partition.beginning(least).await;
        beginning.map(|beginning| beginning.offset()).ok()
    };
    // Without them it would store again what was stored.
    rig.store.away.store(true, Ordering::Relaxed);
    assert_eq!(at(7).await, None);
    rig.store.away.store(false, Ordering::Relaxed);
    assert_eq!(at(7).await, Some(9));
    assert_eq!(at(0).await, Some(0), "all of it is wanted");
    assert_eq!(at(1).await, Some(3));
    assert_eq!(at(3).await, Some(3));
    assert_eq!(at(4).await, Some(6));
    assert_eq!(at(end).await, Some(end));
    assert_eq!(at(end + 1).await, Some(end + 1), "the bucket has less");
    rig.stop().await;
}
