//! Where replicas go.

use std::collections::BTreeMap;

use super::*;

/// Brokers by rack: `racks[i]` brokers in rack i.
fn of_racks(racks: &[i32]) -> Cluster {
    let mut cluster = Cluster::with(&[]);
    register(&mut cluster, racks);
    cluster
}

fn register(cluster: &mut Cluster, racks: &[i32]) {
    let mut node = 0;
    for (rack, count) in racks.iter().enumerate() {
        for _ in 0..*count {
            node += 1;
            let request = RegisterBroker {
                rack: Some(format!("r{rack}")),
                ..broker(node)
            };
            cluster.ask(request).unwrap();
        }
    }
}

fn place(cluster: &mut Cluster, partitions: i32, replication_factor: i16) -> Vec<Arc<Partition>> {
    place_as("t", cluster, partitions, replication_factor)
}

fn place_as(
    name: &str,
    cluster: &mut Cluster,
    partitions: i32,
    replication_factor: i16,
) -> Vec<Arc<Partition>> {
    let wanted = NewTopic {
        partitions,
        replication_factor,
        ..topic(name)
    };
    cluster.ask(create(vec![wanted])).remove(0).unwrap();
    cluster.image().topic(name).unwrap().partitions.clone()
}

#[test]
fn replicas_stand_in_different_racks_as_far_as_there_are_racks() {
    for racks in [&[1, 1, 1][..], &[3, 1, 1], &[2, 2], &[5, 1], &[4, 3, 2]] {
        for factor in 1..=3_i16 {
            let mut cluster = of_racks(racks);
            let placed = place(&mut cluster, 30, factor);
            for partition in placed {
                let rack = |n: &NodeId| cluster.image().broker(*n).unwrap().rack.clone();
                let mut used: Vec<_> = partition.replicas.iter().map(rack).collect();
                used.sort_unstable();
                used.dedup();
                let possible = racks.len().min(usize::try_from(factor).unwrap());
                assert_eq!(used.len(), possible, "{racks:?}: {partition:?}");
                assert_eq!(partition.leader, Some(partition.replicas[0]));
            }
        }
    }
}

#[test]
fn leaders_and_followers_are_spread() {
    let mut cluster = of_racks(&[2, 2, 2]);
    let placed = place(&mut cluster, 60, 3);
    let mut leads: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut keeps: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut heirs: BTreeMap<(NodeId, NodeId), usize> = BTreeMap::new();
    for partition in &placed {
        *leads.entry(partition.replicas[0]).or_default() += 1;
        partition
            .replicas
            .iter()
            .for_each(|n| *keeps.entry(*n).or_default() += 1);
        *heirs
            .entry((partition.replicas[0], partition.replicas[1]))
            .or_default() += 1;
    }
    assert!(leads.values().all(|count| *count == 10), "{leads:?}");
    assert!(
        keeps.values().all(|count| (25..=35).contains(count)),
        "{keeps:?}"
    );
    // Who falls away is followed by several.
    for node in 1..=6 {
        let of_node = heirs.keys().filter(|(leader, _)| leader.0 == node);
        assert!(of_node.count() >= 3, "{heirs:?}");
    }
}

#[test]
fn cordoned_brokers_get_nothing_and_fenced_ones_do_not_lead() {
    let mut cluster = Cluster::watched(4);
    let cordon = CordonBroker {
        node: NodeId(2),
        cordoned: true,
    };
    assert_eq!(cluster.ask(cordon), Ok(()));
    assert_eq!(cluster.ask(cordon), Ok(()));
    assert!(cluster.records.is_empty());
    // Broker 4 goes silent.
    cluster.second(&[1, 2, 3]);
    let placed = place(&mut cluster, 12, 2);
    assert!(
        placed
            .iter()
            .all(|p| !p.replicas.iter().any(|n| [2, 4].contains(&n.0)))
    );
    let wanted = NewTopic {
        partitions: 12,
        replication_factor: 3,
        ..topic("three")
    };
    cluster.ask(create(vec![wanted])).remove(0).unwrap();
    for partition in &cluster.image().topic("three").unwrap().partitions {
        assert!(partition.replicas.contains(&NodeId(4)) && partition.leader != Some(NodeId(4)));
        assert_eq!(partition.isr.len(), 2);
    }
    let explicit = |replicas: &[i32], name: &str| {
        create(vec![NewTopic {
            assignments: vec![(0, nodes(replicas))],
            ..topic(name)
        }])
    };
    for replicas in [&[2, 1][..], &[4]] {
        let outcome = cluster.ask(explicit(replicas, "x")).remove(0);
        assert!(
            matches!(outcome, Err(MetadataError::Assignment { .. })),
            "{replicas:?}"
        );
    }
    assert!(cluster.ask(explicit(&[4, 1], "y")).remove(0).is_ok());
    assert_eq!(cluster.partition("y", 0).leader, Some(NodeId(1)));
}

