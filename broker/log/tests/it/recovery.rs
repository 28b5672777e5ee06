//! What is there after a stop, a crash, and damage.

use freshet_log::{LogConfig, LogDir, LogError, LogHandle, LogName, OpenError};
use freshet_types::{ErrorKind, TopicId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::{Rig, TOPIC, TestLog, batch, edit, last_file, options, segments, session};

const LOG: &str = "t-0";
/// Two batches of the test size fit.
const SMALL: LogConfig = LogConfig {
    segment_bytes: 200,
    ..LogConfig::DEFAULT
};

fn values(log: &TestLog) -> Vec<String> {
    log.values(log.handle.view().log_start())
        .into_iter()
        .map(|(_, value)| value)
        .collect()
}

fn put_all(log: &TestLog, values: &[&str]) {
    for value in values {
        log.put(&[value]);
    }
}

fn log_file(dir: &Path) -> PathBuf {
    last_file(&dir.join(LOG), ".log")
}

/// Changes the last segment's batches; the zeros behind them are cut off first.
fn edit_batches(dir: &Path, written: u64, change: impl FnOnce(&mut Vec<u8>)) {
    edit(&log_file(dir), |bytes| {
        assert!(bytes[written as usize..].iter().all(|byte| *byte == 0));
        bytes.truncate(written as usize);
        change(bytes);
    });
}

fn damage(result: Result<TestLog, OpenError>) -> String {
    match result.err() {
        Some(OpenError::Log(error @ LogError::Corrupt { .. })) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

fn reopen(rig: &Rig) -> Result<TestLog, OpenError> {
    rig.try_open(LOG, TOPIC, LogConfig::default())
}

#[test]
fn a_clean_stop_keeps_everything() {
    let rig = Rig::new();
    assert!(!rig.dir.was_clean(), "a new directory has no proof");
    let log = rig.open_with(LOG, SMALL);
    let first = session(log.now, 5, 0, &["a"]);
    log.append(&first).unwrap();
    put_all(&log, &["b", "c", "d"]);
    log.ask(|handle: &LogHandle, done| handle.start_epoch(4, done))
        .unwrap();
    let last = batch(log.now, &["e"]).bytes().clone();
    log.append_as(last, freshet_log::Origin::Client, 4).unwrap();
    log.ask(|handle, done| handle.trim(1, done)).unwrap();
    let empty = rig.open("empty-3");
    drop((log, empty));

    let rig = rig.restart();
    assert!(rig.dir.was_clean());
    let log = rig.open_with(LOG, SMALL);
    assert_eq!(values(&log), ["b", "c", "d", "e"]);
    let view = log.handle.view();
    assert_eq!(
        (view.log_start(), view.log_end(), view.flushed()),
        (1, 5, 5)
    );
    assert_eq!((view.epoch_at(3), view.epoch_at(4)), (Some(0), Some(4)));
    let again = log.append_as(first.bytes().clone(), freshet_log::Origin::Client, 4);
    assert!(again.unwrap().duplicate, "producers are known");
    let empty = rig.open("empty-3");
    assert_eq!(empty.handle.view().log_end(), 0);
}

#[test]
fn a_proof_is_used_once() {
    let rig = Rig::new();
    drop(rig.open(LOG));
    let rig = rig.restart();
    assert!(rig.dir.was_clean());
    let rig = rig.crash();
    assert!(!rig.dir.was_clean());
}

#[test]
fn a_crash_keeps_everything_that_was_written() {
    let rig = Rig::new();
    let log = rig.open_with(LOG, SMALL);
    let retried = session(log.now, 5, 0, &["a"]);
    log.append_as(retried.bytes().clone(), freshet_log::Origin::Client, 2)
        .unwrap();
    for value in ["b", "c", "d"] {
        let batch = batch(log.now, &[value]);
        log.append_as(batch.bytes().clone(), freshet_log::Origin::Client, 3)
            .unwrap();
    }
    log.wait_flushed(4);
    drop(log);
    let rig = rig.crash();
    assert!(!rig.dir.was_clean());
    let log = rig.open_with(LOG, SMALL);
    assert_eq!(values(&log), ["a", "b", "c", "d"]);
    assert_eq!(
        log.handle.view().latest_epoch(),
        Some((3, 1)),
        "epochs come from the batches"
    );
    let again = log.append_as(retried.bytes().clone(), freshet_log::Origin::Client, 3);
    assert!(again.unwrap().duplicate);
}

#[test]
fn a_torn_tail_is_cut_wherever_it_tears() {
    // Each record's batch has 61 + 10 bytes or so; tear at every byte of the last two.
    for cut in 1..140 {
        let rig = Rig::new();
        let log = rig.open(LOG);
        put_all(&log, &["one", "two", "three"]);
        let written = log.handle.view().size_bytes();
        drop(log);
        let rig = rig.crash_after(|dir| {
            edit_batches(dir, written, |bytes| bytes.truncate(bytes.len() - cut));
        });
        let log = reopen(&rig).unwrap();
        let expected: &[&str] = if cut <= 74 { &["one", "two"] } else { &["one"] };
        let found = values(&log);
        assert!(
            found == expected || found == ["one", "two"] && cut < 74,
            "{cut}: {found:?}"
        );
        let end = found.len() as i64;
        assert_eq!(log.put(&["next"]), end);
        assert_eq!(values(&log).len() as i64, end + 1);
    }
}

#[test]
fn zeros_written_ahead_are_no_records_after_a_crash() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    put_all(&log, &["one", "two"]);
    let written = log.handle.view().size_bytes();
    assert!(
        segments(&rig.log_path(LOG))[0].1 > written,
        "zeros lie behind"
    );
    drop(log);
    let rig = rig.crash();
    let log = reopen(&rig).unwrap();
    assert_eq!(values(&log), ["one", "two"]);
    assert_eq!(log.handle.view().size_bytes(), written);
    assert!(
        segments(&rig.log_path(LOG))[0].1 > written,
        "they are written over, not cut"
    );
    assert_eq!(log.put(&["three"]), 2);
    log.roll();
    let full = &segments(&rig.log_path(LOG))[0];
    assert_eq!(
        full.1,
        log.handle.view().size_bytes(),
        "a full segment has none"
    );
    assert_eq!(log.put(&["four"]), 3);
    drop(log);
    let rig = rig.crash();
    assert_eq!(
        values(&reopen(&rig).unwrap()),
        ["one", "two", "three", "four"]
    );
}

#[test]
fn garbage_behind_the_end_is_cut() {
    for garbage in [vec![0; 5000], vec![0xff; 100], b"x".to_vec()] {
        let rig = Rig::new();
        let log = rig.open(LOG);
        log.put(&["a"]);
        let written = log.handle.view().size_bytes();
        drop(log);
        let rig = rig.crash_after(|dir| edit_batches(dir, written, |bytes| bytes.extend(&garbage)));
        let log = reopen(&rig).unwrap();
        assert_eq!(values(&log), ["a"]);
        assert_eq!(log.put(&["b"]), 1);
    }
}

#[test]
fn a_flipped_bit_behind_the_checkpoint_ends_the_log() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    put_all(&log, &["one", "two"]);
    let written = log.handle.view().size_bytes();
    drop(log);
    let rig = rig.crash_after(|dir| {
        edit_batches(dir, written, |bytes| *bytes.last_mut().unwrap() ^= 1);
    });
    assert_eq!(values(&reopen(&rig).unwrap()), ["one"]);
}

#[test]
fn an_old_batch_behind_the_end_is_no_part_of_the_log() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    put_all(&log, &["one", "two"]);
    let written = log.handle.view().size_bytes();
    drop(log);
    // The second batch again: its offset is not the next one.
    let rig = rig.crash_after(|dir| {
        edit_batches(dir, written, |bytes| {
            let half = bytes.len() / 2;
            bytes.extend_from_within(half..);
        })
    });
    assert_eq!(values(&reopen(&rig).unwrap()), ["one", "two"]);
}

