//! What is told of a partition between its disk and the bucket, and what is counted.

use super::*;
use crate::partition::{RemoteStanding, TierStanding};
use crate::traffic::RemoteTraffic;

fn of(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Rig {
    async fn standing(&self) -> TierStanding {
        let standing = self.partition().tier_standing().await;
        standing.expect("it tiers")
    }

    async fn until_stands(
        &self,
        what: &str,
        is_so: impl Fn(&TierStanding) -> bool,
    ) -> TierStanding {
        for _ in 0..500 {
            let standing = self.standing().await;
            if is_so(&standing) {
                return standing;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never {what}: {:?}", self.standing().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_tells_what_of_it_is_where() {
    let rig = Rig::new();
    rig.segment().await;
    let copied = rig.segment().await;
    let manifest = rig.tiered(copied).await;
    let standing = rig
        .until_stands("told", |it| it.remote.is_some_and(|it| it.end == copied))
        .await;
    let expected = RemoteStanding {
        log_start: 0,
        end: copied,
        objects: 2,
        bytes: manifest.size_bytes(),
        lag_segments: 0,
        lag_bytes: 0,
        lag_since: None,
    };
    assert_eq!(standing.remote, Some(expected));
    assert_eq!((standing.copies, standing.local_start), (true, 0));
    assert_eq!((standing.end, standing.trouble), (copied, None));
    let before = rig.partition().view().size_bytes();
    assert_eq!(standing.local_bytes, before);
    // What is written while it is paused waits; of the open segment nothing does.
    let paused = Tiered {
        copies: false,
        ..COPIED
    };
    rig.configure(|config| config.tiered = Some(paused));
    rig.segment().await;
    rig.segment().await;
    let closed = rig.partition().view().size_bytes();
    let end = rig.produce(b"open").await;
    let standing = rig.until_stands("committed", |it| it.end == end).await;
    let expected = RemoteStanding {
        lag_segments: 2,
        lag_bytes: closed - before,
        lag_since: Some(Timestamp(1)),
        ..expected
    };
    assert_eq!((standing.copies, standing.remote), (false, Some(expected)));
    rig.configure(|config| config.tiered = Some(COPIED));
    let caught_up = |it: &TierStanding| it.remote.is_some_and(|it| it.lag_segments == 0);
    let standing = rig.until_stands("caught up", caught_up).await;
    assert_eq!(standing.remote.and_then(|it| it.lag_since), None);
    rig.configure(|config| config.tiered = None);
    assert_eq!(rig.partition().tier_standing().await, None);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_is_told_and_counted_until_it_goes_on() {
    let rig = Rig::new();
    rig.store.away.store(true, Ordering::Relaxed);
    let end = rig.segment().await;
    let fails = |it: &TierStanding| it.trouble.as_ref().is_some_and(|trouble| !trouble.is_over);
    let standing = rig.until_stands("failed", fails).await;
    let why = standing.trouble.expect("it fails").why;
    assert!(why.contains("as the test wants it"), "{why}");
    rig.store.away.store(false, Ordering::Relaxed);
    rig.tiered(end).await;
    let goes_on = |it: &TierStanding| it.trouble.as_ref().is_some_and(|trouble| trouble.is_over);
    let standing = rig.until_stands("gone on", goes_on).await;
    let last = standing.trouble.expect("it is told still");
    assert_eq!(last.why, why);
    let partition = rig.partition();
    let topic = partition.traffic().remote();
    let counted = |it: &RemoteTraffic| [&it.copies, &it.failed_copies, &it.copied_bytes].map(of);
    let [copies, failed, bytes] = counted(topic);
    assert_eq!(copies, failed + 1);
    assert!(failed > 0 && bytes > 0, "{failed} {bytes}");
    let all = &rig.counts.traffic;
    assert_eq!(counted(all), counted(topic), "one topic is all there is");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_beginnings_are_counted_with_those_that_fail() {
    let rig = Rig::new();
    let end = rig.away(3).await;
    let read = rig.cold_read(0).await.expect("in the bucket");
    let partition = rig.partition();
    partition.beginning(3).await.expect("the bucket knows");
    rig.store.away.store(true, Ordering::Relaxed);
    assert!(rig.cold_read(6).await.is_err());
    assert!(partition.beginning(end).await.is_err());
    let topic = partition.traffic().remote();
    let [reads, failed, bytes] = [&topic.reads, &topic.failed_reads, &topic.read_bytes].map(of);
    assert_eq!((reads, failed), (2, 1));
    assert_eq!(bytes, read.fetched.bytes as u64);
    let begun = [&topic.beginnings, &topic.failed_beginnings].map(of);
    assert_eq!(begun, [2, 1]);
    let readers = rig.directory.past_readers().expect("it tiers");
    let all = &readers.copies().traffic;
    let all = [
        &all.reads,
        &all.failed_reads,
        &all.read_bytes,
        &all.beginnings,
        &all.failed_beginnings,
    ];
    assert_eq!(all.map(of), [2, 1, bytes, 2, 1]);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_past_that_cannot_be_claimed_is_told_and_all_of_the_disk_lags() {
    let rig = Rig::new();
    let end = rig.segment().await;
    rig.tiered(end).await;
    let partition = rig.partition();
    let is_told = |told: [bool; 2]| {
        let partition = Arc::clone(&partition);
        async move {
            for _ in 0..500 {
                if [partition.lacks_past(), partition.is_past_failing()] == told {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("never {told:?}: {:?}", partition.tier_standing().await);
        }
    };
    is_told([false, false]).await;
    assert_eq!(partition.copy_lag(), (0, 0));
    // Whoever keeps the manifest answers nobody, and a leader begins anew.
    rig.door.loses.store(1, Ordering::Relaxed);
    partition.forget_past();
    rig.custodians.stands(&partition, Stand::Leads);
    is_told([true, true]).await;
    let bytes = partition.view().size_bytes();
    assert_eq!(partition.copy_lag(), (1, bytes), "nobody knows of a copy");
    rig.door.loses.store(0, Ordering::Relaxed);
    is_told([false, false]).await;
    assert_eq!(partition.copy_lag(), (0, 0));
    rig.configure(|config| config.tiered = None);
    assert!(!partition.lacks_past());
    rig.stop().await;
}