#[test]
fn cordoned_directories_get_nothing() {
    let mut cluster = Cluster::watched(1);
    let (open, shut) = (DirectoryId([8; 16]), DirectoryId([9; 16]));
    let two = RegisterBroker {
        directories: vec![open, shut],
        ..broker(1)
    };
    cluster.ask(two).unwrap();
    let beat = |cordoned: &[DirectoryId], cluster: &Cluster| Heartbeat {
        cordoned_directories: cordoned.to_vec(),
        ..cluster.heartbeat(1)
    };
    let request = beat(&[shut], &cluster);
    cluster.ask(request).unwrap();
    let placed = place(&mut cluster, 4, 1);
    assert!(placed.iter().all(|p| p.directories == [open]));
    let request = beat(&[open, shut], &cluster);
    cluster.ask(request).unwrap();
    let outcome = cluster.ask(create(vec![topic("full")])).remove(0);
    assert!(matches!(
        outcome,
        Err(MetadataError::ReplicationFactor { .. })
    ));
}

#[test]
fn three_brokers_keep_data_three_times() {
    let mut cluster = Cluster::of_brokers(2);
    cluster.ask(create(vec![topic("two")])).remove(0).unwrap();
    assert_eq!(cluster.partition("two", 0).replicas.len(), 1);
    cluster.ask(broker(3)).unwrap();
    let said = cluster.image().configs(&ConfigOwner::Cluster);
    assert_eq!(
        said.get("min.insync.replicas").map(String::as_str),
        Some("2")
    );
    cluster.ask(create(vec![topic("three")])).remove(0).unwrap();
    assert_eq!(cluster.partition("three", 0).replicas.len(), 3);
    // Who says something is listened to.
    let mut cluster = Cluster::with(&["default.replication.factor=2", "min.insync.replicas=1"]);
    (1..=3).for_each(|node| assert!(cluster.ask(broker(node)).is_ok()));
    assert_eq!(cluster.image().config_owners().count(), 0);
    cluster.ask(create(vec![topic("two")])).remove(0).unwrap();
    assert_eq!(cluster.partition("two", 0).replicas.len(), 2);
}

/// Says that these directories of a broker are slow, and these full.
fn unwell(cluster: &mut Cluster, node: i32, slow: &[DirectoryId], full: &[DirectoryId]) {
    let beat = Heartbeat {
        slow_directories: slow.to_vec(),
        full_directories: full.to_vec(),
        ..cluster.heartbeat(node)
    };
    cluster.ask(beat).unwrap();
}

fn directories(cluster: &Cluster, node: i32) -> Vec<DirectoryId> {
    cluster
        .image()
        .broker(NodeId(node))
        .unwrap()
        .directories
        .clone()
}

fn times(placed: &[Arc<Partition>], node: i32) -> usize {
    let keeps = |p: &&Arc<Partition>| p.replicas.contains(&NodeId(node));
    placed.iter().filter(keeps).count()
}

