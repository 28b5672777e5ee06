//! One thing goes wrong at a time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use freshet_quorum::{
    Quorum, QuorumError, RaftOptions, Solo, SoloOptions, StoreError, VotersError,
};
use freshet_sim::FakeClock;
use freshet_types::{NodeId, Timestamp};

use crate::cluster::{Cluster, census, options, run};
use crate::machine::{Ask, Numbers};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn wait(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// Looks every millisecond, for half a minute.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if is_so() {
            return;
        }
        wait(1).await;
    }
    panic!("it does not come true");
}

pub(crate) async fn all_agree(cluster: &Cluster, expected: &[u64]) {
    for node in cluster.up() {
        assert_eq!(cluster.read(node).await, expected, "{node}");
    }
    cluster.history.judge(expected).unwrap();
}

pub(crate) fn numbers(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn three_agree_on_one_order() {
    run(1, async || {
        let cluster = Cluster::formed(1, 3, options()).await;
        cluster.add_all(0..50).await;
        all_agree(&cluster, &numbers(50)).await;
    });
}

#[test]
fn who_does_not_lead_names_the_leader() {
    run(2, async || {
        let cluster = Cluster::formed(2, 3, options()).await;
        let (leader, epoch) = cluster.leader(SECOND).await;
        wait(500).await;
        for node in cluster.nodes().into_iter().filter(|&node| node != leader) {
            let raft = cluster.raft(node).unwrap();
            let refused = raft.propose(Ask::Add(1)).await;
            assert_eq!(
                refused,
                Err(QuorumError::NotLeader {
                    leader: Some(leader)
                })
            );
            let leadership = *raft.leadership().borrow();
            assert_eq!((leadership.leader, leadership.epoch), (Some(leader), epoch));
        }
    });
}

#[test]
fn a_dead_leader_is_replaced_within_a_second() {
    let mut slowest = Duration::ZERO;
    for seed in 0..40 {
        let took = run(seed, async || {
            let mut cluster =
                Cluster::formed(seed, if seed % 2 == 0 { 3 } else { 5 }, options()).await;
            cluster.add_all(0..3).await;
            let (leader, _) = cluster.leader(SECOND).await;
            wait(seed * 13 % 300).await;
            cluster.crash(leader);
            let died = cluster.now();
            cluster.leader(5 * SECOND).await;
            let took = cluster.now() - died;
            cluster.add_all(3..5).await;
            all_agree(&cluster, &numbers(5)).await;
            took
        });
        slowest = slowest.max(took);
        assert!(took < SECOND, "seed {seed}: {took:?}");
    }
    println!("slowest of 40: {slowest:?}");
}

#[test]
fn a_successor_knows_whom_it_succeeds_and_how_long_that_was_silent() {
    for seed in 0..12 {
        run(seed, async || {
            let mut cluster = Cluster::formed(seed, 3, options()).await;
            let (first, _) = cluster.leader(SECOND).await;
            wait(500 + seed * 13).await;
            cluster.crash(first);
            let (second, _) = cluster.leader(5 * SECOND).await;
            let raft = cluster.raft(second).unwrap();
            let silent = raft.propose(Ask::Silence(first)).await.unwrap();
            // No longer than it must have been silent for everybody.
            assert_eq!(silent, 450, "{seed}");
            // Who hands over was heard just now.
            cluster.boot(first).await;
            assert!(raft.hand_over().await);
            let (third, _) = cluster.leader(5 * SECOND).await;
            assert_ne!(third, second);
            let raft = cluster.raft(third).unwrap();
            let silent = raft.propose(Ask::Silence(second)).await.unwrap();
            assert!((1..=200).contains(&silent), "{seed}: {silent}");
        });
    }
}

#[test]
fn a_leader_that_stalls_for_a_moment_is_left_alone() {
    for seed in 0..12 {
        run(seed, async || {
            let cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..3).await;
            let before = cluster.leader(SECOND).await;
            for _ in 0..5 {
                cluster.net.isolate(before.0, &cluster.nodes());
                // Its words are lost, not late: one may have been due when the line was cut, and the
                // next is 120 ms away when it heals. Others vote from 450 ms of silence on.
                wait(200).await;
                cluster.net.heal();
                wait(700).await;
            }
            assert_eq!(cluster.leader(SECOND).await, before, "seed {seed}");
        });
    }
}

