//! Reading: limits, sources, and lookups by time.

use bytes::Bytes;
use freshet_log::{
    LogConfig, LogHandle, Origin, Read, ReadError, ReadSpec, TimeQuery, TimedOffset, WritersOptions,
};
use freshet_records::{Batch, BatchBuilder, Codec, NewRecord, TimestampType};
use freshet_types::{ErrorKind, Offset, Timestamp};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::channel;

use crate::support::{
    Rig, TestLog, batch, edit, eventually, large, last_file, options, pause, segments,
};

/// Nothing stays in memory: every read goes to a file.
fn cold() -> Rig {
    let options = WritersOptions {
        hot_bytes: 0,
        open_segments: 2,
        ..options()
    };
    Rig::with(Arc::new(freshet_env::SystemDisk), options)
}

fn spec(from: Offset, max_bytes: usize, upper_bound: Offset, at_least_one: bool) -> ReadSpec {
    ReadSpec {
        from,
        max_bytes,
        upper_bound,
        at_least_one,
    }
}

/// Batches of 3 records at offsets 0, 3, 6, …; the sizes cross every copying rule.
fn fill(log: &TestLog, count: usize) -> Vec<usize> {
    let sizes = [10, 5000, 300, 70_000, 90];
    let add = |i: usize| {
        let value = "v".repeat(sizes[i % sizes.len()]);
        let batch = batch(log.now, &[&value, "b", "c"]);
        log.append(&batch).unwrap();
        batch.bytes().len()
    };
    (0..count).map(add).collect()
}

#[test]
fn limits_are_kept_from_memory_and_from_files() {
    for rig in [Rig::new(), cold()] {
        let log = rig.open("t-0");
        let sizes = fill(&log, 10);
        let view = log.handle.view();
        let bytes_from = |from: Offset, max_bytes: usize, upper: Offset, one: bool| {
            view.read_blocking(&spec(from, max_bytes, upper, one))
                .unwrap()
        };
        for from in 0..30 {
            let first = usize::try_from(from).unwrap() / 3;
            for count in 1..=10 - first {
                let exact: usize = sizes[first..first + count].iter().sum();
                let fetched = bytes_from(from, exact, Offset::MAX, false);
                assert_eq!(fetched.bytes, exact, "from {from}, {count} batches");
                assert_eq!(fetched.next_offset, 3 * (first + count) as Offset);
                let less = bytes_from(from, exact - 1, Offset::MAX, false);
                assert_eq!(less.bytes, exact - sizes[first + count - 1]);
            }
            let one = bytes_from(from, 1, Offset::MAX, true);
            assert_eq!(one.bytes, sizes[first], "at least one");
            let bounded = bytes_from(from, 1 << 30, 13, true);
            let upto: usize = sizes[first.min(4)..4].iter().sum();
            assert_eq!(
                bounded.bytes, upto,
                "from {from}, batches that reach 13 are left out"
            );
        }
        let nothing = bytes_from(30, 1 << 20, Offset::MAX, true);
        assert_eq!(
            (nothing.bytes, nothing.next_offset, nothing.log_end),
            (0, 30, 30)
        );
    }
}

#[test]
fn offsets_outside_of_the_log_are_named() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    fill(&log, 3);
    log.ask(|handle: &LogHandle, done| handle.trim(4, done))
        .unwrap();
    let view = log.handle.view();
    for offset in [-1, 3, 10] {
        let error = view.read(&spec(offset, 100, 99, true)).unwrap_err();
        let expected = ReadError::OutOfRange {
            offset,
            start: 4,
            end: 9,
        };
        assert_eq!(error, expected);
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    // The batch that holds the log start comes whole.
    let fetched = view.read_blocking(&spec(4, 1, 99, true)).unwrap();
    assert_eq!((fetched.next_offset, fetched.log_start), (6, 4));
}

#[test]
fn tail_readers_touch_no_file() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    fill(&log, 5);
    let view = log.handle.view();
    match view.read(&spec(0, 1 << 20, Offset::MAX, true)).unwrap() {
        Read::Ready(fetched) => assert_eq!(fetched.next_offset, 15),
        Read::Cold => panic!("just written"),
    }
    let metrics = rig.writers.metrics();
    assert!(metrics.hot_read_bytes.load(SeqCst) > 0);
    assert_eq!(metrics.file_read_bytes.load(SeqCst), 0);
}

