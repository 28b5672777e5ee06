//! What each rule of terms, reads and disks is for: a world in which it is all that stands between a
//! fault and a broken promise. `guards.rs` takes the rules away.

use std::time::Duration;

use freshet_quorum::{Quorum, QuorumError};
use freshet_types::NodeId;

use crate::cluster::{Cluster, options, run};
use crate::machine::Ask;
use crate::scenarios::{SECOND, all_agree, numbers, until, wait};

/// The leader, and those who follow.
async fn roles(cluster: &Cluster) -> (NodeId, Vec<NodeId>) {
    let (leader, _) = cluster.leader(5 * SECOND).await;
    let mut others = cluster.nodes();
    others.retain(|&node| node != leader);
    (leader, others)
}

/// A majority of the promised disks is gone, and those in their place must not make one.
#[test]
pub(crate) fn an_empty_disk_does_not_vote_as_the_one_that_was_lost() {
    run(21, async || {
        let mut cluster = Cluster::formed(21, 3, options()).await;
        let (leader, others) = roles(&cluster).await;
        let (loser, behind) = (others[0], others[1]);
        cluster.net.isolate(behind, &cluster.nodes());
        cluster.add_all(0..5).await;
        cluster.crash(leader);
        cluster.lose_disk(loser);
        cluster.boot(loser).await;
        cluster.net.heal();
        wait(20_000).await;
        // Asked for its vote all the time, by one that lacks what was agreed to.
        assert_eq!(cluster.leader_now(), None, "the lost disk has voted");
        cluster.boot(leader).await;
        cluster.add_all(5..7).await;
        cluster.crash(loser);
        all_agree(&cluster, &numbers(7)).await;
    });
}

#[test]
pub(crate) fn a_controller_of_another_cluster_takes_no_part() {
    run(22, async || {
        let mut cluster = Cluster::new(22, 3, options()).await;
        let (first, foreign) = (NodeId(1), NodeId(3));
        cluster.crash(foreign);
        cluster.belongs_to(foreign, "elsewhere");
        cluster.boot(foreign).await;
        let voters: Vec<_> = [1, 2, 3].map(|node| cluster.peer(NodeId(node))).into();
        cluster.raft(first).unwrap().form(&voters).await.unwrap();
        cluster.add_all(0..5).await;
        wait(2_000).await;
        let foreign = cluster.raft(foreign).unwrap();
        assert!(!foreign.is_formed(), "{foreign:?}");
        assert!(foreign.watch().borrow().numbers.is_empty());
    });
}

/// A thread is stopped between the decision and its way into the log, while its node loses the lead
/// and gets it back.
#[test]
pub(crate) fn what_was_decided_in_one_term_does_not_enter_another() {
    run(23, async || {
        let mut cluster = Cluster::formed(23, 3, options()).await;
        cluster.add_all(0..5).await;
        let (old, term) = cluster.leader(SECOND).await;
        cluster.hold_decisions(old, true);
        let raft = cluster.raft(old).unwrap();
        let decided = tokio::spawn(async move { raft.propose(Ask::Add(99)).await });
        wait(10).await;
        cluster.net.isolate(old, &cluster.nodes());
        // It stays the leader in its own eyes, and only in them.
        wait(2_000).await;
        let (new, later) = cluster.leader(SECOND).await;
        assert!(new != old && later > term);
        cluster.add_all(5..8).await;
        cluster.net.heal();
        wait(1_000).await;
        // Nobody else is left to hand over to.
        let third = 6 - old.0 - new.0;
        cluster.crash(NodeId(third));
        cluster.raft(new).unwrap().hand_over().await;
        let leads = cluster.raft(old).unwrap().status().leader;
        assert_eq!(leads, Some(old));
        cluster.boot(NodeId(third)).await;
        wait(500).await;
        cluster.hold_decisions(old, false);
        let late = decided.await.unwrap();
        assert!(
            !matches!(late, Ok(index) if index != 8),
            "decided before 5 to 7 were: {late:?}"
        );
        cluster.add_all(8..10).await;
        let end = cluster.read(old).await;
        cluster.history.judge(&end).unwrap();
        assert!(late.is_err(), "{late:?}");
        assert_eq!(end, numbers(10));
    });
}

