//! Who gets in, when, and under which id.

use super::*;

#[test]
fn the_first_rebalance_waits_for_more_members_and_each_newcomer_prolongs_it() {
    let mut host = Host::usual();
    let a = host.start(join(1));
    host.pass(2_000);
    let b = host.start(join(2));
    host.pass(2_999);
    assert!(
        host.is_waiting(a) && host.is_waiting(b),
        "b came late, so 3 s more"
    );
    host.pass(1_001);
    let (a, b) = (host.joined(a), host.joined(b));
    assert_eq!((a.generation, b.generation), (1, 1));
    assert_eq!(a.leader, b.leader);
    assert_eq!(a.protocol.as_deref(), Some("range"));
    assert_eq!(a.protocol_type.as_deref(), Some("consumer"));
    let (leader, follower) = if a.leader == a.member_id {
        (a, b)
    } else {
        (b, a)
    };
    assert_eq!(leader.members.len(), 2);
    assert_eq!(leader.members[0].metadata, subscription(&["t"]));
    assert!(
        follower.members.is_empty(),
        "only the leader sees the members"
    );
    assert_eq!(host.state("g"), Some(State::CompletingRebalance));
    assert!(
        host.log.is_empty(),
        "nothing is stored before there is an assignment"
    );
}

#[test]
fn the_first_rebalance_is_never_prolonged_beyond_the_rebalance_timeout() {
    let mut host = Host::usual();
    let short = |n| Join {
        rebalance_timeout_ms: 7_000,
        ..join(n)
    };
    let first = host.start(short(0));
    for n in 1..10 {
        host.pass(1_000);
        if !host.is_waiting(first) {
            break;
        }
        host.start(short(n));
    }
    assert!(!host.is_waiting(first));
    assert_eq!(host.joined(first).generation, 1);
}

#[test]
fn a_new_dynamic_member_comes_back_with_the_id_it_was_given() {
    let mut host = Host::usual();
    let mut request = Join {
        needs_known_id: true,
        ..join(0)
    };
    request.random = [0xff; 16];
    let refused = host.ask(request.clone()).expect_err("an id first");
    assert_eq!(refused.error, GroupError::MemberIdRequired);
    assert_eq!(
        &*refused.member_id,
        "c-ffffffff-ffff-4fff-bfff-ffffffffffff"
    );
    request.member_id = refused.member_id.clone();
    let ticket = host.start(request);
    host.pass(3_000);
    assert_eq!(host.joined(ticket).member_id, refused.member_id);
}

#[test]
fn an_id_that_nobody_comes_back_with_is_forgotten_after_the_session_timeout() {
    let mut host = Host::usual();
    let request = Join {
        needs_known_id: true,
        ..join(0)
    };
    let id = host
        .ask(request.clone())
        .expect_err("an id first")
        .member_id;
    host.pass(10_000);
    assert!(host.groups.is_empty(), "nothing is left of the group");
    let again = host.start(Join {
        member_id: id,
        ..request
    });
    assert_eq!(host.refused(again), GroupError::UnknownMember);
}

#[test]
fn a_rebalance_waits_for_ids_that_were_given_out() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    let request = Join {
        needs_known_id: true,
        ..join(7)
    };
    let pending = host
        .ask(request.clone())
        .expect_err("an id first")
        .member_id;
    let old = host.start(rejoin(&ids[0])); // the leader asks for a rebalance
    assert!(host.is_waiting(old));
    let new = host.start(Join {
        member_id: pending,
        ..request
    });
    assert_eq!(host.joined(new).generation, 2);
    assert_eq!(host.joined(old).generation, 2);
}

#[test]
fn bad_joins_are_refused() {
    let limits = Limits {
        member_bytes: 100,
        ..Limits::default()
    };
    let mut host = Host::new(limits);
    host.stable(1);
    let unlike = |name: &str| vec![protocol(name, Bytes::new())];
    let big = vec![protocol("range", vec![0; 100].into())];
    let cases = [
        (
            Join {
                group: "".into(),
                ..join(1)
            },
            GroupError::InvalidGroupId,
        ),
        (
            Join {
                session_timeout_ms: 5_999,
                ..join(1)
            },
            GroupError::InvalidSessionTimeout,
        ),
        (
            Join {
                session_timeout_ms: 1_800_001,
                ..join(1)
            },
            GroupError::InvalidSessionTimeout,
        ),
        (
            Join {
                protocol_type: "connect".into(),
                ..join(1)
            },
            GroupError::InconsistentProtocol,
        ),
        (
            Join {
                protocols: unlike("other"),
                ..join(1)
            },
            GroupError::InconsistentProtocol,
        ),
        (
            Join {
                protocols: vec![],
                ..join(1)
            },
            GroupError::InconsistentProtocol,
        ),
        (
            Join {
                protocols: big,
                ..join(1)
            },
            GroupError::TooLarge,
        ),
        (
            Join {
                group: "new".into(),
                protocols: vec![],
                ..join(1)
            },
            GroupError::InconsistentProtocol,
        ),
        (
            Join {
                group: "new".into(),
                protocol_type: "".into(),
                ..join(1)
            },
            GroupError::InconsistentProtocol,
        ),
        (rejoin(&"stranger".into()), GroupError::UnknownMember),
        (
            Join {
                group: "new".into(),
                ..rejoin(&"x".into())
            },
            GroupError::UnknownMember,
        ),
    ];
    for (request, error) in cases {
        let ticket = host.start(request.clone());
        assert_eq!(host.refused(ticket), error, "{request:?}");
    }
    assert_eq!(host.groups.len(), 1, "refused joins leave nothing behind");
}

