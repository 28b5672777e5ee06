//! What is stored, what is refused, and what is answered.

use bytes::Bytes;
use freshet_log::{
    AppendError, Cleanup, Durability, LogConfig, LogError, LogHandle, OpenError, Origin,
};
use freshet_records::{Batch, BatchBuilder, Codec, NewRecord, Producer, TimestampType};
use freshet_types::{ErrorKind, Timestamp, TopicId};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use crate::faulty::{Call, FaultyDisk};
use crate::support::{Rig, batch, build, eventually, large, options, session, synced_after};

#[test]
fn offsets_count_up_and_bytes_come_back() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    assert_eq!(log.put(&["a", "b"]), 0);
    assert_eq!(log.put(&["c"]), 2);
    let view = log.handle.view();
    assert_eq!(
        (view.log_start(), view.log_end(), view.flushed()),
        (0, 3, 3)
    );
    assert_eq!(log.progress.appended.load(SeqCst), 3);
    assert_eq!(log.progress.flushed.load(SeqCst), 3);
    let stored = log.batches(0, 1 << 20);
    assert_eq!(stored.len(), 2);
    assert_eq!(stored[1].header().base_offset, 2);
    let expected = [(0, "a"), (1, "b"), (2, "c")];
    let expected = expected.map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(log.values(0), expected);
    let written = view.size_bytes();
    let on_disk = rig.dir_bytes("t-0");
    assert!((written..written + 8192).contains(&on_disk), "{on_disk}");
    log.ask(LogHandle::close).unwrap();
    assert_eq!(
        written,
        rig.dir_bytes("t-0"),
        "zeros are cut off at the end"
    );
}

impl Rig {
    fn dir_bytes(&self, name: &str) -> u64 {
        let files = crate::support::segments(&self.log_path(name));
        files.iter().map(|(_, len)| len).sum()
    }
}

#[test]
fn the_leader_epoch_is_stored_and_older_ones_are_fenced() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let bytes = || batch(log.now, &["x"]).bytes().clone();
    log.append_as(bytes(), Origin::Client, 3).unwrap();
    log.append_as(bytes(), Origin::Client, 5).unwrap();
    let refused = log.append_as(bytes(), Origin::Client, 4).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Fenced);
    let epochs: Vec<_> = log
        .batches(0, 1 << 20)
        .iter()
        .map(|b| b.header().leader_epoch)
        .collect();
    assert_eq!(epochs, [3, 5]);
    let view = log.handle.view();
    assert_eq!(view.latest_epoch(), Some((5, 1)));
    assert_eq!(
        (view.epoch_at(0), view.epoch_at(1), view.epoch_at(2)),
        (Some(3), Some(5), None)
    );
    assert_eq!(view.end_offset_for_epoch(3).end_offset, 1);

    log.ask(|handle: &LogHandle, done| handle.start_epoch(9, done))
        .unwrap();
    assert_eq!(view.latest_epoch(), Some((9, 2)));
    let stale = log.ask(|handle: &LogHandle, done| handle.start_epoch(8, done));
    assert_eq!(
        stale,
        Err(LogError::Fenced {
            given: 8,
            latest: 9
        })
    );

    log.ask(|handle: &LogHandle, done| handle.fence(11, done))
        .unwrap();
    // No record is of epoch 9: whoever says that its last one is would be sent back for ever.
    assert_eq!(
        view.latest_epoch(),
        Some((5, 1)),
        "and a fence is not stored"
    );
    let late = log.append_as(bytes(), Origin::Client, 10).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced);
    log.append_as(bytes(), Origin::Client, 11).unwrap();
}