#[test]
pub(crate) fn a_new_leader_knows_what_the_old_one_has_answered() {
    for seed in 0..8 {
        run(seed, async || {
            let mut cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..5).await;
            let (leader, _) = cluster.leader(SECOND).await;
            // Nobody else was told that the last one is agreed to.
            cluster.crash(leader);
            cluster.add_all(5..7).await;
            cluster.boot(leader).await;
            all_agree(&cluster, &numbers(7)).await;
        });
    }
}

/// It is heard and hears nobody, so that nobody takes the lead from it while it is refused.
#[test]
pub(crate) fn a_leader_that_was_refused_forgets_what_it_had_decided() {
    run(24, async || {
        let cluster = Cluster::formed(24, 3, options()).await;
        cluster.add_all(0..5).await;
        let (leader, others) = roles(&cluster).await;
        let before = cluster.leader(SECOND).await;
        for &other in &others {
            cluster.net.cut(other, leader);
        }
        wait(400).await;
        let raft = cluster.raft(leader).unwrap();
        let refused = tokio::time::timeout(SECOND, raft.propose(Ask::Add(99))).await;
        assert!(
            matches!(refused, Ok(Err(QuorumError::NotLeader { .. }))),
            "{refused:?}"
        );
        cluster.net.heal();
        wait(300).await;
        assert_eq!(cluster.leader(SECOND).await, before);
        cluster.add_all(5..8).await;
        all_agree(&cluster, &numbers(8)).await;
    });
}

/// Others lead and go on without it, and it confirms nothing of its own.
async fn is_cut_off_and_says_nothing_old(cluster: &Cluster, old: NodeId, seed: u64) {
    cluster.net.isolate(old, &cluster.nodes());
    until(|| {
        cluster
            .leader_now()
            .is_some_and(|(leader, _)| leader != old)
    })
    .await;
    cluster.add_all(5..8).await;
    let raft = cluster.raft(old).unwrap();
    let count = tokio::time::timeout(5 * SECOND, raft.propose(Ask::Count)).await;
    assert!(!matches!(count, Ok(Ok(_))), "seed {seed}: {count:?}");
    let read = tokio::time::timeout(5 * SECOND, raft.barrier()).await;
    assert!(!matches!(read, Ok(Ok(_))), "seed {seed}: {read:?}");
}

/// Nobody was there to tell it that another one leads.
#[test]
pub(crate) fn a_leader_that_is_cut_off_answers_nothing_that_is_old() {
    for seed in 0..8 {
        run(seed, async || {
            let cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..5).await;
            let (old, _) = cluster.leader(SECOND).await;
            is_cut_off_and_says_nothing_old(&cluster, old, seed).await;
        });
    }
}

/// The setting is changed on one node after the other, and one that has the new value leads.
#[test]
pub(crate) fn a_leader_that_is_cut_off_answers_nothing_old_to_those_of_shorter_times() {
    for seed in 0..8 {
        run(seed, async || {
            let mut cluster = Cluster::formed(seed, 3, options()).await;
            let (first, others) = roles(&cluster).await;
            let (old, third) = (others[0], others[1]);
            cluster.ways.insert(old, Duration::from_millis(500));
            cluster.crash(old);
            cluster.boot(old).await;
            // The one that is furthest takes over.
            cluster.crash(third);
            cluster.add_all(0..5).await;
            assert!(cluster.raft(first).unwrap().hand_over().await);
            cluster.boot(third).await;
            wait(2_000).await;
            assert_eq!(cluster.leader(SECOND).await.0, old, "seed {seed}");
            is_cut_off_and_says_nothing_old(&cluster, old, seed).await;
        });
    }
}

#[test]
pub(crate) fn a_leader_that_stood_still_says_nothing_that_is_old() {
    for seed in 0..8 {
        run(seed, async || {
            let cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..5).await;
            let (old, _) = cluster.leader(SECOND).await;
            let raft = cluster.raft(old).unwrap();
            cluster.stall(old, 3_000);
            let asked = tokio::spawn(async move {
                // In its queue when it goes on, before it has heard of anything.
                wait(2_900).await;
                let (count, read) = tokio::join!(raft.propose(Ask::Count), raft.barrier());
                (count, read.map(|()| raft.watch().borrow().numbers.len()))
            });
            wait(1_000).await;
            let (new, _) = cluster.leader(SECOND).await;
            assert_ne!(new, old, "seed {seed}");
            cluster.add_all(5..8).await;
            let (count, read) = asked.await.unwrap();
            for told in [count, read].into_iter().flatten() {
                assert_eq!(told, 8, "seed {seed}");
            }
            all_agree(&cluster, &numbers(8)).await;
        });
    }
}

