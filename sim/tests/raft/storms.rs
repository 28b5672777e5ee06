//! Everything goes wrong at once, for a while; then it heals, and the history is judged.

use std::ops::Range;
use std::time::Duration;

use freshet_quorum::{Quorum, RaftOptions};
use freshet_sim::{Effect, FakeDisk, Fault, Op};
use freshet_types::NodeId;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::blows::Storm;
use crate::cluster::{Cluster, options, run};
use crate::history::{History, Life};
use crate::machine::Ask;
use crate::net::{Node, throws};

const STORM: Duration = Duration::from_secs(14);

/// A client asks whoever is up, and goes where it is sent.
fn client(
    (id, seed): (u64, u64),
    nodes: Vec<(Life, Node)>,
    history: History,
    start: Instant,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut throws = throws(seed ^ (id << 32));
        for i in 0_u64.. {
            tokio::time::sleep(Duration::from_millis(20 + throws.below(60))).await;
            let (life, node) = &nodes[throws.index(nodes.len())];
            let (begin, number) = (start.elapsed(), (id << 32) + i);
            let patience = Duration::from_millis(1500);
            match throws.below(4) {
                0 => {
                    let barrier = tokio::time::timeout(patience, node.barrier()).await;
                    if let Ok(Ok(())) = barrier {
                        let image = node.watch().borrow().clone();
                        history.shown(*life, &image);
                        let count = image.numbers.len();
                        history.counted(count, begin, start.elapsed());
                    }
                }
                1 => {
                    let count = tokio::time::timeout(patience, node.propose(Ask::Count)).await;
                    if let Ok(Ok(count)) = count {
                        history.shown(*life, &node.watch().borrow());
                        history.counted(count, begin, start.elapsed());
                    }
                }
                _ => {
                    let index =
                        tokio::time::timeout(patience, node.propose(Ask::Add(number))).await;
                    if let Ok(Ok(index)) = index {
                        history.shown(*life, &node.watch().borrow());
                        history.added(number, index, begin, start.elapsed());
                    }
                }
            }
        }
    })
}

async fn storm(seed: u64, count: i32, options: RaftOptions) -> Replay {
    storm_among(seed, count, options, &[]).await
}

/// The first nodes were told these ways between them, which the others know nothing of.
async fn storm_among(seed: u64, count: i32, options: RaftOptions, ways: &[u64]) -> Replay {
    let mut storm = Storm::begin(seed, count, options).await;
    let ways = ways.iter().map(|&ms| Duration::from_millis(ms));
    storm
        .restart_with((1..).map(NodeId).zip(ways).collect())
        .await;
    let (mut throws, start) = (throws(seed ^ 0xbad), Instant::now() - storm.cluster.now());
    let end = Instant::now() + STORM;
    let mut clients: Vec<JoinHandle<()>> = Vec::new();
    let mut generation = 0;
    while Instant::now() < end {
        // Processes come and go; clients find those that are up.
        clients.drain(..).for_each(|client| client.abort());
        let up = storm.cluster.up().into_iter();
        let nodes: Vec<_> = up.filter_map(|node| storm.cluster.process(node)).collect();
        for i in 0..3 {
            if !nodes.is_empty() {
                let id = generation * 3 + i + 1;
                let history = storm.cluster.history.clone();
                clients.push(client((id, seed), nodes.clone(), history, start));
            }
        }
        generation += 1;
        drop(nodes);
        tokio::time::sleep(Duration::from_millis(200 + throws.below(1200))).await;
        check(&storm.cluster, seed);
        storm.strike(&mut throws).await;
    }
    clients.drain(..).for_each(|client| client.abort());
    storm.end().await;
    let cluster = &mut storm.cluster;
    calm(cluster, seed).await;
    Replay {
        history: cluster.history.clone(),
        delivered: cluster.net.delivered(),
        disks: cluster
            .nodes()
            .into_iter()
            .map(|node| cluster.disk(node).image())
            .collect(),
    }
}

/// All that a seed must give again.
struct Replay {
    history: History,
    delivered: (u64, u64),
    disks: Vec<Vec<(String, Vec<u8>)>>,
}

fn check(cluster: &Cluster, seed: u64) {
    if let Err(flaw) = cluster.history.check() {
        let trace = cluster.history.trace().join("\n");
        panic!("seed {seed}: {flaw}\n{trace}");
    }
}