#[test]
fn the_hot_tail_has_a_budget_over_all_logs() {
    let rig = Rig::with(
        Arc::new(freshet_env::SystemDisk),
        WritersOptions {
            hot_bytes: 100_000,
            append_threads: 1,
            ..options()
        },
    );
    let logs = [rig.open("a-0"), rig.open("b-0")];
    for _ in 0..10 {
        for log in &logs {
            log.append(&large(log.now, 20_000)).unwrap();
        }
    }
    let metrics = rig.writers.metrics();
    for log in &logs {
        assert_eq!(log.batches(0, 1 << 20).len(), 10);
        log.batches(9, 1 << 20);
    }
    let hot = metrics.hot_read_bytes.load(SeqCst);
    assert!((40_000..=100_000).contains(&hot), "{hot}");
}

#[test]
fn cold_reads_answer_on_reader_threads() {
    let rig = cold();
    let log = rig.open("t-0");
    let sizes = fill(&log, 4);
    let (tell, told) = channel();
    let done = Box::new(move |result| tell.send(result).unwrap());
    let view = log.handle.view();
    view.read_cold(spec(0, 1 << 20, Offset::MAX, true), done)
        .unwrap();
    let fetched: freshet_log::Fetched = told.recv().unwrap().unwrap();
    assert_eq!(fetched.bytes, sizes.iter().sum::<usize>());
    assert_eq!(rig.writers.metrics().cold_reads.load(SeqCst), 1);
    let (tell, told) = channel();
    let done = Box::new(move |result| tell.send(result).unwrap());
    view.find_time(TimeQuery::Max, Offset::MAX, done).unwrap();
    assert_eq!(told.recv().unwrap().unwrap().unwrap().offset, 0);
}

#[test]
fn a_batch_with_a_flipped_bit_is_not_handed_out() {
    let rig = cold();
    let log = rig.open("t-0");
    fill(&log, 5);
    log.flush();
    let sizes: Vec<usize> = log
        .batches(0, 1 << 20)
        .iter()
        .map(|b| b.bytes().len())
        .collect();
    let damaged = sizes[0] + sizes[1] + 100;
    edit(&last_file(&rig.log_path("t-0"), ".log"), |bytes| {
        bytes[damaged] ^= 4
    });
    let view = log.handle.view();
    let before = view
        .read_blocking(&spec(0, 1 << 20, Offset::MAX, true))
        .unwrap();
    assert_eq!(before.next_offset, 6, "what is whole is handed out");
    let error = view
        .read_blocking(&spec(6, 1 << 20, Offset::MAX, true))
        .unwrap_err();
    assert!(
        matches!(error, ReadError::Corrupt { offset: 6, .. }),
        "{error}"
    );
    let behind = view
        .read_blocking(&spec(9, 1 << 20, Offset::MAX, true))
        .unwrap();
    assert_eq!(behind.next_offset, 15, "other offsets can be read");
    assert_eq!(rig.writers.metrics().corrupt_reads.load(SeqCst), 1);
    assert_eq!(view.failure(), None);
}

