//! Who keeps and leads partitions, after they were created.

use freshet_types::{Position, Published, TopicPartition};

use super::*;

fn at(cluster: &Cluster, topic: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: cluster.image().topic(topic).unwrap().id,
        partition,
    }
}

fn named(topic: &str, partition: i32) -> PartitionName {
    PartitionName {
        topic: topic.into(),
        partition,
    }
}

/// What the leader of t-0 would propose with these in sync.
fn proposal(cluster: &Cluster, isr: &[i32]) -> AlterPartitions {
    let at = at(cluster, "t", 0);
    let was = cluster.partition("t", 0);
    let epoch = |n: NodeId| cluster.image().broker(n).map_or(-1, |b| b.epoch);
    let leader = was.leader.unwrap();
    AlterPartitions {
        node: leader,
        broker_epoch: epoch(leader),
        partitions: vec![ProposedIsr {
            at,
            leader_epoch: was.leader_epoch,
            partition_epoch: was.partition_epoch,
            isr: nodes(isr).into_iter().map(|n| (n, epoch(n))).collect(),
        }],
    }
}

fn propose(cluster: &mut Cluster, isr: &[i32]) -> Outcome<Arc<Partition>> {
    let request = proposal(cluster, isr);
    cluster.ask(request).unwrap().remove(0)
}

fn reassign(cluster: &mut Cluster, replicas: Option<&[i32]>) -> Outcome<()> {
    let change = Reassignment {
        partition: named("t", 0),
        replicas: replicas.map(nodes),
    };
    let request = Reassign {
        changes: vec![change],
        allow_factor_change: true,
    };
    cluster.ask(request).remove(0)
}

#[test]
fn a_leader_changes_the_set_in_sync() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3]]);
    let after = propose(&mut cluster, &[1, 2]).unwrap();
    assert_eq!(after.isr, nodes(&[1, 2]));
    assert_eq!((after.leader_epoch, after.partition_epoch), (0, 1));
    assert_eq!(
        propose(&mut cluster, &[2, 3, 1]).unwrap().isr,
        nodes(&[1, 2, 3])
    );
    // What is so already is no change.
    assert_eq!(
        propose(&mut cluster, &[1, 2, 3]).unwrap().partition_epoch,
        2
    );
    assert!(cluster.records.is_empty());
}

#[test]
fn why_a_proposal_is_refused() {
    let mut cluster = Cluster::watched(4);
    cluster.create_on("t", &[&[1, 2, 3]]);
    propose(&mut cluster, &[1, 2]).unwrap();
    type Change = fn(&mut ProposedIsr);
    let cases: Vec<(Change, ErrorKind, &str)> = vec![
        (
            |p| p.leader_epoch -= 1,
            ErrorKind::Fenced,
            "leader epoch -1 is over",
        ),
        (
            |p| p.leader_epoch += 1,
            ErrorKind::Unavailable,
            "does not know",
        ),
        (
            |p| p.partition_epoch -= 1,
            ErrorKind::Fenced,
            "partition epoch 0 is over",
        ),
        (
            |p| p.partition_epoch += 1,
            ErrorKind::Unavailable,
            "does not know",
        ),
        (
            |p| p.isr.remove(0).1 = 0,
            ErrorKind::Invalid,
            "not among those in sync",
        ),
        (
            |p| p.isr.push((NodeId(4), -1)),
            ErrorKind::Invalid,
            "keeps no replica",
        ),
        (
            |p| p.isr.push((NodeId(1), -1)),
            ErrorKind::Invalid,
            "named twice",
        ),
        (|p| p.isr[1].1 -= 1, ErrorKind::Conflict, "another process"),
        (|p| p.at.partition = 7, ErrorKind::NotFound, "no partition"),
        (
            |p| p.at.topic = TopicId([0xfe; 16]),
            ErrorKind::NotFound,
            "no topic",
        ),
    ];
    for (change, kind, says) in cases {
        let mut request = proposal(&cluster, &[1, 2, 3]);
        change(&mut request.partitions[0]);
        let refused = cluster.ask(request.clone()).unwrap().remove(0).unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        let lets_go = matches!(refused, MetadataError::IneligibleReplica { .. });
        assert_eq!(cluster.records.len(), usize::from(lets_go), "{refused}");
        if lets_go {
            let late = cluster.ask(request).unwrap().remove(0).unwrap_err();
            assert!(
                matches!(late, MetadataError::StalePartition { .. }),
                "{late}"
            );
            assert!(cluster.records.is_empty());
        }
    }
    // Not the leader; a zombie; one that is not known.
    let mut request = proposal(&cluster, &[1, 2, 3]);
    request.node = NodeId(2);
    request.broker_epoch = cluster.image().broker(NodeId(2)).unwrap().epoch;
    assert_eq!(
        cluster.ask(request.clone()).unwrap()[0]
            .as_ref()
            .unwrap_err()
            .kind(),
        ErrorKind::Invalid
    );
    request.broker_epoch -= 1;
    assert!(matches!(
        cluster.ask(request),
        Err(MetadataError::StaleBroker { .. })
    ));
}

