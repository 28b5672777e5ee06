//! Committed offsets: who may write them, who may forget them, and when they go by themselves.

use freshet_types::TopicId;

use super::*;
use crate::groups::OffsetValue;

const DAY_MS: u64 = 24 * 3_600_000;
const T: TopicId = TopicId([7; 16]);

fn commit(member_id: &str, generation: i32) -> Commit {
    Commit {
        group: "g".into(),
        member_id: member_id.into(),
        instance_id: None,
        generation,
        expires_at: None,
        topics: vec![topic("t", &[(0, 42)])],
    }
}

fn topic(name: &str, offsets: &[(i32, i64)]) -> CommitTopic {
    let partition = |&(partition, offset): &(i32, i64)| PartitionCommit {
        partition,
        offset,
        leader_epoch: 3,
        metadata: "note".into(),
    };
    let partitions = offsets.iter().map(partition).collect();
    CommitTopic {
        topic: name.into(),
        topic_id: T,
        partitions,
    }
}

fn fetch_all(host: &mut Host, group: &str) -> Vec<(String, i32, i64)> {
    let fetched = host.ask(Fetch {
        group: group.into(),
        topics: None,
    });
    let flat = |topic: FetchedTopic| {
        topic
            .partitions
            .into_iter()
            .filter_map(move |(partition, value)| {
                Some((topic.topic.to_string(), partition, value?.offset))
            })
    };
    fetched.into_iter().flat_map(flat).collect()
}

#[test]
fn all_offsets_of_all_groups_are_told() {
    let mut host = Host::usual();
    let none = host.ask(FetchAll);
    assert!(none.is_empty(), "{none:?}");
    let of = |group: &str, topics| Commit {
        group: group.into(),
        topics,
        ..commit("", -1)
    };
    let several = vec![topic("u", &[(1, 5), (0, 6)]), topic("t", &[(0, 7)])];
    host.ask(of("h", several)).expect("stored");
    host.ask(of("g", vec![topic("t", &[(2, 8)])]))
        .expect("stored");
    // A group without offsets is left out.
    host.start(Join {
        group: "empty".into(),
        ..join(0)
    });
    assert!(host.state("empty").is_some());
    let told: Vec<_> = host
        .ask(FetchAll)
        .into_iter()
        .flat_map(|(group, topics)| {
            let each = topics.into_iter().flat_map(|topic| {
                let name = topic.topic;
                let offset = |(p, value): (i32, Option<OffsetValue>)| Some((p, value?.offset));
                let offsets = topic.partitions.into_iter().filter_map(offset);
                offsets.map(move |(p, offset)| (name.to_string(), p, offset))
            });
            let each: Vec<_> = each.collect();
            each.into_iter()
                .map(move |(topic, p, offset)| (group.to_string(), topic, p, offset))
        })
        .collect();
    let expected = [
        ("g", "t", 2, 8),
        ("h", "t", 0, 7),
        ("h", "u", 0, 6),
        ("h", "u", 1, 5),
    ];
    let expected = expected.map(|(g, t, p, o)| (g.to_owned(), t.to_owned(), p, o));
    assert_eq!(told, expected);
}

#[test]
fn a_consumer_without_a_group_protocol_makes_its_group_by_committing() {
    let mut host = Host::usual();
    let outcome = host.ask(commit("", -1)).expect("stored");
    assert_eq!(outcome[0].partitions, [(0, Ok(()))]);
    assert_eq!(host.state("g"), Some(State::Empty));
    let topics = Some(vec![FetchTopic {
        topic: "t".into(),
        topic_id: T,
        partitions: vec![0, 1],
    }]);
    let fetched = host
        .ask(Fetch {
            group: "g".into(),
            topics,
        })
        .remove(0);
    let [(0, Some(value)), (1, None)] = &fetched.partitions[..] else {
        panic!("{fetched:?}")
    };
    let expected = OffsetValue {
        offset: 42,
        leader_epoch: 3,
        metadata: "note".into(),
        committed_at: Timestamp(WALL_START + 50_000),
        expires_at: None,
        topic_id: T,
    };
    assert_eq!(value, &expected);
}