#[test]
fn brokers_whose_disks_are_slow_or_full_get_nothing_while_there_are_others() {
    for is_slow in [true, false] {
        let mut cluster = Cluster::watched(4);
        let dirs = directories(&cluster, 2);
        let (slow, full) = if is_slow {
            (&dirs[..], &[][..])
        } else {
            (&[][..], &dirs[..])
        };
        unwell(&mut cluster, 2, slow, full);
        let placed = place(&mut cluster, 30, 3);
        assert_eq!(times(&placed, 2), 0);
        // Those who are left share the work as if there were no other.
        for node in [1, 3, 4] {
            let leads = placed.iter().filter(|p| p.leader == Some(NodeId(node)));
            assert_eq!(leads.count(), 10);
        }
        let more = CreatePartitions {
            topics: vec![MorePartitions {
                name: "t".to_owned(),
                count: 42,
                assignments: None,
            }],
            validate_only: false,
        };
        cluster.ask(more).remove(0).unwrap();
        let placed = &cluster.image().topic("t").unwrap().partitions;
        assert_eq!((placed.len(), times(placed, 2)), (42, 0));
        // It is well again.
        unwell(&mut cluster, 2, &[], &[]);
        let placed = place_as("u", &mut cluster, 30, 3);
        assert!(times(&placed, 2) > 15);
    }
}

#[test]
fn brokers_whose_disks_are_full_follow_where_there_are_too_few_others() {
    let mut cluster = Cluster::watched(3);
    let dirs = directories(&cluster, 1);
    unwell(&mut cluster, 1, &[], &dirs);
    let placed = place(&mut cluster, 12, 3);
    assert_eq!(times(&placed, 1), 12);
    assert!(
        placed
            .iter()
            .all(|p| p.leader != Some(NodeId(1)) && p.directories.len() == 3)
    );
    // All are full: as if none were.
    for node in [2, 3] {
        let dirs = directories(&cluster, node);
        unwell(&mut cluster, node, &[], &dirs);
    }
    let placed = place_as("u", &mut cluster, 12, 2);
    assert_eq!(times(&placed, 1), 8);
}

#[test]
fn racks_count_more_than_disks() {
    let mut cluster = Cluster::watched(0);
    register(&mut cluster, &[1, 2]);
    cluster.beat_all(&[1, 2, 3]);
    let dirs = directories(&cluster, 1);
    unwell(&mut cluster, 1, &[], &dirs);
    let placed = place(&mut cluster, 12, 2);
    assert_eq!(times(&placed, 1), 12, "nobody else is in its rack");
    assert!(placed.iter().all(|p| p.leader != Some(NodeId(1))));
    let dirs = directories(&cluster, 2);
    unwell(&mut cluster, 1, &[], &[]);
    unwell(&mut cluster, 2, &[], &dirs);
    let placed = place_as("u", &mut cluster, 12, 2);
    assert_eq!(times(&placed, 2), 0);
}

#[test]
fn slow_disks_are_no_reason_while_most_are_slow() {
    let mut cluster = Cluster::watched(4);
    for node in 1..=3 {
        let dirs = directories(&cluster, node);
        unwell(&mut cluster, node, &dirs, &[]);
    }
    let placed = place(&mut cluster, 12, 1);
    let kept: Vec<_> = (1..=4).map(|node| times(&placed, node)).collect();
    assert_eq!(kept, [3, 3, 3, 3]);
}

#[test]
fn within_a_broker_directories_that_are_well_go_before_others() {
    let mut cluster = Cluster::watched(1);
    let (well, ill) = (DirectoryId([8; 16]), DirectoryId([9; 16]));
    let two = RegisterBroker {
        directories: vec![well, ill],
        ..broker(1)
    };
    cluster.ask(two).unwrap();
    cluster.beat(1);
    unwell(&mut cluster, 1, &[], &[ill]);
    let placed = place(&mut cluster, 4, 1);
    assert!(placed.iter().all(|p| p.directories == [well]));
    unwell(&mut cluster, 1, &[], &[well, ill]);
    let placed = place_as("u", &mut cluster, 8, 1);
    let in_well = placed.iter().filter(|p| p.directories == [well]).count();
    assert_eq!(in_well, 2, "none is well: each has six");
}

/// Registers a broker with these directories; it is there.
fn with_disks(cluster: &mut Cluster, node: i32, disks: &[u8]) {
    let request = RegisterBroker {
        directories: disks.iter().map(|n| DirectoryId([*n; 16])).collect(),
        ..broker(node)
    };
    cluster.ask(request).unwrap();
    cluster.beat(node);
}

/// Replicas in each of a broker's directories.
fn in_disks(cluster: &Cluster, node: i32) -> BTreeMap<DirectoryId, usize> {
    let all = cluster.image().topics().flat_map(|topic| &topic.partitions);
    let mut counts = BTreeMap::new();
    for directory in all.filter_map(|partition| partition.directory(NodeId(node))) {
        *counts.entry(directory).or_default() += 1;
    }
    counts
}

