//! Voters come, go, and are replaced, while those who decide it do the same.

use std::time::Duration;

use freshet_quorum::{Census, PeerId, RaftOptions, Seat, VotersError};
use freshet_sim::Weather;
use freshet_types::NodeId;

use crate::cluster::{Cluster, census, options, run};
use crate::lost::Lost;
use crate::net::Node;
use crate::scenarios::{SECOND, all_agree, numbers, until, wait};

fn voters(raft: &Node) -> Vec<PeerId> {
    let voters = raft.status().voters;
    voters.iter().map(|voter| voter.peer.id).collect()
}

/// A cluster in which a follower has just come back with an empty disk: the leader, that follower,
/// and another one.
async fn one_disk_is_lost(seed: u64) -> (Cluster, [NodeId; 3]) {
    let mut cluster = Cluster::formed(seed, 3, options()).await;
    cluster.add_all(0..20).await;
    let (leader, _) = cluster.leader(SECOND).await;
    let mut others = cluster.nodes();
    others.retain(|&node| node != leader);
    let loser = others[0];
    cluster.lose_disk(loser);
    // Long enough to be taken for dead.
    wait(2_500).await;
    cluster.boot(loser).await;
    (cluster, [leader, loser, others[1]])
}

async fn new_disks_vote_alone(cluster: &Cluster, seed: u64) {
    let (leader, _) = cluster.leader(5 * SECOND).await;
    let mut found = voters(&cluster.raft(leader).unwrap());
    found.sort();
    let wanted = cluster.nodes().into_iter();
    let wanted: Vec<_> = wanted.map(|node| cluster.peer(node).id).collect();
    assert_eq!(found, wanted, "seed {seed}");
}

/// The leader dies when it has begun to take the new disk in, and has not given it the vote.
#[test]
pub(crate) fn a_new_disk_asks_until_the_old_one_votes_no_more() {
    for seed in 0..8 {
        run(seed, async || {
            let (mut cluster, [leader, loser, other]) = one_disk_is_lost(seed).await;
            // It can ask nobody else while it is being taken in.
            cluster.net.isolate(other, &[loser]);
            let newcomer = cluster.raft(loser).unwrap();
            cluster.net.set_weather(Weather {
                delay_ms: (5, 10),
                ..Weather::FINE
            });
            // No setting says that it votes: its old disk did.
            cluster.settle(loser, &[leader, other], &Lost::default());
            // What it has then, it has not told yet.
            until(|| newcomer.is_formed()).await;
            cluster.crash(leader);
            cluster.net.heal();
            cluster.boot(leader).await;
            wait(20_000).await;
            new_disks_vote_alone(&cluster, seed).await;
            cluster.add_all(20..22).await;
            all_agree(&cluster, &numbers(22)).await;
        });
    }
}

/// It listens already, and was not given its vote when its power went.
#[test]
pub(crate) fn who_shall_vote_and_dies_half_way_in_asks_again() {
    for seed in 0..8 {
        run(seed, async || {
            let mut cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..20).await;
            let fourth = NodeId(4);
            cluster.add_host(fourth);
            cluster.boot(fourth).await;
            let (leader, _) = cluster.leader(SECOND).await;
            let half = cluster.raft(leader).unwrap();
            half.add(cluster.peer(fourth), false).await.unwrap();
            cluster.add_all(20..22).await;
            all_agree(&cluster, &numbers(22)).await;
            cluster.crash(fourth);
            cluster.boot(fourth).await;
            cluster.settle(fourth, &cluster.nodes(), &Lost::default());
            wait(5_000).await;
            new_disks_vote_alone(&cluster, seed).await;
            cluster.add_all(22..24).await;
            all_agree(&cluster, &numbers(24)).await;
        });
    }
}

