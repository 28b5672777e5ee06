//! Too few files, too little memory, hardly any CPU, too many clients.

use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use freshet_wire::MetadataRequest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::beside::Beside;
use super::{Needs, RECOVERY, Stage, Trial};
use crate::raw::Raw;

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        name: "file_descriptors_run_out",
        rows: &[36, 44],
        faults: few_files,
        needs: Needs::Freshet,
    },
    Trial {
        name: "memory_runs_out",
        rows: &[37],
        faults: little_memory,
        needs: Needs::Freshet,
    },
    Trial {
        name: "hardly_any_cpu",
        rows: &[38],
        faults: little_cpu,
        needs: Needs::Cluster,
    },
    Trial {
        name: "a_thousand_clients_connect_at_once",
        rows: &[45],
        faults: herd,
        needs: Needs::Cluster,
    },
];

/// Leaders with their epochs, by partition.
fn places(stage: &Stage) -> Result<Vec<(i32, i32)>> {
    let views = stage.cluster.partitions(stage.topic())?;
    Ok(views.iter().map(|view| (view.leader, view.epoch)).collect())
}

/// A question that every broker answers at once.
fn ask(raw: &mut Raw) -> Result<()> {
    let request = MetadataRequest {
        topics: Some(Vec::new()),
        ..Default::default()
    };
    raw.call(12, &request).map(drop)
}

/// Descriptors that a leader may still open when clients come in crowds.
const FILES_LEFT: u64 = 64;
const CROWD: usize = 200;

/// New clients are turned away before the logs lack files: segments are made, nobody goes offline,
/// and those who are connected do not notice.
fn few_files(stage: &mut Stage) -> Result<()> {
    let mut beside = Beside::make(stage, "files")?;
    let leader = beside.view(stage)?.leader;
    let mut raw = stage.cluster.connect(leader)?;
    let before = places(stage)?;
    let files = open_files(stage, leader)?;
    let limit = Rlimit {
        current: Some(files + FILES_LEFT),
        // What is lowered here may not be raised again.
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let was = stage.cluster.node(leader).limit(Resource::Nofile, limit)?;
    let mut inside = Vec::new();
    let mut refused = 0;
    for _ in 0..CROWD {
        let asked = stage.cluster.connect(leader).and_then(|mut raw| {
            ask(&mut raw)?;
            Ok(raw)
        });
        match asked {
            Ok(raw) => inside.push(raw),
            Err(_) => refused += 1,
        }
    }
    stage.note(format!(
        "with {FILES_LEFT} files left {} clients came in, {refused} did not",
        inside.len()
    ));
    ensure!(!inside.is_empty(), "nobody came in");
    ensure!(refused >= CROWD / 2, "only {refused} were refused");
    beside.write_by(&mut raw, 40)?;
    for raw in &mut inside {
        ask(raw).context("one that was there already")?;
    }
    stage.load.await_progress(RECOVERY)?;
    let after = places(stage)?;
    ensure!(
        before == after,
        "leaders moved from {before:?} to {after:?}"
    );
    let said = stage.cluster.node(leader).printed();
    let offline = said.lines().find(|line| line.contains("offline"));
    ensure!(offline.is_none(), "{offline:?}");
    drop(inside);
    crate::scenario::eventually(RECOVERY, || ask(&mut stage.cluster.connect(leader)?))?;
    stage.cluster.node(leader).limit(Resource::Nofile, was)?;
    beside.await_whole(stage, RECOVERY)?;
    beside.check(stage)?;
    stage.recover()
}

/// How many files a broker has open.
fn open_files(stage: &mut Stage, id: i32) -> Result<u64> {
    let process = stage.cluster.node(id).process_id()?.as_raw_nonzero();
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64)
}

/// Private memory of a broker in bytes, as the limit of it counts.
fn memory(stage: &mut Stage, id: i32) -> Result<u64> {
    let process = stage.cluster.node(id).process_id()?.as_raw_nonzero();
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let words = line.context("VmData")?.split_whitespace().next();
    let kilobytes: u64 = words.context("a number")?.parse()?;
    Ok(kilobytes << 10)
}

/// What admission lets in, and what is enough for it with everything else.
const ADMITTED: &str = "16777216";
const ENOUGH: u64 = 192 << 20;
/// Requests of this size come from so many clients at once.
const LARGE: usize = 8 << 20;
const SENDERS: usize = 48;