#[test]
fn bytes_below_the_checkpoint_are_never_cut() {
    let rig = Rig::checkpointing();
    let log = rig.open(LOG);
    put_all(&log, &["one", "two"]);
    log.ask(|handle, done| handle.trim(0, done)).unwrap();
    drop(log);
    let rig = rig.crash_after(|dir| edit(&log_file(dir), |bytes| bytes.truncate(100)));
    assert!(damage(reopen(&rig)).contains("were durable"));
    assert_eq!(
        segments(&rig.log_path(LOG))[0].1,
        100,
        "nothing was touched"
    );
    // Not forgotten by a clean stop, nor by another crash.
    let rig = rig.restart();
    damage(reopen(&rig));
    let rig = rig.crash();
    damage(reopen(&rig));
}

#[test]
fn damage_found_after_a_clean_stop_is_not_forgotten_either() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    put_all(&log, &["one", "two"]);
    drop(log);
    let rig = rig.restart_after(|dir| edit(&log_file(dir), |bytes| bytes.truncate(100)));
    damage(reopen(&rig));
    let rig = rig.restart();
    damage(reopen(&rig));
    let rig = rig.crash();
    damage(reopen(&rig));
}

#[test]
fn bytes_behind_a_clean_end_are_recovered_like_any_tail() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    log.put(&["one"]);
    drop(log);
    let rig = rig.restart_after(|dir| edit(&log_file(dir), |bytes| bytes.extend([7; 99])));
    assert_eq!(values(&reopen(&rig).unwrap()), ["one"]);
}

