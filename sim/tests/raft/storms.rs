//! Everything goes wrong at once, for a while; then it heals, and the history is judged.

use std::ops::Range;
use std::time::Duration;

use freshet_quorum::{Quorum, RaftOptions};
use freshet_sim::{Effect, FakeDisk, Fault, Op, Throws, Weather};
use freshet_types::NodeId;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::{Cluster, options, run};
use crate::history::History;
use crate::machine::Ask;
use crate::net::{Node, throws};

const STORM: Duration = Duration::from_secs(12);

/// A client asks whoever is up, and goes where it is sent.
fn client(
    id: u64,
    seed: u64,
    nodes: Vec<Node>,
    history: History,
    start: Instant,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut throws = throws(seed ^ (id << 32));
        for i in 0_u64.. {
            tokio::time::sleep(Duration::from_millis(20 + throws.below(60))).await;
            let node = &nodes[throws.index(nodes.len())];
            let (begin, number) = (start.elapsed(), (id << 32) + i);
            let patience = Duration::from_millis(1500);
            match throws.below(4) {
                0 => {
                    let barrier = tokio::time::timeout(patience, node.barrier()).await;
                    if let Ok(Ok(())) = barrier {
                        let count = node.watch().borrow().numbers.len();
                        history.counted(count, begin, start.elapsed());
                    }
                }
                1 => {
                    let count = tokio::time::timeout(patience, node.propose(Ask::Count)).await;
                    if let Ok(Ok(count)) = count {
                        history.counted(count, begin, start.elapsed());
                    }
                }
                _ => {
                    let index =
                        tokio::time::timeout(patience, node.propose(Ask::Add(number))).await;
                    if let Ok(Ok(index)) = index {
                        history.added(number, index, begin, start.elapsed());
                    }
                }
            }
        }
    })
}

/// Breaks something.
async fn strike(cluster: &mut Cluster, throws: &mut Throws) {
    let nodes = cluster.nodes();
    let any = |throws: &mut Throws| nodes[throws.index(nodes.len())];
    match throws.below(11) {
        0 => {
            let node = any(throws);
            cluster.note(&format!("isolate {node}"));
            cluster.net.isolate(node, &nodes);
        }
        1 => {
            if let Some((leader, _)) = cluster.leader_now() {
                cluster.note(&format!("isolate the leader {leader}"));
                cluster.net.isolate(leader, &nodes);
            }
        }
        2 => {
            let (from, to) = (any(throws), any(throws));
            cluster.note(&format!("cut {from} to {to}"));
            cluster.net.cut(from, to);
        }
        3 => {
            let weather = Weather {
                loss_percent: throws.below(30),
                double_percent: throws.below(20),
                delay_ms: (throws.below(5), 5 + throws.below(120)),
            };
            cluster.note(&format!("{weather:?}"));
            cluster.net.set_weather(weather);
        }
        4 => {
            let node = any(throws);
            cluster.crash(node);
        }
        5 => {
            if let Some((leader, _)) = cluster.leader_now() {
                cluster.crash(leader);
            }
        }
        6 | 7 => {
            // Somewhere in the middle of what it is just writing.
            let node = any(throws);
            cluster.note(&format!("{node} will lose power"));
            cluster.disk(node).power_off_during(1 + throws.below(12));
        }
        8 => {
            cluster.note("heal");
            cluster.net.heal();
            cluster.net.set_weather(Weather::FINE);
        }
        _ => {
            boot_all(cluster).await;
        }
    }
}

/// Starts all that are down, and those whose disk lost power under them.
async fn boot_all(cluster: &mut Cluster) {
    for node in cluster.nodes() {
        if !cluster.disk(node).is_on() {
            cluster.crash(node);
        }
        if !cluster.up().contains(&node) {
            cluster.boot(node).await;
        }
    }
}

async fn storm(seed: u64, count: i32, options: RaftOptions) -> History {
    let mut cluster = Cluster::formed(seed, count, options).await;
    cluster.note(&format!("seed {seed}"));
    let (mut throws, start) = (throws(seed ^ 0xbad), Instant::now() - cluster.now());
    let end = Instant::now() + STORM;
    let mut clients: Vec<JoinHandle<()>> = Vec::new();
    let mut generation = 0;
    while Instant::now() < end {
        // Processes come and go; clients find those that are up.
        clients.drain(..).for_each(|client| client.abort());
        let nodes: Vec<_> = cluster
            .up()
            .into_iter()
            .filter_map(|node| cluster.raft(node))
            .collect();
        for i in 0..3 {
            if !nodes.is_empty() {
                let id = generation * 3 + i + 1;
                let history = cluster.history.clone();
                clients.push(client(id, seed, nodes.clone(), history, start));
            }
        }
        generation += 1;
        drop(nodes);
        tokio::time::sleep(Duration::from_millis(200 + throws.below(1500))).await;
        strike(&mut cluster, &mut throws).await;
    }
    clients.drain(..).for_each(|client| client.abort());
    calm(&mut cluster, seed).await
}

/// After the storm everything works again, and everybody says the same.
async fn calm(cluster: &mut Cluster, seed: u64) -> History {
    cluster.net.heal();
    cluster.net.set_weather(Weather::FINE);
    for node in cluster.nodes() {
        // A blow that is still to come does not belong here.
        cluster.crash(node);
    }
    boot_all(cluster).await;
    boot_all(cluster).await;
    cluster.note("calm");
    cluster.leader(Duration::from_secs(5)).await;
    cluster.add_all([u64::MAX]).await;
    let expected = cluster.read(NodeId(1)).await;
    for node in cluster.nodes() {
        assert_eq!(cluster.read(node).await, expected, "seed {seed}: {node}");
    }
    if let Err(flaw) = cluster.history.judge(&expected) {
        panic!(
            "seed {seed}: {flaw}\n{}",
            cluster.history.trace().join("\n")
        );
    }
    cluster.history.clone()
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
        let history = run(seed, async || storm(seed, count, tight(seed)).await);
        finished += history.finished();
    }
    println!("{finished} operations judged");
    assert!(finished > 0);
}

#[test]
fn a_seed_replays_the_same_storm() {
    for seed in [3, 4] {
        let trace = || run(seed, async || storm(seed, 3, tight(seed)).await.trace());
        assert_eq!(trace(), trace(), "seed {seed}");
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
