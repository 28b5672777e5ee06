//! Disks that become slow.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;

use freshet_env::Clock as _;
use freshet_log::PaceLimits;

use crate::faulty::FaultyDisk;
use crate::support::{Rig, options, synced_after};

#[test]
fn a_directory_is_slow_by_what_its_flushes_take() {
    let disk = Arc::new(FaultyDisk::default());
    let logs = Rig::with(Arc::<FaultyDisk>::clone(&disk), options());
    let log = logs.open("slow-0");
    let clock = Arc::clone(&logs.clock);
    let takes_ms = Arc::new(AtomicI64::new(20));
    let (hand, takes) = (Arc::clone(&clock), Arc::clone(&takes_ms));
    disk.during_sync(move || hand.advance(takes.load(SeqCst)));
    let dir = Arc::clone(&logs.dir);
    let slow_after = |flushes: usize| {
        for _ in 0..flushes {
            let end = log.put(&["x"]) + 1;
            log.wait_flushed(end);
            dir.judge_pace(clock.monotonic());
        }
        dir.is_slow()
    };
    takes_ms.store(400, SeqCst);
    assert!(!slow_after(20), "by no limits");
    dir.judge_by(PaceLimits {
        slow_flush_ms: 250,
        recovery_ms: 15_000,
    });
    takes_ms.store(20, SeqCst);
    assert!(!slow_after(20));
    takes_ms.store(400, SeqCst);
    assert!(slow_after(20));
    takes_ms.store(20, SeqCst);
    assert!(slow_after(20), "it is not trusted at once");
    clock.advance(20_000);
    assert!(!slow_after(1));
}

/// Nobody waits for the flushes of a log that acknowledges from the page cache, and each brings out much.
#[test]
fn flushes_that_nobody_waits_for_make_no_directory_slow() {
    let disk = Arc::new(FaultyDisk::default());
    let logs = Rig::with(Arc::<FaultyDisk>::clone(&disk), options());
    let log = logs.open_with("lazy-0", synced_after(u64::MAX));
    let hand = Arc::clone(&logs.clock);
    disk.during_sync(move || hand.advance(400));
    let dir = Arc::clone(&logs.dir);
    dir.judge_by(PaceLimits {
        slow_flush_ms: 250,
        recovery_ms: 15_000,
    });
    for _ in 0..20 {
        let end = log.put(&["x"]) + 1;
        assert_eq!(log.flush(), end);
        assert!(!dir.judge_pace(logs.clock.monotonic()));
    }
}
