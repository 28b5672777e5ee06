//! After a truncation, files of the records that went must not speak for those that came.

use std::time::Duration;

use freshet_log::{Durability, LogConfig, TimeQuery};
use freshet_records::{BatchBuilder, Codec, NewRecord, Producer};
use freshet_sim::{Effect, FakeDisk, Fault, Op};
use freshet_types::{Offset, Timestamp};

use crate::machine::{Machine, START, Setup, ask, send as send_to};

fn batch(sequence: Option<i32>) -> bytes::Bytes {
    batch_of(1, (0, 1000), sequence)
}

fn batch_of(
    records: usize,
    (timestamp, value_bytes): (i64, usize),
    sequence: Option<i32>,
) -> bytes::Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some(base_sequence) = sequence {
        builder = builder.producer(Producer {
            id: 7,
            epoch: 0,
            base_sequence,
        });
    }
    for _ in 0..records {
        builder
            .push(&NewRecord {
                timestamp: Timestamp(START.0 + timestamp),
                value: Some(&vec![0; value_bytes]),
                ..NewRecord::default()
            })
            .unwrap();
    }
    builder.finish().unwrap().bytes().clone()
}

/// A checkpoint that a truncation overtakes is not written, and the snapshot that it should have
/// replaced stays behind. The next life of those offsets must not start from it.
#[test]
fn a_producer_snapshot_of_records_that_were_cut_is_not_believed() {
    let mut setup = Setup::small();
    setup.options.checkpoint_bytes = 1;
    setup.options.flush_threads = 1;
    setup.config.segment_bytes = 1 << 20;
    let disk = FakeDisk::new(1);
    let machine = Machine::boot(&disk, &setup).unwrap();
    let send = |machine: &Machine, sequence| machine.send(batch(sequence), 0).wait().unwrap();
    for sequence in 0..3 {
        send(&machine, Some(sequence));
    }
    ask(|done| machine.log.flush(done)).unwrap();
    let snapshot = "/data/t-0/00000000000000000003.producers";
    assert!(
        disk.bytes(snapshot).is_some(),
        "the last of three checkpoints"
    );

    // The flush thread is busy elsewhere, so the next checkpoint waits until it is overtaken.
    let (other, _) = machine.open_with(
        "other",
        LogConfig {
            durability: Durability::PageCache,
            ..setup.config.clone()
        },
    );
    disk.inject(Fault::on(Op::Sync).at("other").with(Effect::Stall));
    send_to(&other, batch(None), 0).wait().unwrap();
    let flushing =
        freshet_env::tasks::spawn_thread("flushing", move || ask(|done| other.flush(done)));
    disk.wait_stalled(1);
    send(&machine, Some(3));
    ask(|done| machine.log.truncate(2, done)).unwrap();
    disk.resume();
    flushing.unwrap().join().unwrap().unwrap();

    // No checkpoint at offset 3 this time.
    machine
        .send(batch_of(2, (0, 1000), None), 0)
        .wait()
        .unwrap();
    send(&machine, Some(2));
    machine.seen.wait_flushed(5).unwrap();
    let killed = machine.disk.kill();
    machine.leave();
    let machine = Machine::boot(&killed, &setup).unwrap();
    ask(|done| machine.log.truncate(4, done)).unwrap();
    let appended = send(&machine, Some(2));
    assert!(!appended.duplicate, "sequence 2 was cut: {appended:?}");
    machine.leave();
}

/// Between such a snapshot and what is left there are records that nobody can read any more.
#[test]
fn a_producer_snapshot_below_the_first_segment_goes_with_the_next_open() {
    let mut setup = Setup::small();
    // Of several, one could overtake the other: a checkpoint that is not the newest is not written.
    setup.options.flush_threads = 1;
    let machine = Machine::boot(&FakeDisk::new(1), &setup).unwrap();
    let leftover = "/data/t-0/00000000000000000001.producers";
    machine
        .disk
        .inject(Fault::on(Op::Remove).exactly(leftover).always());
    for sequence in 0..3 {
        machine.send(batch(Some(sequence)), 0).wait().unwrap();
        ask(|done| machine.log.roll(done)).unwrap();
    }
    machine.send(batch(None), 0).wait().unwrap();
    ask(|done| machine.log.trim(3, done)).unwrap();
    ask(|done| machine.log.flush(done)).unwrap();
    let killed = machine.disk.kill();
    machine.leave();
    assert!(killed.bytes(leftover).is_some(), "it could not be removed");
    let machine = Machine::boot(&killed, &setup).unwrap();
    assert_eq!(killed.bytes(leftover), None);
    assert!(machine.send(batch(Some(2)), 0).wait().unwrap().duplicate);
    machine.leave();
}

const INDEX: &str = "/data/t-0/00000000000000000000.index";

/// Only large segments have index files.
fn large_segments() -> Setup {
    let mut setup = Setup::small();
    setup.config.segment_bytes = 1 << 30;
    setup
}

/// Appends records `from..5`, one a batch and all of the same size, and closes the segment.
fn fill(machine: &Machine, from: i64, first_time: i64) {
    for i in from..5 {
        let bytes = batch_of(1, (first_time + i, 300_000), None);
        machine.send(bytes, 0).wait().unwrap();
    }
    ask(|done| machine.log.roll(done)).unwrap();
    machine.seen.wait_flushed(5).unwrap();
}

/// It is written by a thread that has no hurry.
fn wait_for_index(disk: &FakeDisk) {
    for tries in 0.. {
        if disk.bytes(INDEX).is_some_and(|bytes| !bytes.is_empty()) {
            return;
        }
        assert!(tries < 2000, "no index file");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn first_after(machine: &Machine, time: i64) -> Option<Offset> {
    let query = TimeQuery::AtOrAfter(Timestamp(START.0 + time));
    let found = machine.view().find_time_blocking(query, Offset::MAX);
    found.unwrap().map(|found| found.offset)
}

/// An index file is taken for the segment's when their lengths agree.
#[test]
fn an_index_of_records_that_were_cut_is_not_believed() {
    let setup = large_segments();
    let machine = Machine::boot(&FakeDisk::new(1), &setup).unwrap();
    fill(&machine, 0, 1000);
    wait_for_index(&machine.disk);
    ask(|done| machine.log.truncate(2, done)).unwrap();
    fill(&machine, 2, 5000);
    let killed = machine.disk.kill();
    machine.leave();
    let machine = Machine::boot(&killed, &setup).unwrap();
    assert_eq!(first_after(&machine, 2000), Some(2));
    machine.leave();
}

#[test]
fn a_damaged_index_is_made_again() {
    let setup = large_segments();
    for bit in 0..60 {
        let machine = Machine::boot(&FakeDisk::new(1), &setup).unwrap();
        fill(&machine, 0, 1000);
        wait_for_index(&machine.disk);
        let killed = machine.disk.kill();
        machine.leave();
        killed.flip_bit(INDEX, bit * 11);
        let machine = Machine::boot(&killed, &setup).unwrap();
        for i in 0..5 {
            assert_eq!(first_after(&machine, 1000 + i), Some(i), "bit {bit}");
        }
        machine.leave();
    }
}