#[test]
fn damaged_and_forbidden_batches_are_refused() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let good = batch(log.now, &["a", "b"]);
    let broken = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.bytes().to_vec();
        change(&mut bytes);
        Bytes::from(bytes)
    };
    let control = build(BatchBuilder::new(Codec::None).control(), log.now, &["c"]);
    let empty = BatchBuilder::new(Codec::None).finish().unwrap();
    let twice = [good.bytes().as_ref(), good.bytes().as_ref()].concat();
    let table: [(&str, Bytes, ErrorKind); 8] = [
        ("flipped", broken(&|b| b[70] ^= 1), ErrorKind::Corrupt),
        ("cut", good.bytes().slice(..70), ErrorKind::Corrupt),
        ("magic 1", broken(&|b| b[16] = 1), ErrorKind::Invalid),
        (
            "short length",
            broken(&|b| b[8..12].fill(0)),
            ErrorKind::Corrupt,
        ),
        ("nothing", Bytes::new(), ErrorKind::Invalid),
        ("control", control.bytes().clone(), ErrorKind::Invalid),
        ("no records", empty.bytes().clone(), ErrorKind::Invalid),
        ("two batches", twice.into(), ErrorKind::Invalid),
    ];
    for (name, bytes, kind) in table {
        let refused = log.append_as(bytes, Origin::Client, 0).unwrap_err();
        assert_eq!(refused.kind(), kind, "{name}: {refused}");
    }
    assert_eq!(log.handle.view().log_end(), 0, "nothing was stored");
    assert_eq!(rig.writers.metrics().refused.load(SeqCst), 8);
}

#[test]
fn coordinators_may_write_control_and_several_batches_at_once() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let control = build(BatchBuilder::new(Codec::None).control(), log.now, &["c"]);
    let two = [
        control.bytes().as_ref(),
        batch(log.now, &["a", "b"]).bytes(),
    ]
    .concat();
    let appended = log.append_as(two.into(), Origin::Coordinator, 1).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (0, 2));
    assert_eq!(log.batches(0, 1 << 20).len(), 2);
}

#[test]
fn replicas_keep_offsets_and_epochs_and_must_not_go_back() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let at = |offset, epoch| {
        let builder = BatchBuilder::new(Codec::None).at(offset, epoch);
        build(builder, log.now, &["r"]).bytes().clone()
    };
    let gap = [at(4, 2).as_ref(), at(7, 3).as_ref()].concat();
    let appended = log.append_as(gap.into(), Origin::Replica, -1).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (4, 7));
    let back = log.append_as(at(7, 3), Origin::Replica, -1).unwrap_err();
    assert_eq!(back, AppendError::NotNext { base: 7, end: 8 });
    let old = log.append_as(at(8, 2), Origin::Replica, -1).unwrap_err();
    assert_eq!(old.kind(), ErrorKind::Fenced);
    let offsets: Vec<_> = log
        .batches(0, 1 << 20)
        .iter()
        .map(|b| b.header().base_offset)
        .collect();
    assert_eq!(offsets, [4, 7], "a gap is read over");
    assert_eq!(log.handle.view().end_offset_for_epoch(2).end_offset, 7);
}

#[test]
fn retries_of_a_producer_are_stored_once() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let first = session(log.now, 9, 0, &["a", "b"]);
    let stored = log.append(&first).unwrap();
    log.append(&session(log.now, 9, 2, &["c"])).unwrap();
    let again = log.append(&first).unwrap();
    assert!(again.duplicate && !stored.duplicate);
    assert_eq!((again.base_offset, again.last_offset), (0, 1));
    let gap = log.append(&session(log.now, 9, 5, &["d"])).unwrap_err();
    assert_eq!(
        gap,
        AppendError::OutOfOrderSequence {
            producer: 9,
            sequence: 5,
            last: 2
        }
    );
    assert_eq!(log.handle.view().log_end(), 3);
    assert_eq!(rig.writers.metrics().duplicates.load(SeqCst), 1);
}

#[test]
fn open_transactions_are_seen() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    log.put(&["before"]);
    let producer = Producer {
        id: 1,
        epoch: 0,
        base_sequence: 0,
    };
    let builder = BatchBuilder::new(Codec::None)
        .producer(producer)
        .transactional();
    log.append(&build(builder, log.now, &["t"])).unwrap();
    assert_eq!(log.handle.view().first_unstable(), Some(1));
    let marker = freshet_records::EndTxnMarker {
        commit: true,
        coordinator_epoch: 0,
    };
    let marker = marker.batch(1, 0, log.now).unwrap();
    log.append_as(marker.bytes().clone(), Origin::Coordinator, 0)
        .unwrap();
    assert_eq!(log.handle.view().first_unstable(), None);
}

