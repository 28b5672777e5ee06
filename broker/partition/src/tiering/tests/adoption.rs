//! The shard forgets a partition, and what is in the bucket is true again.

use freshet_tier::{Claim, EpochStart};

use super::*;
use crate::partition::{Past, ProduceError};

const HOURS: u64 = 10 * 3_600_000;

impl Rig {
    /// Somebody has emptied the internal topic.
    fn forget(&self) {
        *self.door.machine.lock() = Manifests::new(Limits::default());
    }

    async fn adopted(&self, before: &Manifest) -> Manifest {
        self.until("adopted", |manifest| {
            manifest.segments() == before.segments() && manifest.version() > before.version()
        })
        .await
    }

    async fn segments(&self) -> Vec<String> {
        let objects = self.objects().await.into_iter();
        objects
            .filter(|(_, name)| matches!(name, ObjectName::Segment { .. }))
            .map(|(key, _)| key)
            .collect()
    }

    /// One bit of an object is another one.
    async fn flip(&self, key: &str) {
        let len = self.store.objects.head(key).await.expect("there").len_bytes;
        let bytes = self.store.objects.get_range(key, 0..len).await;
        let mut bytes = bytes.expect("there").to_vec();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        self.store.objects.damage(key, bytes.into());
    }

    /// So long that whatever would be swept or collected is gone.
    async fn wait_for_hours(&self) {
        self.scrub.interval_ms.store(1, Ordering::Relaxed);
        for _ in 0..20 {
            self.door.now.fetch_add(HOURS, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The next segment goes behind what was there `before`, all of it as it was.
async fn goes_on(rig: Rig, before: &Manifest) {
    let newer = rig.segment().await;
    let manifest = rig.tiered(newer).await;
    let (kept, new) = manifest.segments().split_at(before.segments().len());
    assert_eq!(kept, before.segments());
    assert!(!new.is_empty(), "{manifest:?}");
    rig.check(&manifest).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_that_its_shard_has_lost_is_there_again() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let before = rig.tiered(end).await;
    rig.forget();
    rig.elect_again();
    let adopted = rig.adopted(&before).await;
    assert_eq!(adopted.log_start(), 0);
    rig.until_ends("known", |ends| ends.log_start == 0).await;
    assert_eq!(rig.partition().ends().local_start, end);
    assert!(rig.cold_read(0).await.is_ok());
    // And it goes on from there, under names that nothing has.
    let newer = rig.segment().await;
    let manifest = rig.tiered(newer).await;
    assert!(manifest.version() > adopted.version());
    rig.check(&manifest).await;
    rig.wait_for_hours().await;
    rig.check(&manifest).await;
    assert_eq!(rig.segments().await.len(), 3);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_shard_forgets_notices_when_it_asks() {
    let rig = Rig::new();
    assert_eq!(rig.partition().leader_epoch(), 0, "the topic's first one");
    let end = rig.segment().await;
    let before = rig.tiered(end).await;
    rig.forget();
    goes_on(rig, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_life_of_a_topic_goes_on_behind_the_bucket() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let before = rig.tiered(end).await;
    rig.lose_disk().await;
    rig.forget();
    rig.store.away.store(true, Ordering::Relaxed);
    rig.elect_again();
    rig.until("claimed", Manifest::is_pristine).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let partition = rig.partition();
    let refused = partition.may_produce(Acks::Leader, None);
    assert_eq!(refused, Err(ProduceError::NotLeader), "until it is known");
    rig.store.away.store(false, Ordering::Relaxed);
    rig.until_ends("behind the bucket", |ends| {
        (ends.log_start, ends.local_start, ends.high_watermark) == (0, end, end)
    })
    .await;
    for offset in 0..end {
        assert!(rig.cold_read(offset).await.is_ok(), "{offset}");
    }
    assert_eq!(rig.produce(b"new").await, end + 1);
    goes_on(rig, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_claimed_before_may_not_have_looked_into_the_bucket() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    rig.lose_disk().await;
    rig.forget();
    // A leader whose log began at 3, and that was gone before it could.
    let epoch = rig.partition().leader_epoch();
    let claimed = rig.door.say(Request {
        partition: AT,
        leader_epoch: epoch,
        ask: Ask::Claim(Claim {
            log_start: 0,
            local_start: 3,
            log_end: 9,
            epochs: vec![EpochStart { epoch, offset: 3 }],
            unclean: None,
        }),
    });
    assert!(matches!(claimed, Ok(Answer::Claimed(_))), "{claimed:?}");
    rig.elect_again();
    rig.until_ends("behind the bucket", |ends| {
        (ends.log_start, ends.local_start) == (0, end)
    })
    .await;
    assert!(rig.cold_read(0).await.is_ok());
    rig.stop().await;
}

/// A log with two records of its own, where the bucket has others.
async fn contradicting() -> (Rig, Manifest) {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let before = rig.tiered(end).await;
    rig.configure(|config| config.tiered = None);
    rig.lose_disk().await;
    rig.forget();
    rig.elect_again();
    rig.produce(b"of").await;
    rig.produce(b"its own").await;
    (rig, before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_records_of_its_own_takes_nothing_from_the_bucket() {
    let (rig, before) = contradicting().await;
    let objects = rig.segments().await;
    rig.configure(|config| config.tiered = Some(COPIED));
    let adopted = rig.adopted(&before).await;
    rig.wait_for_hours().await;
    assert!(matches!(rig.partition().past(), Past::Unknown));
    assert_eq!(rig.manifest(), Some(adopted), "it is not claimed");
    assert_eq!(rig.segments().await, objects);
    rig.produce(b"and it goes on").await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_takes_away_what_the_shard_has_lost() {
    let (rig, _) = contradicting().await;
    rig.leaves.store(true, Ordering::Relaxed);
    // As whoever leads finds it.
    rig.elect_again();
    rig.while_hours_pass("left", |manifest| {
        manifest.exported() > 0 && manifest.segments().is_empty() && manifest.unnamed().is_empty()
    })
    .await;
    assert_eq!(rig.segments().await, Vec::<String>::new());
    assert_eq!(rig.partition().ends().log_start, 0, "what is here stays");
    // On again: what is here is all there is, and is copied.
    rig.leaves.store(false, Ordering::Relaxed);
    rig.configure(|config| config.tiered = Some(COPIED));
    let end = rig.segment().await;
    let manifest = rig.tiered(end).await;
    assert_eq!(manifest.log_start(), 0);
    rig.check(&manifest).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_that_leaves_goes_on_behind_the_bucket() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    rig.lose_disk().await;
    rig.forget();
    rig.store.away.store(true, Ordering::Relaxed);
    rig.elect_again();
    rig.until("claimed", Manifest::is_pristine).await;
    let partition = rig.partition();
    let held = partition.may_produce(Acks::Leader, None);
    assert_eq!(held, Err(ProduceError::NotLeader));
    rig.leaves.store(true, Ordering::Relaxed);
    rig.configure(|config| config.tiered = None);
    rig.store.away.store(false, Ordering::Relaxed);
    rig.while_hours_pass("left", |manifest| {
        manifest.log_start() == end && manifest.unnamed().is_empty()
    })
    .await;
    assert_eq!(rig.segments().await, Vec::<String>::new());
    assert_eq!(rig.produce(b"new").await, end + 1, "and it is not held");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_tier_any_more_waits_for_no_past() {
    let rig = Rig::new();
    rig.away(1).await;
    rig.lose_disk().await;
    rig.forget();
    rig.store.away.store(true, Ordering::Relaxed);
    rig.elect_again();
    rig.until("claimed", Manifest::is_pristine).await;
    let partition = rig.partition();
    let held = partition.may_produce(Acks::Leader, None);
    assert_eq!(held, Err(ProduceError::NotLeader));
    rig.configure(|config| config.tiered = None);
    for _ in 0..500 {
        if partition.may_produce(Acks::Leader, None).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.produce(b"new").await, 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_leader_waits_for_a_bucket_that_is_away() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    rig.store.away.store(true, Ordering::Relaxed);
    rig.forget();
    rig.elect_again();
    rig.until("claimed", Manifest::is_pristine).await;
    rig.segment().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(matches!(rig.partition().past(), Past::Unknown));
    assert_eq!(rig.retain().await.segments, 0);
    let manifest = rig.manifest().expect("claimed");
    assert!(manifest.is_pristine(), "nothing is begun: {manifest:?}");
    assert_eq!(rig.partition().ends().local_start, end);
    rig.store.away.store(false, Ordering::Relaxed);
    rig.until_ends("known", |ends| ends.log_start == 0).await;
    assert!(rig.cold_read(0).await.is_ok());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_newest_manifest_is_damaged_the_one_before_does() {
    let rig = Rig::new();
    let first = rig.segment().await;
    let before = rig.tiered(first).await;
    let second = rig.segment().await;
    let damaged = rig.tiered(second).await;
    rig.flip(&rig.layout.manifest(AT, damaged.version())).await;
    // The newest is on the last page.
    rig.store.page.store(1, Ordering::Relaxed);
    rig.forget();
    rig.elect_again();
    let manifest = rig.tiered(second).await;
    assert_eq!(manifest.segments()[0], before.segments()[0]);
    assert_ne!(manifest.segments()[1].id, damaged.segments()[1].id);
    assert!(manifest.version() > damaged.version());
    rig.check(&manifest).await;
    // What only the damaged one names is nobody's.
    let strange = rig.layout.segment(AT, first, damaged.segments()[1].id);
    rig.wait_for_hours().await;
    assert!(!rig.segments().await.contains(&strange));
    rig.check(&manifest).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_manifest_is_sound_nothing_is_done() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let manifests = rig.manifests().await;
    for version in &manifests {
        rig.flip(&rig.layout.manifest(AT, *version)).await;
    }
    let objects = rig.segments().await;
    rig.forget();
    rig.elect_again();
    rig.until("claimed", Manifest::is_pristine).await;
    rig.segment().await;
    rig.wait_for_hours().await;
    assert!(matches!(rig.partition().past(), Past::Unknown));
    assert!(rig.manifest().expect("claimed").is_pristine());
    assert_eq!(rig.segments().await, objects);
    assert_eq!(rig.partition().ends().local_start, end);
    // Somebody brings one back.
    let newest = manifests.last().expect("exported");
    rig.flip(&rig.layout.manifest(AT, *newest)).await;
    rig.until_ends("known", |ends| ends.log_start == 0).await;
    assert!(rig.cold_read(0).await.is_ok());
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bucket_calls_deleted_does_not_come_back() {
    let rig = Rig::new();
    let end = rig.away(2).await;
    let before = rig.tiered(end).await;
    let objects = rig.segments().await;
    let say = |leader_epoch, ask| {
        rig.door.say(Request {
            partition: AT,
            leader_epoch,
            ask,
        })
    };
    let keep_objects = false;
    say(-1, Ask::Delete { keep_objects }).expect("deleted");
    let Ok(Answer::Export(exported)) = say(0, Ask::Export) else {
        panic!("exported");
    };
    assert!(exported.version > before.version());
    let key = rig.layout.manifest(AT, exported.version);
    let mut body = Bytes::from(exported.bytes);
    // Unless the custodian was faster.
    let _ = rig.store.objects.put_new(&key, &mut body).await;
    rig.forget();
    rig.elect_again();
    rig.until("claimed", Manifest::is_pristine).await;
    rig.wait_for_hours().await;
    assert!(matches!(rig.partition().past(), Past::Unknown));
    assert!(rig.manifest().expect("claimed").is_pristine());
    assert_eq!(rig.segments().await, objects);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_do_not_adopt_twice() {
    let rig = Rig::new();
    let end = rig.away(3).await;
    let before = rig.tiered(end).await;
    rig.door.loses.store(2, Ordering::Relaxed);
    rig.forget();
    rig.elect_again();
    rig.adopted(&before).await;
    rig.door.loses.store(0, Ordering::Relaxed);
    goes_on(rig, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_has_another_manifest_is_not_taken_for_this_one() {
    let rig = Rig::new();
    rig.store.no_manifests.store(true, Ordering::Relaxed);
    let end = rig.segment().await;
    let manifest = rig.until("copied", |manifest| manifest.remote_end() == end);
    let manifest = manifest.await;
    // Of a shard that was lost: as long as what is to come, and put late.
    for ahead in 0..3 {
        let key = rig.layout.manifest(AT, manifest.version() + ahead);
        let mut other = Bytes::from(vec![7; manifest.export(AT).bytes.len()]);
        let put = rig.store.objects.put_new(&key, &mut other).await;
        put.expect("its name is free");
    }
    rig.store.no_manifests.store(false, Ordering::Relaxed);
    let exported = rig.tiered(end).await;
    assert!(exported.version() > manifest.version() + 2);
    rig.check(&exported).await;
    rig.stop().await;
}
