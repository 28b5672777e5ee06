//! What is deleted, and what never is.

use freshet_log::{Cleanup, LogConfig, LogHandle, Retained};
use freshet_types::{Offset, Timestamp};

use crate::support::{Rig, TestLog, batch, eventually, segments};

const LOG: &str = "t-0";

/// Each append fills a segment of 81 bytes; times go up by 10.
fn filled(rig: &Rig, config: LogConfig) -> TestLog {
    let config = LogConfig {
        segment_bytes: 100,
        ..config
    };
    let log = rig.open_with(LOG, config);
    for i in 0..5 {
        let time = Timestamp(log.now.0 + i * 10);
        log.append(&batch(time, &["0123456789"])).unwrap();
    }
    log.wait_flushed(5);
    log
}

fn retain(log: &TestLog, now: i64, limit: Offset) -> Retained {
    let now = Timestamp(now);
    log.ask(|handle: &LogHandle, done| handle.retain(now, limit, done))
        .unwrap()
}

fn files_left(rig: &Rig, count: usize) {
    eventually("files go", || segments(&rig.log_path(LOG)).len() == count);
}

#[test]
fn old_segments_go_by_their_newest_record() {
    let rig = Rig::new();
    let config = LogConfig {
        retention_ms: Some(100),
        ..LogConfig::default()
    };
    let log = filled(&rig, config);
    assert_eq!(retain(&log, log.now.0 + 100, 5).segments, 0);
    let gone = retain(&log, log.now.0 + 115, 5);
    assert_eq!((gone.segments, gone.log_start), (2, 2));
    files_left(&rig, 3);
    assert_eq!(
        retain(&log, log.now.0 + 1000, 3).segments,
        1,
        "not above the limit"
    );
    // Even the active segment goes, once it is old; offsets go on.
    let rest = retain(&log, log.now.0 + 1000, 5);
    assert_eq!((rest.segments, rest.log_start), (2, 5));
    files_left(&rig, 0);
    assert_eq!(log.put(&["next"]), 5);
    assert_eq!(
        rig.writers
            .metrics()
            .segments_deleted
            .load(std::sync::atomic::Ordering::SeqCst),
        5
    );
}

#[test]
fn surplus_segments_go_by_size() {
    let rig = Rig::new();
    let log = filled(&rig, LogConfig::default());
    let size = log.handle.view().size_bytes();
    let config = |bytes| LogConfig {
        retention_bytes: Some(bytes),
        retention_ms: None,
        segment_bytes: 100,
        ..LogConfig::default()
    };
    log.handle.configure(config(size / 5 * 3 + 1).into());
    assert_eq!(retain(&log, 0, 5).segments, 1, "never below the limit");
    log.handle.configure(config(size / 5 * 3).into());
    assert_eq!(retain(&log, 0, 5).segments, 1);
    assert_eq!(log.handle.view().log_start(), 2);
}

#[test]
fn compacted_topics_and_timeless_records_are_kept() {
    let rig = Rig::new();
    let config = LogConfig {
        retention_ms: Some(1),
        retention_bytes: Some(1),
        cleanup: Cleanup {
            delete: false,
            compact: true,
        },
        ..LogConfig::default()
    };
    let log = filled(&rig, config);
    assert_eq!(retain(&log, i64::MAX, 5).segments, 0);

    let timeless = rig.open_with(
        "u-0",
        LogConfig {
            retention_ms: Some(1),
            ..LogConfig::default()
        },
    );
    timeless.append(&batch(Timestamp(-1), &["x"])).unwrap();
    assert_eq!(retain(&timeless, i64::MAX, 1).segments, 0);
}