#[test]
fn nobody_fenced_or_stopping_is_in_sync() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3]]);
    cluster.second(&[1, 2]);
    let refused = propose(&mut cluster, &[1, 2, 3]).unwrap_err();
    assert!(matches!(
        refused,
        MetadataError::IneligibleReplica {
            node: NodeId(3),
            ..
        }
    ));
    let stop = Heartbeat {
        wants_shutdown: true,
        ..cluster.heartbeat(2)
    };
    cluster.ask(stop).unwrap();
    let refused = propose(&mut cluster, &[1, 2]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

#[test]
fn a_reassignment_goes_on_until_the_new_replicas_are_in_sync() {
    let mut cluster = Cluster::watched(4);
    cluster.create_on("t", &[&[1, 2]]);
    assert_eq!(reassign(&mut cluster, Some(&[4, 3])), Ok(()));
    let moving: Vec<_> = cluster
        .image()
        .moving()
        .map(|(t, n, _)| (t.name.to_string(), n))
        .collect();
    assert_eq!(moving, [("t".to_owned(), 0)]);
    let partition = cluster.partition("t", 0);
    assert_eq!(partition.replicas, nodes(&[4, 3, 1, 2]));
    assert_eq!(
        (&partition.adding, &partition.removing),
        (&nodes(&[4, 3]), &nodes(&[1, 2]))
    );
    assert_eq!(partition.directories[0], DirectoryId([4; 16]));
    let more = MorePartitions {
        name: "t".into(),
        count: 2,
        assignments: None,
    };
    let grown = cluster.ask(CreatePartitions {
        topics: vec![more],
        validate_only: false,
    });
    assert_eq!(grown, [Ok(())]);
    let added = cluster.partition("t", 1).replicas.len();
    assert_eq!(added, 2, "not as many as a move needs for a while");
    let half = propose(&mut cluster, &[1, 2, 4]).unwrap();
    assert!(half.is_moving() && half.leader == Some(NodeId(1)));
    let done = propose(&mut cluster, &[1, 2, 3, 4]).unwrap();
    assert_eq!(
        (&done.replicas, &done.isr),
        (&nodes(&[4, 3]), &nodes(&[4, 3]))
    );
    assert_eq!((done.leader, done.leader_epoch), (Some(NodeId(4)), 1));
    assert_eq!(cluster.image().moving().count(), 0);
    let later = &cluster.partition("t", 1).replicas;
    let count = usize::from(later.contains(&NodeId(1)));
    assert_eq!(cluster.machine.holdings.count(NodeId(1)), count);
    // Only the order: nobody moves, the preferred leader is another.
    assert_eq!(reassign(&mut cluster, Some(&[3, 4])), Ok(()));
    assert_eq!(cluster.partition("t", 0).replicas, nodes(&[3, 4]));
    assert!(!cluster.partition("t", 0).is_moving());
}

#[test]
fn the_number_of_replicas_changes_if_allowed() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2]]);
    let strict = Reassign {
        changes: vec![Reassignment {
            partition: named("t", 0),
            replicas: Some(nodes(&[1, 2, 3])),
        }],
        allow_factor_change: false,
    };
    let refused = cluster.ask(strict).remove(0);
    assert!(matches!(
        refused,
        Err(MetadataError::ReplicationFactor { .. })
    ));
    assert_eq!(reassign(&mut cluster, Some(&[1, 2, 3])), Ok(()));
    assert!(cluster.partition("t", 0).is_moving());
    propose(&mut cluster, &[1, 2, 3]).unwrap();
    // Fewer: at once.
    assert_eq!(reassign(&mut cluster, Some(&[2])), Ok(()));
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (&partition.replicas, partition.leader),
        (&nodes(&[2]), Some(NodeId(2)))
    );
    assert_eq!(partition.leader_epoch, 1);
}

