//! Appends that the calling thread makes itself.

use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};

use bytes::Bytes;
use freshet_log::{Append, AppendError, Appended, Done, Here, Origin};

use crate::support::{Rig, TestLog, batch, eventually, large, session, synced_after};

fn append(batches: Bytes, done: Done<Appended, AppendError>) -> Append {
    Append {
        frame_bytes: batches.len(),
        batches,
        leader_epoch: 0,
        origin: Origin::Client,
        done,
    }
}

/// Where it went and which thread said so.
fn append_here(log: &TestLog, batches: Bytes, here: Here) -> (i64, ThreadId) {
    let (tell, told) = channel();
    let done = Box::new(move |result: Result<Appended, AppendError>| {
        let said = (result.unwrap().base_offset, thread::current().id());
        tell.send(said).unwrap();
    });
    log.handle.append_here(append(batches, done), here).unwrap();
    told.recv().unwrap()
}

#[test]
fn while_the_logs_thread_rests_the_caller_stores_and_syncs() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let me = thread::current().id();
    // Its thread may still be busy with opening, and others with an earlier sync.
    eventually("the thread rests", || {
        let bytes = batch(log.now, &["x"]).bytes().clone();
        let (base, by) = append_here(&log, bytes, Here::Syncs);
        let synced = log.handle.view().flushed() == base + 1;
        by == me && synced
    });
    let (_, by) = append_here(&log, large(log.now, 100_000).bytes().clone(), Here::Syncs);
    assert_ne!(by, me, "much is worth a thread");
}

#[test]
fn who_others_wait_for_writes_only_while_appends_come_now_and_then() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let me = thread::current().id();
    let bytes = || batch(log.now, &["x"]).bytes().clone();
    let (_, by) = append_here(&log, bytes(), Here::Writes);
    assert_ne!(by, me, "the file must be made first");
    eventually("a lone append", || {
        rig.clock.advance(1);
        append_here(&log, bytes(), Here::Writes).1 == me
    });
    let (_, by) = append_here(&log, bytes(), Here::Writes);
    assert_ne!(by, me, "two within a moment could share a write");
    log.wait_flushed(log.handle.view().log_end());
}

#[test]
fn what_was_asked_for_before_is_done_before() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    let (hold, held) = channel::<()>();
    let (begin, begun) = channel();
    let block = move |_| {
        begin.send(()).unwrap();
        held.recv().unwrap_or(());
    };
    log.handle.roll(Box::new(block)).unwrap();
    begun.recv().unwrap();
    let (tell, told) = channel();
    for (i, here) in [None, Some(Here::Syncs), None, Some(Here::Writes)]
        .iter()
        .enumerate()
    {
        let tell = tell.clone();
        let done = Box::new(move |result: Result<Appended, AppendError>| {
            tell.send((i, result.unwrap().base_offset)).unwrap();
        });
        let append = append(batch(log.now, &["x"]).bytes().clone(), done);
        match here {
            Some(here) => log.handle.append_here(append, *here).unwrap(),
            None => log.handle.append(append).unwrap(),
        }
    }
    drop(hold);
    let order: Vec<_> = told.iter().take(4).collect();
    assert_eq!(order, [(0, 0), (1, 1), (2, 2), (3, 3)]);
}

#[test]
fn many_threads_that_append_both_ways_lose_nothing() {
    const THREADS: i64 = 6;
    const EACH: i32 = 400;
    let rig = Rig::new();
    let log = rig.open("t-0");
    let start = Arc::new(Barrier::new(THREADS as usize));
    let (tell, told) = channel();
    thread::scope(|scope| {
        for id in 0..THREADS {
            let (log, start, tell) = (&log, Arc::clone(&start), tell.clone());
            scope.spawn(move || {
                start.wait();
                for i in 0..EACH {
                    let tell = tell.clone();
                    // Sequences of one producer: out of order, they would be refused.
                    let batches = session(log.now, id, i, &["v"]).bytes().clone();
                    let done = Box::new(move |result: Result<Appended, AppendError>| {
                        tell.send((result.unwrap().base_offset, id, i)).unwrap();
                    });
                    let append = append(batches, done);
                    match i % 3 {
                        0 => log.handle.append(append).unwrap(),
                        1 => log.handle.append_here(append, Here::Writes).unwrap(),
                        _ => log.handle.append_here(append, Here::Syncs).unwrap(),
                    }
                }
            });
        }
    });
    drop(tell);
    let count = THREADS * i64::from(EACH);
    let mut stored: Vec<_> = told.iter().take(count as usize).collect();
    stored.sort_unstable();
    assert!(stored.iter().map(|(offset, ..)| *offset).eq(0..count));
    for id in 0..THREADS {
        let of_one = stored.iter().filter(|(_, by, _)| *by == id);
        assert!(of_one.map(|(.., i)| *i).eq(0..EACH), "in the order of {id}");
    }
    log.wait_flushed(count);
    assert_eq!(log.values(0).len(), count as usize);
}

#[test]
fn flush_ms_counts_also_for_what_the_caller_wrote() {
    let rig = Rig::new();
    let log = rig.open_with("t-0", synced_after(100));
    let me = thread::current().id();
    eventually("the thread rests", || {
        append_here(&log, batch(log.now, &["x"]).bytes().clone(), Here::Syncs).1 == me
    });
    let fsyncs = || rig.writers.metrics().fsyncs.count();
    let before = fsyncs();
    rig.clock.advance(200);
    eventually("flush.ms syncs", || fsyncs() > before);
}

#[test]
fn a_panic_of_the_caller_is_told_to_everybody() {
    let rig = Rig::new();
    let log = rig.open("t-0");
    log.put(&["x"]);
    let panics = || {
        let by = thread::current().id();
        let bad = move |_| assert_ne!(thread::current().id(), by, "a callback that must not");
        let append = append(batch(log.now, &["y"]).bytes().clone(), Box::new(bad));
        log.handle.append_here(append, Here::Syncs).unwrap();
    };
    eventually("the thread rests", || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err()
    });
    assert!(
        log.handle.view().failure().is_some(),
        "its directory is offline"
    );
    let refused = log.append(&batch(log.now, &["z"]));
    assert!(refused.is_err(), "{refused:?}");
    assert!(rig.writers.stop().is_err(), "no proof of a clean stop");
}
