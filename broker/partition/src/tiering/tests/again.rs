//! A topic that tiers no more, and again before anybody has told its shard what has happened meanwhile.

use super::*;

/// Retention passes `end`, where the bucket ends, while the topic is off; then it is switched on. Gives where the
/// disk begins.
pub(super) async fn trimmed_and_on_again(rig: &Rig, end: Offset) -> Offset {
    let later = rig.segment().await;
    rig.produce(b"young").await;
    rig.configure(|config| config.retention_bytes = Some(1));
    while rig.partition().ends().local_start < later {
        rig.retain().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let here = rig.partition().ends().local_start;
    assert!(here >= later && later > end);
    rig.leaves.store(false, Ordering::Relaxed);
    rig.configure(|config| {
        config.retention_bytes = None;
        config.tiered = Some(COPIED);
    });
    here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_takes_while_it_is_off_is_no_hole_once_it_is_on_again() {
    let rig = Rig::new();
    let end = rig.segment().await;
    rig.tiered(end).await;
    // The shard is away, so it hears neither that the topic leaves nor what retention takes of the disk.
    rig.door.away.store(true, Ordering::Relaxed);
    rig.leaves.store(true, Ordering::Relaxed);
    rig.configure(|config| config.tiered = None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let here = trimmed_and_on_again(&rig, end).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.door.away.store(false, Ordering::Relaxed);
    let newest = rig.segment().await;
    let manifest = rig.tiered(newest).await;
    assert_eq!(manifest.log_start(), here);
    assert_eq!(rig.partition().first_offset(), Ok(here));
    rig.check(&manifest).await;
    rig.stop().await;
}