#[test]
fn a_reassignment_can_be_taken_back_or_replaced() {
    let mut cluster = Cluster::watched(4);
    cluster.create_on("t", &[&[1, 2]]);
    assert_eq!(
        reassign(&mut cluster, None),
        Err(MetadataError::NoReassignment)
    );
    reassign(&mut cluster, Some(&[3, 2])).unwrap();
    propose(&mut cluster, &[1, 2]).unwrap();
    // Another goal: 3 goes again, 4 comes.
    reassign(&mut cluster, Some(&[1, 4])).unwrap();
    let partition = cluster.partition("t", 0);
    assert_eq!(partition.replicas, nodes(&[1, 4, 2]));
    assert_eq!(
        (&partition.adding, &partition.removing),
        (&nodes(&[4]), &nodes(&[2]))
    );
    assert_eq!(reassign(&mut cluster, None), Ok(()));
    let partition = cluster.partition("t", 0);
    assert_eq!(
        (&partition.replicas, &partition.isr),
        (&nodes(&[1, 2]), &nodes(&[2, 1]))
    );
    assert!(!partition.is_moving());
    for wrong in [&[9][..], &[1, 1], &[]] {
        let refused = reassign(&mut cluster, Some(wrong));
        assert!(
            matches!(refused, Err(MetadataError::Assignment { .. })),
            "{wrong:?}"
        );
    }
}

#[test]
fn what_would_leave_nobody_with_everything_is_refused() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2]]);
    reassign(&mut cluster, Some(&[3, 2])).unwrap();
    propose(&mut cluster, &[1, 2]).unwrap();
    // 1 and 2 die after 3 came in sync, and before 2 was: only 3 is left.
    let stop_completion = ConfigTarget::Topic("t".into());
    cluster.set(stop_completion, "min.insync.replicas", "1");
    let now = cluster.partition("t", 0).clone();
    assert!(now.is_moving());
    let lonely = Partition {
        isr: nodes(&[3]),
        eligible: Vec::new(),
        leader: Some(NodeId(3)),
        adding: nodes(&[3]),
        removing: nodes(&[1, 2]),
        ..Partition::clone(&now)
    };
    let at = at(&cluster, "t", 0);
    cluster
        .machine
        .apply(&Record::partition(at.topic, 0, lonely));
    assert!(matches!(
        reassign(&mut cluster, None),
        Err(MetadataError::Assignment { .. })
    ));
}