#[test]
fn max_message_bytes_is_about_what_is_stored() {
    let rig = Rig::new();
    let config = LogConfig {
        max_message_bytes: 1000,
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config.clone());
    assert!(log.append(&large(log.now, 800)).is_ok());
    let refused = log.append(&large(log.now, 1000)).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { max: 1000, .. }));

    // What fits compressed does not fit as the topic wants it stored.
    let zipped = build(
        BatchBuilder::new(Codec::Gzip),
        log.now,
        &[&"x".repeat(5000)],
    );
    assert!(log.append(&zipped).is_ok());
    log.handle.configure(
        LogConfig {
            recompress: Some(Codec::None.into()),
            ..config
        }
        .into(),
    );
    let refused = log.append(&zipped).unwrap_err();
    assert!(matches!(refused, AppendError::TooLarge { .. }));
}

#[test]
fn compression_type_is_applied() {
    let rig = Rig::new();
    let config = LogConfig {
        recompress: Some(Codec::Zstd.into()),
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    let values = ["one", "two", "three"];
    for codec in Codec::ALL {
        log.append(&build(BatchBuilder::new(codec), log.now, &values))
            .unwrap();
    }
    let stored = log.batches(0, 1 << 20);
    assert!(
        stored
            .iter()
            .all(|b| b.header().attributes.codec() == Some(Codec::Zstd))
    );
    assert_eq!(log.values(0).len(), 15);
}

#[test]
fn timestamps_outside_of_the_window_are_refused() {
    let rig = Rig::new();
    let config = LogConfig {
        timestamp_before_max_ms: 1000,
        timestamp_after_max_ms: 500,
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    let at = |ms: i64| log.append(&batch(Timestamp(log.now.0 + ms), &["x"]));
    assert!(at(500).is_ok());
    assert!(at(-1000).is_ok());
    for late in [501, -1001] {
        let refused = at(late).unwrap_err();
        assert!(
            matches!(refused, AppendError::InvalidTimestamp { .. }),
            "{late}"
        );
    }
    // One old record behind a good one is found as well, and named.
    let mut builder = BatchBuilder::new(Codec::None);
    for ms in [0, -5000] {
        let record = NewRecord {
            timestamp: Timestamp(log.now.0 + ms),
            ..NewRecord::default()
        };
        builder.push(&record).unwrap();
    }
    match log.append(&builder.finish().unwrap()).unwrap_err() {
        AppendError::InvalidTimestamp { faults, .. } => assert_eq!(faults[0].index, 1),
        other => panic!("{other}"),
    }
}

#[test]
fn append_time_replaces_the_producers() {
    let rig = Rig::new();
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    let sent = session(Timestamp(5), 4, 0, &["a", "b"]);
    let appended = log.append(&sent).unwrap();
    assert_eq!(appended.log_append_time, log.now);
    let stored = &log.batches(0, 1 << 20)[0];
    assert_eq!(stored.header().max_timestamp, log.now);
    let times: Vec<_> = stored
        .records(1 << 20)
        .unwrap()
        .map(|r| r.unwrap().timestamp)
        .collect();
    assert_eq!(times, [log.now, log.now]);

    rig.clock.advance(50);
    let again = log.append(&sent).unwrap();
    assert_eq!(
        again.log_append_time, log.now,
        "a retry gets the first answer"
    );
}

#[test]
fn compacted_topics_need_keys() {
    let rig = Rig::new();
    let config = LogConfig {
        cleanup: Cleanup {
            delete: false,
            compact: true,
        },
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    assert!(log.append(&batch(log.now, &["with key"])).is_ok());
    let mut builder = BatchBuilder::new(Codec::Lz4);
    let keyless = NewRecord {
        timestamp: log.now,
        ..NewRecord::default()
    };
    builder.push(&keyless).unwrap();
    match log.append(&builder.finish().unwrap()).unwrap_err() {
        AppendError::InvalidRecord { faults, .. } => assert_eq!(faults[0].index, 0),
        other => panic!("{other}"),
    }
}

#[test]
fn unknown_codecs_are_refused() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let mut header = *batch(log.now, &["a"]).header();
    header.attributes.0 |= 7;
    let mut bytes = batch(log.now, &["a"]).bytes().to_vec();
    bytes[..61].copy_from_slice(&header.encode());
    let crc = freshet_records::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let refused = log.append_as(bytes.into(), Origin::Client, 0).unwrap_err();
    assert_eq!(refused, AppendError::UnsupportedCompression { codec: 7 });
}

#[test]
fn page_cache_topics_are_flushed_by_writing() {
    let rig = Rig::new();
    let config = LogConfig {
        durability: Durability::PageCache,
        flush_messages: 3,
        ..LogConfig::default()
    };
    let log = rig.open_with("t-0", config);
    let fsyncs = || rig.writers.metrics().fsyncs.count();
    log.put(&["a", "b"]);
    assert_eq!(fsyncs(), 0);
    log.put(&["c"]);
    eventually("flush.messages syncs", || fsyncs() > 0);
    assert_eq!(log.flush(), 3);
}

#[test]
fn page_cache_topics_are_synced_after_flush_ms() {
    let rig = Rig::new();
    let log = rig.open_with("t-0", synced_after(100));
    log.put(&["a"]);
    rig.clock.advance(200);
    eventually("flush.ms syncs", || {
        rig.writers.metrics().fsyncs.count() > 0
    });
}

#[test]
fn many_producers_share_writes_and_syncs() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let (tell, told) = std::sync::mpsc::channel();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    // Its callback keeps the append thread until all are queued.
    let wait = move |_| held.recv().unwrap_or(());
    log.handle.roll(Box::new(wait)).unwrap();
    let count = 3000;
    for i in 0..count {
        let tell = tell.clone();
        let batches = session(log.now, i, 0, &["v"]).bytes().clone();
        log.handle
            .append(freshet_log::Append {
                frame_bytes: batches.len(),
                batches,
                leader_epoch: 0,
                origin: Origin::Client,
                done: Box::new(move |result| tell.send(result.unwrap().base_offset).unwrap()),
            })
            .unwrap();
    }
    drop(hold);
    let offsets: Vec<_> = told.iter().take(count as usize).collect();
    assert!(offsets.iter().copied().eq(0..count), "answered in order");
    log.wait_flushed(count);
    let metrics = rig.writers.metrics();
    assert_eq!(metrics.records.load(SeqCst), count as u64);
    assert!(metrics.writes.count() <= 4, "a drain is one write");
    assert!(metrics.fsyncs.count() <= 6, "{}", metrics.fsyncs.count());
    assert_eq!(log.values(0).len(), count as usize);
}

#[test]
fn a_full_queue_is_busy_and_gives_the_callback_back() {
    let few_bytes = freshet_log::WritersOptions {
        queue_bytes: 1000,
        append_threads: 1,
        ..options()
    };
    let few_places = freshet_log::WritersOptions {
        queue_len: 8,
        append_threads: 1,
        ..options()
    };
    for options in [few_bytes, few_places] {
        let rig = Rig::with(std::sync::Arc::new(freshet_env::SystemDisk), options);
        let log = rig.open("t-0");
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = std::sync::mpsc::channel();
        let (tell, told) = std::sync::mpsc::channel();
        // Its callback keeps the append thread.
        let block = move |_| {
            begin.send(()).unwrap();
            held.recv().unwrap_or(());
        };
        log.handle.roll(Box::new(block)).unwrap();
        begun.recv().unwrap();
        let append = |tell: std::sync::mpsc::Sender<bool>| {
            let batches = large(log.now, 600).bytes().clone();
            log.handle.append(freshet_log::Append {
                frame_bytes: batches.len(),
                batches,
                leader_epoch: 0,
                origin: Origin::Client,
                done: Box::new(move |result| tell.send(result.is_ok()).unwrap()),
            })
        };
        let mut queued = 0;
        let refused = loop {
            match append(tell.clone()) {
                Ok(()) => queued += 1,
                Err(refused) => break refused,
            }
        };
        drop(tell);
        assert_eq!(refused.kind(), ErrorKind::Busy);
        assert!(told.try_recv().is_err(), "nobody was told");
        refused.tell();
        assert_eq!(told.try_recv(), Ok(false));
        drop(hold);
        assert_eq!(told.iter().collect::<Vec<_>>(), vec![true; queued]);
    }
}

#[test]
fn a_queue_that_producers_have_filled_takes_the_brokers_own_appends() {
    let options = freshet_log::WritersOptions {
        queue_bytes: 1000,
        queue_len: 8,
        append_threads: 1,
        ..options()
    };
    // Full by bytes, and by appends.
    for size in [600, 1] {
        let rig = Rig::with(
            std::sync::Arc::new(freshet_env::SystemDisk),
            options.clone(),
        );
        let log = rig.open("t-0");
        let (hold, held) = std::sync::mpsc::channel::<()>();
        // Its callback keeps the append thread.
        let wait = move |_| held.recv().unwrap_or(());
        log.handle.roll(Box::new(wait)).unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let append = |origin, size| {
            let batches = large(log.now, size).bytes().clone();
            let tell = tell.clone();
            log.handle.append(freshet_log::Append {
                frame_bytes: batches.len(),
                batches,
                leader_epoch: 0,
                origin,
                done: Box::new(move |result| tell.send(result.is_ok()).unwrap()),
            })
        };
        let mut queued = 0;
        while append(Origin::Client, size).is_ok() {
            queued += 1;
        }
        for _ in 0..100 {
            append(Origin::Coordinator, 2000).unwrap();
        }
        assert!(append(Origin::Client, size).is_err(), "it is full still");
        drop(hold);
        let answers: Vec<_> = told.iter().take(queued + 100).collect();
        assert_eq!(answers, vec![true; queued + 100]);
    }
}

#[test]
fn a_nearly_full_disk_refuses_producers_first() {
    let rig = Rig::with(
        std::sync::Arc::new(freshet_env::SystemDisk),
        freshet_log::WritersOptions {
            reserve_bytes: u64::MAX,
            ..options()
        },
    );
    let log = rig.open("t-0");
    let refused = log.append(&batch(log.now, &["a"])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    assert!(matches!(refused, AppendError::DiskFull { .. }));
    assert_eq!(log.values(0), []);
    assert_eq!(log.ask(|handle, done| handle.trim(0, done)), Ok(0));
}

#[test]
fn closed_logs_answer_closed_and_open_again() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    log.put(&["a"]);
    let double = rig.try_open("t-0", crate::support::TOPIC, LogConfig::default());
    assert!(matches!(double.err(), Some(OpenError::AlreadyOpen { .. })));
    log.ask(LogHandle::close).unwrap();
    let refused = log.append(&batch(log.now, &["b"])).unwrap_err();
    assert!(matches!(refused, AppendError::Log(LogError::Closed { .. })));
    assert!(matches!(
        log.ask(LogHandle::flush),
        Err(LogError::Closed { .. })
    ));
    assert_eq!(log.values(0).len(), 1, "the view still reads");
    let again = rig.open("t-0");
    assert_eq!(again.put(&["b"]), 1);
}

#[test]
fn commands_after_a_stop_answer_closed() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    rig.writers.stop().unwrap();
    let refused = log.append(&batch(log.now, &["b"])).unwrap_err();
    assert!(matches!(refused, AppendError::Log(LogError::Closed { .. })));
    assert!(
        rig.try_open("u-0", TopicId([1; 16]), LogConfig::default())
            .is_err()
    );
    rig.writers.stop().unwrap();
}