/// Much more comes in than there is memory: it waits outside, and the broker lives. Then there is
/// hardly any: it ends as by a kill, and comes back.
fn little_memory(stage: &mut Stage) -> Result<()> {
    let (_, leader) = stage.some_leader()?;
    let node = stage.cluster.node(leader);
    node.stop()?;
    for name in [
        "freshet.request.memory.bytes",
        "freshet.response.memory.bytes",
        "freshet.append.queue.bytes",
        "freshet.log.tail.memory.bytes",
    ] {
        node.set(name, ADMITTED);
    }
    node.start()?;
    stage.recover()?;
    let used = memory(stage, leader)?;
    let limit = |bytes| Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    let was = stage.cluster.node(leader).limit(
        Resource::Data,
        Rlimit {
            current: Some(used + ENOUGH),
            maximum: None,
        },
    )?;
    let senders = crowd_of_large_requests(stage, leader)?;
    let most = memory(stage, leader)?;
    stage.cluster.must_live().context("with much coming in")?;
    stage.load.await_progress(RECOVERY)?;
    drop(senders);
    stage.note(format!(
        "{SENDERS} clients sent {} MiB each: {leader} had {} MiB before and {} MiB then",
        LARGE >> 20,
        used >> 20,
        most >> 20
    ));
    stage.cluster.node(leader).limit(Resource::Data, was)?;
    // No page more than it has.
    let now = memory(stage, leader)?;
    stage
        .cluster
        .node(leader)
        .limit(Resource::Data, limit(now))?;
    // It may end before the last of them is connected.
    let senders = crowd_of_large_requests(stage, leader);
    let from = Instant::now();
    let ended = loop {
        let ended = stage.cluster.node(leader).ended()?;
        if ended.is_some() || from.elapsed() > Duration::from_secs(2) {
            break ended;
        }
        thread::sleep(Duration::from_millis(20));
    };
    drop(senders);
    let acked = stage.load.await_progress(RECOVERY)?;
    stage.note(format!(
        "without more memory than that {leader} ended: {ended:?}; all acknowledge after {acked:.2?}"
    ));
    if ended.is_none() {
        stage.cluster.node(leader).kill()?;
    }
    stage.cluster.node(leader).start()?;
    stage.recover()
}

/// Clients that each send the most of a large request, and stay. A request ends in zeros, which are
/// nobody's batch; they are for their size.
fn crowd_of_large_requests(stage: &Stage, id: i32) -> Result<Vec<TcpStream>> {
    use std::io::Write as _;
    let bytes = vec![0_u8; LARGE];
    let length = u32::try_from(LARGE + 1024)?.to_be_bytes();
    // Produce, version 12, correlation id 1, no client id: the shape that is let in before it is read.
    let head = [&length[..], &[0, 0, 0, 12, 0, 0, 0, 1, 255, 255, 0]].concat();
    let mut streams = Vec::new();
    for _ in 0..SENDERS {
        // The first request of a connection is small.
        let mut raw = stage.cluster.connect(id)?;
        if ask(&mut raw).is_err() {
            continue;
        }
        let mut stream = raw.into_stream();
        stream.set_nonblocking(true)?;
        let _ = stream.write(&head);
        streams.push(stream);
    }
    let until = Instant::now() + Duration::from_secs(3);
    let mut sent = vec![0; streams.len()];
    while Instant::now() < until {
        for (stream, sent) in streams.iter_mut().zip(&mut sent) {
            if let Ok(count) = stream.write(&bytes[*sent..]) {
                *sent += count;
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(streams)
}

/// Of each tenth of a second all brokers run for a quarter.
const RUN: Duration = Duration::from_millis(25);
const REST: Duration = Duration::from_millis(75);

fn little_cpu(stage: &mut Stage) -> Result<()> {
    let before = places(stage)?;
    let all: Vec<i32> = stage.cluster.ids().collect();
    let from = Instant::now();
    while from.elapsed() < Duration::from_secs(6) {
        for id in &all {
            stage.cluster.node(*id).pause()?;
        }
        thread::sleep(REST);
        for id in &all {
            stage.cluster.node(*id).resume()?;
        }
        thread::sleep(RUN);
        stage.cluster.must_live()?;
    }
    let acked = stage.load.await_progress(RECOVERY)?;
    let after = places(stage)?;
    let moves: i32 = before.iter().zip(&after).map(|(b, a)| a.1 - b.1).sum();
    stage.note(format!(
        "6 s with a quarter of the CPU: {moves} elections; all acknowledge {acked:.2?} after it"
    ));
    ensure!(moves <= 8, "{moves} elections: {before:?}, {after:?}");
    stage.recover()
}

const CLIENTS: usize = 1024;
const HANDS: usize = 32;

/// A broker comes back, and more than a thousand clients are there at once; and again.
fn herd(stage: &mut Stage) -> Result<()> {
    let may_open = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: may_open.maximum,
        maximum: may_open.maximum,
    };
    setrlimit(Resource::Nofile, raised)?;
    let enough = may_open
        .maximum
        .is_none_or(|most| most > 2 * CLIENTS as u64);
    ensure!(enough, "this machine allows only {may_open:?} files");
    let (_, leader) = stage.some_leader()?;
    let before = places(stage)?;
    let mut waves = Vec::new();
    for _ in 0..2 {
        let from = Instant::now();
        let crowd = thread::scope(|scope| {
            let cluster = &stage.cluster;
            let hand = || -> Result<Vec<Raw>> {
                let mut mine: Vec<Raw> = (0..CLIENTS / HANDS)
                    .map(|_| cluster.connect(leader))
                    .collect::<Result<_>>()?;
                mine.iter_mut().try_for_each(ask)?;
                Ok(mine)
            };
            let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(hand)).collect();
            let joined = hands.into_iter().map(|hand| hand.join());
            let joined = joined.map(|told| told.ok().context("a hand panicked")?);
            joined.collect::<Result<Vec<_>>>()
        })?;
        waves.push(from.elapsed());
        stage.load.await_progress(RECOVERY)?;
        drop(crowd);
    }
    stage.note(format!(
        "{CLIENTS} clients were answered within {waves:.1?}"
    ));
    stage.load.await_progress(RECOVERY)?;
    let after = places(stage)?;
    ensure!(
        before == after,
        "leaders moved from {before:?} to {after:?}"
    );
    stage.recover()
}