#[test]
pub(crate) fn who_comes_back_does_not_depose_a_healthy_leader() {
    for seed in 0..8 {
        run(seed, async || {
            let cluster = Cluster::formed(seed, 3, options()).await;
            let before = cluster.leader(SECOND).await;
            let away = cluster
                .nodes()
                .into_iter()
                .find(|&node| node != before.0)
                .unwrap();
            cluster.net.isolate(away, &cluster.nodes());
            cluster.add_all(0..5).await;
            wait(10_000).await;
            cluster.net.heal();
            wait(5_000).await;
            assert_eq!(cluster.leader(SECOND).await, before, "seed {seed}");
            all_agree(&cluster, &numbers(5)).await;
        });
    }
}

#[test]
pub(crate) fn a_leader_without_a_majority_decides_nothing() {
    run(5, async || {
        let cluster = Cluster::formed(5, 5, options()).await;
        cluster.add_all(0..3).await;
        let (old, _) = cluster.leader(SECOND).await;
        cluster.net.isolate(old, &cluster.nodes());
        let raft = cluster.raft(old).unwrap();
        let lost = tokio::time::timeout(10 * SECOND, raft.propose(Ask::Add(99))).await;
        assert!(!matches!(lost, Ok(Ok(_))), "{lost:?}");
        assert!(
            raft.propose(Ask::Count).await.is_err(),
            "a read that may be old"
        );
        assert!(raft.barrier().await.is_err());
        cluster.add_all(3..6).await;
        cluster.net.heal();
        wait(2_000).await;
        let end = cluster.read(old).await;
        assert_eq!(
            end.iter()
                .filter(|&&n| n != 99)
                .copied()
                .collect::<Vec<_>>(),
            numbers(6)
        );
        cluster.history.judge(&end).unwrap();
    });
}

#[test]
fn all_lose_power_at_once_and_nothing_is_lost() {
    for seed in 0..12 {
        run(seed, async || {
            let mut cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..20).await;
            for node in cluster.nodes() {
                cluster.crash(node);
            }
            for node in cluster.nodes() {
                cluster.boot(node).await;
            }
            cluster.add_all(20..22).await;
            all_agree(&cluster, &numbers(22)).await;
        });
    }
}

pub(crate) fn small() -> RaftOptions {
    RaftOptions {
        snapshot_after_bytes: 200,
        kept_entries: 2,
        chunk_bytes: 100,
        ..options()
    }
}

#[test]
fn who_was_away_too_long_gets_a_snapshot_in_pieces() {
    run(8, async || {
        let mut cluster = Cluster::formed(8, 3, small()).await;
        let (leader, _) = cluster.leader(SECOND).await;
        let away = cluster
            .nodes()
            .into_iter()
            .find(|&node| node != leader)
            .unwrap();
        cluster.crash(away);
        cluster.add_all(0..200).await;
        cluster.boot(away).await;
        all_agree(&cluster, &numbers(200)).await;
        cluster.crash(away);
        cluster.boot(away).await;
        cluster.add_all(200..201).await;
        all_agree(&cluster, &numbers(201)).await;
    });
}

#[test]
fn a_lost_disk_does_not_vote() {
    run(9, async || {
        let mut cluster = Cluster::formed(9, 3, options()).await;
        cluster.add_all(0..5).await;
        let (leader, _) = cluster.leader(SECOND).await;
        let others: Vec<_> = cluster
            .nodes()
            .into_iter()
            .filter(|&node| node != leader)
            .collect();
        // The one that has all of it is away; the others come back with nothing.
        cluster.crash(leader);
        for &node in &others {
            cluster.lose_disk(node);
            cluster.boot(node).await;
        }
        wait(30_000).await;
        assert_eq!(cluster.leader_now(), None, "two empty disks agreed");
        for &node in &others {
            assert!(!cluster.raft(node).unwrap().is_formed());
        }
    });
}

