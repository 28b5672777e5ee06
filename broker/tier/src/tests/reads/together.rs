//! Readers side by side: one request for what several want, turns, what is read ahead, and bounds.

use std::sync::atomic::Ordering;

use freshet_env::objects::ObjectFailure;
use freshet_types::Offset;
use tokio::task::JoinHandle;

use super::bucket::{Fault, Tiered, from, plain, settle, stone, stones};
use crate::object::CHUNK_BYTES;
use crate::read::{ColdBatches, ColdError, ColdReader, ColdSpec, Past, ReadLimits};

type Waiting = JoinHandle<Result<ColdBatches, ColdError>>;

fn begin(reader: &ColdReader, past: &Past, spec: ColdSpec) -> Waiting {
    let (reader, past) = (reader.clone(), past.clone());
    tokio::spawn(async move { reader.read(&past, &spec).await })
}

fn by(client: u64, at: Offset) -> ColdSpec {
    ColdSpec {
        client,
        ..from(at, 1000)
    }
}

#[tokio::test]
async fn what_many_want_is_fetched_once() {
    let tiered = Tiered::whole(stones(40, 100_000)).await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    tiered.objects.hold();
    let waits: Vec<Waiting> = (0..50).map(|n| begin(&reader, &past, by(n, 3))).collect();
    settle().await;
    assert_eq!(tiered.objects.asked().len(), 1, "the end of the object");
    tiered.objects.release();
    for wait in waits {
        let got = wait.await.unwrap().unwrap();
        assert_eq!(got.chunks.concat(), tiered.stones[3].bytes);
    }
    let asked = tiered.objects.asked();
    assert_eq!((asked.len(), &asked[0]), (1, &(0..CHUNK_BYTES)));
    let counters = reader.counters();
    let counted = [
        &counters.wanted,
        &counters.hits,
        &counters.joined,
        &counters.requests,
    ];
    let counted = counted.map(|counter| counter.load(Ordering::Relaxed));
    assert_eq!(
        (counted[0], counted[1] + counted[2], counted[3]),
        (50, 49, 2)
    );
}

/// Those who stood in line for the same chunk find it under way when their turn comes.
#[tokio::test]
async fn what_many_stand_in_line_for_is_fetched_once() {
    let tiered = Tiered::whole(stones(60, 100_000)).await;
    let limits = ReadLimits {
        requests: 4,
        ..plain()
    };
    let (past, reader) = (tiered.past(), tiered.reader(limits));
    reader.read(&past, &from(59, 1)).await.unwrap();
    tiered.objects.asked();
    tiered.objects.hold();
    // In the middles of the first four chunks, and then all in that of the fifth.
    let at = [3, 13, 24, 34].into_iter().chain([45; 12]);
    let waits: Vec<Waiting> = (0..)
        .zip(at)
        .map(|(n, at)| begin(&reader, &past, by(n, at)))
        .collect();
    settle().await;
    assert_eq!(tiered.objects.asked().len(), 4);
    tiered.objects.release();
    for wait in waits {
        wait.await.unwrap().unwrap();
    }
    assert_eq!(tiered.objects.asked().len(), 1);
}

#[tokio::test]
async fn one_that_gives_up_takes_nothing_from_the_others() {
    let tiered = Tiered::whole(stones(40, 100_000)).await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    reader.read(&past, &from(39, 1)).await.unwrap();
    tiered.objects.asked();
    tiered.objects.hold();
    let first = begin(&reader, &past, by(1, 3));
    settle().await;
    let second = begin(&reader, &past, by(2, 3));
    settle().await;
    first.abort();
    settle().await;
    tiered.objects.release();
    let got = second.await.unwrap().unwrap();
    assert_eq!(got.chunks.concat(), tiered.stones[3].bytes);
    assert_eq!(tiered.objects.asked().len(), 1);
    // Even if all of them go: what was sent for is kept when it comes.
    tiered.objects.hold();
    let only = begin(&reader, &past, by(1, 25));
    settle().await;
    only.abort();
    tiered.objects.release();
    settle().await;
    assert_eq!(tiered.objects.asked().len(), 1);
    reader.read(&past, &by(3, 25)).await.unwrap();
    assert_eq!(tiered.objects.asked().len(), 0);
}