/// Moves the only replica of these topics' first partitions.
fn move_to(cluster: &mut Cluster, names: &[String], node: i32) {
    let change = |name: &String| Reassignment {
        partition: PartitionName {
            topic: name.clone(),
            partition: 0,
        },
        replicas: Some(nodes(&[node])),
    };
    let request = Reassign {
        changes: names.iter().map(change).collect(),
        allow_factor_change: true,
    };
    let outcomes = cluster.ask(request);
    assert!(outcomes.iter().all(Result::is_ok));
}

#[test]
fn what_is_moved_spreads_over_the_disks_of_its_broker() {
    let mut cluster = Cluster::watched(1);
    let names: Vec<String> = (0..1000).map(|n| format!("t{n}")).collect();
    for name in &names {
        cluster.create_on(name, &[&[1]]);
    }
    with_disks(&mut cluster, 2, &[20, 21, 22, 23]);
    for some in names.chunks(50) {
        move_to(&mut cluster, some, 2);
    }
    let counts: Vec<_> = in_disks(&cluster, 2).into_values().collect();
    assert_eq!(counts, [250; 4]);
}

#[test]
fn the_emptiest_disk_is_taken_by_a_controller_that_has_just_begun_too() {
    let mut cluster = Cluster::watched(0);
    with_disks(&mut cluster, 1, &[10]);
    cluster.create("old", 6);
    // Two disks more: they get all until they have as much as the first.
    with_disks(&mut cluster, 1, &[10, 11, 12]);
    let snapshot = cluster.machine.snapshot();
    let mut cluster = Cluster::watched(0);
    snapshot.iter().for_each(|r| cluster.machine.apply(r));
    cluster.create("new", 8);
    let counts: Vec<_> = in_disks(&cluster, 1).into_values().collect();
    assert_eq!(counts, [6, 4, 4]);
    // What is gone counts no more.
    let delete = DeleteTopics {
        topics: vec![TopicRef::Name("old".to_owned())],
    };
    cluster.ask(delete).remove(0).unwrap();
    cluster.create("last", 4);
    let counts: Vec<_> = in_disks(&cluster, 1).into_values().collect();
    assert_eq!(counts, [4, 4, 4]);
}

#[test]
fn replicas_that_somebody_else_chose_spread_over_disks() {
    let mut cluster = Cluster::watched(0);
    with_disks(&mut cluster, 1, &[10, 11, 12, 13]);
    cluster.create_on("t", &[&[1], &[1], &[1], &[1]]);
    let more = MorePartitions {
        name: "t".to_owned(),
        count: 8,
        assignments: Some(vec![nodes(&[1]); 4]),
    };
    let request = CreatePartitions {
        topics: vec![more],
        validate_only: false,
    };
    cluster.ask(request).remove(0).unwrap();
    let counts: Vec<_> = in_disks(&cluster, 1).into_values().collect();
    assert_eq!(counts, [2; 4]);
}

#[test]
fn what_is_moved_goes_to_disks_that_are_well() {
    let mut cluster = Cluster::watched(1);
    let names: Vec<String> = (0..9).map(|n| format!("t{n}")).collect();
    for name in &names {
        cluster.create_on(name, &[&[1]]);
    }
    with_disks(&mut cluster, 2, &[20, 21, 22, 23]);
    unwell(
        &mut cluster,
        2,
        &[DirectoryId([20; 16])],
        &[DirectoryId([21; 16])],
    );
    move_to(&mut cluster, &names[..4], 2);
    let counts = in_disks(&cluster, 2);
    let well = [22, 23].map(|n| (DirectoryId([n; 16]), 2));
    assert_eq!(counts, BTreeMap::from(well));
    let all: Vec<_> = (20..24).map(|n| DirectoryId([n; 16])).collect();
    unwell(&mut cluster, 2, &[], &all);
    move_to(&mut cluster, &names[4..8], 2);
    let counts: Vec<_> = in_disks(&cluster, 2).into_values().collect();
    assert_eq!(counts, [2; 4], "none is well: all are as good");
}