#[test]
pub(crate) fn a_voter_with_a_new_disk_replaces_the_old_one() {
    run(10, async || {
        let mut cluster = Cluster::formed(10, 3, small()).await;
        cluster.add_all(0..50).await;
        let (leader, _) = cluster.leader(SECOND).await;
        let node = cluster
            .nodes()
            .into_iter()
            .find(|&node| node != leader)
            .unwrap();
        let old = cluster.peer(node).id;
        cluster.lose_disk(node);
        cluster.boot(node).await;
        let (leader, _) = cluster.leader(5 * SECOND).await;
        let to = cluster.peer(leader);
        let newcomer = cluster.raft(node).unwrap();
        // The old disk was heard of a moment ago: another process could be alive with it.
        let refused = newcomer.join(&to, true).await;
        assert_eq!(refused, Err(freshet_quorum::VotersError::Taken(old.node)));
        wait(2_500).await;
        newcomer.join(&to, true).await.unwrap();
        cluster.add_all(50..60).await;
        all_agree(&cluster, &numbers(60)).await;
        let status = cluster.raft(leader).unwrap().status();
        let voters: Vec<_> = status.voters.iter().map(|voter| voter.peer.id).collect();
        assert!(
            voters.contains(&cluster.peer(node).id) && !voters.contains(&old),
            "{voters:?}"
        );
        assert_eq!(voters.len(), 3);
        // And it counts: with it, two of three are enough.
        let third = cluster
            .nodes()
            .into_iter()
            .find(|&n| n != leader && n != node)
            .unwrap();
        cluster.crash(third);
        cluster.add_all(60..61).await;
    });
}

#[test]
fn one_grows_to_three_and_shrinks_again() {
    run(11, async || {
        let mut cluster = Cluster::new(11, 1, options()).await;
        let first = NodeId(1);
        cluster
            .raft(first)
            .unwrap()
            .form(&[cluster.peer(first)])
            .await
            .unwrap();
        cluster.add_all(0..10).await;
        for node in [2, 3, 4].map(NodeId) {
            cluster.add_host(node);
            cluster.boot(node).await;
            let as_voter = node != NodeId(4);
            cluster
                .raft(node)
                .unwrap()
                .join(&cluster.peer(first), as_voter)
                .await
                .unwrap();
        }
        cluster.add_all(10..20).await;
        all_agree(&cluster, &numbers(20)).await;
        let status = cluster.raft(first).unwrap().status();
        assert_eq!((status.voters.len(), status.observers.len()), (3, 1));
        wait(1_000).await;
        let status = cluster.raft(first).unwrap().status();
        for replica in status.voters.iter().chain(&status.observers) {
            assert_eq!(replica.log_end_offset, status.high_watermark, "{status:?}");
            assert!(replica.last_caught_up.is_some(), "{status:?}");
        }
        // The leader itself leaves: another has it go on as an observer.
        let leaver = cluster.peer(first).id;
        let refused = cluster.raft(first).unwrap().remove(leaver).await;
        assert!(matches!(refused, Err(VotersError::NotLeader { .. })));
        let (leader, _) = cluster.leader(5 * SECOND).await;
        assert_ne!(leader, first);
        cluster.raft(leader).unwrap().remove(leaver).await.unwrap();
        cluster.add_all(20..23).await;
        all_agree(&cluster, &numbers(23)).await;
        let status = cluster.raft(leader).unwrap().status();
        assert_eq!((status.voters.len(), status.observers.len()), (2, 2));
        cluster.crash(first);
        cluster.add_all(23..25).await;
        all_agree(&cluster, &numbers(25)).await;
    });
}

#[test]
fn a_leader_that_stops_hands_over_first() {
    for seed in 0..8 {
        run(seed, async || {
            let cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..5).await;
            let (old, epoch) = cluster.leader(SECOND).await;
            let begin = cluster.now();
            assert!(cluster.raft(old).unwrap().hand_over().await);
            let (new, later) = cluster.leader(SECOND).await;
            let took = cluster.now() - begin;
            assert!(new != old && later > epoch, "seed {seed}");
            assert!(took < Duration::from_millis(100), "seed {seed}: {took:?}");
            cluster.add_all(5..8).await;
            all_agree(&cluster, &numbers(8)).await;
        });
    }
}

