//! Disks that fail: what is refused, what goes on, and what is never said twice.

use std::io::ErrorKind::{self, PermissionDenied, StorageFull, WouldBlock};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use freshet_log::{
    AppendError, Appended, Durability, LogConfig, LogDir, LogError, LogHandle, OpenError, Origin,
    Read, ReadError, ReadSpec, WritersOptions,
};
use freshet_records::Batch;
use freshet_types::{Offset, Timestamp};

use crate::faulty::{Call, FaultyDisk};
use crate::support::{Rig, TOPIC, TestLog, batch, eventually, large, options, segments, session};

type AppendResult = Result<Appended, AppendError>;

const LOG: &str = "t-0";
/// What a device says; any error would do.
const EIO: ErrorKind = ErrorKind::Other;

fn rig() -> (Arc<FaultyDisk>, Rig) {
    rig_with(options())
}

fn rig_with(options: WritersOptions) -> (Arc<FaultyDisk>, Rig) {
    let disk = Arc::new(FaultyDisk::default());
    let rig = Rig::with(Arc::<FaultyDisk>::clone(&disk), options);
    (disk, rig)
}

/// A segment holds a few small batches.
fn small() -> LogConfig {
    LogConfig {
        segment_bytes: 300,
        ..LogConfig::default()
    }
}

fn is_offline<T>(result: Result<T, LogError>) -> bool {
    matches!(result, Err(LogError::Offline { .. }))
}

/// The directory is offline for every log in it, and stays so when the disk is well again.
fn assert_offline(disk: &FaultyDisk, rig: &Rig, logs: &[&TestLog]) {
    eventually("everybody is told", || {
        logs.iter()
            .all(|log| log.progress.failed.lock().unwrap().is_some())
    });
    let end = |log: &TestLog| log.handle.view().log_end();
    disk.heal();
    for log in logs {
        let (before, flushed) = (end(log), log.handle.view().flushed());
        let refused = log.append(&batch(log.now, &["late"])).unwrap_err();
        assert!(
            matches!(refused, AppendError::Log(LogError::Offline { .. })),
            "{refused}"
        );
        assert!(is_offline(log.ask(LogHandle::flush)));
        assert!(is_offline(log.ask(LogHandle::roll)));
        assert!(is_offline(log.ask(|handle, done| handle.trim(0, done))));
        assert!(is_offline(log.ask(|handle, done| handle.truncate(0, done))));
        assert!(is_offline(
            log.ask(|handle, done| handle.restart_at(0, done))
        ));
        assert!(is_offline(
            log.ask(|handle, done| handle.start_epoch(9, done))
        ));
        let retain = log.ask(|handle, done| handle.retain(Timestamp(0), 0, done));
        assert!(is_offline(retain));
        assert_eq!((end(log), log.handle.view().flushed()), (before, flushed));
        let spec = ReadSpec {
            from: 0,
            max_bytes: 100,
            upper_bound: Offset::MAX,
            at_least_one: true,
        };
        let read = log.handle.view().read(&spec);
        assert!(matches!(
            read,
            Err(ReadError::Log(LogError::Offline { .. }))
        ));
    }
    let opened = rig.try_open("other-0", TOPIC, LogConfig::default());
    assert!(matches!(
        opened.err(),
        Some(OpenError::Log(LogError::Offline { .. }))
    ));
    assert!(is_offline(rig.writers.stop()));
    assert!(
        !rig.path().join("clean-shutdown").exists(),
        "no proof of what is not clean"
    );
}

#[test]
fn a_failed_write_takes_the_directory_offline() {
    for error in [EIO, ErrorKind::WriteZero] {
        let (disk, rig) = rig();
        let (log, other) = (rig.open(LOG), rig.open("u-0"));
        log.put(&["a"]);
        other.put(&["b"]);
        disk.fail(Call::Write, "t-0/00000000000000000000.log", error);
        let refused = log.append(&batch(log.now, &["c"])).unwrap_err();
        assert!(matches!(
            refused,
            AppendError::Log(LogError::Offline { .. })
        ));
        assert_offline(&disk, &rig, &[&log, &other]);
    }
}