#[test]
fn leaders_are_elected_on_request() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3], &[2, 3, 1]]);
    let elect = |unclean, partitions: Option<Vec<PartitionName>>| ElectLeaders {
        unclean,
        partitions,
    };
    let outcome = |e: Vec<ElectedLeader>| e.into_iter().map(|e| e.outcome).collect::<Vec<_>>();
    let one = Some(vec![named("t", 0), named("t", 9), named("?", 0)]);
    let answers = outcome(cluster.ask(elect(false, one.clone())));
    assert_eq!(answers[0], Err(MetadataError::ElectionNotNeeded));
    assert!(matches!(
        answers[1],
        Err(MetadataError::UnknownPartition { .. })
    ));
    assert!(matches!(
        answers[2],
        Err(MetadataError::UnknownTopic { .. })
    ));
    cluster.second(&[2, 3]);
    let away = MetadataError::PreferredUnavailable { node: NodeId(1) };
    assert_eq!(outcome(cluster.ask(elect(false, one)))[0], Err(away));
    cluster.beat(1);
    propose(&mut cluster, &[1, 2, 3]).unwrap();
    let all = cluster.ask(elect(false, None));
    let expected = ElectedLeader {
        partition: named("t", 0),
        outcome: Ok(NodeId(1)),
    };
    assert_eq!(all, [expected]);
    assert_eq!(cluster.partition("t", 0).leader_epoch, 2);
}

#[test]
fn an_unclean_election_is_on_record() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2]]);
    cluster.set(ConfigTarget::Topic("t".into()), "min.insync.replicas", "1");
    propose(&mut cluster, &[1]).unwrap();
    let before = cluster.machine.publish(Position::START);
    cluster.second(&[2, 3]);
    assert_eq!(cluster.partition("t", 0).leader, None);
    let elect = ElectLeaders {
        unclean: true,
        partitions: None,
    };
    let elected = cluster.ask(elect.clone());
    assert_eq!(elected[0].outcome, Ok(NodeId(2)));
    let after = cluster.machine.publish(Position::START);
    let changes = after.changes_since(&before);
    let [audit] = changes.unclean.as_slice() else {
        panic!("one audit record: {changes:?}");
    };
    assert_eq!(
        (audit.leader, audit.cause),
        (NodeId(2), UncleanCause::Request)
    );
    assert_eq!(audit.time, cluster.now.wall);
    assert!(cluster.ask(elect).is_empty(), "nothing left to elect");
    assert!(after.changes_since(&after).unclean.is_empty());
}

/// Kafka's controller looks for them every few minutes.
#[test]
fn what_waits_for_a_leader_has_one_once_an_unclean_one_will_do() {
    for target in [ConfigTarget::Topic("t".into()), ConfigTarget::Cluster] {
        let mut cluster = Cluster::watched(3);
        cluster.create_on("t", &[&[1, 2]]);
        cluster.create_on("whole", &[&[3, 2]]);
        cluster.set(ConfigTarget::Cluster, "min.insync.replicas", "1");
        propose(&mut cluster, &[1]).unwrap();
        cluster.second(&[2, 3]);
        assert_eq!(cluster.partition("t", 0).leader, None);
        cluster.set(target, "unclean.leader.election.enable", "true");
        let is = cluster.partition("t", 0);
        assert_eq!(
            (is.leader, is.isr.as_slice()),
            (Some(NodeId(2)), &[NodeId(2)][..])
        );
        let on_record = cluster.image().unclean_elections().count();
        assert_eq!(on_record, 1, "and nobody else lost a leader");
        assert_eq!(cluster.partition("whole", 0).leader_epoch, 0);
    }
}

#[test]
fn preferred_leaders_get_their_partitions_back_by_and_by() {
    let options = SessionOptions {
        balance_every_ms: Some(10_000),
        balance_at_once: 2,
        ..SessionOptions::default()
    };
    let mut cluster = Cluster::of_options(MetadataOptions::of_cluster(statics(&[]), options));
    for node in 1..=2 {
        cluster.ask(broker(node)).unwrap();
        cluster.beat(node);
    }
    cluster.create_on("t", &[&[1, 2], &[1, 2], &[1, 2]]);
    cluster.second(&[2]);
    cluster.beat(1);
    for number in 0..3 {
        let request = proposal_of(&cluster, number);
        cluster.ask(request).unwrap().remove(0).unwrap();
    }
    let led = |cluster: &Cluster| {
        let topic = cluster.image().topic("t").unwrap();
        topic
            .iter()
            .filter(|(_, p)| p.leader == Some(NodeId(1)))
            .count()
    };
    assert_eq!(led(&cluster), 0);
    for _ in 0..9 {
        cluster.second(&[1, 2]);
    }
    assert_eq!(led(&cluster), 2);
    cluster.second(&[1, 2]);
    assert_eq!(led(&cluster), 3);
}

