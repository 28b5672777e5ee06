//! What things cost. Ignored: they measure, and mean something only on a quiet machine and with
//! `--release`: `cargo test --release -p freshet-log --test it -- --ignored --nocapture cost`.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use freshet_env::disk::OpenMode;
use freshet_env::{Clock, Disk, SystemClock, SystemDisk};
use freshet_log::{
    Append, Durability, LogConfig, LogDir, LogName, OpenLog, Origin, Progress, Read, ReadSpec,
    Writers, WritersOptions,
};
use freshet_types::Timestamp;

use crate::support::{Recorder, TOPIC, large, options};

/// User and kernel CPU seconds of this process so far.
fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let seconds = |i: usize| fields[i].parse::<u64>().unwrap() as f64 / 100.0;
    (seconds(11), seconds(12))
}

fn open_dir(path: &Path) -> Arc<LogDir> {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    crate::support::open_dir(&disk, path).unwrap()
}

/// What the kernel alone takes for the same bytes: one write and one fdatasync per `size`.
fn floor_cost(size: usize, total: usize) {
    let root = tempfile::tempdir().unwrap();
    let clock = SystemClock::new();
    let path = root.path().join("floor");
    let file = SystemDisk.open(&path, OpenMode::CreateNew).unwrap();
    let bytes = vec![b'x'; size];
    let (cpu, wall) = (cpu_seconds(), clock.micros());
    for i in 0..total / size {
        let position = (i * size) as u64;
        file.write_all_at(&[IoSlice::new(&bytes)], position)
            .unwrap();
        file.sync_data().unwrap();
    }
    let gigabytes = (total / size * size) as f64 / 1e9;
    let seconds = (clock.micros() - wall) as f64 / 1e6;
    let (user, system) = (cpu_seconds().0 - cpu.0, cpu_seconds().1 - cpu.1);
    println!(
        "floor, {size} B writes: {:.2} GB/s, {:.3} user + {:.3} system CPU-s/GB",
        gigabytes / seconds,
        user / gigabytes,
        system / gigabytes,
    );
}

fn open(writers: &Writers, name: &str, config: LogConfig) -> freshet_log::LogHandle {
    let progress: Arc<dyn Progress> = Arc::new(Recorder::default());
    let log = OpenLog {
        dir: Arc::clone(&writers.dirs()[0]),
        name: LogName::parse(name).unwrap(),
        topic_id: TOPIC,
        config: Arc::new(config),
        progress,
    };
    writers.open(log).unwrap()
}

/// Appends `total` bytes in batches of `size`, with at most `depth` that are not flushed yet.
fn append_cost(size: usize, total: usize, depth: usize, durability: Durability) {
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let dirs = vec![open_dir(root.path())];
    let hands: Arc<dyn Clock> = Arc::<SystemClock>::clone(&clock);
    let writers = Writers::start(dirs, hands, options()).unwrap();
    let (tell, told) = channel();
    let log = OpenLog {
        dir: Arc::clone(&writers.dirs()[0]),
        name: LogName::parse("t-0").unwrap(),
        topic_id: TOPIC,
        config: Arc::new(LogConfig {
            durability,
            max_message_bytes: 4 << 20,
            ..LogConfig::default()
        }),
        progress: Arc::new(Tell(0, tell)),
    };
    let log = writers.open(log).unwrap();
    let batch = large(Timestamp(clock.wall().0), size - 80).bytes().clone();
    let (cpu, wall) = (cpu_seconds(), clock.micros());
    let count = total / size;
    for i in 0..count {
        while log.view().flushed() + (depth as i64) <= i as i64 {
            told.recv().unwrap();
        }
        let batches = batch.clone();
        log.append(Append {
            frame_bytes: batches.len(),
            batches,
            leader_epoch: 0,
            origin: Origin::Client,
            done: Box::new(|result| assert!(result.is_ok())),
        })
        .unwrap();
    }
    while log.view().flushed() < count as i64 {
        told.recv().unwrap();
    }
    let gigabytes = (count * batch.len()) as f64 / 1e9;
    let seconds = (clock.micros() - wall) as f64 / 1e6;
    let (user, system) = (cpu_seconds().0 - cpu.0, cpu_seconds().1 - cpu.1);
    println!(
        "{durability:?}, {size} B batches, {depth} waiting: {:.2} GB/s, \
         {:.3} user + {:.3} system CPU-s/GB, {} fsyncs",
        gigabytes / seconds,
        user / gigabytes,
        system / gigabytes,
        writers.metrics().fsyncs.count(),
    );
}