#[test]
fn a_disk_that_fails_takes_only_its_node_down() {
    use freshet_sim::{Fault, Op};
    run(12, async || {
        let cluster = Cluster::formed(12, 3, options()).await;
        cluster.add_all(0..5).await;
        let (leader, _) = cluster.leader(SECOND).await;
        cluster.disk(leader).inject(Fault::on(Op::Sync).at(".log"));
        let raft = cluster.raft(leader).unwrap();
        let failed = raft.propose(Ask::Add(77)).await;
        assert!(failed.is_err(), "{failed:?}");
        wait(3_000).await;
        let (new, _) = cluster.leader(SECOND).await;
        assert_ne!(new, leader);
        cluster.add_all(5..8).await;
        let end = cluster.read(new).await;
        cluster.history.judge(&end).unwrap();
    });
}

#[test]
pub(crate) fn the_log_of_one_becomes_that_of_three() {
    run(13, async || {
        let mut cluster = Cluster::new(13, 0, small()).await;
        let first = NodeId(1);
        cluster.add_host(first);
        let alone = || {
            Solo::start(
                Arc::new(cluster.disk(first).clone()),
                Path::new("/meta"),
                Arc::new(FakeClock::new(Timestamp(1))),
                Numbers::default(),
                SoloOptions {
                    snapshot_after_bytes: 400,
                    ..SoloOptions::default()
                },
            )
        };
        for number in 0..20 {
            let solo = alone().unwrap();
            assert_eq!(
                solo.propose(Ask::Add(number)).await,
                Ok(usize::try_from(number).unwrap())
            );
            solo.stop();
        }
        cluster.boot(first).await;
        cluster.add_all(20..25).await;
        for node in [2, 3].map(NodeId) {
            cluster.add_host(node);
            cluster.boot(node).await;
            cluster
                .raft(node)
                .unwrap()
                .join(&cluster.peer(first), true)
                .await
                .unwrap();
        }
        cluster.add_all(25..30).await;
        all_agree(&cluster, &numbers(30)).await;
        cluster.crash(first);
        cluster.add_all(30..31).await;
        let refused = Solo::start(
            Arc::new(cluster.disk(first).clone()),
            Path::new("/meta"),
            Arc::new(FakeClock::new(Timestamp(1))),
            Numbers::default(),
            SoloOptions::default(),
        );
        assert!(
            matches!(refused, Err(StoreError::Replicated { .. })),
            "one of three decides alone"
        );
    });
}

#[test]
pub(crate) fn empty_controllers_form_one_quorum_and_take_a_new_disk_in() {
    run(14, async || {
        let mut cluster = Cluster::new(14, 3, options()).await;
        // One is late: the others wait for it.
        cluster.crash(NodeId(3));
        let settle = |cluster: &Cluster, node: NodeId| {
            let census = census(node, &cluster.nodes());
            let raft = cluster.raft(node).unwrap();
            tokio::spawn(async move { census.settle(&raft).await.unwrap() })
        };
        let early = [1, 2].map(|node| settle(&cluster, NodeId(node)));
        wait(20_000).await;
        assert_eq!(cluster.leader_now(), None);
        cluster.boot(NodeId(3)).await;
        settle(&cluster, NodeId(3)).await.unwrap();
        for settled in early {
            settled.await.unwrap();
        }
        cluster.add_all(0..10).await;
        cluster.lose_disk(NodeId(1));
        cluster.boot(NodeId(1)).await;
        cluster.leader(5 * SECOND).await;
        settle(&cluster, NodeId(1)).await.unwrap();
        wait(1_000).await;
        cluster.add_all(10..12).await;
        all_agree(&cluster, &numbers(12)).await;
        let voters = cluster.raft(NodeId(1)).unwrap().status().voters;
        let voters: Vec<_> = voters.iter().map(|voter| voter.peer.id).collect();
        assert_eq!(voters, [1, 2, 3].map(|node| cluster.peer(NodeId(node)).id));
    });
}
