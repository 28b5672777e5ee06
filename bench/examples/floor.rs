//! What three brokers cost that do nothing but what they must: the system calls of a record, or of a
//! megabyte of them, with three durable copies. No protocol, no checksum, no thread but one for each.
//! Rows `three-one` and `three-1k` are to be compared with what this prints on the same machine in the
//! same minute: `cargo run --release -p freshet-bench --example floor [FOLDER]`.
//!
//! ```text
//! client ─ request ─▶ leader ─ copy ─▶ two followers    each: write, fdatasync
//!        ◀─ answer ──        ◀─ ack ──
//! ```
#![allow(
    clippy::disallowed_methods,
    reason = "a developer tool talks to the machine directly"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};

/// What is said when something is done.
const ACK_BYTES: usize = 60;
/// The most that is written at once, as brokers do.
const WRITE_BYTES: usize = 128 << 10;
const RESERVED_BYTES: u64 = 16 << 20;
const CACHED_BYTES: u64 = 8 << 20;

#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    /// Requests that count, and those before them.
    count: u32,
    warm_up: u32,
    /// What a request has, and what of it is written.
    sent_bytes: usize,
    kept_bytes: usize,
    /// What the CPU time is divided by, in its unit.
    per: f64,
    unit: &'static str,
}

const ONE: Work = Work {
    name: "one record at a time",
    count: 5_000,
    warm_up: 500,
    sent_bytes: 1_200,
    kept_bytes: 1_100,
    per: 1e-6,
    unit: "us of CPU for a record",
};
const BATCHED: Work = Work {
    name: "1 MiB at a time",
    count: 1_000,
    warm_up: 100,
    sent_bytes: 1 << 20,
    kept_bytes: 1 << 20,
    per: (1 << 20) as f64 / 1e9,
    unit: "CPU-s for a GB",
};

/// A file that is written from its beginning on.
struct Log {
    file: File,
    end: u64,
    is_small: bool,
}

impl Log {
    fn new(folder: &Path, work: Work) -> Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        let is_small = work.kept_bytes < WRITE_BYTES;
        if is_small {
            // Room made ahead: a sync changes no length.
            let all = work.kept_bytes * (work.count + work.warm_up) as usize;
            file.write_all_at(&vec![0; all], 0)?;
            file.sync_all()?;
        }
        let end = 0;
        Ok(Self {
            file,
            end,
            is_small,
        })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.is_small && self.end.is_multiple_of(RESERVED_BYTES) {
            let mode = FallocateFlags::KEEP_SIZE;
            fallocate(&self.file, mode, self.end, RESERVED_BYTES)?;
        }
        for piece in bytes.chunks(WRITE_BYTES) {
            self.file.write_all_at(piece, self.end)?;
            self.end += piece.len() as u64;
        }
        self.file.sync_data()?;
        if !self.is_small && self.end >= 2 * CACHED_BYTES && self.end.is_multiple_of(CACHED_BYTES) {
            let (from, len) = (self.end - 2 * CACHED_BYTES, CACHED_BYTES.try_into()?);
            fadvise(&self.file, from, Some(len), Advice::DontNeed)?;
        }
        Ok(())
    }
}

/// CPU time of this thread.
fn cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().context("no CPU time")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// Does something for each request, and gives the CPU time of those that count.
fn serve(work: Work, mut once: impl FnMut(&mut [u8]) -> Result<()>) -> Result<Duration> {
    let mut bytes = vec![1; work.sent_bytes];
    for _ in 0..work.warm_up {
        once(&mut bytes)?;
    }
    let before = cpu()?;
    for _ in 0..work.count {
        once(&mut bytes)?;
    }
    Ok(cpu()? - before)
}

fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn connect(listener: &TcpListener) -> Result<TcpStream> {
    let socket = TcpStream::connect(listener.local_addr()?)?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn follow(mut leader: TcpStream, mut log: Log, work: Work) -> Result<Duration> {
    serve(work, |bytes| {
        leader.read_exact(bytes)?;
        log.append(&bytes[..work.kept_bytes])?;
        Ok(leader.write_all(&[1; ACK_BYTES])?)
    })
}

fn lead(
    mut client: TcpStream,
    mut followers: [TcpStream; 2],
    mut log: Log,
    work: Work,
) -> Result<Duration> {
    let mut ack = [0; ACK_BYTES];
    serve(work, |bytes| {
        client.read_exact(bytes)?;
        for follower in &mut followers {
            follower.write_all(bytes)?;
        }
        log.append(&bytes[..work.kept_bytes])?;
        for follower in &mut followers {
            follower.read_exact(&mut ack)?;
        }
        Ok(client.write_all(&ack)?)
    })
}

fn measure(folder: &Path, work: Work) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let log = || Log::new(folder, work);
    let mut threads = Vec::new();
    let mut follower = || -> Result<TcpStream> {
        let (socket, log) = (connect(&listener)?, log()?);
        let leader = accept(&listener)?;
        threads.push(thread::spawn(move || follow(leader, log, work)));
        Ok(socket)
    };
    let followers = [follower()?, follower()?];
    let (mut client, log) = (connect(&listener)?, log()?);
    let accepted = accept(&listener)?;
    threads.push(thread::spawn(move || lead(accepted, followers, log, work)));
    let (bytes, mut ack) = (vec![1; work.sent_bytes], [0; ACK_BYTES]);
    let mut waits = Vec::new();
    for _ in 0..work.warm_up + work.count {
        let start = Instant::now();
        client.write_all(&bytes)?;
        client.read_exact(&mut ack)?;
        waits.push(start.elapsed());
    }
    let mut used = Duration::ZERO;
    for thread in threads {
        used += thread.join().map_err(|_| anyhow!("a thread panicked"))??;
    }
    waits.drain(..work.warm_up as usize);
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() * share / 1000).min(waits.len() - 1)];
    let (p50, p99) = (at(500).as_secs_f64() * 1e3, at(990).as_secs_f64() * 1e3);
    let (name, unit) = (work.name, work.unit);
    let each = used.as_secs_f64() / f64::from(work.count) / work.per;
    println!("{name}: {each:.2} {unit}, ack p50 {p50:.2} ms, p99 {p99:.2} ms");
    Ok(())
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    for work in [ONE, BATCHED, ONE, BATCHED, ONE, BATCHED] {
        measure(Path::new(&folder), work)?;
    }
    Ok(())
}
