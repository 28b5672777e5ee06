//! Cutting the end, as followers do.

use freshet_log::{Beginning, LogConfig, LogError, LogHandle, Origin};
use freshet_records::Batch;
use freshet_types::{LeaderEpoch, Offset};
use std::sync::atomic::Ordering::SeqCst;

use crate::support::{Rig, TestLog, batch, segments, session};

const LOG: &str = "t-0";

fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 200,
        ..LogConfig::default()
    }
}

fn put(log: &TestLog, epoch: LeaderEpoch, value: &str) {
    let bytes = batch(log.now, &[value]).bytes().clone();
    let appended = log.append_as(bytes, Origin::Client, epoch).unwrap();
    log.wait_flushed(appended.last_offset + 1);
}

fn truncate(log: &TestLog, to: Offset) -> Result<Offset, LogError> {
    let end = log.ask(|handle: &LogHandle, done| handle.truncate(to, done))?;
    log.progress.flushed.fetch_min(end, SeqCst);
    Ok(end)
}

fn values(log: &TestLog) -> String {
    let start = log.handle.view().log_start();
    log.values(start)
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

#[test]
fn records_at_and_behind_the_cut_are_gone_for_good() {
    for cut in 0..=8 {
        let rig = Rig::new();
        let log = rig.open_with(LOG, small());
        for (i, value) in ["a", "b", "c", "d", "e", "f", "g"].into_iter().enumerate() {
            put(&log, i as LeaderEpoch / 2, value);
        }
        let end = cut.min(7);
        assert_eq!(truncate(&log, cut), Ok(end));
        let left = &"abcdefg"[..end as usize];
        let view = log.handle.view();
        assert_eq!((view.log_end(), view.flushed()), (end, end));
        assert_eq!(values(&log), left);
        assert!(view.latest_epoch().is_none_or(|(_, start)| start < end));
        put(&log, 9, "X");
        put(&log, 9, "Y");
        assert_eq!(values(&log), format!("{left}XY"));
        drop(log);
        let rig = if cut % 2 == 0 {
            rig.crash()
        } else {
            rig.restart()
        };
        let log = rig.open_with(LOG, small());
        assert_eq!(values(&log), format!("{left}XY"), "cut at {cut}");
        assert_eq!(log.handle.view().latest_epoch(), Some((9, end)));
    }
}

#[test]
fn a_batch_that_spans_the_cut_goes_whole() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    log.put(&["a", "b"]);
    log.put(&["c", "d", "e"]);
    assert_eq!(truncate(&log, 4), Ok(2));
    assert_eq!(values(&log), "ab");
    assert_eq!(log.put(&["x"]), 2);
}

#[test]
fn nothing_below_the_start_can_be_cut() {
    let rig = Rig::new();
    let log = rig.open_with(LOG, small());
    for value in ["a", "b", "c"] {
        log.put(&[value]);
    }
    log.ask(|handle, done| handle.trim(2, done)).unwrap();
    assert!(matches!(
        truncate(&log, 1),
        Err(LogError::OutOfRange { .. })
    ));
    assert_eq!(truncate(&log, 2), Ok(2));
    assert_eq!(values(&log), "");
    assert_eq!(log.put(&["x"]), 2);
}

#[test]
fn producers_go_back_with_the_records() {
    for config in [LogConfig::default(), small()] {
        let rig = Rig::checkpointing();
        let log = rig.open_with(LOG, config);
        let batches: Vec<_> = (0..6).map(|i| session(log.now, 1, i, &["v"])).collect();
        for batch in &batches {
            log.append(batch).unwrap();
        }
        log.wait_flushed(6);
        truncate(&log, 3).unwrap();
        assert!(log.append(&batches[2]).unwrap().duplicate);
        assert!(log.append(&batches[4]).is_err(), "a gap again");
        assert!(!log.append(&batches[3]).unwrap().duplicate, "stored again");
        log.wait_flushed(4);
        drop(log);
        let rig = rig.crash();
        let log = rig.open(LOG);
        assert!(log.append(&batches[3]).unwrap().duplicate);
        assert!(!log.append(&batches[4]).unwrap().duplicate);
    }
}

#[test]
fn a_log_can_start_anew_elsewhere() {
    for at in [0, 3, 100] {
        let rig = Rig::new();
        let log = rig.open_with(LOG, small());
        for value in ["a", "b", "c", "d", "e"] {
            put(&log, 4, value);
        }
        let restarted = log.ask(|handle: &LogHandle, done| handle.restart_at(at, done));
        assert_eq!(restarted, Ok(at));
        log.progress.flushed.store(at, SeqCst);
        let view = log.handle.view();
        assert_eq!(
            (view.log_start(), view.log_end(), view.latest_epoch()),
            (at, at, None)
        );
        assert!(segments(&rig.log_path(LOG)).is_empty());
        put(&log, 5, "x");
        assert_eq!(log.values(at), [(at, "x".to_owned())]);
        drop(log);
        let rig = rig.crash();
        let log = rig.open(LOG);
        assert_eq!(log.handle.view().log_start(), at);
        assert_eq!(log.values(at), [(at, "x".to_owned())]);
    }
}

/// Its records are elsewhere, and so is whoever wrote them: what they send again is known.
#[test]
fn a_log_that_begins_where_others_end_knows_their_producers() {
    let rig = Rig::new();
    let source = rig.open("s-0");
    let now = source.now;
    let one = |sequence| session(now, 7, sequence, &["a"]);
    for sequence in 0..3 {
        source.append(&one(sequence)).unwrap();
    }
    source.roll();
    let end = source.flush();
    let closed = source.handle.view().closed_segments(0, end);
    let (tell, told) = std::sync::mpsc::channel();
    let done = Box::new(move |producers| tell.send(producers).unwrap());
    closed[0].producers(done).unwrap();
    let producers = told.recv().unwrap().unwrap();

    let log = rig.open(LOG);
    log.append(&session(log.now, 9, 0, &["goes"])).unwrap();
    log.roll();
    let beginning = Beginning::after(end, Some(4), &producers).unwrap();
    let restarted = log.ask(|handle: &LogHandle, done| handle.restart_at(beginning, done));
    assert_eq!(restarted, Ok(3));
    // A later leader writes it.
    let append =
        |log: &TestLog, batch: &Batch| log.append_as(batch.bytes().clone(), Origin::Client, 5);
    let check = |log: &TestLog| {
        let view = log.handle.view();
        assert_eq!((view.log_start(), view.log_end()), (3, 3));
        assert_eq!(view.latest_epoch(), Some((4, 3)));
        assert!(append(log, &one(2)).unwrap().duplicate);
        assert!(append(log, &one(4)).is_err(), "a gap");
    };
    check(&log);
    drop((source, log, closed));
    let rig = rig.crash();
    let log = rig.open(LOG);
    check(&log);
    let stored = append(&log, &one(3)).unwrap();
    assert_eq!((stored.base_offset, stored.duplicate), (3, false));
    let stranger = append(&log, &session(now, 9, 5, &["a"])).unwrap();
    assert!(!stranger.duplicate, "what was thrown away is forgotten");
    assert!(Beginning::after(3, None, b"strange").is_err());
}

#[test]
fn a_log_does_not_start_below_zero() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    let refused = log.ask(|handle: &LogHandle, done| handle.restart_at(-1, done));
    assert!(matches!(refused, Err(LogError::OutOfRange { .. })));
}
