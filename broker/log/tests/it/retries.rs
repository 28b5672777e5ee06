//! Retries of long ago: a producer's batch that is older than the five that are remembered.

use std::path::Path;

use freshet_log::{AppendError, Appended, LogConfig, Origin};
use freshet_records::Batch;
use freshet_types::{Offset, Timestamp};

use crate::support::{Rig, TestLog, edit, session};

const LOG: &str = "t-0";
/// Two batches of the test size fit.
const SMALL: LogConfig = LogConfig {
    segment_bytes: 200,
    ..LogConfig::DEFAULT
};

/// A batch of one record, the same in every life.
fn one(sequence: i32) -> Batch {
    session(Timestamp(1_700_000_000_000), 1, sequence, &["v"])
}

fn put(log: &TestLog, sequences: std::ops::Range<i32>) {
    for sequence in sequences {
        let appended = log.append(&one(sequence)).unwrap();
        assert!(!appended.duplicate, "{sequence}");
        log.wait_flushed(appended.last_offset + 1);
    }
}

/// What a retry is told: its offset, or -1 and an offset that all of it is below.
fn again(log: &TestLog, sequence: i32) -> Result<(Offset, Offset), AppendError> {
    let end = log.handle.view().log_end();
    let Appended {
        base_offset,
        last_offset,
        duplicate,
        log_append_time,
        ..
    } = log.append(&one(sequence))?;
    assert!(duplicate, "{sequence} was stored again");
    assert_eq!(log.handle.view().log_end(), end);
    assert_eq!(log_append_time, Timestamp::NONE);
    Ok((base_offset, last_offset + 1))
}

/// Sequences `0..end` are stored, and remembered from `first` on; sequence and offset are the same.
fn expect_known(log: &TestLog, first: i32, end: i32, what: &str) {
    let below = Offset::from(first);
    for sequence in 0..first {
        assert_eq!(again(log, sequence), Ok((-1, below)), "{what}: {sequence}");
    }
    for sequence in first..end {
        let at = Offset::from(sequence);
        assert_eq!(again(log, sequence), Ok((at, at + 1)), "{what}: {sequence}");
    }
    for gap in [end + 1, i32::MAX] {
        let refused = again(log, gap).unwrap_err();
        let is_gap = matches!(refused, AppendError::OutOfOrderSequence { .. });
        assert!(is_gap, "{what}: {refused}");
    }
}

fn damage_snapshots(dir: &Path) {
    let mut damaged = 0;
    for entry in std::fs::read_dir(dir.join(LOG)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "producers") {
            edit(&path, |bytes| bytes[12] ^= 1);
            damaged += 1;
        }
    }
    assert!(damaged > 0);
}

#[test]
fn what_is_older_than_five_batches_is_known_in_every_life() {
    let rig = Rig::checkpointing();
    let log = rig.open_with(LOG, SMALL);
    put(&log, 0..9);
    expect_known(&log, 4, 9, "at first");
    drop(log);
    let rig = rig.restart();
    let log = rig.open_with(LOG, SMALL);
    expect_known(&log, 4, 9, "after a clean stop");
    put(&log, 9..10);
    drop(log);
    let rig = rig.crash();
    let log = rig.open_with(LOG, SMALL);
    expect_known(&log, 5, 10, "after a crash");
    put(&log, 10..11);
    drop(log);
    let rig = rig.crash_after(damage_snapshots);
    let log = rig.open_with(LOG, SMALL);
    expect_known(&log, 6, 11, "from headers alone");
    drop(log);
    let rig = rig.crash_after(|dir| std::fs::remove_file(dir.join(LOG).join("state")).unwrap());
    let log = rig.open_with(LOG, SMALL);
    expect_known(&log, 6, 11, "from a log without its state");
}

#[test]
fn what_was_cut_is_not_called_stored() {
    for config in [LogConfig::default(), SMALL] {
        let rig = Rig::checkpointing();
        let log = rig.open_with(LOG, config.clone());
        put(&log, 0..14);
        expect_known(&log, 9, 14, "before the cut");
        let cut = log.ask(|handle, done| handle.truncate(7, done));
        assert_eq!(cut, Ok(7));
        log.progress
            .flushed
            .store(7, std::sync::atomic::Ordering::SeqCst);
        for sequence in 8..14 {
            assert!(again(&log, sequence).is_err(), "{sequence} was cut");
        }
        expect_known(&log, 2, 7, "after the cut");
        put(&log, 7..8);
        expect_known(&log, 3, 8, "when it goes on");
        drop(log);
        let rig = rig.crash();
        let log = rig.open_with(LOG, config);
        expect_known(&log, 3, 8, "in the next life");
    }
}

/// Where its first records are gone, and with them all that told of their producer, what is older
/// than what is left is not known to be stored.
#[test]
fn what_nobody_remembers_is_not_called_stored() {
    let rig = Rig::checkpointing();
    let log = rig.open_with(LOG, SMALL);
    put(&log, 0..12);
    log.ask(|handle, done| handle.trim(4, done)).unwrap();
    expect_known(&log, 7, 12, "producers outlive their records");
    drop(log);
    let rig = rig.crash_after(|dir| {
        damage_snapshots(dir);
        // The proof of an earlier stop would have a snapshot, too.
        assert!(!dir.join("last-stop").exists());
    });
    let log = rig.open_with(LOG, SMALL);
    let start = log.handle.view().log_start();
    assert_eq!(start, 4);
    for sequence in 4..7 {
        assert_eq!(again(&log, sequence), Ok((-1, 7)), "{sequence}");
    }
    for sequence in 0..4 {
        assert!(again(&log, sequence).is_err(), "{sequence}");
    }
}

/// A follower may lead next: it knows what its leader knows, from the same batches.
#[test]
fn a_replica_knows_what_is_older() {
    let rig = Rig::new();
    let leader = rig.open_with(LOG, SMALL);
    put(&leader, 0..9);
    let follower = rig.open_with("t-1", SMALL);
    for batch in leader.batches(0, 1 << 20) {
        let copied = follower.append_as(batch.bytes().clone(), Origin::Replica, 0);
        assert!(!copied.unwrap().duplicate);
    }
    expect_known(&follower, 4, 9, "the follower");
    put(&follower, 9..10);
    expect_known(&follower, 5, 10, "the next leader");
}

#[test]
fn a_retry_of_long_ago_counts_as_a_duplicate() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    put(&log, 0..6);
    assert_eq!(again(&log, 0), Ok((-1, 1)));
    let metrics = rig.writers.metrics();
    let count =
        |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        (count(&metrics.duplicates), count(&metrics.refused)),
        (1, 0)
    );
}