/// Batches before and after, of the same producers: what found no room was never there.
#[test]
fn a_write_that_finds_no_room_is_refused_whole_and_can_be_sent_again() {
    for call in [Call::Write, Call::Open] {
        let (disk, rig) = rig();
        let log = rig.open_with(LOG, small());
        let one = |sequence| session(log.now, 7, sequence, &["a", "b"]);
        log.append(&one(0)).unwrap();
        log.append(&one(2)).unwrap();
        if call == Call::Open {
            // The next append makes a file for its segment.
            log.roll();
        }
        let known = log.values(0);
        for _ in 0..3 {
            disk.fail(call, ".log", StorageFull);
            let refused = log.append(&one(4)).unwrap_err();
            let full = matches!(refused, AppendError::Log(LogError::DiskFull { .. }));
            assert!(full, "{refused}");
            disk.heal();
            // Nobody else is told, and readers see nothing of it.
            assert!(rig.dir.failure().is_none());
            assert_eq!(
                (log.handle.view().log_end(), log.values(0)),
                (4, known.clone())
            );
        }
        // A repetition of what was taken is known, and what was refused is not.
        assert!(log.append(&one(2)).unwrap().duplicate);
        let wrong = log.append(&one(6)).unwrap_err();
        assert!(
            matches!(wrong, AppendError::OutOfOrderSequence { .. }),
            "{wrong}"
        );
        assert!(!log.append(&one(4)).unwrap().duplicate);
        assert_eq!(log.append(&one(6)).unwrap().base_offset, 6);
        let whole = log.values(0);
        assert_eq!(whole.len(), 8);
        log.wait_flushed(8);
        drop(log);
        let rig = rig.crash();
        let log = rig.open_with(LOG, small());
        assert_eq!(log.values(0), whole);
        assert!(
            log.append(&session(log.now, 7, 6, &["a", "b"]))
                .unwrap()
                .duplicate
        );
    }
}

/// On a full disk above all, what is deleted must go.
#[test]
fn segments_go_once_there_is_room_for_the_checkpoint_that_says_so() {
    let (disk, rig) = rig();
    let config = LogConfig {
        segment_bytes: 200,
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config);
    for _ in 0..6 {
        log.put(&["a"]);
        log.roll();
    }
    log.flush();
    let before = segments(&rig.log_path(LOG)).len();
    disk.fail(Call::Write, "state.tmp", StorageFull);
    let trimmed = log.ask(|handle, done| handle.trim(4, done));
    assert!(
        matches!(trimmed, Err(LogError::DiskFull { .. })),
        "{trimmed:?}"
    );
    assert_eq!(segments(&rig.log_path(LOG)).len(), before);
    assert!(rig.dir.failure().is_none());
    disk.heal();
    eventually("the segments go", || {
        rig.clock.advance(250);
        segments(&rig.log_path(LOG)).len() + 4 <= before
    });
    assert_eq!(log.values(4).len(), 2);
}

/// A follower whose disk is full falls behind what its leader still has.
#[test]
fn a_log_that_finds_no_room_to_begin_anew_stays_as_it_is() {
    let (disk, rig) = rig();
    let log = rig.open(LOG);
    log.put(&["a"]);
    log.flush();
    disk.fail(Call::Write, "state.tmp", StorageFull);
    let restarted = log.ask(|handle, done| handle.restart_at(5, done));
    assert!(
        matches!(restarted, Err(LogError::DiskFull { .. })),
        "{restarted:?}"
    );
    assert!(rig.dir.failure().is_none());
    assert_eq!(log.values(0).len(), 1);
    disk.heal();
    let restarted = log.ask(|handle, done| handle.restart_at(5, done));
    assert_eq!(restarted, Ok(5));
}

/// A follower whose disk is full has what its new leader has not.
#[test]
fn a_log_that_finds_no_room_to_be_cut_stays_as_it_is() {
    // The producers' file is the first that is written, the state file the last.
    for file in ["00000000000000000002.tmp", "state.tmp"] {
        let (disk, rig) = rig();
        let log = rig.open_with(LOG, small());
        let one = |sequence| session(log.now, 7, sequence, &["a", "b"]);
        for sequence in [0, 2, 4, 6, 8] {
            log.append(&one(sequence)).unwrap();
        }
        log.flush();
        let (whole, files) = (log.values(0), segments(&rig.log_path(LOG)).len());
        let cut = || log.ask(|handle, done| handle.truncate(2, done));
        for _ in 0..2 {
            disk.fail(Call::Write, file, StorageFull);
            let refused = cut();
            let full = matches!(refused, Err(LogError::DiskFull { .. }));
            assert!(full, "{file}: {refused:?}");
            assert!(rig.dir.failure().is_none());
            let view = log.handle.view();
            assert_eq!((view.log_end(), view.flushed()), (10, 10));
            assert_eq!(log.values(0), whole);
            assert_eq!(segments(&rig.log_path(LOG)).len(), files);
            disk.heal();
        }
        // What was not cut is still known, and written behind.
        assert!(log.append(&one(8)).unwrap().duplicate);
        assert_eq!(log.append(&one(10)).unwrap().base_offset, 10);
        log.wait_flushed(12);
        assert_eq!(cut(), Ok(2));
        log.progress.flushed.store(2, SeqCst);
        assert_eq!(log.append(&one(2)).unwrap().base_offset, 2);
        log.wait_flushed(4);
        let kept = log.values(0);
        drop(log);
        let rig = rig.crash();
        let log = rig.open_with(LOG, small());
        assert_eq!(log.values(0), kept);
        assert_eq!(kept.len(), 4);
    }
}