/// The leader dies when old and new voters must both agree, and nobody asks again.
#[test]
pub(crate) fn a_change_that_was_left_half_way_is_finished_by_the_next_leader() {
    for seed in 0..8 {
        run(seed, async || {
            let (mut cluster, [leader, loser, other]) = one_disk_is_lost(seed).await;
            let (newcomer, to) = (cluster.raft(loser).unwrap(), cluster.peer(leader));
            let joining = tokio::spawn(async move { newcomer.join(&to, true).await });
            let witness = cluster.raft(other).unwrap();
            let mine = cluster.peer(loser).id;
            until(|| voters(&witness).contains(&mine)).await;
            cluster.crash(leader);
            joining.abort();
            cluster.boot(leader).await;
            wait(5_000).await;
            new_disks_vote_alone(&cluster, seed).await;
            cluster.add_all(20..22).await;
            all_agree(&cluster, &numbers(22)).await;
        });
    }
}

#[test]
pub(crate) fn who_cannot_catch_up_gets_no_vote() {
    run(31, async || {
        let mut cluster = Cluster::formed(31, 3, options()).await;
        let silent = NodeId(4);
        cluster.add_host(silent);
        cluster.boot(silent).await;
        cluster.net.isolate(silent, &cluster.nodes());
        let (leader, _) = cluster.leader(SECOND).await;
        let (raft, peer) = (cluster.raft(leader).unwrap(), cluster.peer(silent));
        let refused = raft.add(peer.clone(), true).await;
        assert_eq!(refused, Err(VotersError::Behind(peer.id)));
        assert_eq!(voters(&raft).len(), 3);
        // It listens as soon as it can, and votes when it asks again.
        cluster.net.heal();
        cluster.add_all(0..5).await;
        raft.add(peer, true).await.unwrap();
        assert_eq!(voters(&raft).len(), 4);
        all_agree(&cluster, &numbers(5)).await;
    });
}

#[test]
pub(crate) fn the_last_voter_stays() {
    run(32, async || {
        let cluster = Cluster::formed(32, 1, options()).await;
        let me = cluster.peer(NodeId(1)).id;
        let refused = cluster.raft(NodeId(1)).unwrap().remove(me).await;
        assert_eq!(refused, Err(VotersError::OnlyVoter(me)));
        cluster.add_all(0..3).await;
        all_agree(&cluster, &numbers(3)).await;
    });
}

/// One of three is down: whoever of the others left would take the quorum with it.
#[test]
pub(crate) fn a_voter_stays_whom_the_others_need_for_a_majority() {
    for seed in 0..4 {
        run(seed, async || {
            let mut cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..5).await;
            let (leader, _) = cluster.leader(SECOND).await;
            let mut others = cluster.nodes();
            others.retain(|&node| node != leader);
            let [dead, alive] = [others[0], others[1]].map(|node| cluster.peer(node).id);
            cluster.crash(dead.node);
            // Long enough to be taken for dead.
            wait(2_500).await;
            let raft = cluster.raft(leader).unwrap();
            let me = cluster.peer(leader).id;
            for id in [alive, me] {
                let asked = tokio::time::timeout(10 * SECOND, raft.remove(id)).await;
                let (heard, left) = (1, 2);
                let refused = VotersError::TooFewStay { id, heard, left };
                assert_eq!(asked.unwrap(), Err(refused), "seed {seed}");
            }
            cluster.add_all(5..10).await;
            // The dead one is not missed, and then either of two may go that are there.
            raft.remove(dead).await.unwrap();
            cluster.add_all(10..15).await;
            let (leader, _) = cluster.leader(SECOND).await;
            assert_eq!(leader, me.node, "nobody had to be elected");
            raft.remove(alive).await.unwrap();
            assert_eq!(voters(&raft), [me]);
            cluster.add_all(15..20).await;
        });
    }
}