/// After the storm everything works again, and everybody says the same.
async fn calm(cluster: &mut Cluster, seed: u64) {
    cluster.leader(Duration::from_secs(5)).await;
    cluster.add_all([u64::MAX]).await;
    let expected = cluster.read(NodeId(1)).await;
    for node in cluster.nodes() {
        assert_eq!(cluster.read(node).await, expected, "seed {seed}: {node}");
    }
    if let Err(flaw) = cluster.history.judge(&expected) {
        let trace = cluster.history.trace().join("\n");
        panic!("seed {seed}: {flaw}\n{trace}");
    }
}

/// `FRESHET_RAFT_SEEDS=from..to` runs others, or more.
fn seeds() -> Range<u64> {
    let text = std::env::var("FRESHET_RAFT_SEEDS").unwrap_or_else(|_| "0..100".to_owned());
    let range = text
        .split_once("..")
        .map(|(from, to)| (from.parse(), to.parse()));
    match range {
        Some((Ok(from), Ok(to))) => from..to,
        _ => panic!("FRESHET_RAFT_SEEDS is from..to, not {text}"),
    }
}

fn tight(seed: u64) -> RaftOptions {
    if seed.is_multiple_of(3) {
        options()
    } else {
        // Snapshots and purges all the time.
        RaftOptions {
            snapshot_after_bytes: 300,
            kept_entries: 2,
            chunk_bytes: 128,
            ..options()
        }
    }
}

#[test]
fn what_was_agreed_survives_every_storm() {
    let mut finished = 0;
    for seed in seeds() {
        let count = if seed % 2 == 0 { 3 } else { 5 };
        let replay = run(seed, async || storm(seed, count, tight(seed)).await);
        finished += replay.history.finished();
    }
    println!("{finished} operations judged");
    assert!(finished > 0);
}

/// As they are while `freshet.quorum.round.trip.ms` is changed on one after the other.
#[test]
fn what_was_agreed_survives_storms_among_nodes_of_different_times() {
    for seed in seeds().take(12) {
        let count = if seed % 2 == 0 { 3 } else { 5 };
        run(seed, async || {
            storm_among(seed, count, tight(seed), &[300, 100, 200]).await
        });
    }
}

#[test]
fn a_seed_replays_the_same_storm_byte_for_byte() {
    for (seed, count) in [(3, 3), (4, 5)] {
        let replay = || run(seed, async || storm(seed, count, tight(seed)).await);
        let (one, two) = (replay(), replay());
        assert_eq!(one.history.trace(), two.history.trace(), "seed {seed}");
        assert_eq!(one.delivered, two.delivered, "seed {seed}: messages");
        assert_eq!(one.disks, two.disks, "seed {seed}: bytes on disks");
        assert!(one.delivered.0 > 1_000 && !one.disks[0].is_empty());
    }
}

/// Adds some, takes everybody's power, and looks at what is left, again and again.
async fn blackouts(seed: u64, prepare: impl Fn(&FakeDisk)) {
    let mut cluster = Cluster::formed(seed, 3, tight(seed)).await;
    for round in 0..4 {
        for node in cluster.nodes() {
            prepare(cluster.disk(node));
        }
        cluster.add_all(round * 10..round * 10 + 7).await;
        for node in cluster.nodes() {
            cluster.crash(node);
        }
        for node in cluster.nodes() {
            cluster.boot(node).await;
        }
    }
    calm(&mut cluster, seed).await;
}

#[test]
fn blackouts_take_nothing() {
    for seed in 0..12 {
        run(seed, async || blackouts(seed, |_| {}).await);
    }
}

#[test]
fn the_log_the_vote_the_snapshot_and_their_names_must_be_synced() {
    // A snapshot's name ends with a digit of its offset.
    let snapshot = (0..10).map(|digit| Fault::on(Op::Sync).at(&format!("{digit}.tmp")));
    for lies in [
        vec![Fault::on(Op::Sync).at(".log")],
        vec![Fault::on(Op::Sync).at("vote.tmp")],
        vec![Fault::on(Op::Sync).at("purged.tmp")],
        snapshot.collect(),
        vec![Fault::on(Op::SyncDir).exactly("/meta")],
    ] {
        let lie = |disk: &FakeDisk| {
            for lie in &lies {
                disk.inject(lie.clone().with(Effect::Lie).always());
            }
        };
        let is_noticed = |seed| {
            let lied = || run(seed, async || blackouts(seed, lie).await);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(lied)).is_err()
        };
        assert!((0..100).any(is_noticed), "{lies:?}");
    }
}
