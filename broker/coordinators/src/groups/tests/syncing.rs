//! The second half of a rebalance, and heartbeats after it.

use super::*;

#[test]
fn the_leaders_assignment_is_stored_and_told_to_all_who_wait() {
    let mut host = Host::usual();
    let ids = host.stable(3);
    assert_eq!(host.state("g"), Some(State::Stable));
    let [
        Record::Group {
            value: Some(value), ..
        },
    ] = &host.log[..]
    else {
        panic!("one record: {:?}", host.log)
    };
    assert_eq!((value.generation, value.members.len()), (1, 3));
    for member in &value.members {
        assert_eq!(member.assignment, member.member_id.as_bytes());
        assert_eq!(member.subscription, subscription(&["t"]));
    }
    let again = host.ask(sync(&ids[1], 1)).expect("a repeated sync");
    assert_eq!(again.assignment, ids[1].as_bytes());
}

/// After a failover a member may ask for its assignment once more instead of sending a heartbeat.
#[test]
fn who_asks_for_its_assignment_again_is_alive() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    host.fail_over();
    host.pass(9_000);
    host.ask(sync(&ids[0], 1)).expect("synced");
    host.pass(9_000);
    assert_eq!(host.ask(beat(&ids[0], 1)), Ok(()));
}

#[test]
fn members_the_leader_forgot_have_nothing_to_do() {
    let mut host = Host::usual();
    let tickets = [host.start(join(1)), host.start(join(2))];
    host.pass(9_000);
    let joined: Vec<Joined> = tickets.map(|ticket| host.joined(ticket)).into();
    let leader = Arc::clone(&joined[0].leader);
    let other = joined
        .iter()
        .find(|j| j.member_id != leader)
        .expect("a follower");
    let waiting = host.start(sync(&other.member_id, 1));
    host.ask(sync(&leader, 1)).expect("synced");
    let synced = host.take::<Sync>(waiting).expect("synced");
    assert!(synced.assignment.is_empty());
    assert_eq!(synced.protocol.as_deref(), Some("range"));
}

#[test]
fn bad_syncs_are_refused() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    let id = &ids[0];
    let cases = [
        (
            Sync {
                group: "".into(),
                ..sync(id, 1)
            },
            GroupError::InvalidGroupId,
        ),
        (
            Sync {
                group: "nope".into(),
                ..sync(id, 1)
            },
            GroupError::UnknownMember,
        ),
        (sync(&"stranger".into(), 1), GroupError::UnknownMember),
        (sync(id, 0), GroupError::IllegalGeneration),
        (sync(id, 2), GroupError::IllegalGeneration),
        (
            Sync {
                protocol: Some("other".into()),
                ..sync(id, 1)
            },
            GroupError::InconsistentProtocol,
        ),
        (
            Sync {
                protocol_type: Some("connect".into()),
                ..sync(id, 1)
            },
            GroupError::InconsistentProtocol,
        ),
        (
            Sync {
                instance_id: Some("i".into()),
                ..sync(id, 1)
            },
            GroupError::UnknownMember,
        ),
    ];
    for (request, error) in cases {
        assert_eq!(host.ask(request.clone()), Err(error), "{request:?}");
    }
    let right = Sync {
        protocol: Some("range".into()),
        protocol_type: Some("consumer".into()),
        ..sync(id, 1)
    };
    assert!(host.ask(right).is_ok());
}