/// There was a fourth controller later than this node's settings were written, and it leads.
#[test]
fn who_joins_finds_a_leader_that_it_was_not_told_of() {
    run(33, async || {
        let mut cluster = Cluster::formed(33, 3, options()).await;
        let named = cluster.nodes();
        let (fourth, fifth) = (NodeId(4), NodeId(5));
        cluster.add_host(fourth);
        cluster.boot(fourth).await;
        let (leader, _) = cluster.leader(SECOND).await;
        let raft = cluster.raft(leader).unwrap();
        raft.add(cluster.peer(fourth), true).await.unwrap();
        for _ in 0..20 {
            let (leader, _) = cluster.leader(SECOND).await;
            if leader != fourth {
                cluster.raft(leader).unwrap().hand_over().await;
            }
        }
        assert_eq!(cluster.leader(SECOND).await.0, fourth);
        cluster.add_host(fifth);
        cluster.boot(fifth).await;
        cluster.settle(fifth, &named, &Lost::default());
        wait(5_000).await;
        assert!(cluster.raft(fifth).unwrap().is_formed());
        assert_eq!(cluster.leader(SECOND).await.0, fourth);
        cluster.add_all(0..3).await;
        all_agree(&cluster, &numbers(3)).await;
    });
}

/// Their greetings are answered later than the next round of them is due.
#[test]
fn empty_controllers_far_from_each_other_form_a_quorum_and_take_a_new_disk_in() {
    let way = Duration::from_millis(250);
    let far = RaftOptions {
        seat: Seat::Task,
        ..RaftOptions::across(way)
    };
    run(31, async || {
        let mut cluster = Cluster::new(31, 3, far).await;
        cluster.net.set_weather(Weather {
            delay_ms: (80, 120),
            ..Weather::FINE
        });
        let settle = |cluster: &Cluster, node: NodeId| {
            let census = Census {
                patience: 3 * way,
                ..census(node, &cluster.nodes())
            };
            let raft = cluster.raft(node).unwrap();
            let settled = async move { census.settle(&raft).await.unwrap() };
            tokio::spawn(tokio::time::timeout(60 * SECOND, settled))
        };
        for settled in [1, 2, 3].map(|node| settle(&cluster, NodeId(node))) {
            settled.await.unwrap().expect("a quorum is formed");
        }
        let (leader, _) = cluster.leader(10 * SECOND).await;
        cluster.lose_disk(leader);
        // Long enough to be taken for dead.
        wait(6_000).await;
        cluster.boot(leader).await;
        let settled = settle(&cluster, leader).await.unwrap();
        settled.expect("a new disk is taken in");
        wait(1_000).await;
        new_disks_vote_alone(&cluster, 31).await;
    });
}

/// It is sent a snapshot in pieces, for longer than one request to be taken in lasts.
#[test]
fn a_new_disk_far_away_goes_on_catching_up_until_it_votes() {
    let way = Duration::from_secs(1);
    let far = RaftOptions {
        seat: Seat::Task,
        snapshot_after_bytes: 300,
        kept_entries: 2,
        chunk_bytes: 128,
        ..RaftOptions::across(way)
    };
    run(34, async || {
        let mut cluster = Cluster::formed(34, 3, far).await;
        cluster.add_all(0..80).await;
        cluster.net.set_weather(Weather {
            delay_ms: (400, 500),
            ..Weather::FINE
        });
        let (leader, _) = cluster.leader(10 * SECOND).await;
        let fourth = NodeId(4);
        cluster.add_host(fourth);
        cluster.boot(fourth).await;
        let raft = cluster.raft(leader).unwrap();
        let behind = raft.add(cluster.peer(fourth), true).await;
        let peer = cluster.peer(fourth).id;
        assert_eq!(behind, Err(VotersError::Behind(peer)));
        cluster.settle(fourth, &cluster.nodes(), &Lost::default());
        wait(90_000).await;
        new_disks_vote_alone(&cluster, 34).await;
        assert_eq!(cluster.leader(SECOND).await.0, leader);
    });
}
