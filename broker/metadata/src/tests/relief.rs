//! Brokers whose disks are slow or full.

use super::*;

/// What a broker says whose disk is not well.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    Well,
    Slow,
    Full,
}
use Disk::*;

fn says(cluster: &mut Cluster, node: i32, disk: Disk) {
    let mine = cluster
        .image()
        .broker(NodeId(node))
        .unwrap()
        .directories
        .clone();
    let of = |which| {
        if disk == which {
            mine.clone()
        } else {
            Vec::new()
        }
    };
    let beat = Heartbeat {
        slow_directories: of(Slow),
        full_directories: of(Full),
        ..cluster.heartbeat(node)
    };
    cluster.ask(beat).unwrap();
}

/// The leader of t-0 says who is in sync.
fn propose(cluster: &mut Cluster, isr: &[i32]) {
    let topic = cluster.image().topic("t").unwrap().id;
    let was = Arc::clone(cluster.partition("t", 0));
    let node = was.leader.unwrap();
    let broker_epoch = cluster.image().broker(node).unwrap().epoch;
    let proposed = ProposedIsr {
        at: freshet_types::TopicPartition {
            topic,
            partition: 0,
        },
        leader_epoch: was.leader_epoch,
        partition_epoch: was.partition_epoch,
        isr: nodes(isr).into_iter().map(|n| (n, -1)).collect(),
    };
    let request = AlterPartitions {
        node,
        broker_epoch,
        partitions: vec![proposed],
    };
    cluster.ask(request).unwrap().remove(0).unwrap();
}

/// Who leads t-0, and who is in sync.
fn state(cluster: &Cluster) -> (i32, Vec<i32>) {
    let partition = cluster.partition("t", 0);
    let isr = partition.isr.iter().map(|node| node.0).collect();
    (partition.leader.map_or(-1, |leader| leader.0), isr)
}

fn four() -> Cluster {
    let mut cluster = Cluster::watched(4);
    cluster.create_on("t", &[&[1, 2, 3]]);
    cluster
}

#[test]
fn a_slow_or_full_disk_leads_nothing_and_nobody_waits_for_it() {
    for disk in [Slow, Full] {
        let mut cluster = four();
        says(&mut cluster, 1, disk);
        assert_eq!(state(&cluster), (2, vec![2, 3]));
        assert_eq!(cluster.partition("t", 0).replicas, nodes(&[1, 2, 3]));
        assert_eq!(cluster.partition("t", 0).leader_epoch, 1);
        // A follower's disk: who leads stays.
        let mut cluster = four();
        says(&mut cluster, 3, disk);
        assert_eq!(state(&cluster), (1, vec![1, 2]));
        assert_eq!(cluster.partition("t", 0).leader_epoch, 0);
        // What is said again changes nothing.
        says(&mut cluster, 3, disk);
        assert!(cluster.records.is_empty(), "{:?}", cluster.records);
    }
}

#[test]
fn it_stays_in_sync_while_others_are_too_few_and_leads_while_nobody_else_can() {
    let mut cluster = four();
    propose(&mut cluster, &[1, 2]);
    says(&mut cluster, 1, Slow);
    assert_eq!(state(&cluster), (2, vec![1, 2]), "two copies are needed");
    let mut cluster = four();
    propose(&mut cluster, &[1]);
    says(&mut cluster, 1, Full);
    assert_eq!(state(&cluster), (1, vec![1]));
    // Never out of sync, and not onto another unwell disk.
    let mut cluster = four();
    says(&mut cluster, 2, Full);
    propose(&mut cluster, &[1, 2]);
    says(&mut cluster, 1, Slow);
    assert_eq!(state(&cluster), (1, vec![1, 2]));
    // Once somebody else is in sync, it goes there.
    propose(&mut cluster, &[1, 2, 3]);
    says(&mut cluster, 1, Slow);
    assert_eq!(state(&cluster), (3, vec![1, 2, 3]));
}

#[test]
fn min_insync_replicas_bounds_who_is_let_go() {
    let mut cluster = four();
    cluster.set(ConfigTarget::Topic("t".into()), "min.insync.replicas", "3");
    says(&mut cluster, 1, Slow);
    assert_eq!(state(&cluster), (2, vec![1, 2, 3]));
    let mut cluster = four();
    cluster.set(ConfigTarget::Topic("t".into()), "min.insync.replicas", "1");
    propose(&mut cluster, &[1, 2]);
    says(&mut cluster, 1, Slow);
    assert_eq!(state(&cluster), (2, vec![1, 2]), "one more disk may fail");
}

#[test]
fn slowness_of_more_than_half_is_nobodys_own() {
    let mut cluster = Cluster::watched(4);
    cluster.create_on("t", &[&[2, 3, 4]]);
    says(&mut cluster, 1, Slow);
    says(&mut cluster, 2, Slow);
    assert_eq!(state(&cluster), (3, vec![3, 4]), "two of four");
    says(&mut cluster, 3, Slow);
    assert_eq!(state(&cluster), (3, vec![3, 4]), "three of four");
    // Room is another matter: who has none refuses everything.
    says(&mut cluster, 3, Full);
    assert_eq!(state(&cluster), (4, vec![3, 4]));
}

