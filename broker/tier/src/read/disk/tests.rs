use std::sync::atomic::AtomicU64;

use freshet_env::SystemDisk;
use freshet_sim::{Effect, FakeClock, FakeDisk, Fault, Op};
use freshet_types::Timestamp;

use super::*;

const DIR: &str = "/cache";
const FILE: &str = "/cache/chunks";

struct Rig {
    disk: FakeDisk,
    clock: Arc<FakeClock>,
    cache: DiskCache,
}

/// Whoever reads waits as long as it takes.
fn start(disk: &FakeDisk, clock: &Arc<FakeClock>, slots: u64) -> DiskCache {
    let parts = DiskCacheParts {
        disk: Arc::new(disk.clone()),
        dir: DIR.into(),
        // What is left of a slot is none.
        bytes: slots * CHUNK_BYTES + 5,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        pause: Arc::new(|_| Box::pin(std::future::pending())),
    };
    DiskCache::start(parts).unwrap()
}

fn key(n: u32) -> Key {
    (SegmentId([7; 16]), n)
}

fn chunk(n: u32) -> Bytes {
    n.to_be_bytes().repeat(50 + n as usize).into()
}

fn of(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

async fn until(done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    waited.expect("it takes too long");
}

impl Rig {
    /// With a file that was made.
    async fn new(slots: u64) -> Self {
        let disk = FakeDisk::new(3);
        let clock = Arc::new(FakeClock::new(Timestamp(0)));
        let cache = start(&disk, &clock, slots);
        until(|| cache.inner.volume().is_some()).await;
        Self { disk, clock, cache }
    }

    /// How much has come of what was to be written.
    fn ends(&self) -> u64 {
        let counters = self.cache.counters();
        of(&counters.written_bytes) + of(&counters.dropped) + of(&counters.failed)
    }

    /// Has it written, or refused.
    async fn write(&self, n: u32) {
        let before = self.ends();
        self.cache.offer(key(n), chunk(n));
        until(|| self.ends() > before).await;
    }

    async fn read(&self, n: u32) -> Option<Bytes> {
        let lease = self.cache.lease(&key(n))?;
        self.cache.read(lease, |bytes| bytes == chunk(n)).await
    }

    /// Reads it, as soon as there is a place in the queue.
    async fn read_in_the_end(&self, n: u32) {
        let wait = async {
            while self.read(n).await != Some(chunk(n)) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        waited.expect("it takes too long");
    }

    fn file_bytes(&self) -> u64 {
        self.disk.bytes(FILE).map_or(0, |bytes| bytes.len() as u64)
    }
}

#[tokio::test]
async fn what_was_written_is_read_and_the_bound_holds() {
    let rig = Rig::new(3).await;
    for n in 0..3 {
        rig.write(n).await;
    }
    for n in 0..3 {
        assert_eq!(rig.read(n).await, Some(chunk(n)));
    }
    // Once is not enough any more; twice is.
    rig.cache.offer(key(8), chunk(8));
    assert_eq!(rig.read(8).await, None);
    rig.write(8).await;
    assert_eq!(rig.read(8).await, Some(chunk(8)));
    for n in 10..30 {
        rig.cache.offer(key(n), chunk(n));
        rig.write(n).await;
        assert!(rig.file_bytes() <= 3 * CHUNK_BYTES);
        assert!(rig.cache.held_bytes() <= 3 * CHUNK_BYTES);
    }
    let held: usize = [27, 28, 29].map(|n| chunk(n).len()).iter().sum();
    assert_eq!(rig.cache.held_bytes(), held as u64);
    assert_eq!(of(&rig.cache.counters().hits), 4);
}

#[tokio::test]
async fn damage_is_a_miss_and_the_entry_goes() {
    let rig = Rig::new(2).await;
    rig.write(0).await;
    rig.write(1).await;
    rig.disk.flip_bit(FILE, 77);
    assert_eq!(rig.read(0).await, None);
    assert_eq!(of(&rig.cache.counters().damaged), 1);
    assert!(rig.cache.lease(&key(0)).is_none());
    // On the way: the same, whatever is on the disk.
    rig.disk
        .inject(Fault::on(Op::Read).with(Effect::FlippedBit));
    assert_eq!(rig.read(1).await, None);
    assert_eq!(of(&rig.cache.counters().damaged), 2);
    rig.write(0).await;
    assert_eq!(rig.read(0).await, Some(chunk(0)));
    assert_eq!(of(&rig.cache.counters().failed), 0);
}

#[tokio::test]
async fn a_disk_that_fails_rests_and_begins_anew() {
    for (op, effect) in [
        (Op::Read, Effect::Eio),
        (Op::Write, Effect::Eio),
        (Op::Write, Effect::PowerOff),
    ] {
        let rig = Rig::new(2).await;
        rig.write(0).await;
        rig.disk.inject(Fault::on(op).with(effect));
        match op {
            Op::Read => assert_eq!(rig.read(0).await, None),
            _ => rig.write(1).await,
        }
        let counters = rig.cache.counters();
        until(|| of(&counters.failed) == 1).await;
        assert!(rig.cache.lease(&key(0)).is_none(), "{op:?} {effect:?}");
        rig.clock.advance(REST_MS - 1);
        rig.cache.offer(key(2), chunk(2));
        assert_eq!(rig.read(2).await, None);
        assert_eq!(of(&counters.failed), 1, "it is left alone");
        if effect == Effect::PowerOff {
            continue;
        }
        rig.clock.advance(1);
        rig.write(2).await;
        assert_eq!(rig.read(2).await, Some(chunk(2)), "{op:?} {effect:?}");
        assert_eq!(rig.read(0).await, None, "nothing is believed");
    }
}

#[tokio::test]
async fn a_full_disk_gives_what_it_has() {
    let rig = Rig::new(8).await;
    rig.write(0).await;
    let used = rig.disk.used_bytes();
    rig.disk.set_capacity(used + 10);
    rig.write(1).await;
    let counters = rig.cache.counters();
    assert_eq!(of(&counters.failed), 1);
    assert_eq!(rig.read(0).await, Some(chunk(0)));
    // For a minute it is not tried again, though there is room.
    rig.disk.set_capacity(u64::MAX);
    rig.write(1).await;
    assert_eq!((of(&counters.failed), of(&counters.dropped)), (1, 1));
    rig.clock.advance(REST_MS);
    rig.write(1).await;
    assert_eq!(rig.read(1).await, Some(chunk(1)));
    assert_eq!(rig.read(0).await, Some(chunk(0)));
}

/// As many readers as the queue has places wait once; nobody after them does.
#[tokio::test]
async fn a_disk_that_hangs_holds_up_nobody_for_long() {
    let mut rig = Rig::new(100).await;
    rig.write(0).await;
    rig.cache.pause = Arc::new(|wait| Box::pin(tokio::time::sleep(wait)));
    for op in [Op::Read, Op::Write] {
        let stall = Fault::on(op).at("chunks").with(Effect::Stall);
        rig.disk.inject(stall);
    }
    let counters = rig.cache.counters();
    // One that the thread has taken, and those in the queue.
    let taken = async { rig.disk.wait_stalled(1) };
    assert_eq!(tokio::join!(rig.read(0), taken).0, None);
    for _ in 0..READS {
        assert_eq!(rig.read(0).await, None);
    }
    let from = tokio::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(rig.read(0).await, None);
    }
    assert!(from.elapsed() < 10 * READ_PATIENCE);
    assert_eq!(of(&counters.late), READS as u64 + 21);
    rig.cache.offer(key(1), chunk(1));
    rig.disk.wait_stalled(2);
    for n in 2..WRITES as u32 + 22 {
        rig.cache.offer(key(n), chunk(n));
    }
    assert_eq!(of(&counters.dropped), 20);
    rig.disk.resume();
    until(|| rig.cache.lease(&key(1)).is_some()).await;
    rig.cache.pause = Arc::new(|_| Box::pin(std::future::pending()));
    rig.read_in_the_end(0).await;
    assert_eq!(of(&rig.cache.counters().failed), 0);
}

/// It is made on a thread, in the end.
#[tokio::test]
async fn a_folder_that_is_not_there_at_first_is_found_later() {
    let disk = FakeDisk::new(3);
    disk.inject(Fault::on(Op::Open).at("chunks"));
    let clock = Arc::new(FakeClock::new(Timestamp(0)));
    let cache = start(&disk, &clock, 2);
    until(|| of(&cache.counters().failed) == 1).await;
    let rig = Rig { disk, clock, cache };
    rig.cache.offer(key(0), chunk(0));
    assert_eq!(rig.read(0).await, None);
    rig.clock.advance(REST_MS);
    rig.write(0).await;
    assert_eq!(rig.read(0).await, Some(chunk(0)));
}

#[tokio::test]
async fn a_restart_begins_with_nothing_and_two_never_share() {
    let rig = Rig::new(2).await;
    rig.write(0).await;
    rig.write(1).await;
    let other = start(&rig.disk, &rig.clock, 2);
    until(|| of(&other.counters().failed) == 1).await;
    assert_eq!(rig.read(0).await, Some(chunk(0)), "it is left as it is");
    let disk = rig.disk.kill();
    let cache = start(&disk, &rig.clock, 2);
    until(|| cache.inner.volume().is_some()).await;
    let clock = Arc::clone(&rig.clock);
    let again = Rig { disk, clock, cache };
    assert_eq!(again.file_bytes(), 0);
    assert_eq!(again.read(0).await, None);
    again.write(1).await;
    assert_eq!(again.read(1).await, Some(chunk(1)));
}

/// A cache without a slot is none, and harms nobody.
#[tokio::test]
async fn without_room_nothing_is_written() {
    let rig = Rig::new(0).await;
    rig.cache.offer(key(0), chunk(0));
    rig.cache.offer(key(0), chunk(0));
    assert_eq!(rig.read(0).await, None);
    assert_eq!(rig.file_bytes(), 0);
}

/// Readers and a writer side by side on a real disk: what is read is right each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_written_where_somebody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let cache = DiskCache::start(DiskCacheParts {
        disk: Arc::new(SystemDisk),
        dir: folder.path().join("a/b"),
        bytes: 4 * CHUNK_BYTES,
        clock: Arc::new(FakeClock::new(Timestamp(0))),
        pause: Arc::new(|wait| Box::pin(tokio::time::sleep(wait))),
    });
    let cache = Arc::new(cache.unwrap());
    let whole = |n: u32| Bytes::from(vec![u8::try_from(n).unwrap(); 1 << 20]);
    let tasks: Vec<_> = (0..8_u32)
        .map(|seed| {
            let cache = Arc::clone(&cache);
            tokio::spawn(async move {
                for n in 0..300 {
                    let n = (n * 7 + seed * 5) % 9;
                    match cache.lease(&key(n)) {
                        Some(lease) => {
                            cache.read(lease, |bytes| bytes == whole(n)).await;
                        }
                        None => cache.offer(key(n), whole(n)),
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let counters = cache.counters();
    assert_eq!((of(&counters.damaged), of(&counters.failed)), (0, 0));
    assert!(of(&counters.hits) > 0 && of(&counters.written_bytes) > 4 << 20);
    let file = SystemDisk.open(
        &folder.path().join("a/b/chunks"),
        freshet_env::disk::OpenMode::Read,
    );
    assert!(file.unwrap().len().unwrap() <= 4 * CHUNK_BYTES);
}