#[test]
fn a_new_rebalance_sends_those_who_wait_for_the_leader_back_to_join() {
    let mut host = Host::usual();
    let tickets = [host.start(join(1)), host.start(join(2))];
    host.pass(9_000);
    let joined: Vec<Joined> = tickets.map(|ticket| host.joined(ticket)).into();
    let other = joined
        .iter()
        .find(|j| j.member_id != j.leader)
        .expect("a follower");
    let waiting = host.start(sync(&other.member_id, 1));
    host.start(join(3));
    assert_eq!(
        host.take::<Sync>(waiting),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        host.ask(sync(&other.member_id, 1)),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn members_that_owe_their_sync_are_out_after_the_rebalance_timeout() {
    let mut host = Host::usual();
    let tickets = [host.start(join(1)), host.start(join(2))];
    host.pass(9_000);
    let joined: Vec<Joined> = tickets.map(|ticket| host.joined(ticket)).into();
    let leader = Arc::clone(&joined[0].leader);
    let other = joined
        .iter()
        .find(|j| j.member_id != leader)
        .expect("a follower");
    host.ask(sync(&leader, 1)).expect("synced");
    for _ in 0..12 {
        let _ = host.ask(beat(&leader, 1));
        let _ = host.ask(beat(&other.member_id, 1));
        host.pass(5_000);
    }
    assert_eq!(
        host.ask(beat(&other.member_id, 1)),
        Err(GroupError::UnknownMember)
    );
    assert_eq!(
        host.ask(beat(&leader, 1)),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn an_assignment_too_large_to_store_is_refused_and_the_group_lives_on() {
    let mut host = Host::new(Limits {
        group_bytes: 1_000,
        ..Limits::default()
    });
    let ids = host.stable(1);
    let ticket = host.start(rejoin(&ids[0]));
    host.joined(ticket);
    let huge = Assignment {
        member_id: ids[0].clone(),
        assignment: vec![0; 1_000].into(),
    };
    let request = Sync {
        assignments: vec![huge],
        ..sync(&ids[0], 2)
    };
    assert_eq!(host.ask(request), Err(GroupError::TooLarge));
    assert_eq!(host.log.len(), 1, "nothing was stored");
    assert_eq!(host.rejoin_all(&ids), 3);
}

#[test]
fn heartbeats_tell_what_to_do() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let id = &ids[0];
    let fenced = |name: &str| Heartbeat {
        instance_id: Some(name.into()),
        ..beat(id, 1)
    };
    let cases = [
        (beat(id, 1), Ok(())),
        (beat(id, 0), Err(GroupError::IllegalGeneration)),
        (beat(id, -1), Err(GroupError::IllegalGeneration)),
        (beat(&"stranger".into(), 1), Err(GroupError::UnknownMember)),
        (
            Heartbeat {
                group: "nope".into(),
                ..beat(id, 1)
            },
            Err(GroupError::UnknownMember),
        ),
        (
            Heartbeat {
                group: "".into(),
                ..beat(id, 1)
            },
            Err(GroupError::InvalidGroupId),
        ),
        (fenced("i"), Err(GroupError::UnknownMember)),
    ];
    for (request, expected) in cases {
        assert_eq!(host.ask(request.clone()), expected, "{request:?}");
    }
    host.start(join(9));
    assert_eq!(host.ask(beat(id, 1)), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_silent_member_is_out_and_the_others_rebalance() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    host.pass(9_000);
    assert_eq!(host.ask(beat(&ids[0], 1)), Ok(()));
    host.pass(1_000);
    assert_eq!(
        host.ask(beat(&ids[0], 1)),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(host.ask(beat(&ids[1], 1)), Err(GroupError::UnknownMember));
    assert_eq!(host.rejoin_all(&ids[..1]), 2);
}

#[test]
fn a_group_whose_members_all_fell_silent_is_empty_and_stored_so() {
    let mut host = Host::usual();
    host.stable(2);
    host.pass(100_000);
    assert_eq!(host.state("g"), Some(State::Empty));
    let Some(Record::Group {
        value: Some(value), ..
    }) = host.log.last()
    else {
        panic!("a group record")
    };
    assert_eq!((value.generation, value.members.len()), (2, 0));
    assert_eq!(
        (value.protocol.as_ref(), value.leader.as_ref()),
        (None, None)
    );
    assert_eq!(value.protocol_type.as_deref(), Some("consumer"));
}

#[test]
fn cooperative_members_rebalance_twice_in_a_row() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    // First step: partitions are given up; second step: they are given away. For the coordinator
    // these are two joins like any other.
    assert_eq!(host.rejoin_all(&ids), 2);
    assert_eq!(host.rejoin_all(&ids), 3);
    assert_eq!(host.ask(beat(&ids[1], 3)), Ok(()));
}