fn rolled(rig: &Rig) {
    let log = rig.open_with(LOG, SMALL);
    put_all(&log, &["a", "b", "c", "d", "e", "f", "g"]);
    log.ask(|handle, done| handle.trim(0, done)).unwrap();
    assert!(segments(&rig.log_path(LOG)).len() >= 3);
}

#[test]
fn a_missing_or_short_segment_is_damage() {
    type Meddle = fn(&Path);
    let table: [(&str, Meddle); 3] = [
        ("is missing", |log| {
            let (middle, _) = &segments(log)[1];
            std::fs::remove_file(log.join(middle)).unwrap();
        }),
        ("instead of", |log| {
            let (middle, _) = &segments(log)[1];
            edit(&log.join(middle), |bytes| bytes.truncate(70));
        }),
        ("were durable", |log| {
            std::fs::remove_file(last_file(log, ".log")).unwrap();
        }),
    ];
    for (what, meddle) in table {
        let rig = Rig::new();
        rolled(&rig);
        let rig = rig.crash_after(|dir| meddle(&dir.join(LOG)));
        assert!(damage(reopen(&rig)).contains(what));
        let rig = Rig::new();
        rolled(&rig);
        let rig = rig.restart_after(|dir| meddle(&dir.join(LOG)));
        assert!(damage(reopen(&rig)).contains(what));
    }
}

#[test]
fn a_missing_prefix_is_what_retention_leaves() {
    let rig = Rig::new();
    rolled(&rig);
    let rig = rig.crash_after(|dir| {
        let log = dir.join(LOG);
        std::fs::remove_file(log.join(&segments(&log)[0].0)).unwrap();
    });
    let log = reopen(&rig).unwrap();
    assert!(log.handle.view().log_start() > 0);
    assert_eq!(values(&log).last().unwrap(), "g");
}

#[test]
fn a_segment_behind_a_hole_is_removed() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    put_all(&log, &["a", "b"]);
    drop(log);
    let rig = rig.crash_after(|dir| {
        let stray = dir.join(LOG).join("00000000000000000009.log");
        std::fs::copy(log_file(dir), stray).unwrap();
    });
    let log = reopen(&rig).unwrap();
    assert_eq!(values(&log), ["a", "b"]);
    assert_eq!(segments(&rig.log_path(LOG)).len(), 1);
}

#[test]
fn a_lost_state_file_costs_a_scan_and_no_record() {
    for meddle in [
        (|path: &Path| std::fs::remove_file(path).unwrap()) as fn(&Path),
        |path| edit(path, |bytes| bytes[20] ^= 1),
        |path| edit(path, Vec::clear),
    ] {
        let rig = Rig::new();
        let log = rig.open_with(LOG, SMALL);
        let retried = session(log.now, 5, 0, &["a"]);
        log.append(&retried).unwrap();
        put_all(&log, &["b", "c", "d", "e"]);
        drop(log);
        let rig = rig.crash_after(|dir| {
            meddle(&dir.join(LOG).join("state"));
            // A torn end is still a torn end.
            edit(&log_file(dir), |bytes| bytes.extend([1; 30]));
        });
        let log = reopen(&rig).unwrap();
        assert_eq!(values(&log), ["a", "b", "c", "d", "e"]);
        assert!(log.append(&retried).unwrap().duplicate);
        let name = log.handle.view().name().clone();
        drop(log);
        let rig = rig.crash();
        assert_eq!(rig.dir.topic_id(&name), TOPIC, "the state is written again");
    }
}

#[test]
fn without_a_state_file_a_bad_batch_in_the_middle_is_damage() {
    let rig = Rig::new();
    rolled(&rig);
    let rig = rig.crash_after(|dir| {
        let log = dir.join(LOG);
        std::fs::remove_file(log.join("state")).unwrap();
        edit(&log.join(&segments(&log)[0].0), |bytes| bytes[80] ^= 1);
    });
    assert!(damage(reopen(&rig)).contains("segment 0 at byte"));
    let rig = Rig::new();
    rolled(&rig);
    let rig = rig.crash_after(|dir| {
        let log = dir.join(LOG);
        std::fs::remove_file(log.join("state")).unwrap();
        std::fs::remove_file(log.join(&segments(&log)[1].0)).unwrap();
    });
    assert!(damage(reopen(&rig)).contains("does not follow"));
}

#[test]
fn a_damaged_snapshot_is_rebuilt_from_headers() {
    let rig = Rig::checkpointing();
    let log = rig.open_with(LOG, SMALL);
    let retried = session(log.now, 5, 0, &["a"]);
    log.append(&retried).unwrap();
    put_all(&log, &["b", "c", "d"]);
    log.ask(|handle, done| handle.trim(0, done)).unwrap();
    drop(log);
    let rig = rig.crash_after(|dir| {
        let log = dir.join(LOG);
        for entry in std::fs::read_dir(&log).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "producers") {
                edit(&path, |bytes| bytes[12] ^= 1);
            }
        }
    });
    let log = reopen(&rig).unwrap();
    assert!(log.append(&retried).unwrap().duplicate);
}