#[test]
fn a_full_group_takes_nobody_but_keeps_its_members() {
    let mut host = Host::new(Limits {
        members: 2,
        ..Limits::default()
    });
    let ids = host.stable(2);
    let third = host.start(join(9));
    assert_eq!(host.refused(third), GroupError::MaxSizeReached);
    assert_eq!(host.rejoin_all(&ids), 2);
}

#[test]
fn a_first_gathering_takes_no_more_than_the_limit() {
    let mut host = Host::new(Limits {
        members: 2,
        ..Limits::default()
    });
    let tickets: Vec<_> = (0..3).map(|n| host.start(join(n))).collect();
    assert_eq!(host.refused(tickets[2]), GroupError::MaxSizeReached);
}

#[test]
fn a_shard_full_of_groups_takes_no_new_one() {
    let mut host = Host::new(Limits {
        groups: 1,
        ..Limits::default()
    });
    host.stable(1);
    let other = host.start(Join {
        group: "h".into(),
        ..join(1)
    });
    assert_eq!(host.refused(other), GroupError::Busy);
}

#[test]
fn too_many_unused_ids_are_not_given_out() {
    let mut host = Host::new(Limits {
        pending_members: 1,
        ..Limits::default()
    });
    let ask = |n| Join {
        needs_known_id: true,
        ..join(n)
    };
    let tickets = [host.start(ask(0)), host.start(ask(1))];
    assert_eq!(host.refused(tickets[0]), GroupError::MemberIdRequired);
    assert_eq!(host.refused(tickets[1]), GroupError::Busy);
}

#[test]
fn the_protocol_with_most_votes_among_common_ones_wins() {
    let likes = |names: &[&str]| {
        names
            .iter()
            .map(|n| protocol(n, Bytes::new()))
            .collect::<Vec<_>>()
    };
    let cases: [(&[&[&str]], &str); 4] = [
        (&[&["a", "b"], &["b", "a"], &["b", "a"]], "b"),
        (&[&["a", "b", "c"], &["c", "b"], &["c", "b"]], "c"),
        (&[&["x", "b"], &["b", "y"]], "b"),
        (&[&["b", "a"], &["a", "b"]], "a"), // a tie goes to the lesser name
    ];
    for (members, expected) in cases {
        let mut host = Host::usual();
        let start = |(n, names): (usize, &&[&str])| {
            host.start(Join {
                protocols: likes(names),
                ..join(n)
            })
        };
        let tickets: Vec<_> = members.iter().enumerate().map(start).collect();
        host.pass(60_000 - 3_000);
        for ticket in tickets {
            assert_eq!(host.joined(ticket).protocol.as_deref(), Some(expected));
        }
    }
}

#[test]
fn a_follower_without_news_gets_the_present_generation_and_causes_no_rebalance() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let ticket = host.start(rejoin(&ids[1]));
    let joined = host.joined(ticket);
    assert_eq!((joined.generation, joined.members.len()), (1, 0));
    assert_eq!(host.state("g"), Some(State::Stable));
    let news = vec![protocol("range", subscription(&["t", "u"]))];
    let ticket = host.start(Join {
        protocols: news,
        ..rejoin(&ids[1])
    });
    assert!(host.is_waiting(ticket), "with news it does");
}

#[test]
fn the_leader_can_always_ask_for_a_rebalance() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let leader = host.start(rejoin(&ids[0]));
    assert_eq!(
        host.ask(beat(&ids[1], 1)),
        Err(GroupError::RebalanceInProgress)
    );
    let follower = host.start(rejoin(&ids[1]));
    assert_eq!(host.joined(leader).generation, 2);
    assert_eq!(host.joined(follower).generation, 2);
}

#[test]
fn members_that_do_not_come_in_time_are_out_and_a_late_leader_loses_its_office() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let news = vec![protocol("range", subscription(&["u"]))];
    let ticket = host.start(Join {
        protocols: news,
        ..rejoin(&ids[1])
    });
    for _ in 0..12 {
        // The leader is alive, but busy with its records.
        assert!(host.is_waiting(ticket));
        assert_eq!(
            host.ask(beat(&ids[0], 1)),
            Err(GroupError::RebalanceInProgress)
        );
        host.pass(5_000);
    }
    let joined = host.joined(ticket);
    assert_eq!(joined.leader, ids[1]);
    assert_eq!(joined.members.len(), 1);
    assert_eq!(host.ask(beat(&ids[0], 1)), Err(GroupError::UnknownMember));
}

#[test]
fn a_repeated_join_takes_the_place_of_the_one_before() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let first = host.start(rejoin(&ids[0]));
    let second = host.start(rejoin(&ids[0]));
    assert_eq!(host.refused(first), GroupError::RebalanceInProgress);
    assert!(host.is_waiting(second));
}

#[test]
fn a_member_that_missed_its_answer_gets_it_again() {
    let mut host = Host::usual();
    let tickets = [host.start(join(1)), host.start(join(2))];
    host.pass(6_000);
    let leader = host.joined(tickets[0]).leader;
    host.joined(tickets[1]);
    let again = host.start(rejoin(&leader));
    let joined = host.joined(again);
    assert_eq!((joined.generation, joined.members.len()), (1, 2));
}

#[test]
fn a_new_member_that_waits_too_long_is_taken_for_gone() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    let slow = Join {
        rebalance_timeout_ms: 1_000_000,
        ..rejoin(&ids[0])
    };
    let first = host.start(slow);
    host.joined(first);
    host.sync_all(&ids, 2);
    let new = host.start(join(5));
    for _ in 0..60 {
        let _ = host.ask(beat(&ids[0], 2));
        host.pass(5_000);
    }
    assert_eq!(host.refused(new), GroupError::UnknownMember);
}