#[test]
fn a_deleted_log_is_gone_and_can_be_made_again() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    log.put(&["a"]);
    log.ask(LogHandle::delete).unwrap();
    assert!(!rig.log_path("t-0").exists());
    let other = rig
        .try_open("t-0", TopicId([8; 16]), LogConfig::default())
        .unwrap();
    assert_eq!(other.handle.view().log_end(), 0);
    assert_eq!(other.put(&["new life"]), 0);
    eventually("files of the old life go", || {
        std::fs::read_dir(rig.path()).unwrap().all(|entry| {
            !entry
                .unwrap()
                .file_name()
                .to_string_lossy()
                .ends_with(".delete")
        })
    });
}

#[test]
fn a_producers_own_offsets_roll_no_segment() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    for base in [1 << 40, i64::MAX, -1, i64::MIN] {
        let mut bytes = batch(log.now, &["a", "b"]).bytes().to_vec();
        bytes[..8].copy_from_slice(&i64::to_be_bytes(base));
        let appended = log.append_as(bytes.into(), freshet_log::Origin::Client, 0);
        assert!(appended.is_ok(), "{appended:?}");
    }
    assert_eq!(crate::support::segments(&rig.log_path("t-0")).len(), 1);
    assert_eq!(log.handle.view().log_end(), 8);
}