/// What was promised before a cut that found no room is promised still.
#[test]
fn a_crash_after_a_cut_that_found_no_room_loses_nothing() {
    for file in ["00000000000000000002.tmp", "state.tmp"] {
        let (disk, rig) = rig();
        let log = rig.open_with(LOG, small());
        for sequence in [0, 2, 4] {
            let batch = session(log.now, 7, sequence, &["a", "b"]);
            log.append(&batch).unwrap();
        }
        log.flush();
        let whole = log.values(0);
        disk.fail(Call::Write, file, StorageFull);
        log.ask(|handle, done| handle.truncate(2, done))
            .unwrap_err();
        drop(log);
        let rig = rig.crash();
        let log = rig.open_with(LOG, small());
        assert_eq!(log.values(0), whole);
        let last = session(log.now, 7, 4, &["a", "b"]);
        assert!(log.append(&last).unwrap().duplicate);
    }
}

#[test]
fn a_failed_sync_is_final_and_nothing_of_it_is_acknowledged() {
    let (disk, rig) = rig();
    let (log, other) = (rig.open(LOG), rig.open("u-0"));
    log.put(&["a"]);
    disk.fail(Call::Sync, ".log", EIO);
    let syncs = disk.count(Call::Sync, "t-0/00000000000000000000.log");
    let appended = log.append(&batch(log.now, &["c"])).unwrap();
    assert_eq!(appended.base_offset, 1, "it was written");
    eventually("the sync fails", || {
        log.progress.failed.lock().unwrap().is_some()
    });
    assert_eq!(log.progress.flushed.load(SeqCst), 1, "but never flushed");
    assert_offline(&disk, &rig, &[&log, &other]);
    let again = disk.count(Call::Sync, "t-0/00000000000000000000.log");
    assert_eq!(again, syncs + 1, "a sync is not tried twice");
}

#[test]
fn new_names_are_synced_before_anything_counts() {
    for dir in ["logs/t-0", "/logs"] {
        let (disk, rig) = rig();
        let log = rig.open(LOG);
        disk.fail(Call::SyncDir, dir, EIO);
        log.append(&batch(log.now, &["c"])).unwrap();
        eventually("the sync fails", || {
            log.progress.failed.lock().unwrap().is_some()
        });
        assert_eq!(log.progress.flushed.load(SeqCst), 0, "{dir}");
        assert_offline(&disk, &rig, &[&log]);
    }
}

#[test]
fn checkpoints_that_cannot_be_written_are_failures() {
    for suffix in ["state", "producers", "state.tmp"] {
        let (disk, rig) = rig();
        let log = rig.open(LOG);
        log.append(&session(log.now, 1, 0, &["a"])).unwrap();
        log.wait_flushed(1);
        let call = if suffix == "state.tmp" {
            Call::Open
        } else {
            Call::Rename
        };
        disk.fail(call, suffix, EIO);
        let trimmed = log.ask(|handle: &LogHandle, done| handle.trim(1, done));
        assert!(is_offline(trimmed), "{suffix}");
        assert_offline(&disk, &rig, &[&log]);
    }
}

#[test]
fn segments_that_cannot_be_made_are_failures() {
    let (disk, rig) = rig();
    let log = rig.open(LOG);
    log.put(&["a"]);
    log.roll();
    disk.fail(Call::Open, "00000000000000000001.log", PermissionDenied);
    assert!(log.append(&batch(log.now, &["b"])).is_err());
    assert_offline(&disk, &rig, &[&log]);
}