#[test]
fn who_may_commit() {
    let mut host = Host::usual();
    assert_eq!(
        host.ask(commit("m", 1)),
        Err(GroupError::NotFound),
        "no such group"
    );
    let ids = host.stable(2);
    let id = &*ids[0];
    let cases = [
        (commit(id, 1), Ok(())),
        (commit(id, 0), Err(GroupError::IllegalGeneration)),
        (commit(id, -1), Err(GroupError::IllegalGeneration)),
        (commit("stranger", 1), Err(GroupError::UnknownMember)),
        (commit("", -1), Err(GroupError::UnknownMember)),
        (
            Commit {
                instance_id: Some("i".into()),
                ..commit(id, 1)
            },
            Err(GroupError::UnknownMember),
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(host.ask(request.clone()).map(drop), expected, "{request:?}");
    }
    let ticket = host.start(rejoin(&ids[0]));
    assert_eq!(
        host.ask(commit(id, 1)).map(drop),
        Ok(()),
        "while preparing, old work may be saved"
    );
    let other = host.start(rejoin(&ids[1]));
    let generation = host.joined(ticket).generation;
    host.joined(other);
    let early = host.ask(commit(id, generation));
    assert_eq!(
        early,
        Err(GroupError::RebalanceInProgress),
        "nothing was assigned yet"
    );
    host.ask(leave(&[&ids[0], &ids[1]]));
    assert_eq!(
        host.ask(commit("", -1)).map(drop),
        Ok(()),
        "the group is empty"
    );
}

#[test]
fn nobody_commits_in_a_generation_that_a_failover_would_forget() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    let ticket = host.start(rejoin(&ids[0]));
    let generation = host.joined(ticket).generation;
    // Somebody comes before the leader has said who does what.
    host.start(join(7));
    assert_eq!(host.state("g"), Some(State::PreparingRebalance));
    assert_eq!(
        host.ask(commit(&ids[0], generation)),
        Err(GroupError::RebalanceInProgress)
    );
    host.start(rejoin(&ids[0]));
    let newest = generation + 1;
    assert_eq!(host.ask(beat(&ids[0], newest)), Ok(()), "it has begun");
    host.start(sync(&ids[0], newest));
    assert_eq!(host.ask(commit(&ids[0], newest)).map(drop), Ok(()));
}

#[test]
fn a_commit_counts_as_a_heartbeat() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    for _ in 0..5 {
        host.pass(9_000);
        host.ask(commit(&ids[0], 1)).expect("still a member");
    }
}

#[test]
fn text_that_is_too_long_is_refused_for_its_partition_only() {
    let mut host = Host::usual();
    let mut request = commit("", -1);
    request.topics[0] = topic("t", &[(0, 1), (1, 2), (2, 3)]);
    request.topics[0].partitions[0].metadata = "x".repeat(4_097).into();
    request.topics[0].partitions[1].metadata = "ü".repeat(4_096).into();
    let outcome = host.ask(request).expect("partly stored").remove(0);
    let results: Vec<_> = outcome
        .partitions
        .into_iter()
        .map(|(_, result)| result)
        .collect();
    assert_eq!(
        results,
        [Err(OffsetError::MetadataTooLarge), Ok(()), Ok(())]
    );
    assert_eq!(
        fetch_all(&mut host, "g"),
        [("t".into(), 1, 2), ("t".into(), 2, 3)]
    );
}

#[test]
fn an_offset_of_another_topic_with_the_same_name_is_not_shown() {
    let mut host = Host::usual();
    host.ask(commit("", -1)).expect("stored");
    let ask = |topic_id| {
        let topics = vec![FetchTopic {
            topic: "t".into(),
            topic_id,
            partitions: vec![0],
        }];
        Fetch {
            group: "g".into(),
            topics: Some(topics),
        }
    };
    let shown = |host: &mut Host, id| host.ask(ask(id))[0].partitions[0].1.is_some();
    assert!(shown(&mut host, T));
    assert!(shown(&mut host, TopicId::ZERO));
    assert!(!shown(&mut host, TopicId([8; 16])));
}

#[test]
fn offsets_of_a_topic_that_is_gone_go_with_it() {
    let mut host = Host::usual();
    let mut request = commit("", -1);
    request.topics.push(topic("u", &[(0, 1)]));
    request.topics.push(CommitTopic {
        topic_id: TopicId::ZERO,
        ..topic("v", &[(0, 1)])
    });
    request.topics.push(CommitTopic {
        topic_id: TopicId([8; 16]),
        ..topic("w", &[(0, 1)])
    });
    host.ask(request).expect("stored");
    let gone = |name: &str| DeletedTopic {
        topic: name.into(),
        topic_id: T,
    };
    let topics = vec![gone("t"), gone("v"), gone("w"), gone("x")];
    assert_eq!(host.ask(ForgetTopics { topics }), 2);
    assert_eq!(
        fetch_all(&mut host, "g"),
        [("u".into(), 0, 1), ("w".into(), 0, 1)]
    );
}