/// The leader of a partition of t proposes all its replicas.
fn proposal_of(cluster: &Cluster, number: i32) -> AlterPartitions {
    let was = cluster.partition("t", number);
    let leader = was.leader.unwrap();
    AlterPartitions {
        node: leader,
        broker_epoch: cluster.image().broker(leader).unwrap().epoch,
        partitions: vec![ProposedIsr {
            at: at(cluster, "t", number),
            leader_epoch: was.leader_epoch,
            partition_epoch: was.partition_epoch,
            isr: was.replicas.iter().map(|n| (*n, -1)).collect(),
        }],
    }
}

#[test]
fn a_lower_bound_makes_the_eligible_ordinary_at_once() {
    let mut cluster = Cluster::watched(3);
    cluster.create_on("t", &[&[1, 2, 3]]);
    cluster.create_on("other", &[&[1, 2, 3]]);
    cluster.second(&[1, 2]);
    cluster.second(&[1]);
    let eligible = |cluster: &Cluster, topic| cluster.partition(topic, 0).eligible.len();
    assert_eq!(
        (eligible(&cluster, "t"), eligible(&cluster, "other")),
        (1, 1)
    );
    cluster.set(ConfigTarget::Topic("t".into()), "min.insync.replicas", "1");
    assert_eq!(
        (eligible(&cluster, "t"), eligible(&cluster, "other")),
        (0, 1)
    );
    assert_eq!(
        cluster.records.len(),
        2,
        "the setting, and the partition that waited for it"
    );
    cluster.set(ConfigTarget::Cluster, "min.insync.replicas", "1");
    assert_eq!(eligible(&cluster, "other"), 0);
    // Brokers must not disagree on it.
    let edit = ConfigEdit {
        name: "min.insync.replicas".into(),
        op: ConfigOp::Set,
        value: Some("3".into()),
    };
    let outcome = cluster.ask(AlterConfigs {
        resources: vec![AlterResource {
            target: ConfigTarget::Broker(NodeId(1)),
            change: ConfigChange::Edit(vec![edit]),
        }],
        validate_only: false,
    });
    assert!(matches!(outcome[0], Err(MetadataError::Request { .. })));
}

#[test]
fn deleted_topics_are_remembered_for_brokers_that_were_away() {
    let mut cluster = Cluster::of_brokers(1);
    let gone = cluster.create("gone", 1);
    let stays = cluster.create("stays", 1);
    assert!(!cluster.image().is_deleted(gone));
    let topics = vec![TopicRef::Name("gone".into())];
    cluster.ask(DeleteTopics { topics }).remove(0).unwrap();
    let snapshot = cluster.machine.snapshot();
    let mut restored = MetadataImage::default();
    snapshot.iter().for_each(|record| restored.apply(record));
    for image in [cluster.image(), &restored] {
        assert!(image.is_deleted(gone) && !image.is_deleted(stays));
        assert!(!image.is_deleted(TopicId([9; 16])), "never heard of");
    }
    assert_eq!(restored.version(), cluster.image().version());
    for i in 0..10_000_u32 {
        let mut id = [8; 16];
        id[..4].copy_from_slice(&i.to_be_bytes());
        restored.apply(&Record::TopicDeleted {
            id: TopicId(id),
            kept: None,
        });
    }
    assert!(!restored.is_deleted(gone), "there is a limit");
}
