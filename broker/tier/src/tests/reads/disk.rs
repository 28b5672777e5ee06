//! With a disk behind the memory: what is on it is not asked for, and what is wrong on it is not read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use freshet_env::objects::ObjectFailure;
use freshet_env::{Disk, SystemDisk};
use freshet_sim::{Effect, FakeClock, FakeDisk, Fault, Op};
use freshet_types::Timestamp;
use proptest::prelude::*;

use super::bucket::{Fault as BucketFault, Tiered, from, joined, plain, stones};
use crate::object::CHUNK_BYTES;
use crate::read::{ColdReader, ColdSpec, DiskCache, DiskCacheParts, Past, ReadLimits};

/// A cache of so many chunks. Whoever reads waits as long as it takes.
pub(super) fn cache(disk: impl Disk, dir: &std::path::Path, chunks: u64) -> DiskCache {
    let parts = DiskCacheParts {
        disk: Arc::new(disk),
        dir: dir.to_owned(),
        bytes: chunks * CHUNK_BYTES,
        clock: Arc::new(FakeClock::new(Timestamp(0))),
        pause: Arc::new(|_| Box::pin(std::future::pending())),
    };
    DiskCache::start(parts).unwrap()
}

fn on(disk: &FakeDisk, chunks: u64) -> DiskCache {
    cache(disk.clone(), "/cache".as_ref(), chunks)
}

/// Memory for three chunks, so that a replay needs none twice; nothing is read ahead.
fn small() -> ReadLimits {
    ReadLimits {
        chunk_bytes: 4 << 20,
        ..plain()
    }
}

/// Fifteen chunks and a bit.
async fn tiered() -> Tiered {
    Tiered::new(stones(60, 262_000), &[0..30, 30..60]).await
}

async fn replay(reader: &ColdReader, past: &Past) -> Bytes {
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < past.manifest.remote_end() {
        let got = reader.read(past, &from(at, 300_000)).await.unwrap();
        at = got.next_offset;
        bytes.extend(got.chunks.concat());
    }
    bytes.into()
}