#[test]
fn a_segment_has_so_many_leaders_at_most() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    for epoch in 0..1_500 {
        let bytes = batch(log.now, &["a"]).bytes().clone();
        let appended = log.append_as(bytes, freshet_log::Origin::Client, epoch);
        assert!(appended.is_ok(), "{appended:?}");
    }
    log.roll();
    let closed = log.handle.view().closed_segments(-1, 1_500);
    let ends: Vec<_> = closed.iter().map(|it| (it.base(), it.end())).collect();
    // One more may have begun before the segment.
    assert_eq!(ends, [(0, 999), (999, 1_500)]);
}

#[test]
fn another_life_of_the_topic_is_a_conflict_until_it_is_removed() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    log.put(&["a"]);
    let name = log.handle.view().name().clone();
    let open = rig.writers.remove_stray(&rig.dir, &name);
    assert!(matches!(open, Err(OpenError::AlreadyOpen { .. })));
    log.ask(LogHandle::close).unwrap();
    let other = TopicId([9; 16]);
    let conflict = rig.try_open("t-0", other, LogConfig::default()).err();
    assert!(
        matches!(conflict, Some(OpenError::OtherTopic { .. })),
        "{conflict:?}"
    );
    let listed = rig.dir.logs();
    assert_eq!(listed, std::slice::from_ref(&name));
    assert_eq!(rig.dir.topic_id(&name), crate::support::TOPIC);
    rig.writers.remove_stray(&rig.dir, &name).unwrap();
    assert!(rig.dir.logs().is_empty());
    assert!(rig.try_open("t-0", other, LogConfig::default()).is_ok());
}