#[test]
#[ignore = "prints costs for a person to judge: run by hand, in release, on a quiet machine"]
fn cost_of_appends() {
    floor_cost(1 << 20, 2 << 30);
    floor_cost(64 << 10, 512 << 20);
    for durability in [Durability::Fsync, Durability::PageCache] {
        append_cost(1 << 20, 2 << 30, 16, durability);
        append_cost(64 << 10, 2 << 30, 64, durability);
        append_cost(16 << 10, 1 << 30, 256, durability);
        append_cost(1 << 10, 256 << 20, 1000, durability);
    }
}

/// Reads a log of 1 GiB `rounds` times, in fetches of 1 MiB.
fn read_cost(what: &str, log: &freshet_log::LogHandle, clock: &SystemClock, rounds: usize) {
    let view = log.view();
    let (cpu, wall) = (cpu_seconds(), clock.micros());
    let mut bytes = 0;
    for _ in 0..rounds {
        let mut from = view.log_start();
        while from < view.log_end() {
            let spec = ReadSpec {
                from,
                max_bytes: 1 << 20,
                upper_bound: i64::MAX,
                at_least_one: true,
            };
            let fetched = match view.read(&spec).unwrap() {
                Read::Ready(fetched) => fetched,
                Read::Cold => view.read_blocking(&spec).unwrap(),
            };
            bytes += fetched.bytes;
            from = fetched.next_offset;
        }
    }
    let gigabytes = bytes as f64 / 1e9;
    let seconds = (clock.micros() - wall) as f64 / 1e6;
    let (user, system) = (cpu_seconds().0 - cpu.0, cpu_seconds().1 - cpu.1);
    println!(
        "{what}: {:.2} GB/s, {:.3} user + {:.3} system CPU-s/GB",
        gigabytes / seconds,
        user / gigabytes,
        system / gigabytes,
    );
}

#[test]
#[ignore = "prints costs for a person to judge: run by hand, in release, on a quiet machine"]
fn cost_of_reads() {
    for (size, hot_bytes, total) in [
        (64 << 10, 0, 1 << 30),
        (1 << 10, 0, 256 << 20),
        (64 << 10, 1 << 30, 256 << 20),
        (1 << 10, 1 << 30, 128 << 20),
    ] {
        let root = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let hands: Arc<dyn Clock> = Arc::<SystemClock>::clone(&clock);
        let options = WritersOptions {
            hot_bytes,
            ..options()
        };
        let writers = Writers::start(vec![open_dir(root.path())], hands, options).unwrap();
        let log = open(&writers, "t-0", LogConfig::default());
        let batch = large(Timestamp(clock.wall().0), size - 80).bytes().clone();
        let (tell, told) = channel();
        for i in 0..total / batch.len() {
            if i >= 256 {
                told.recv().unwrap();
            }
            let (tell, batches) = (tell.clone(), batch.clone());
            log.append(Append {
                frame_bytes: batches.len(),
                batches,
                leader_epoch: 0,
                origin: Origin::Client,
                done: Box::new(move |result| tell.send(result.is_ok()).unwrap()),
            })
            .unwrap();
        }
        let (tell, told) = channel();
        log.flush(Box::new(move |end| tell.send(end).unwrap()))
            .unwrap();
        told.recv().unwrap().unwrap();
        let source = if hot_bytes == 0 { "file" } else { "hot tail" };
        read_cost(&format!("{source}, {size} B batches"), &log, &clock, 4);
    }
}

#[test]
#[ignore = "prints costs for a person to judge: run by hand, in release, on a quiet machine"]
fn cost_of_one_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let hands: Arc<dyn Clock> = Arc::<SystemClock>::clone(&clock);
    let writers = Writers::start(vec![open_dir(root.path())], hands, options()).unwrap();
    let log = open(&writers, "t-0", LogConfig::default());
    let mut micros: Vec<u64> = (0..5000)
        .map(|i| {
            let batches = large(clock.wall(), 200).bytes().clone();
            let begin = clock.micros();
            let append = Append {
                frame_bytes: batches.len(),
                batches,
                leader_epoch: 0,
                origin: Origin::Client,
                done: Box::new(|result| assert!(result.is_ok())),
            };
            log.append(append).unwrap();
            while log.view().flushed() <= i {
                std::thread::yield_now();
            }
            clock.micros() - begin
        })
        .collect();
    micros.sort_unstable();
    println!(
        "one at a time, durable: p50 {} µs, p99 {} µs",
        micros[2500], micros[4950]
    );
}