/// Waits until what has left memory is on the disk.
async fn written(reader: &ColdReader, chunks: u64) {
    let (counters, _) = reader.disk().unwrap();
    let wait = async {
        while counters.written_bytes.load(Ordering::Relaxed) < chunks * 900_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    waited.expect("it is not written");
}

#[tokio::test]
async fn a_second_replay_does_not_ask_the_bucket() {
    let tiered = tiered().await;
    let disk = FakeDisk::new(1);
    let (past, reader) = (
        tiered.past(),
        tiered.reader_on(small(), Some(on(&disk, 20))),
    );
    let whole = joined(&tiered.stones);
    assert_eq!(replay(&reader, &past).await, whole);
    let first = tiered.objects.asked().len();
    assert!(first >= 16, "{first} requests");
    written(&reader, 12).await;
    assert_eq!(replay(&reader, &past).await, whole);
    assert_eq!(tiered.objects.asked(), []);
    let (counters, held) = reader.disk().unwrap();
    let hits = counters.hits.load(Ordering::Relaxed);
    let misses = counters.misses.load(Ordering::Relaxed);
    assert!(hits >= 12 && misses >= 16, "{hits} hits, {misses} misses");
    assert!((12 * 900_000..=20 * CHUNK_BYTES).contains(&held), "{held}");
    // It is there even while the bucket is not.
    tiered
        .objects
        .fault(&[BucketFault::Fail(ObjectFailure::Unreachable); 9]);
    assert_eq!(replay(&reader, &past).await, whole);
}

/// A cache that is full of what is wanted again is not emptied by somebody who passes by.
#[tokio::test]
async fn a_replay_does_not_flush_what_others_read() {
    let tiered = Tiered::whole(stones(160, 262_000)).await;
    let disk = FakeDisk::new(1);
    let limits = ReadLimits {
        chunk_bytes: 12 << 20,
        ..plain()
    };
    let (past, reader) = (tiered.past(), tiered.reader_on(limits, Some(on(&disk, 4))));
    // Fifteen chunks: four for the disk, and eleven that stay in memory.
    let often = async || {
        for at in (0..60).step_by(4) {
            reader.read(&past, &from(at, 1)).await.unwrap();
        }
    };
    often().await;
    written(&reader, 4).await;
    let (counters, _) = reader.disk().unwrap();
    let before = counters.written_bytes.load(Ordering::Relaxed);
    assert_eq!(replay(&reader, &past).await, joined(&tiered.stones));
    assert_eq!(counters.written_bytes.load(Ordering::Relaxed), before);
    let hits = counters.hits.load(Ordering::Relaxed);
    often().await;
    assert!(counters.hits.load(Ordering::Relaxed) >= hits + 4);
}

/// What was read ahead and wanted by nobody is not worth a write.
#[tokio::test]
async fn what_nobody_wanted_is_not_written() {
    let tiered = Tiered::whole(stones(120, 262_000)).await;
    let disk = FakeDisk::new(1);
    let limits = ReadLimits {
        chunk_bytes: 8 << 20,
        ..ReadLimits::default()
    };
    let (past, reader) = (tiered.past(), tiered.reader_on(limits, Some(on(&disk, 40))));
    let inside = async |client: i64, chunk: i64| {
        let spec = ColdSpec {
            client: client.unsigned_abs(),
            ..from(chunk * 4 + 1, 1)
        };
        reader.read(&past, &spec).await.unwrap();
    };
    // A stream in the first chunk, for which the second one comes, and which ends there.
    for at in [0, 1] {
        reader.read(&past, &from(at, 1)).await.unwrap();
    }
    super::bucket::settle().await;
    assert_eq!(reader.counters().prefetched.load(Ordering::Relaxed), 1);
    // Those that come again take the room of those that came first.
    for round in 0..6 {
        for chunk in 4..10 {
            inside(chunk, chunk + round % 2).await;
        }
    }
    for chunk in 10..29 {
        inside(chunk, chunk).await;
    }
    written(&reader, 17).await;
    tiered.objects.asked();
    for chunk in [0, 4, 5, 6] {
        inside(50 + chunk, chunk).await;
    }
    assert_eq!(tiered.objects.asked(), []);
    inside(60, 1).await;
    let asked = tiered.objects.asked();
    assert_eq!((asked.len(), asked[0].start), (1, CHUNK_BYTES));
}

#[tokio::test]
async fn damage_on_the_disk_is_read_from_the_bucket() {
    let tiered = tiered().await;
    let disk = FakeDisk::new(1);
    let (past, reader) = (
        tiered.past(),
        tiered.reader_on(small(), Some(on(&disk, 20))),
    );
    let whole = joined(&tiered.stones);
    replay(&reader, &past).await;
    written(&reader, 12).await;
    tiered.objects.asked();
    for slot in [2, 5] {
        disk.flip_bit("/cache/chunks", slot * CHUNK_BYTES * 8 + 4321);
    }
    let flips = Fault::on(Op::Read).at("chunks").nth(9);
    disk.inject(flips.with(Effect::FlippedBit));
    assert_eq!(replay(&reader, &past).await, whole);
    let (counters, _) = reader.disk().unwrap();
    assert_eq!(counters.damaged.load(Ordering::Relaxed), 3);
    assert_eq!(tiered.objects.asked().len(), 3);
    assert_eq!(reader.counters().damaged.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_disk_that_fails_is_no_failure_of_a_read() {
    let tiered = tiered().await;
    let whole = joined(&tiered.stones);
    let past = tiered.past();
    for op in [Op::Open, Op::Read, Op::Write] {
        let disk = FakeDisk::new(1);
        let always = Fault::on(op).at("chunks").always();
        if op != Op::Read {
            disk.inject(always.clone());
        }
        let reader = tiered.reader_on(small(), Some(on(&disk, 20)));
        assert_eq!(replay(&reader, &past).await, whole, "{op:?}");
        if op == Op::Read {
            written(&reader, 12).await;
        }
        disk.inject(always);
        assert_eq!(replay(&reader, &past).await, whole, "{op:?}");
        let failed = &reader.disk().unwrap().0.failed;
        let wait = async {
            while failed.load(Ordering::Relaxed) == 0 {
                replay(&reader, &past).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        waited.expect("a failure");
        assert_eq!(replay(&reader, &past).await, whole, "{op:?}");
    }
}

/// On several threads and a real disk that has room for a part of it: right bytes, within the bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threads_read_what_was_written_with_a_disk() {
    let tiered = tiered().await;
    let folder = tempfile::tempdir().unwrap();
    let disk = cache(SystemDisk, folder.path(), 5);
    let limits = ReadLimits {
        requests: 2,
        chunk_bytes: 3 << 20,
        ..ReadLimits::default()
    };
    let (past, reader) = (tiered.past(), tiered.reader_on(limits, Some(disk)));
    let mut waits = Vec::new();
    for n in 0..800_i64 {
        let at = n * 37 % 60;
        let (reader, past) = (reader.clone(), past.clone());
        let spec = ColdSpec {
            client: n.unsigned_abs() % 7,
            ..from(at, 1000)
        };
        let wait = tokio::spawn(async move { reader.read(&past, &spec).await });
        if n % 5 == 0 {
            wait.abort();
        } else {
            waits.push((at, wait));
        }
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for (at, wait) in waits {
        let got = wait.await.unwrap().unwrap();
        let stone = &tiered.stones[usize::try_from(at).unwrap()];
        assert_eq!(got.chunks.concat(), stone.bytes, "{at}");
    }
    let (counters, held) = reader.disk().unwrap();
    assert!(counters.hits.load(Ordering::Relaxed) > 0);
    assert_eq!(counters.damaged.load(Ordering::Relaxed), 0);
    let entries = SystemDisk.list(folder.path()).unwrap();
    let on_disk: u64 = entries.iter().map(|entry| entry.len_bytes).sum();
    assert!(held <= 5 * CHUNK_BYTES && on_disk <= 5 * CHUNK_BYTES);
    let peak = tiered.objects.peak.load(Ordering::SeqCst);
    assert!(peak <= 2, "{peak}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Random reads with hardly any memory, on a disk that flips, fails and is full now and then.
    #[test]
    fn reads_are_those_of_the_log_whatever_the_disk_does(
        seed in any::<u64>(),
        chunks in 0..6_u64,
        faults in prop::collection::vec(
            (
                prop_oneof![Just(Op::Read), Just(Op::Write), Just(Op::Open)],
                prop_oneof![
                    4 => Just(Effect::FlippedBit),
                    1 => Just(Effect::Eio),
                    1 => Just(Effect::NoSpace),
                    1 => Just(Effect::Short),
                ],
                1..30_u64,
            ),
            0..8,
        ),
        reads in prop::collection::vec((0..60_i64, 0..2_000_000_usize), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let tiered = tiered().await;
            let disk = FakeDisk::new(seed);
            for (op, effect, nth) in faults {
                disk.inject(Fault::on(op).nth(nth).with(effect));
            }
            let limits = ReadLimits { chunk_bytes: 1 << 21, ..ReadLimits::default() };
            let (past, reader) = (tiered.past(), tiered.reader_on(limits, Some(on(&disk, chunks))));
            for (at, max_bytes) in reads {
                let got = reader.read(&past, &from(at, max_bytes)).await.unwrap();
                let first = usize::try_from(at).unwrap();
                let last = usize::try_from(got.next_offset).unwrap();
                prop_assert!(first < last);
                prop_assert_eq!(got.chunks.concat(), joined(&tiered.stones[first..last]).to_vec());
                let on_disk = disk.bytes("/cache/chunks").map_or(0, |bytes| bytes.len() as u64);
                prop_assert!(on_disk <= chunks * CHUNK_BYTES);
            }
            Ok(())
        })?;
    }
}