#[test]
fn times_far_from_now_hold_up_or_go_and_harm_nothing_else() {
    let rig = Rig::new();
    let config = LogConfig {
        segment_bytes: 100,
        retention_ms: Some(100),
        timestamp_after_max_ms: u64::MAX,
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config.clone());
    for time in [0, log.now.0, i64::MAX, -7, log.now.0] {
        log.append(&batch(Timestamp(time), &["0123456789"]))
            .unwrap();
    }
    log.wait_flushed(5);
    // Of 1970: old at once. Of now: in time.
    assert_eq!(retain(&log, log.now.0, 5).log_start, 1);
    assert_eq!(retain(&log, log.now.0 + 1000, 5).log_start, 2);
    // One from the end of time never gets old, and nothing overtakes it.
    assert_eq!(retain(&log, i64::MAX, 5).segments, 0);
    assert_eq!(retain(&log, i64::MIN, 5).segments, 0);
    // By size they go like all others.
    let by_size = LogConfig {
        retention_bytes: Some(1),
        ..config
    };
    log.handle.configure(by_size.into());
    assert_eq!(retain(&log, log.now.0, 4).log_start, 4);
}

#[test]
fn trims_delete_whole_segments_and_hide_parts() {
    let rig = Rig::new();
    let log = rig.open_with(
        LOG,
        LogConfig {
            segment_bytes: 170,
            ..LogConfig::default()
        },
    );
    for _ in 0..6 {
        log.put(&["0123456789"]);
    }
    let before = segments(&rig.log_path(LOG)).len();
    let trim = |to| log.ask(|handle: &LogHandle, done| handle.trim(to, done));
    assert_eq!(trim(3), Ok(3));
    files_left(&rig, before - 1);
    assert_eq!(trim(1), Ok(3), "never back");
    assert!(trim(7).is_err(), "never above the end");
    assert!(trim(-1).is_err());
    assert_eq!(log.values(3).len(), 3);
    assert_eq!(trim(6), Ok(6));
    assert_eq!(log.put(&["x"]), 6);
    assert_eq!(log.handle.view().epoch_at(6), Some(0));
}

#[test]
fn segments_are_closed_by_time_since_their_first_record() {
    let rig = Rig::new();
    let config = LogConfig {
        segment_ms: 100,
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config);
    let at = |ms: i64| {
        log.append(&batch(Timestamp(log.now.0 + ms), &["x"]))
            .unwrap()
    };
    at(0);
    at(100);
    assert_eq!(segments(&rig.log_path(LOG)).len(), 1);
    at(101);
    assert_eq!(segments(&rig.log_path(LOG)).len(), 2);
    at(150);
    assert_eq!(segments(&rig.log_path(LOG)).len(), 2);
    drop(log);
    // The first record's time is found again after a restart.
    let rig = rig.restart();
    let log = rig.open_with(
        LOG,
        LogConfig {
            segment_ms: 100,
            ..LogConfig::default()
        },
    );
    log.append(&batch(Timestamp(log.now.0 + 202), &["x"]))
        .unwrap();
    assert_eq!(segments(&rig.log_path(LOG)).len(), 3);
}

#[test]
fn preallocated_segments_end_where_their_records_do() {
    let rig = Rig::new();
    let config = LogConfig {
        preallocate: true,
        segment_bytes: 1 << 20,
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config);
    log.put(&["a"]);
    let size = log.handle.view().size_bytes();
    log.roll();
    log.put(&["b"]);
    assert_eq!(segments(&rig.log_path(LOG))[0].1, size);
    drop(log);
    let rig = rig.restart();
    assert_eq!(rig.open(LOG).values(0).len(), 2);
}

#[test]
fn idle_producers_are_forgotten() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    let first = crate::support::session(log.now, 3, 0, &["a"]);
    log.append(&first).unwrap();
    log.wait_flushed(1);
    let day = 86_400_000;
    retain(&log, log.now.0 + day - 1, 0);
    assert!(log.append(&first).unwrap().duplicate);
    retain(&log, log.now.0 + day, 0);
    assert!(
        !log.append(&first).unwrap().duplicate,
        "a stranger may start anywhere"
    );
}