/// Appends that an append thread finds all at once, in a log whose segments they fill several times.
fn in_one_drain(log: &TestLog, batches: &[Batch], fault: impl FnOnce()) -> Vec<AppendResult> {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    log.handle
        .roll(Box::new(move |_| held.recv().unwrap_or(())))
        .unwrap();
    fault();
    let (tell, told) = std::sync::mpsc::channel();
    for batch in batches {
        let tell = tell.clone();
        log.handle
            .append(freshet_log::Append {
                frame_bytes: batch.bytes().len(),
                batches: batch.bytes().clone(),
                leader_epoch: 0,
                origin: Origin::Client,
                done: Box::new(move |result| tell.send(result).unwrap()),
            })
            .unwrap();
    }
    drop((hold, tell));
    told.iter().collect()
}

#[test]
fn a_roll_in_the_middle_of_a_drain_fails_every_append_of_it() {
    let (disk, rig) = rig();
    let log = rig.open_with(LOG, small());
    log.put(&["a"]);
    let batches = vec![batch(log.now, &["0123456789"]); 10];
    let told = in_one_drain(&log, &batches, || disk.fail(Call::Write, ".log", EIO));
    assert_eq!(told.len(), 10);
    assert!(told.iter().all(Result::is_err), "{told:?}");
    assert_offline(&disk, &rig, &[&log]);
}

/// The roll writes what the ones before it have staged: it is theirs as well that there is no room.
#[test]
fn a_roll_that_finds_no_room_refuses_every_append_of_its_drain() {
    let (disk, rig) = rig();
    let log = rig.open_with(LOG, small());
    log.append(&session(log.now, 7, 0, &["a"])).unwrap();
    let one = |sequence| session(log.now, 7, sequence, &["0123456789"]);
    let batches: Vec<Batch> = (1..11).map(one).collect();
    let full = || disk.fail(Call::Write, ".log", StorageFull);
    for result in in_one_drain(&log, &batches, full) {
        let refused = result.unwrap_err();
        assert!(
            matches!(refused, AppendError::Log(LogError::DiskFull { .. })),
            "{refused}"
        );
    }
    disk.heal();
    assert!(rig.dir.failure().is_none());
    assert_eq!((log.handle.view().log_end(), log.values(0).len()), (1, 1));
    for (batch, offset) in batches.iter().zip(1..) {
        let appended = log.append(batch).unwrap();
        assert_eq!((appended.base_offset, appended.duplicate), (offset, false));
    }
}

#[test]
fn cuts_that_fail_are_failures() {
    for (call, suffix) in [
        (Call::SetLen, ".log"),
        (Call::Rename, "state"),
        (Call::SyncDir, "t-0"),
        (Call::Read, ".log"),
    ] {
        let (disk, rig) = rig();
        let log = rig.open(LOG);
        log.put(&["a"]);
        log.put(&["b"]);
        disk.fail(call, suffix, EIO);
        let cut = log.ask(|handle: &LogHandle, done| handle.truncate(1, done));
        assert!(is_offline(cut), "{call:?}");
        assert_offline(&disk, &rig, &[&log]);
    }
    let (disk, rig) = rig();
    let log = rig.open(LOG);
    log.put(&["a"]);
    disk.fail(Call::Remove, ".log", EIO);
    assert!(is_offline(
        log.ask(|handle, done| handle.restart_at(5, done))
    ));
    assert_offline(&disk, &rig, &[&log]);
}

#[test]
fn a_delete_that_fails_is_a_failure() {
    let (disk, rig) = rig();
    let (log, other) = (rig.open(LOG), rig.open("u-0"));
    log.put(&["a"]);
    disk.fail(Call::Rename, ".delete", EIO);
    assert!(is_offline(log.ask(LogHandle::delete)));
    assert_offline(&disk, &rig, &[&other]);
}

#[test]
fn a_proof_that_cannot_be_written_is_a_failure() {
    let (disk, rig) = rig();
    let log = rig.open(LOG);
    log.put(&["a"]);
    disk.fail(Call::Rename, "clean-shutdown", EIO);
    assert!(is_offline(rig.writers.stop()));
}

#[test]
fn a_log_that_cannot_be_synced_at_the_stop_leaves_no_proof() {
    let (disk, rig) = rig();
    let config = LogConfig {
        durability: Durability::PageCache,
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config);
    log.put(&["a"]);
    disk.fail(Call::Sync, ".log", EIO);
    assert!(is_offline(rig.writers.stop()));
    assert!(!rig.path().join("clean-shutdown").exists());
}