#[test]
fn offsets_may_be_forgotten_where_nobody_reads() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    let mut request = commit(&ids[0], 1);
    request.topics.push(topic("old", &[(0, 1), (1, 1)]));
    host.ask(request).expect("stored");
    let topics = vec![("t".into(), vec![0]), ("old".into(), vec![0, 9])];
    let outcome = host
        .ask(DeleteOffsets {
            group: "g".into(),
            topics,
        })
        .expect("done");
    assert_eq!(outcome[0].partitions, [(0, Err(OffsetError::Subscribed))]);
    assert_eq!(outcome[1].partitions, [(0, Ok(())), (9, Ok(()))]);
    assert_eq!(
        fetch_all(&mut host, "g"),
        [("old".into(), 1, 1), ("t".into(), 0, 42)]
    );
}

#[test]
fn offsets_of_unknown_groups_and_of_working_connectors_are_not_forgotten() {
    let mut host = Host::usual();
    let delete = |group: &str| DeleteOffsets {
        group: group.into(),
        topics: vec![],
    };
    assert_eq!(host.ask(delete("nope")), Err(GroupError::NotFound));
    assert_eq!(host.ask(delete("")), Err(GroupError::InvalidGroupId));
    host.start(Join {
        protocol_type: "connect".into(),
        ..join(0)
    });
    assert_eq!(host.ask(delete("g")), Err(GroupError::NotEmpty));
}

#[test]
fn offsets_of_simple_consumers_expire_after_their_commit() {
    let mut host = Host::usual();
    host.ask(commit("", -1)).expect("stored");
    host.pass(6 * DAY_MS);
    let mut later = commit("", -1);
    later.topics = vec![topic("u", &[(0, 1)])];
    host.ask(later).expect("stored");
    host.pass(2 * DAY_MS);
    assert_eq!(fetch_all(&mut host, "g"), [("u".into(), 0, 1)]);
    host.pass(6 * DAY_MS);
    assert!(
        host.groups.is_empty(),
        "the group goes with its last offset"
    );
}

#[test]
fn offsets_of_a_group_expire_after_it_became_empty() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    host.ask(commit(&ids[0], 1)).expect("stored");
    for _ in 0..3 {
        // Work goes on for longer than the retention.
        for _ in 0..(3 * DAY_MS / 9_000) {
            host.pass(9_000);
            host.ask(beat(&ids[0], 1)).expect("alive");
        }
    }
    assert_eq!(fetch_all(&mut host, "g").len(), 1);
    host.ask(leave(&[&ids[0]]));
    host.pass(6 * DAY_MS);
    assert_eq!(fetch_all(&mut host, "g").len(), 1);
    host.fail_over();
    host.pass(DAY_MS + 600_000);
    assert!(host.groups.is_empty(), "the time survives a failover");
    assert!(matches!(
        host.log.last(),
        Some(Record::Group { value: None, .. })
    ));
}

#[test]
fn offsets_of_topics_that_no_consumer_reads_any_more_expire_under_a_working_group() {
    let mut host = Host::new(Limits {
        offsets_retention_ms: 60_000,
        expiry_interval_ms: 10_000,
        ..Limits::default()
    });
    let ids = host.stable(1);
    let mut request = commit(&ids[0], 1);
    request.topics.push(topic("old", &[(0, 1)]));
    host.ask(request).expect("stored");
    for _ in 0..10 {
        host.pass(9_000);
        host.ask(beat(&ids[0], 1)).expect("alive");
    }
    assert_eq!(fetch_all(&mut host, "g"), [("t".into(), 0, 42)]);
}

#[test]
fn an_offset_with_its_own_time_of_expiry_follows_it() {
    let mut host = Host::usual();
    let expires_at = Some(Timestamp(WALL_START + 3_600_000));
    host.ask(Commit {
        expires_at,
        ..commit("", -1)
    })
    .expect("stored");
    host.pass(3_000_000);
    assert_eq!(fetch_all(&mut host, "g").len(), 1);
    host.pass(1_200_000);
    assert!(fetch_all(&mut host, "g").is_empty());
}

#[test]
fn expiry_goes_round_by_round() {
    let mut host = Host::new(Limits {
        expire_at_once: 10,
        ..Limits::default()
    });
    for n in 0..20 {
        let group: Arc<str> = format!("g{n:02}").into();
        let topics = vec![topic("t", &[(0, 1), (1, 1), (2, 1)])];
        host.ask(Commit {
            group,
            topics,
            ..commit("", -1)
        })
        .expect("stored");
    }
    host.pass(8 * DAY_MS);
    assert!(host.groups.is_empty());
}