#[test]
fn a_damaged_proof_is_no_proof() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    log.put(&["a"]);
    drop(log);
    let rig = rig.restart_after(|dir| edit(&dir.join("clean-shutdown"), |bytes| bytes[9] ^= 1));
    assert!(!rig.dir.was_clean());
    assert_eq!(values(&reopen(&rig).unwrap()), ["a"]);
}

#[test]
fn trims_survive_a_crash() {
    let rig = Rig::new();
    let log = rig.open_with(LOG, SMALL);
    put_all(&log, &["a", "b", "c", "d", "e"]);
    assert_eq!(log.ask(|handle, done| handle.trim(4, done)), Ok(4));
    drop(log);
    let rig = rig.crash();
    let log = rig.open_with(LOG, SMALL);
    assert_eq!(log.handle.view().log_start(), 4);
    assert_eq!(values(&log), ["e"]);
}

#[test]
fn logs_not_opened_stay_clean() {
    let rig = Rig::new();
    let log = rig.open(LOG);
    log.put(&["a"]);
    drop(log);
    let rig = rig.restart();
    let rig = rig.restart();
    assert!(rig.dir.was_clean());
    assert_eq!(rig.dir.log_count(), 1);
    let writes = rig.writers.metrics().fsyncs.count();
    let log = reopen(&rig).unwrap();
    assert_eq!(values(&log), ["a"]);
    assert_eq!(
        rig.writers.metrics().fsyncs.count(),
        writes,
        "nothing had to be recovered"
    );
}

#[test]
fn a_directory_has_one_process() {
    let rig = Rig::new();
    let disk = Arc::new(freshet_env::SystemDisk);
    let second = LogDir::open(disk, &rig.path()).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }));
    assert_eq!(second.kind(), ErrorKind::Conflict);
}

#[test]
fn interrupted_deletes_are_finished_by_the_next_start() {
    let rig = Rig::new();
    let left = rig.path().join("AAAAAAAAAAAAAAAAAAAAAA-0.0.delete");
    let rig = rig.crash_after(|dir| {
        std::fs::create_dir(dir.join("AAAAAAAAAAAAAAAAAAAAAA-0.0.delete")).unwrap();
    });
    crate::support::eventually("leftovers go", || !left.exists());
    assert!(rig.dir.logs().is_empty());
}

#[test]
fn crashes_after_crashes_lose_nothing() {
    let mut rig = Rig::with(
        Arc::new(freshet_env::SystemDisk),
        freshet_log::WritersOptions {
            checkpoint_bytes: 300,
            ..options()
        },
    );
    for round in 0..12 {
        let log = rig.open_with(LOG, SMALL);
        assert_eq!(log.handle.view().log_end(), round * 3);
        for i in 0..3 {
            let sequence = (round * 3 + i) as i32;
            let appended = log.append(&session(log.now, 1, sequence, &["v"])).unwrap();
            log.wait_flushed(appended.last_offset + 1);
        }
        assert_eq!(values(&log).len() as i64, round * 3 + 3);
        drop(log);
        rig = rig.crash();
    }
}

#[test]
fn after_a_crash_a_log_is_not_taken_for_an_earlier_life_of_its_topic() {
    let rig = Rig::new();
    drop(rig.open(LOG));
    let rig = rig.restart();
    let name = LogName::parse(LOG).unwrap();
    assert_eq!(rig.dir.topic_id(&name), TOPIC);
    let old = rig.open(LOG);
    old.ask(|handle, done| handle.delete(done)).unwrap();
    drop(old);
    let next = TopicId([9; 16]);
    let log = rig.try_open(LOG, next, SMALL).unwrap();
    log.put(&["a"]);
    drop(log);
    let rig = rig.crash();
    assert_eq!(rig.dir.topic_id(&name), next, "nobody has opened it yet");
}

#[test]
fn a_log_that_is_made_again_is_not_opened_as_it_was_at_the_last_clean_stop() {
    let rig = Rig::new();
    let log = rig.open_with(LOG, SMALL);
    put_all(&log, &["a", "b", "c", "d"]);
    log.ask(|handle, done| handle.trim(3, done)).unwrap();
    drop(log);
    let rig = rig.restart();
    let log = rig.open_with(LOG, SMALL);
    log.ask(|handle, done| handle.delete(done)).unwrap();
    drop(log);
    // The replica has left and come back.
    let log = rig.open_with(LOG, SMALL);
    put_all(&log, &["A", "B"]);
    drop(log);
    let rig = rig.crash();
    let log = rig.open_with(LOG, SMALL);
    assert_eq!(values(&log), ["A", "B"]);
}