#[test]
fn batches_keep_their_bytes_but_for_the_prefix() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let sent: Vec<Batch> = vec![
        batch(log.now, &["small"]),
        large(log.now, 10_000),
        large(log.now, 200_000),
        batch(log.now, &["small again"]),
    ];
    for batch in &sent {
        log.append(batch).unwrap();
    }
    for (stored, sent) in log.batches(0, 1 << 20).iter().zip(&sent) {
        assert_eq!(stored.bytes()[16..], sent.bytes()[16..]);
    }
}

#[test]
fn a_copy_leaves_the_cache_as_it_grows_and_a_leaders_log_does_not() {
    let disk = Arc::new(FaultyDisk::default());
    let rig = Rig::with(Arc::clone(&disk) as _, options());
    let log = rig.open("t-0");
    let value = "v".repeat(1 << 20);
    let at = |offset| {
        let builder = BatchBuilder::new(Codec::None).at(offset, 1);
        build(builder, log.now, &[&value]).bytes().clone()
    };
    let grow = |origin, offsets: std::ops::Range<i64>| {
        for offset in offsets {
            log.append_as(at(offset), origin, 1).unwrap();
        }
        disk.count(Call::Forget, ".log")
    };
    assert_eq!(grow(Origin::Coordinator, 0..20), 0);
    assert_eq!(grow(Origin::Replica, 20..21), 1, "all but the last 8 MiB");
    assert_eq!(grow(Origin::Replica, 21..28), 1);
    assert_eq!(grow(Origin::Replica, 28..30), 2);
    assert_eq!(log.batches(0, 64 << 20).len(), 30, "it is all there");
}

#[test]
fn a_copy_that_consumers_read_stays_in_the_cache() {
    let disk = Arc::new(FaultyDisk::default());
    let options = freshet_log::WritersOptions {
        cache_copies: true,
        ..options()
    };
    let rig = Rig::with(Arc::clone(&disk) as _, options);
    let log = rig.open("t-0");
    let value = "v".repeat(1 << 20);
    for offset in 0..20 {
        let builder = BatchBuilder::new(Codec::None).at(offset, 1);
        let batch = build(builder, log.now, &[&value]).bytes().clone();
        log.append_as(batch, Origin::Replica, 1).unwrap();
    }
    assert_eq!(disk.count(Call::Forget, ".log"), 0);
}