#[test]
fn preallocation_that_finds_no_room_is_gone_without_and_one_that_fails_is_a_failure() {
    let (disk, rig) = rig();
    let config = LogConfig {
        preallocate: true,
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config.clone());
    let other = rig.open_with("second-0", config);
    disk.fail(Call::Allocate, ".log", StorageFull);
    assert_eq!(log.put(&["a"]), 0);
    disk.heal();
    disk.fail(Call::Allocate, ".log", EIO);
    assert!(other.append(&batch(log.now, &["a"])).is_err());
    assert_offline(&disk, &rig, &[&log, &other]);
}

#[test]
fn reads_that_fail_harm_nobody_else() {
    let options = WritersOptions {
        hot_bytes: 0,
        ..options()
    };
    let (disk, rig) = rig_with(options);
    let log = rig.open(LOG);
    log.put(&["a"]);
    let spec = ReadSpec {
        from: 0,
        max_bytes: 100,
        upper_bound: Offset::MAX,
        at_least_one: true,
    };
    let view = log.handle.view();
    disk.fail(Call::Read, ".log", EIO);
    assert!(matches!(
        view.read_blocking(&spec),
        Err(ReadError::Io { .. })
    ));
    let query = freshet_log::TimeQuery::AtOrAfter(Timestamp(0));
    assert!(matches!(
        view.find_time_blocking(query, 9),
        Err(ReadError::Io { .. })
    ));
    disk.fail(Call::Cached, ".log", EIO);
    assert!(matches!(view.read(&spec), Err(ReadError::Io { .. })));
    disk.heal();
    disk.fail(Call::Cached, ".log", WouldBlock);
    assert!(matches!(view.read(&spec), Ok(Read::Cold)));
    assert_eq!(view.read_blocking(&spec).unwrap().next_offset, 1);
    assert_eq!(view.failure(), None);
    assert_eq!(log.put(&["b"]), 1);
}

#[test]
fn indexes_and_removals_that_fail_harm_nobody() {
    let (disk, rig) = rig();
    let config = LogConfig {
        segment_bytes: 100,
        retention_ms: Some(1),
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config);
    disk.fail(Call::Open, ".index", PermissionDenied);
    disk.fail(Call::Remove, "", PermissionDenied);
    for _ in 0..3 {
        // Large enough for an index file to be tried.
        log.append(&large(log.now, 1_048_510)).unwrap();
    }
    log.wait_flushed(3);
    eventually("an index was tried", || {
        disk.count(Call::Open, ".index") > 0
    });
    let now = Timestamp(log.now.0 + 1000);
    let gone = log.ask(|handle: &LogHandle, done| handle.retain(now, 2, done));
    assert_eq!(gone.unwrap().segments, 2);
    eventually("removal was tried", || {
        disk.count(Call::Remove, ".index") > 0
    });
    assert_eq!(log.put(&["x"]), 3);
    disk.heal();
    drop(log);
    // What could not be removed is found and removed by the next open.
    let rig = rig.crash();
    let log = rig.open(LOG);
    assert_eq!(log.handle.view().log_start(), 2);
}

#[test]
fn a_log_whose_age_cannot_be_told_is_kept() {
    let (disk, rig) = rig();
    let config = LogConfig {
        segment_bytes: 100,
        retention_ms: Some(1),
        ..LogConfig::default()
    };
    let log = rig.open_with(LOG, config.clone());
    for _ in 0..3 {
        log.put(&["0123456789"]);
    }
    drop(log);
    let rig = rig.crash();
    let log = rig.open_with(LOG, config);
    disk.fail(Call::Read, ".log", EIO);
    disk.fail(Call::Read, ".index", EIO);
    let now = Timestamp(log.now.0 + 1000);
    let kept = log.ask(|handle: &LogHandle, done| handle.retain(now, 3, done));
    assert_eq!(kept.unwrap().segments, 0);
}

#[test]
fn directories_that_cannot_be_opened_say_why() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("logs");
    for call in [Call::Create, Call::List, Call::Space, Call::SyncDir] {
        let disk = Arc::new(FaultyDisk::default());
        disk.fail(call, "", PermissionDenied);
        let refused = LogDir::open(Arc::<FaultyDisk>::clone(&disk), &path).unwrap_err();
        assert!(
            matches!(refused, OpenError::Io { .. }),
            "{call:?}: {refused}"
        );
        let _ = std::fs::remove_dir_all(&path);
    }
}

