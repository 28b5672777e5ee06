use freshet_settings::SettingError;

use super::*;

fn refused<T: std::fmt::Debug>(outcome: Result<T, MetadataError>) -> MetadataError {
    outcome.unwrap_err()
}

fn config(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

#[test]
fn a_topic_gets_the_defaults_of_the_controller() {
    let mut cluster = Cluster::with(&["num.partitions=3"]);
    cluster.ask(broker(1)).unwrap();
    let asked = topic("orders");
    let created = cluster.ask(create(vec![asked.clone()])).remove(0).unwrap();
    assert_eq!(
        (created.id, created.partitions, created.replication_factor),
        (asked.id, 3, 1)
    );
    // One for the topic, one for each partition.
    assert_eq!(cluster.records.len(), 4);
    let found = cluster.image().topic("orders").unwrap();
    assert_eq!(cluster.image().topic_by_id(asked.id).unwrap(), found);
    let partition = found.partition(2).unwrap();
    assert_eq!(partition.leader, Some(NodeId(1)));
    assert_eq!((partition.leader_epoch, partition.partition_epoch), (0, 0));
    assert_eq!(partition.directories, [DirectoryId([1; 16])]);
    assert_eq!(found.partition(3), None);
    assert_eq!(found.partition(-1), None);
    assert_eq!(
        (
            cluster.image().topic_count(),
            cluster.image().partition_count()
        ),
        (1, 3)
    );
}

#[test]
fn a_dry_run_checks_and_changes_nothing() {
    let mut cluster = Cluster::of_brokers(1);
    let request = CreateTopics {
        topics: vec![topic("a")],
        validate_only: true,
    };
    let created = cluster.ask(request).remove(0).unwrap();
    assert!(created.id.is_zero());
    assert!(cluster.records.is_empty());
    cluster.create("a", 1);
    let more = MorePartitions {
        name: "a".to_owned(),
        count: 4,
        assignments: None,
    };
    let request = CreatePartitions {
        topics: vec![more],
        validate_only: true,
    };
    assert_eq!(cluster.ask(request), [Ok(())]);
    assert!(cluster.records.is_empty());
    let request = AlterConfigs {
        resources: vec![AlterResource {
            target: ConfigTarget::Topic("a".to_owned()),
            change: ConfigChange::Replace(vec![config("retention.ms", "5")]),
        }],
        validate_only: true,
    };
    assert_eq!(cluster.ask(request), [Ok(())]);
    assert!(cluster.records.is_empty());
}

#[test]
fn why_a_topic_is_not_created() {
    let mut cluster = Cluster::of_brokers(2);
    cluster.create("taken", 1);
    cluster.create("a.b", 1);
    let with = |change: &dyn Fn(&mut NewTopic)| {
        let mut wanted = topic("new");
        change(&mut wanted);
        wanted
    };
    type Says = fn(&MetadataError) -> bool;
    let cases: Vec<(NewTopic, Says, ErrorKind)> = vec![
        (
            with(&|t| t.name = "no spaces".into()),
            |e| matches!(e, MetadataError::Name(_)),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.name = String::new()),
            |e| matches!(e, MetadataError::Name(_)),
            ErrorKind::Invalid,
        ),
        (
            topic("taken"),
            |e| matches!(e, MetadataError::TopicExists { .. }),
            ErrorKind::Conflict,
        ),
        (
            topic("a_b"),
            |e| matches!(e, MetadataError::Collision { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.partitions = 0),
            |e| matches!(e, MetadataError::Partitions { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.partitions = -2),
            |e| matches!(e, MetadataError::Partitions { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.partitions = 10_001),
            |e| matches!(e, MetadataError::Limit { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.replication_factor = 0),
            |e| matches!(e, MetadataError::ReplicationFactor { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.replication_factor = -2),
            |e| matches!(e, MetadataError::ReplicationFactor { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.replication_factor = 3),
            |e| matches!(e, MetadataError::ReplicationFactor { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.configs = vec![config("retention.ms", "soon")]),
            |e| matches!(e, MetadataError::Config(SettingError::Value { .. })),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.configs = vec![config("retension.ms", "1")]),
            |e| matches!(e, MetadataError::Config(SettingError::Unknown { .. })),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.configs = vec![("retention.ms".into(), None)]),
            |e| matches!(e, MetadataError::Config(_)),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.configs = vec![config("retention.ms", "1"), config("retention.ms", "2")]),
            |e| matches!(e, MetadataError::Request { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.configs = vec![config("remote.storage.enable", "true")]),
            |e| matches!(e, MetadataError::Config(_)),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.id = TopicId::ZERO),
            |e| matches!(e, MetadataError::Request { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.id = topic("taken").id),
            |e| matches!(e, MetadataError::Request { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| {
                t.assignments = vec![(0, nodes(&[1]))];
                t.partitions = 1;
            }),
            |e| matches!(e, MetadataError::Request { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| {
                t.assignments = vec![(0, nodes(&[1]))];
                t.replication_factor = 1;
            }),
            |e| matches!(e, MetadataError::Request { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.assignments = vec![(1, nodes(&[1]))]),
            |e| matches!(e, MetadataError::Assignment { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.assignments = vec![(0, nodes(&[1])), (0, nodes(&[2]))]),
            |e| matches!(e, MetadataError::Assignment { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.assignments = vec![(0, nodes(&[1])), (1, nodes(&[1, 2]))]),
            |e| matches!(e, MetadataError::Assignment { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.assignments = vec![(0, vec![])]),
            |e| matches!(e, MetadataError::Assignment { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.assignments = vec![(0, nodes(&[1, 1]))]),
            |e| matches!(e, MetadataError::Assignment { .. }),
            ErrorKind::Invalid,
        ),
        (
            with(&|t| t.assignments = vec![(0, nodes(&[9]))]),
            |e| matches!(e, MetadataError::Assignment { .. }),
            ErrorKind::Invalid,
        ),
    ];
    for (wanted, says, kind) in cases {
        let error = refused(cluster.ask(create(vec![wanted.clone()])).remove(0));
        assert!(says(&error), "{wanted:?}: {error}");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(cluster.records.is_empty(), "{wanted:?}");
    }
}

#[test]
fn topics_of_one_request_succeed_or_fail_alone() {
    let mut cluster = Cluster::of_brokers(1);
    let clash = NewTopic {
        id: TopicId([9; 16]),
        ..topic("x_y")
    };
    let answers = cluster.ask(create(vec![
        topic("x.y"),
        topic("two"),
        topic("two"),
        topic("ok"),
        clash,
    ]));
    let summary: Vec<_> = answers
        .iter()
        .map(|a| a.as_ref().map(|c| c.name.to_string()))
        .collect();
    assert_eq!(summary[0], Ok("x.y".to_owned()));
    assert!(matches!(summary[1], Err(MetadataError::Request { .. })));
    assert!(matches!(summary[2], Err(MetadataError::Request { .. })));
    assert_eq!(summary[3], Ok("ok".to_owned()));
    assert!(matches!(summary[4], Err(MetadataError::Collision { .. })));
    assert_eq!(cluster.image().topic_count(), 2);
}

#[test]
fn limits_count_what_the_request_was_granted_before() {
    let mut cluster = Cluster::with(&["freshet.topics.max=2", "freshet.partitions.max=5"]);
    cluster.ask(broker(1)).unwrap();
    let of = |name: &str, partitions| NewTopic {
        partitions,
        ..topic(name)
    };
    let answers = cluster.ask(create(vec![of("a", 4), of("b", 2), of("c", 1), of("d", 1)]));
    let full = |setting| move |e: &MetadataError| matches!(e, MetadataError::Limit { setting: s, .. } if *s == setting);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(
        answers[1]
            .as_ref()
            .is_err_and(full("freshet.partitions.max"))
    );
    assert!(answers[3].as_ref().is_err_and(full("freshet.topics.max")));
    let more = MorePartitions {
        name: "a".to_owned(),
        count: 5,
        assignments: None,
    };
    let grown = cluster.ask(CreatePartitions {
        topics: vec![more],
        validate_only: false,
    });
    assert!(grown[0].as_ref().is_err_and(full("freshet.partitions.max")));
}

#[test]
fn replicas_spread_over_brokers_and_explicit_ones_are_kept() {
    let mut cluster = Cluster::of_brokers(3);
    let wanted = NewTopic {
        partitions: 6,
        replication_factor: 2,
        ..topic("spread")
    };
    cluster.ask(create(vec![wanted])).remove(0).unwrap();
    let found = cluster.image().topic("spread").unwrap();
    for node in 1..=3 {
        let leads = found
            .partitions
            .iter()
            .filter(|p| p.leader == Some(NodeId(node)))
            .count();
        assert_eq!(leads, 2, "broker {node}");
    }
    let wanted = NewTopic {
        assignments: vec![(1, nodes(&[3, 1])), (0, nodes(&[2, 3]))],
        ..topic("mine")
    };
    let created = cluster.ask(create(vec![wanted])).remove(0).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (2, 2));
    let found = cluster.image().topic("mine").unwrap();
    assert_eq!(found.partition(0).unwrap().replicas, nodes(&[2, 3]));
    assert_eq!(found.partition(1).unwrap().leader, Some(NodeId(3)));
}

#[test]
fn deleting_by_name_and_by_id() {
    let mut cluster = Cluster::of_brokers(1);
    let (a, b) = (cluster.create("a.1", 2), cluster.create("b", 1));
    let unknown = TopicId([9; 16]);
    let answers = cluster.ask(DeleteTopics {
        topics: vec![
            TopicRef::Name("a.1".into()),
            TopicRef::Id(b),
            TopicRef::Id(unknown),
            TopicRef::Name("?".into()),
        ],
    });
    assert_eq!(answers[0].as_ref().map(|d| d.id), Ok(a));
    assert_eq!(
        answers[1].as_ref().map(|d| d.name.to_string()),
        Ok("b".to_owned())
    );
    assert_eq!(
        answers[2],
        Err(MetadataError::UnknownTopicId { id: unknown })
    );
    assert_eq!(
        answers[3],
        Err(MetadataError::UnknownTopic { name: "?".into() })
    );
    assert_eq!(
        (
            cluster.image().topic_count(),
            cluster.image().partition_count()
        ),
        (0, 0)
    );
    // The name is free again, also for names that it collided with.
    let again = NewTopic {
        id: TopicId([7; 16]),
        ..topic("a_1")
    };
    assert!(cluster.ask(create(vec![again])).remove(0).is_ok());
}

#[test]
fn a_topic_is_deleted_once_and_only_if_allowed() {
    let mut cluster = Cluster::of_brokers(1);
    let id = cluster.create("a", 1);
    let twice = DeleteTopics {
        topics: vec![TopicRef::Name("a".into()), TopicRef::Id(id)],
    };
    let answers = cluster.ask(twice);
    assert!(
        answers
            .iter()
            .all(|a| matches!(a, Err(MetadataError::Request { .. })))
    );
    assert!(cluster.image().topic("a").is_some());
    let mut cluster = Cluster::with(&["delete.topic.enable=false"]);
    let answers = cluster.ask(DeleteTopics {
        topics: vec![TopicRef::Name("a".into())],
    });
    assert_eq!(answers, [Err(MetadataError::DeletionDisabled)]);
}

#[test]
fn partitions_are_only_ever_added() {
    let mut cluster = Cluster::of_brokers(2);
    cluster.create("a", 2);
    let grow = |name: &str, count, assignments: Option<Vec<Vec<NodeId>>>| CreatePartitions {
        topics: vec![MorePartitions {
            name: name.into(),
            count,
            assignments,
        }],
        validate_only: false,
    };
    type Says = fn(&MetadataError) -> bool;
    let cases: Vec<(CreatePartitions, Says)> = vec![
        (grow("a", 2, None), |e| {
            matches!(e, MetadataError::Partitions { .. })
        }),
        (grow("a", 1, None), |e| {
            matches!(e, MetadataError::Partitions { .. })
        }),
        (grow("a", -1, None), |e| {
            matches!(e, MetadataError::Partitions { .. })
        }),
        (grow("?", 5, None), |e| {
            matches!(e, MetadataError::UnknownTopic { .. })
        }),
        (grow("a", 4, Some(vec![nodes(&[1])])), |e| {
            matches!(e, MetadataError::Assignment { .. })
        }),
        (grow("a", 3, Some(vec![nodes(&[1, 2])])), |e| {
            matches!(e, MetadataError::Assignment { .. })
        }),
        (grow("a", 3, Some(vec![nodes(&[9])])), |e| {
            matches!(e, MetadataError::Assignment { .. })
        }),
    ];
    for (request, says) in cases {
        let error = refused(cluster.ask(request.clone()).remove(0));
        assert!(says(&error), "{request:?}: {error}");
        assert!(cluster.records.is_empty());
    }
    assert_eq!(cluster.ask(grow("a", 3, Some(vec![nodes(&[2])]))), [Ok(())]);
    assert_eq!(cluster.ask(grow("a", 5, None)), [Ok(())]);
    let found = cluster.image().topic("a").unwrap();
    assert_eq!(found.partitions.len(), 5);
    assert_eq!(found.partition(2).unwrap().leader, Some(NodeId(2)));
    let twice = CreatePartitions {
        topics: [6, 7]
            .map(|count| MorePartitions {
                name: "a".into(),
                count,
                assignments: None,
            })
            .to_vec(),
        validate_only: false,
    };
    assert!(cluster.ask(twice).iter().all(Result::is_err));
}

fn edit(name: &str, op: ConfigOp, value: Option<&str>) -> ConfigEdit {
    ConfigEdit {
        name: name.into(),
        op,
        value: value.map(str::to_owned),
    }
}

fn alter(target: ConfigTarget, change: ConfigChange) -> AlterConfigs {
    AlterConfigs {
        resources: vec![AlterResource { target, change }],
        validate_only: false,
    }
}

fn of_topic(name: &str) -> ConfigTarget {
    ConfigTarget::Topic(name.into())
}

#[test]
fn settings_change_one_by_one() {
    let mut cluster = Cluster::of_brokers(1);
    cluster.create("a", 1);
    let mut step = |edits: Vec<ConfigEdit>| {
        let outcome = cluster
            .ask(alter(of_topic("a"), ConfigChange::Edit(edits)))
            .remove(0);
        let configs = cluster.image().topic("a").unwrap().configs.as_ref().clone();
        (
            outcome,
            cluster.records.len(),
            configs.into_iter().collect::<Vec<_>>(),
        )
    };
    let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
    let (outcome, records, configs) = step(vec![edit("retention.ms", ConfigOp::Set, Some(" 5 "))]);
    assert_eq!(
        (outcome, records, configs),
        (Ok(()), 1, vec![pair("retention.ms", "5")])
    );
    // What is so already needs no record.
    assert_eq!(
        step(vec![edit("retention.ms", ConfigOp::Set, Some("5"))]).1,
        0
    );
    let (_, _, configs) = step(vec![
        edit("retention.ms", ConfigOp::Delete, None),
        edit("cleanup.policy", ConfigOp::Append, Some("compact")),
    ]);
    assert_eq!(configs, [pair("cleanup.policy", "delete,compact")]);
    let (_, _, configs) = step(vec![edit(
        "cleanup.policy",
        ConfigOp::Subtract,
        Some("delete"),
    )]);
    assert_eq!(configs, [pair("cleanup.policy", "compact")]);
    assert_eq!(
        step(vec![edit("retention.bytes", ConfigOp::Delete, None)]).1,
        0
    );
    let wrong = [
        edit("retention.ms", ConfigOp::Append, Some("1")),
        edit("retention.ms", ConfigOp::Set, None),
        edit("retention.ms", ConfigOp::Set, Some("-2")),
        edit("nope", ConfigOp::Set, Some("1")),
        edit("nope", ConfigOp::Delete, None),
        edit("cleanup.policy", ConfigOp::Append, Some("shred")),
    ];
    for wrong in wrong {
        let (outcome, records, _) = step(vec![
            edit("preallocate", ConfigOp::Set, Some("true")),
            wrong.clone(),
        ]);
        assert!(outcome.is_err() && records == 0, "{wrong:?}");
    }
    assert!(
        step(vec![edit("flush.ms", ConfigOp::Set, Some("1")); 2])
            .0
            .is_err()
    );
}

#[test]
fn replacing_takes_away_what_is_not_named() {
    let mut cluster = Cluster::of_brokers(1);
    cluster.create("a", 1);
    let replace = |all: &[(&str, &str)]| {
        let all = all.iter().map(|(n, v)| config(n, v)).collect();
        alter(of_topic("a"), ConfigChange::Replace(all))
    };
    cluster.ask(replace(&[("retention.ms", "5"), ("flush.ms", "7")]));
    assert_eq!(cluster.ask(replace(&[("flush.ms", "7")])), [Ok(())]);
    assert_eq!(cluster.records.len(), 1);
    let configs = &cluster.image().topic("a").unwrap().configs;
    assert_eq!(configs.get("flush.ms").map(String::as_str), Some("7"));
    assert_eq!(configs.len(), 1);
    assert!(cluster.ask(replace(&[("flush.ms", "-7")]))[0].is_err());
}

#[test]
fn settings_of_brokers_groups_and_subscriptions() {
    let mut cluster = Cluster::of_brokers(1);
    let set =
        |name: &str, value: &str| ConfigChange::Edit(vec![edit(name, ConfigOp::Set, Some(value))]);
    let fine: Vec<(ConfigTarget, &str, &str, ConfigOwner)> = vec![
        (
            ConfigTarget::Cluster,
            "log.retention.ms",
            "5",
            ConfigOwner::Cluster,
        ),
        (
            ConfigTarget::Broker(NodeId(1)),
            "log.retention.ms",
            "6",
            ConfigOwner::Broker(NodeId(1)),
        ),
        (
            ConfigTarget::Group("g".into()),
            "consumer.session.timeout.ms",
            "50000",
            ConfigOwner::Group("g".into()),
        ),
        (
            ConfigTarget::ClientMetrics("m".into()),
            "interval.ms",
            "1000",
            ConfigOwner::ClientMetrics("m".into()),
        ),
    ];
    for (target, name, value, owner) in fine {
        assert_eq!(
            cluster.ask(alter(target.clone(), set(name, value))),
            [Ok(())]
        );
        let stored = cluster.image().configs(&owner);
        assert_eq!(stored.get(name).map(String::as_str), Some(value));
    }
    assert_eq!(cluster.image().config_owners().count(), 4);
    let gone = ConfigChange::Edit(vec![edit("log.retention.ms", ConfigOp::Delete, None)]);
    cluster.ask(alter(ConfigTarget::Cluster, gone));
    assert_eq!(cluster.image().config_owners().count(), 3);
    let wrong = vec![
        (ConfigTarget::Cluster, "num.partitions", "5"),
        (ConfigTarget::Broker(NodeId(9)), "log.retention.ms", "5"),
        (
            ConfigTarget::Group(String::new()),
            "consumer.session.timeout.ms",
            "50000",
        ),
        (ConfigTarget::Group("g".into()), "log.retention.ms", "5"),
        (
            ConfigTarget::ClientMetrics(String::new()),
            "interval.ms",
            "1000",
        ),
        (of_topic("?"), "retention.ms", "5"),
    ];
    for (target, name, value) in wrong {
        let answer = cluster
            .ask(alter(target.clone(), set(name, value)))
            .remove(0);
        assert!(answer.is_err() && cluster.records.is_empty(), "{target:?}");
    }
}

#[test]
fn a_resource_that_is_named_twice_is_refused_and_the_others_are_not() {
    let mut cluster = Cluster::of_brokers(1);
    cluster.create("a", 1);
    cluster.create("b", 1);
    let change = ConfigChange::Replace(vec![config("flush.ms", "1")]);
    let resources = ["a", "b", "a"].map(|t| AlterResource {
        target: of_topic(t),
        change: change.clone(),
    });
    let answers = cluster.ask(AlterConfigs {
        resources: resources.to_vec(),
        validate_only: false,
    });
    assert!(answers[0].is_err() && answers[1].is_ok() && answers[2].is_err());
}

#[test]
fn producer_ids_are_handed_out_once() {
    let mut cluster = Cluster::with(&[]);
    let ask = AllocateProducerIds { count: 1000 };
    assert_eq!(
        cluster.ask(ask.clone()),
        Ok(ProducerIdBlock {
            first: 0,
            count: 1000
        })
    );
    assert_eq!(
        cluster.ask(ask.clone()),
        Ok(ProducerIdBlock {
            first: 1000,
            count: 1000
        })
    );
    assert!(matches!(
        cluster.ask(AllocateProducerIds { count: 0 }),
        Err(MetadataError::Request { .. })
    ));
    cluster
        .machine
        .apply(&Record::NextProducerId(i64::MAX - 10));
    assert_eq!(cluster.ask(ask), Err(MetadataError::ProducerIdsExhausted));
}

#[test]
fn a_new_process_of_a_broker_leads_under_a_new_epoch() {
    let mut cluster = Cluster::of_brokers(2);
    let id = cluster.create("a", 4);
    let first = cluster.image().broker(NodeId(1)).unwrap().epoch;
    // The same process again: nothing new.
    assert_eq!(cluster.ask(broker(1)), Ok(first));
    assert!(cluster.records.is_empty());
    let moved = RegisterBroker {
        rack: None,
        ..broker(1)
    };
    assert_eq!(cluster.ask(moved), Ok(first));
    assert_eq!(cluster.records.len(), 1);
    let restarted = RegisterBroker {
        incarnation: [99; 16],
        ..broker(1)
    };
    let epoch = cluster.ask(restarted).unwrap();
    assert!(epoch > first);
    let topic = cluster.image().topic_by_id(id).unwrap();
    for (_, partition) in topic.iter() {
        let mine = partition.leader == Some(NodeId(1));
        assert_eq!(partition.leader_epoch, i32::from(mine));
        assert_eq!(partition.partition_epoch, i32::from(mine));
    }
    let huge = RegisterBroker {
        rack: Some("x".repeat(40_000)),
        ..broker(3)
    };
    assert!(matches!(
        cluster.ask(huge),
        Err(MetadataError::Request { .. })
    ));
    assert!(
        cluster
            .ask(RegisterBroker {
                node: NodeId(-1),
                ..broker(3)
            })
            .is_err()
    );
}

#[test]
fn features_move_within_what_this_version_knows() {
    let mut options = MetadataOptions::of(statics(&[]));
    options.features = vec![
        feature("group.version", 0, 1),
        feature("transaction.version", 0, 2),
    ];
    let mut cluster = Cluster::of_options(options);
    let update = |updates: &[(&str, i16, bool)], validate_only| UpdateFeatures {
        updates: updates
            .iter()
            .map(|&(n, level, allow_downgrade)| FeatureUpdate {
                name: n.into(),
                level,
                allow_downgrade,
            })
            .collect(),
        validate_only,
    };
    assert_eq!(
        cluster.ask(update(&[("transaction.version", 2, false)], true)),
        Ok(())
    );
    assert!(cluster.records.is_empty());
    assert_eq!(
        cluster.ask(update(
            &[
                ("transaction.version", 2, false),
                ("group.version", 1, false)
            ],
            false
        )),
        Ok(())
    );
    assert_eq!(cluster.image().features().len(), 2);
    for wrong in [
        &[("transaction.version", 3, false)][..],
        &[("transaction.version", 1, false)],
        &[("nope", 1, false)],
        &[("group.version", 1, true), ("group.version", 0, true)],
        &[("group.version", 0, true), ("nope", 1, true)],
    ] {
        assert!(cluster.ask(update(wrong, false)).is_err(), "{wrong:?}");
        assert!(cluster.records.is_empty());
    }
    assert_eq!(
        cluster.ask(update(&[("group.version", 0, true)], false)),
        Ok(())
    );
    assert_eq!(cluster.image().features().len(), 1);
}

#[test]
fn what_is_always_there_cannot_be_taken_away() {
    let mut options = MetadataOptions::of(statics(&[]));
    options.features = vec![feature("always", 1, 2)];
    let mut cluster = Cluster::of_options(options);
    let mut to = |level| {
        let update = FeatureUpdate {
            name: "always".into(),
            level,
            allow_downgrade: true,
        };
        cluster.ask(UpdateFeatures {
            updates: vec![update],
            validate_only: false,
        })
    };
    assert!(matches!(to(0), Err(MetadataError::Feature { .. })));
    assert_eq!(to(1), Ok(()));
    assert_eq!(to(2), Ok(()));
    assert_eq!(cluster.image().features()["always"], 2);
}

fn feature(name: &'static str, min: i16, max: i16) -> Feature {
    Feature { name, min, max }
}

#[test]
fn a_broker_is_cordoned_by_its_setting() {
    let mut cluster = Cluster::with(&[]);
    cluster.ask(broker(1)).unwrap();
    let mut set = |value: Option<&str>, validate_only| {
        let edit = ConfigEdit {
            name: "cordoned.log.dirs".into(),
            op: value.map_or(ConfigOp::Delete, |_| ConfigOp::Set),
            value: value.map(str::to_owned),
        };
        let resource = AlterResource {
            target: ConfigTarget::Broker(NodeId(1)),
            change: ConfigChange::Edit(vec![edit]),
        };
        let outcomes = cluster.ask(AlterConfigs {
            resources: vec![resource],
            validate_only,
        });
        assert_eq!(outcomes, [Ok(())]);
        cluster.image().broker(NodeId(1)).unwrap().cordoned
    };
    assert!(!set(Some("*"), true), "a dry run");
    assert!(set(Some("*"), false));
    assert!(!set(Some("/one"), false), "the broker says which that is");
    assert!(set(Some("*"), false));
    assert!(!set(None, false));
}