#[tokio::test]
async fn a_stream_is_read_ahead_and_a_jump_is_not() {
    // One batch is half a chunk.
    let tiered = Tiered::new(stones(80, 524_200), &[0..40, 40..80]).await;
    let limits = ReadLimits {
        ahead: 4,
        ..ReadLimits::default()
    };
    let (past, reader) = (tiered.past(), tiered.reader(limits));
    let counters = reader.counters();
    let mut most = 0;
    for at in 0..80 {
        let got = reader.read(&past, &from(at, 1)).await.unwrap();
        assert_eq!(
            got.chunks.concat(),
            tiered.stones[usize::try_from(at).unwrap()].bytes
        );
        settle().await;
        let used = counters.prefetch_hits.load(Ordering::Relaxed);
        most = most.max(counters.prefetched.load(Ordering::Relaxed) - used);
    }
    // 80 half chunks are a little more than 40 with the headers; all but the first come ahead.
    let prefetched = counters.prefetched.load(Ordering::Relaxed);
    assert!(prefetched >= 36, "{prefetched}");
    assert_eq!(counters.prefetch_hits.load(Ordering::Relaxed), prefetched);
    assert!((2..=4).contains(&most), "{most} ahead");
    let asked = tiered.objects.asked();
    let of_batches = asked.iter().filter(|range| range.start % CHUNK_BYTES == 0);
    let chunks = of_batches.map(|range| (range.end - range.start).div_ceil(CHUNK_BYTES));
    let missed = chunks.sum::<u64>() - prefetched;
    assert!(missed <= 3, "{missed} were waited for");

    let before = counters.prefetched.load(Ordering::Relaxed);
    for at in [3, 60, 20, 44, 9] {
        let jumps = tiered.reader(limits);
        jumps.read(&past, &from(at, 1)).await.unwrap();
        settle().await;
        assert_eq!(
            jumps.counters().prefetched.load(Ordering::Relaxed),
            0,
            "{at}"
        );
    }
    for at in [3, 60, 20, 44, 9] {
        reader.read(&past, &from(at, 1)).await.unwrap();
        settle().await;
    }
    assert_eq!(counters.prefetched.load(Ordering::Relaxed), before);
}

/// Prefetches that are throttled are not followed by others until the store answers again.
#[tokio::test]
async fn a_store_that_refuses_is_left_alone() {
    let tiered = Tiered::whole(stones(60, 524_200)).await;
    let (past, reader) = (tiered.past(), tiered.reader(ReadLimits::default()));
    for at in 0..4 {
        reader.read(&past, &from(at, 1)).await.unwrap();
        settle().await;
    }
    let ahead = tiered.objects.asked().len();
    tiered
        .objects
        .fault(&[Fault::Fail(ObjectFailure::Throttled); 8]);
    let mut at = 4;
    while tiered.objects.faults.lock().len() == 8 {
        reader.read(&past, &from(at, 1)).await.unwrap();
        settle().await;
        at += 1;
    }
    let refused = tiered.objects.asked().len();
    assert!(ahead > 2 && (1..=8).contains(&refused), "{ahead} {refused}");
    // In memory still, with room ahead of it.
    for again in 0..at {
        reader.read(&past, &from(again, 1)).await.unwrap();
        settle().await;
    }
    assert_eq!(tiered.objects.asked().len(), 0);
    tiered.objects.fault(&[]);
    for at in 40..46 {
        reader.read(&past, &from(at, 1)).await.unwrap();
        settle().await;
    }
    let asked = tiered.objects.asked().len();
    assert!(asked >= 5, "{asked}: it goes on");
}