#[test]
fn preferred_elections_wait_until_the_disk_is_well() {
    let mut cluster = four();
    says(&mut cluster, 1, Slow);
    let elect = || ElectLeaders {
        unclean: false,
        partitions: Some(vec![PartitionName {
            topic: "t".into(),
            partition: 0,
        }]),
    };
    propose(&mut cluster, &[1, 2, 3]);
    let refused = cluster.ask(elect()).remove(0).outcome.unwrap_err();
    let node = NodeId(1);
    assert_eq!(refused, MetadataError::PreferredUnavailable { node });
    says(&mut cluster, 1, Well);
    propose(&mut cluster, &[1, 2, 3]);
    assert_eq!(cluster.ask(elect()).remove(0).outcome, Ok(node));
}

#[test]
fn an_election_prefers_disks_that_are_well_and_takes_others_for_want_of_them() {
    let mut cluster = four();
    cluster.set(ConfigTarget::Topic("t".into()), "min.insync.replicas", "3");
    says(&mut cluster, 2, Full);
    assert_eq!(state(&cluster), (1, vec![1, 2, 3]));
    let fence = |cluster: &mut Cluster, node| {
        let epoch = cluster.image().broker(NodeId(node)).unwrap().epoch;
        let node = NodeId(node);
        cluster.ask(FenceBroker { node, epoch }).unwrap();
    };
    fence(&mut cluster, 1);
    assert_eq!(state(&cluster), (3, vec![2, 3]));
    fence(&mut cluster, 3);
    assert_eq!(state(&cluster), (2, vec![2]));
    // The same for one that comes back and is eligible.
    fence(&mut cluster, 2);
    assert_eq!(state(&cluster).0, -1);
    says(&mut cluster, 2, Full);
    assert_eq!(state(&cluster), (2, vec![2]));
}

#[test]
fn leaders_leave_it_out_until_they_are_too_few_or_it_is_well() {
    let mut cluster = four();
    let at = freshet_types::TopicPartition {
        topic: cluster.image().topic("t").unwrap().id,
        partition: 0,
    };
    says(&mut cluster, 3, Slow);
    let out = |cluster: &Cluster, copies| cluster.image().leaves_out(at, NodeId(3), copies);
    assert!(out(&cluster, (2, 2)) && out(&cluster, (2, 1)));
    assert!(!out(&cluster, (1, 2)) && !out(&cluster, (2, 3)) && !out(&cluster, (1, 1)));
    says(&mut cluster, 3, Well);
    assert!(!out(&cluster, (2, 2)));
    // A reassignment brings it all the same, and it is not let go before that has ended.
    says(&mut cluster, 4, Slow);
    let change = Reassignment {
        partition: PartitionName {
            topic: "t".into(),
            partition: 0,
        },
        replicas: Some(nodes(&[1, 2, 4])),
    };
    let request = Reassign {
        changes: vec![change],
        allow_factor_change: false,
    };
    cluster.ask(request).remove(0).unwrap();
    assert!(!cluster.image().leaves_out(at, NodeId(4), (3, 2)));
    // Nor is one that stays: of two that shall be there, both must be in sync.
    says(&mut cluster, 4, Well);
    propose(&mut cluster, &[1, 2, 3]);
    says(&mut cluster, 3, Slow);
    let shrink = Reassign {
        changes: vec![Reassignment {
            partition: PartitionName {
                topic: "t".into(),
                partition: 0,
            },
            replicas: Some(nodes(&[3, 4])),
        }],
        allow_factor_change: true,
    };
    cluster.ask(shrink).remove(0).unwrap();
    assert!(cluster.partition("t", 0).is_moving());
    assert!(!cluster.image().leaves_out(at, NodeId(3), (3, 2)));
    says(&mut cluster, 3, Slow);
    assert!(state(&cluster).1.contains(&3));
}

#[test]
fn nobody_waits_for_a_copy_that_is_left_out_to_be_in_sync() {
    let mut cluster = four();
    let lagging = |cluster: &Cluster| cluster.image().lagging(NodeId(3)).len();
    says(&mut cluster, 3, Slow);
    assert_eq!(state(&cluster), (1, vec![1, 2]));
    assert_eq!(lagging(&cluster), 0, "a roll would wait for its disk");
    says(&mut cluster, 3, Well);
    assert_eq!(lagging(&cluster), 1, "now it catches up");
}

#[test]
fn the_disks_of_a_new_process_are_well_until_it_says_otherwise() {
    let mut cluster = four();
    says(&mut cluster, 1, Slow);
    let mut again = broker(1);
    again.incarnation = [0x77; 16];
    cluster.second(&[2, 3, 4]);
    cluster.ask(again).unwrap();
    assert!(!cluster.image().broker(NodeId(1)).unwrap().is_unwell());
}

#[test]
fn an_older_broker_says_nothing_of_its_disks() {
    let cluster = four();
    let mut beat = serde_json::to_value(cluster.heartbeat(1)).unwrap();
    let fields = beat.as_object_mut().unwrap();
    fields.remove("slow_directories").unwrap();
    fields.remove("full_directories").unwrap();
    let read: Heartbeat = serde_json::from_value(beat).unwrap();
    assert_eq!(read, cluster.heartbeat(1));
}