#[test]
#[ignore = "prints costs for a person to judge: run by hand, in release, on a quiet machine"]
fn cost_of_opening_ten_thousand_logs() {
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::new());
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    for round in ["made", "clean", "after a crash"] {
        let hands: Arc<dyn Clock> = Arc::<SystemClock>::clone(&clock);
        let dir = open_dir(root.path());
        let weak = Arc::downgrade(&dir);
        let writers = Writers::start(vec![dir], hands, options()).unwrap();
        let (begin, before) = (clock.micros(), resident());
        let logs: Vec<_> = (0..10_000)
            .map(|i| open(&writers, &format!("topic-{i}"), LogConfig::default()))
            .collect();
        let millis = (clock.micros() - begin) / 1000;
        let each = resident().saturating_sub(before) / 10_000;
        println!("{round}: 10,000 logs opened in {millis} ms, {each} bytes each");
        let (tell, told) = channel();
        for log in &logs {
            let batches = large(clock.wall(), 200).bytes().clone();
            let tell = tell.clone();
            let append = Append {
                frame_bytes: batches.len(),
                batches,
                leader_epoch: 0,
                origin: Origin::Client,
                done: Box::new(move |result| tell.send(result.is_ok()).unwrap()),
            };
            if log.append(append).is_err() {
                panic!("the queue is long enough");
            }
            told.recv().unwrap();
        }
        if round == "clean" {
            drop(logs);
            drop(writers);
            while weak.strong_count() > 0 {
                crate::support::pause();
            }
            continue;
        }
        let begin = clock.micros();
        writers.stop().unwrap();
        println!("{round}: stopped in {} ms", (clock.micros() - begin) / 1000);
    }
}

/// Tells which log was flushed.
#[derive(Debug)]
struct Tell(usize, std::sync::mpsc::Sender<usize>);

impl Progress for Tell {
    fn appended(&self, _end: i64) {}
    fn flushed(&self, _end: i64) {
        let _ = self.1.send(self.0);
    }
    fn failed(&self, error: &freshet_log::LogError) {
        panic!("{error}");
    }
}

#[test]
#[ignore = "prints costs for a person to judge: run by hand, in release, on a quiet machine"]
fn cost_of_many_partitions() {
    for count in [1, 4, 16, 64, 256, 1000] {
        let root = tempfile::tempdir().unwrap();
        let clock = Arc::new(SystemClock::new());
        let hands: Arc<dyn Clock> = Arc::<SystemClock>::clone(&clock);
        let writers = Writers::start(vec![open_dir(root.path())], hands, options()).unwrap();
        let (tell, told) = channel();
        let logs: Vec<_> = (0..count)
            .map(|i| {
                let log = OpenLog {
                    dir: Arc::clone(&writers.dirs()[0]),
                    name: LogName::parse(&format!("t-{i}")).unwrap(),
                    topic_id: TOPIC,
                    config: Arc::new(LogConfig::default()),
                    progress: Arc::new(Tell(i, tell.clone())),
                };
                writers.open(log).unwrap()
            })
            .collect();
        let batch = large(clock.wall(), 1000).bytes().clone();
        let append = |log: &freshet_log::LogHandle| {
            log.append(Append {
                frame_bytes: batch.len(),
                batches: batch.clone(),
                leader_epoch: 0,
                origin: Origin::Client,
                done: Box::new(|result| assert!(result.is_ok())),
            })
            .unwrap();
        };
        logs.iter().for_each(append);
        for _ in 0..count {
            append(&logs[told.recv().unwrap()]);
        }
        let (cpu, begin, mut acked) = (cpu_seconds(), clock.micros(), 0u64);
        while clock.micros() - begin < 3_000_000 {
            append(&logs[told.recv().unwrap()]);
            acked += 1;
        }
        let seconds = (clock.micros() - begin) as f64 / 1e6;
        let cpu = cpu_seconds().0 + cpu_seconds().1 - cpu.0 - cpu.1;
        println!(
            "{count} partitions, one append each: {:.0} durable/s, {:.0} µs CPU each",
            acked as f64 / seconds,
            cpu * 1e6 / acked as f64
        );
        for _ in 0..count {
            told.recv().unwrap();
        }
        writers.stop().unwrap();
    }
}