#[tokio::test]
async fn a_read_of_many_chunks_asks_for_them_at_once() {
    let tiered = Tiered::whole(stones(40, 200_000)).await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    reader.read(&past, &from(39, 1)).await.unwrap();
    tiered.objects.asked();
    tiered.objects.hold();
    let wait = begin(&reader, &past, from(0, 4 << 20));
    settle().await;
    let mut asked = tiered.objects.asked();
    asked.sort_by_key(|range| range.start);
    // The first one alone, since somebody waits for it; the others by one request.
    assert_eq!(asked, [0..CHUNK_BYTES, CHUNK_BYTES..4 * CHUNK_BYTES]);
    tiered.objects.release();
    let got = wait.await.unwrap().unwrap();
    assert!(got.bytes > 3 << 20 && got.bytes <= 4 << 20);
    assert_eq!(tiered.objects.asked().len(), 0);
}

#[tokio::test]
async fn memory_and_requests_are_bounded() {
    let tiered = Tiered::new(stones(120, 262_000), &[0..60, 60..120]).await;
    let limits = ReadLimits {
        chunk_bytes: 6 << 20,
        index_bytes: 64 << 10,
        requests: 3,
        ahead: 8,
        ..ReadLimits::default()
    };
    let (past, reader) = (tiered.past(), tiered.reader(limits));
    let bound = limits.chunk_bytes + limits.index_bytes + limits.section_bytes;
    tiered.objects.peak.store(0, Ordering::SeqCst);
    for round in 0..10 {
        let waits: Vec<Waiting> = (0..12)
            .map(|n| {
                begin(
                    &reader,
                    &past,
                    by(n, (round * 17 + n.cast_signed() * 29) % 120),
                )
            })
            .collect();
        for wait in waits {
            wait.await.unwrap().unwrap();
            assert!(reader.held_bytes() <= bound, "{}", reader.held_bytes());
        }
    }
    assert!(reader.held_bytes() > 3 << 20, "it keeps what it may");
    assert_eq!(tiered.objects.peak.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn bounds_are_those_of_the_moment() {
    let tiered = Tiered::whole(stones(80, 262_000)).await;
    let limits = ReadLimits {
        requests: 2,
        ..plain()
    };
    let (past, reader) = (tiered.past(), tiered.reader(limits));
    let all = async || {
        tiered.objects.peak.store(0, Ordering::SeqCst);
        let waits: Vec<Waiting> = (0..80).map(|n| begin(&reader, &past, by(1, n))).collect();
        for wait in waits {
            wait.await.unwrap().unwrap();
        }
        tiered.objects.peak.load(Ordering::SeqCst)
    };
    assert_eq!(all().await, 2);
    let before = reader.held_bytes();
    assert!(before > 16 << 20, "{before}");
    reader.adjust(&ReadLimits {
        requests: 5,
        chunk_bytes: 4 << 20,
        ..limits
    });
    assert!(reader.held_bytes() < 5 << 20, "{}", reader.held_bytes());
    assert_eq!(all().await, 5);
    assert!(reader.held_bytes() < 5 << 20, "{}", reader.held_bytes());
    reader.adjust(&limits);
    assert_eq!(all().await, 2);
    assert_eq!(reader.held_bytes(), before);
}

/// A client with a hundred reads under way delays another one by a turn, not by a hundred.
#[tokio::test]
async fn a_greedy_client_does_not_stand_before_a_modest_one() {
    let tiered = Tiered::whole(stones(100, 524_200)).await;
    let limits = ReadLimits {
        requests: 2,
        chunk_bytes: 2 << 20,
        ..plain()
    };
    let (past, reader) = (tiered.past(), tiered.reader(limits));
    reader.read(&past, &from(99, 1)).await.unwrap();
    tiered.objects.asked();
    tiered.objects.hold();
    let greedy: Vec<Waiting> = (0..30)
        .map(|n| begin(&reader, &past, by(1, n * 2)))
        .collect();
    settle().await;
    let modest = begin(&reader, &past, by(2, 80));
    settle().await;
    assert_eq!(tiered.objects.asked().len(), 2);
    for _ in 0..2 {
        tiered.objects.answers.add_permits(1);
        settle().await;
        tiered.objects.answers.forget_permits(1);
    }
    let asked = tiered.objects.asked();
    let wanted = |start: u64| (39..=41).contains(&(start / CHUNK_BYTES));
    assert!(asked.iter().any(|range| wanted(range.start)), "{asked:?}");
    tiered.objects.release();
    modest.await.unwrap().unwrap();
    for wait in greedy {
        wait.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn too_many_who_wait_are_refused() {
    let tiered = Tiered::whole(stones(120, 100_000)).await;
    let limits = ReadLimits {
        requests: 2,
        // For one client alone, half of them.
        waiting: 10,
        ..plain()
    };
    let (past, reader) = (tiered.past(), tiered.reader(limits));
    reader.read(&past, &from(119, 1)).await.unwrap();
    // A batch in the middle of each chunk.
    let inside = |chunk: i64| chunk * (1 << 20) / 100_068 + 3;
    tiered.objects.hold();
    let waits: Vec<Waiting> = (0..10)
        .map(|n| begin(&reader, &past, by(1, inside(n))))
        .collect();
    settle().await;
    tiered.objects.release();
    let mut refused = 0;
    for wait in waits {
        match wait.await.unwrap() {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, ColdError::Busy { waiting: 5 });
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 3);
}

/// A small answer does not keep a chunk alive.
#[tokio::test]
async fn small_answers_are_copied_and_large_ones_shared() {
    let mut log = vec![stone(0, &[0], 600_000)];
    log.extend((1..2000).map(|n| stone(n, &[n], 300)));
    let tiered = Tiered::whole(log).await;
    let (past, reader) = (tiered.past(), tiered.reader(plain()));
    let one = reader.read(&past, &from(700, 1000)).await.unwrap();
    let again = reader.read(&past, &from(700, 1000)).await.unwrap();
    assert_eq!(one, again);
    assert_ne!(one.chunks[0].as_ptr(), again.chunks[0].as_ptr());
    let large = reader.read(&past, &from(0, 600_100)).await.unwrap();
    let again = reader.read(&past, &from(0, 600_100)).await.unwrap();
    assert_eq!(large.chunks.len(), 1);
    assert_eq!(large.chunks[0].as_ptr(), again.chunks[0].as_ptr());
}

/// On several threads, with some who give up: right bytes, and no place is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_read_what_was_written() {
    let tiered = Tiered::new(stones(60, 100_000), &[0..30, 25..60]).await;
    let limits = ReadLimits {
        requests: 2,
        chunk_bytes: 3 << 20,
        index_bytes: 3000,
        ..ReadLimits::default()
    };
    let (past, reader) = (tiered.past(), tiered.reader(limits));
    let mut waits = Vec::new();
    for n in 0..600_i64 {
        let at = n * 37 % 60;
        let wait = begin(&reader, &past, by(n.unsigned_abs() % 7, at));
        if n % 5 == 0 {
            wait.abort();
        } else {
            waits.push((at, wait));
        }
        if n % 40 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (at, wait) in waits {
        let got = wait.await.unwrap().unwrap();
        let stone = &tiered.stones[usize::try_from(at).unwrap()];
        assert_eq!(got.chunks.concat(), stone.bytes, "{at}");
    }
    let peak = tiered.objects.peak.load(Ordering::SeqCst);
    assert!(peak <= 2, "{peak}");
    for at in [59, 2, 40, 20, 30, 10] {
        reader.read(&past, &by(9, at)).await.unwrap();
    }
}