#[test]
fn logs_that_cannot_be_opened_say_why_and_can_be_tried_again() {
    let (disk, rig) = rig();
    disk.fail(Call::Create, LOG, StorageFull);
    let refused = rig.try_open(LOG, TOPIC, LogConfig::default()).err();
    assert!(matches!(refused, Some(OpenError::Io { .. })));
    disk.heal();
    let log = rig.open(LOG);
    log.put(&["a"]);
    drop(log);
    let rig = rig.crash();
    for (call, suffix) in [
        (Call::List, LOG),
        (Call::Read, "state"),
        (Call::Read, ".log"),
    ] {
        disk.fail(call, suffix, EIO);
        let refused = rig.try_open(LOG, TOPIC, LogConfig::default()).err();
        assert!(
            matches!(refused, Some(OpenError::Io { .. })),
            "{call:?} {refused:?}"
        );
        disk.heal();
    }
    assert_eq!(rig.open(LOG).values(0).len(), 1);
}

#[test]
fn a_stray_that_cannot_be_renamed_says_why() {
    let (disk, rig) = rig();
    let log = rig.open(LOG);
    let name = log.handle.view().name().clone();
    log.ask(LogHandle::close).unwrap();
    disk.fail(Call::Rename, ".delete", PermissionDenied);
    let refused = rig.writers.remove_stray(&rig.dir, &name);
    assert!(matches!(refused, Err(OpenError::Io { .. })));
    disk.heal();
    rig.writers.remove_stray(&rig.dir, &name).unwrap();
}

#[test]
fn a_panic_on_an_append_thread_is_told_to_everybody() {
    let (disk, rig) = rig_with(WritersOptions {
        append_threads: 1,
        ..options()
    });
    let (log, other) = (rig.open(LOG), rig.open("u-0"));
    other.put(&["a"]);
    log.handle
        .roll(Box::new(|_| panic!("a callback that must not")))
        .unwrap();
    eventually("everybody is told", || {
        other.progress.failed.lock().unwrap().is_some()
    });
    disk.heal();
    let refused = other.append(&batch(log.now, &["late"])).unwrap_err();
    assert!(matches!(refused, AppendError::Log(_)));
    assert!(rig.writers.stop().is_err() || !rig.path().join("clean-shutdown").exists());
}

#[test]
fn a_panic_on_a_reader_thread_ends_the_job_only() {
    let (_disk, rig) = rig_with(WritersOptions {
        read_threads: 1,
        ..options()
    });
    let log = rig.open(LOG);
    log.put(&["a"]);
    let view = log.handle.view();
    let query = freshet_log::TimeQuery::Max;
    let bad = Box::new(|_| panic!("a callback that must not"));
    view.find_time(query, Offset::MAX, bad).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let good = Box::new(move |found: Result<_, _>| tell.send(found.is_ok()).unwrap());
    view.find_time(query, Offset::MAX, good).unwrap();
    assert_eq!(told.recv(), Ok(true));
}

#[test]
fn reads_beside_cuts_give_whole_answers() {
    let rig = Rig::with(
        Arc::new(freshet_env::SystemDisk),
        WritersOptions {
            hot_bytes: 0,
            ..options()
        },
    );
    let log = rig.open(LOG);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let view = log.handle.view();
            while !done.load(SeqCst) {
                let spec = ReadSpec {
                    from: 0,
                    max_bytes: 1 << 20,
                    upper_bound: Offset::MAX,
                    at_least_one: true,
                };
                let fetched = view.read_blocking(&spec).unwrap();
                let bytes: bytes::Bytes = fetched.chunks.concat().into();
                for batch in freshet_records::Batches::new(bytes) {
                    batch.unwrap().check_crc().unwrap();
                }
                let query = freshet_log::TimeQuery::AtOrAfter(Timestamp(0));
                view.find_time_blocking(query, Offset::MAX).unwrap();
            }
        });
        for round in 0..60_i64 {
            for i in 0..5 {
                let value = "v".repeat(usize::try_from(round * 7 + i * 100).unwrap());
                log.append(&batch(log.now, &[&value])).unwrap();
            }
            let end = log.handle.view().log_end();
            let cut = log.ask(|handle: &LogHandle, done| handle.truncate(end - 4, done));
            log.progress.flushed.fetch_min(cut.unwrap(), SeqCst);
        }
        done.store(true, SeqCst);
        reader.join().unwrap();
    });
}