#[test]
pub(crate) fn a_read_sees_what_was_agreed_to_before_it() {
    run(25, async || {
        let cluster = Cluster::formed(25, 3, options()).await;
        let (_, others) = roles(&cluster).await;
        for number in 0..20 {
            cluster.add_all([number]).await;
            let raft = cluster.raft(others[0]).unwrap();
            raft.barrier().await.unwrap();
            let seen = raft.watch().borrow().numbers.clone();
            assert_eq!(seen, numbers(number + 1));
        }
    });
}

/// Where these bytes would be after all lost their power now.
fn durable(cluster: &Cluster, holds: impl Fn(&str, &[u8]) -> bool) -> usize {
    let has = |node: &NodeId| {
        let disk = cluster.disk(*node);
        let mut names = disk.image().into_iter().map(|(path, _)| path);
        names.any(|path| {
            let bytes = disk.durable_bytes(&path).unwrap_or_default();
            holds(&path, &bytes)
        })
    };
    cluster.nodes().iter().filter(|&node| has(node)).count()
}

#[test]
pub(crate) fn what_was_answered_is_on_the_disks_of_a_majority() {
    run(26, async || {
        let cluster = Cluster::formed(26, 5, options()).await;
        for number in 0xfeed_0000..0xfeed_0020_u64 {
            cluster.add_all([number]).await;
            let written = number.to_be_bytes();
            let holds = |_: &str, bytes: &[u8]| bytes.windows(8).any(|part| part == written);
            let count = durable(&cluster, holds);
            assert!(count >= 3, "{number:x} is on {count} of 5 disks");
        }
    });
}

/// A voter that forgets its vote can vote twice in a term.
#[test]
pub(crate) fn a_term_is_on_the_disks_of_a_majority_before_it_is_led() {
    for seed in 0..8 {
        run(seed, async || {
            let mut cluster = Cluster::formed(seed, 5, options()).await;
            for _ in 0..2 {
                let (leader, term) = cluster.leader(5 * SECOND).await;
                let written = u64::try_from(term).unwrap().to_be_bytes();
                let voted = |path: &str, bytes: &[u8]| {
                    path.ends_with("/vote") && bytes.get(8..16) == Some(&written)
                };
                let count = durable(&cluster, voted);
                assert!(count >= 3, "term {term} is on {count} of 5 disks");
                cluster.crash(leader);
            }
        });
    }
}

#[test]
pub(crate) fn a_follower_whose_disk_is_of_yesterday_is_sent_what_it_has_lost() {
    run(27, async || {
        let mut cluster = Cluster::formed(27, 3, options()).await;
        let (_, others) = roles(&cluster).await;
        cluster.add_all(0..5).await;
        wait(500).await;
        let yesterday = cluster.disk(others[0]).image();
        cluster.add_all(5..20).await;
        wait(500).await;
        cluster.crash(others[0]);
        cluster.restore_disk(others[0], &yesterday);
        cluster.boot(others[0]).await;
        cluster.add_all(20..22).await;
        all_agree(&cluster, &numbers(22)).await;
    });
}

/// Its words arrive, and no answer: a majority that waits for it would wait for ever.
#[test]
pub(crate) fn a_leader_that_hears_nobody_is_replaced() {
    for seed in 0..8 {
        run(seed, async || {
            let cluster = Cluster::formed(seed, 3, options()).await;
            cluster.add_all(0..5).await;
            let (deaf, others) = roles(&cluster).await;
            for &other in &others {
                cluster.net.cut(other, deaf);
            }
            wait(10_000).await;
            let (leader, _) = cluster.leader(Duration::from_millis(1)).await;
            assert_ne!(leader, deaf, "seed {seed}");
            cluster.add_all(5..7).await;
            cluster.net.heal();
            wait(1_000).await;
            all_agree(&cluster, &numbers(7)).await;
        });
    }
}