#[test]
fn many_segments_are_read_with_few_open_files() {
    let rig = cold();
    let config = LogConfig {
        segment_bytes: 6000,
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    fill(&log, 40);
    assert!(segments(&rig.log_path("t-0")).len() > 10);
    for from in [0, 50, 119, 7, 90] {
        let first = &log.batches(from, 10_000)[0];
        assert_eq!(first.header().base_offset, from / 3 * 3);
    }
}

#[test]
fn damaged_and_missing_indexes_are_rebuilt() {
    for meddle in [
        (|path: &std::path::Path| std::fs::remove_file(path).unwrap()) as fn(&std::path::Path),
        |path| edit(path, |bytes| bytes[10] ^= 1),
        |path| edit(path, Vec::clear),
        |_| {},
    ] {
        let rig = cold();
        let log = rig.open("t-0");
        fill(&log, 90);
        log.roll();
        fill(&log, 80);
        drop(log);
        let rig = rig.restart_after(|dir| {
            let log = dir.join("t-0");
            let names: Vec<_> = segments(&log);
            for (name, _) in names {
                meddle(&log.join(name.replace(".log", ".index")));
            }
        });
        let log = rig.open("t-0");
        for from in [0, 31, 269, 270, 300, 509] {
            let first = &log.batches(from, 1)[0];
            assert_eq!(first.header().base_offset, from / 3 * 3);
        }
    }
}

/// Timestamps 10, 30, 20 in the first batch, 25 in the second, 40, 40 in the third, none at last.
fn timed(log: &TestLog) {
    for times in [&[10, 30, 20][..], &[25], &[40, 40], &[-1]] {
        let mut builder = BatchBuilder::new(Codec::Lz4);
        for time in times {
            let record = NewRecord {
                timestamp: Timestamp(*time),
                value: Some(b"v"),
                ..NewRecord::default()
            };
            builder.push(&record).unwrap();
        }
        log.append(&builder.finish().unwrap()).unwrap();
    }
}

fn at_or_after(log: &TestLog, time: i64, upper: Offset) -> Option<(Offset, i64)> {
    let query = TimeQuery::AtOrAfter(Timestamp(time));
    let found = log.handle.view().find_time_blocking(query, upper).unwrap();
    found.map(|found| (found.offset, found.timestamp.0))
}

#[test]
fn lookups_by_time_are_exact() {
    for rolled in [false, true] {
        let rig = cold();
        let config = LogConfig {
            segment_bytes: if rolled { 100 } else { 1 << 20 },
            ..LogConfig::default()
        };
        let log = rig.open_with("t-0", config);
        timed(&log);
        let table = [
            (0, Some((0, 10))),
            (10, Some((0, 10))),
            (11, Some((1, 30))),
            (30, Some((1, 30))),
            (31, Some((4, 40))),
            (40, Some((4, 40))),
            (41, None),
        ];
        for (time, expected) in table {
            assert_eq!(
                at_or_after(&log, time, Offset::MAX),
                expected,
                "{time} {rolled}"
            );
        }
        assert_eq!(at_or_after(&log, 31, 4), None, "above the bound");
        let max = |upper| {
            log.handle
                .view()
                .find_time_blocking(TimeQuery::Max, upper)
                .unwrap()
        };
        let expected = TimedOffset {
            offset: 4,
            timestamp: Timestamp(40),
            leader_epoch: 0,
        };
        assert_eq!(max(Offset::MAX), Some(expected));
        assert_eq!(max(4).map(|found| found.offset), Some(1));
        assert_eq!(max(0), None);

        // Behind a trim, offsets below the start do not count.
        log.ask(|handle, done| handle.trim(2, done)).unwrap();
        assert_eq!(at_or_after(&log, 11, Offset::MAX), Some((2, 20)));
        assert_eq!(at_or_after(&log, 0, Offset::MAX), Some((2, 20)));
        log.ask(|handle, done| handle.trim(6, done)).unwrap();
        assert_eq!(at_or_after(&log, 0, Offset::MAX), None);
        assert_eq!(max(Offset::MAX), None, "no record has a time");
    }
}

#[test]
fn append_times_need_no_look_inside() {
    let rig = cold();
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    log.put(&["a", "b"]);
    rig.clock.advance(10);
    log.put(&["c", "d"]);
    assert_eq!(
        at_or_after(&log, log.now.0 + 1, Offset::MAX),
        Some((2, log.now.0 + 10))
    );
    log.ask(|handle, done| handle.trim(3, done)).unwrap();
    assert_eq!(at_or_after(&log, 0, Offset::MAX), Some((3, log.now.0 + 10)));
}

#[test]
fn readers_run_beside_the_writer() {
    let rig = Rig::with(
        Arc::new(freshet_env::SystemDisk),
        WritersOptions {
            hot_bytes: 20_000,
            ..options()
        },
    );
    let config = LogConfig {
        segment_bytes: 50_000,
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    let batches: Vec<Batch> = (0..400)
        .map(|i| large(log.now, 50 + i * 7 % 3000))
        .collect();
    let view = log.handle.view().clone();
    let all: Bytes = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut next = 0;
            let mut all = Vec::new();
            while next < 400 {
                let fetched = view
                    .read_blocking(&spec(next, 9000, Offset::MAX, true))
                    .unwrap();
                next = fetched.next_offset;
                all.extend(fetched.chunks.concat());
            }
            all
        });
        for batch in &batches {
            log.append_as(batch.bytes().clone(), Origin::Client, 0)
                .unwrap();
        }
        reader.join().unwrap().into()
    });
    let read: Vec<Batch> = freshet_records::Batches::new(all)
        .map(|b| b.unwrap())
        .collect();
    assert_eq!(read.len(), 400);
    for (read, sent) in read.iter().zip(&batches) {
        assert_eq!(read.bytes()[16..], sent.bytes()[16..]);
    }
}

#[test]
fn nothing_is_held_of_a_deleted_log_whose_records_were_hot() {
    let rig = Rig::new();
    // The threads have a little to do at first.
    let holders = (0..50).map(|_| {
        pause();
        Arc::strong_count(&rig.dir)
    });
    let before = holders.min().unwrap();
    let log = rig.open("t-0");
    log.put(&["a"]);
    assert!(Arc::strong_count(&rig.dir) > before);
    log.ask(|handle, done| handle.delete(done)).unwrap();
    drop(log);
    eventually("the log is let go", || {
        Arc::strong_count(&rig.dir) == before
    });
}
