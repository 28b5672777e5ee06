//! Members with a name of their own (KIP-345).

use super::*;

fn named(name: &str, n: usize) -> Join {
    Join {
        instance_id: Some(name.into()),
        ..join(n)
    }
}

/// Two static members "a" and "b", stable; the leader's name first, with ids.
fn stable(host: &mut Host) -> Vec<(Arc<str>, Arc<str>)> {
    let tickets = [
        ("a", host.start(named("a", 1))),
        ("b", host.start(named("b", 2))),
    ];
    host.pass(9_000);
    let mut members: Vec<(Arc<str>, Joined)> = tickets
        .map(|(name, ticket)| (name.into(), host.joined(ticket)))
        .into();
    members.sort_by_key(|(_, joined)| joined.member_id != joined.leader);
    let ids: Vec<_> = members
        .iter()
        .map(|(_, joined)| joined.member_id.clone())
        .collect();
    host.sync_all(&ids, 1);
    members
        .into_iter()
        .map(|(name, joined)| (name, joined.member_id))
        .collect()
}

#[test]
fn a_static_member_that_comes_back_keeps_its_assignment_without_a_rebalance() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    let (name, old) = &members[1];
    let ticket = host.start(named(name, 7));
    let joined = host.joined(ticket);
    assert_ne!(&joined.member_id, old);
    assert!(joined.member_id.starts_with(&**name));
    assert_eq!((joined.generation, &joined.leader), (1, &members[0].1));
    assert!(!joined.skip_assignment);
    let synced = host.ask(sync(&joined.member_id, 1)).expect("synced");
    assert_eq!(synced.assignment, old.as_bytes(), "what the old id had");
    assert_eq!(host.state("g"), Some(State::Stable));
    assert_eq!(host.log.len(), 2, "the new id is stored");
}

#[test]
fn whoever_uses_the_old_id_is_fenced() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    let (name, old) = &members[1];
    let instance_id = Some(name.clone());
    let ticket = host.start(named(name, 7));
    host.joined(ticket);
    let heartbeat = Heartbeat {
        instance_id: instance_id.clone(),
        ..beat(old, 1)
    };
    assert_eq!(host.ask(heartbeat), Err(GroupError::FencedInstance));
    let synced = Sync {
        instance_id: instance_id.clone(),
        ..sync(old, 1)
    };
    assert_eq!(host.ask(synced), Err(GroupError::FencedInstance));
    let again = host.start(Join {
        member_id: old.clone(),
        ..named(name, 0)
    });
    assert_eq!(host.refused(again), GroupError::FencedInstance);
    let left = Leaver {
        member_id: old.clone(),
        instance_id,
    };
    let outcomes = host.ask(Leave {
        group: "g".into(),
        members: vec![left],
    });
    assert_eq!(outcomes[0].result, Err(GroupError::FencedInstance));
}

#[test]
fn a_waiting_request_of_the_old_id_is_fenced_at_once() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    let (name, old) = &members[0];
    let waiting = host.start(Join {
        member_id: old.clone(),
        ..named(name, 0)
    });
    assert!(host.is_waiting(waiting), "the leader asked for a rebalance");
    host.start(named(name, 7));
    assert_eq!(host.refused(waiting), GroupError::FencedInstance);
}

#[test]
fn a_leader_that_comes_back_is_told_to_leave_the_assignment_alone() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    let ticket = host.start(named(&members[0].0, 7));
    let joined = host.joined(ticket);
    assert!(joined.skip_assignment);
    assert_eq!(joined.leader, joined.member_id);
    assert_eq!(joined.members.len(), 2, "it must watch the topics of all");
}

#[test]
fn a_leader_that_does_not_know_the_flag_is_told_that_it_follows() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    let ticket = host.start(Join {
        may_skip_assignment: false,
        ..named(&members[0].0, 7)
    });
    let joined = host.joined(ticket);
    assert!(!joined.skip_assignment);
    assert_eq!(joined.leader, members[0].1, "its old id");
    assert!(joined.members.is_empty());
}

#[test]
fn a_static_member_that_comes_back_with_other_topics_causes_a_rebalance() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    let protocols = vec![protocol("range", subscription(&["t", "u"]))];
    let ticket = host.start(Join {
        protocols,
        ..named(&members[1].0, 7)
    });
    assert!(host.is_waiting(ticket));
    assert_eq!(host.state("g"), Some(State::PreparingRebalance));
}

#[test]
fn a_static_member_that_comes_back_before_the_assignment_causes_a_rebalance() {
    let mut host = Host::usual();
    let tickets = [host.start(named("a", 1)), host.start(named("b", 2))];
    host.pass(9_000);
    let leader = host.joined(tickets[0]).leader;
    host.joined(tickets[1]);
    let name = if leader.starts_with('a') { "b" } else { "a" };
    let ticket = host.start(named(name, 7));
    assert!(host.is_waiting(ticket));
    assert_eq!(
        host.ask(beat(&leader, 1)),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn a_static_member_that_misses_a_rebalance_stays_until_its_session_ends() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    let long = |join| Join {
        rebalance_timeout_ms: 6_000,
        ..join
    };
    let leader = Join {
        member_id: members[0].1.clone(),
        ..named(&members[0].0, 0)
    };
    let other = Join {
        member_id: members[1].1.clone(),
        ..named(&members[1].0, 0)
    };
    let tickets = [host.start(long(leader.clone())), host.start(long(other))];
    for ticket in tickets {
        host.joined(ticket);
    }
    host.sync_all(
        &members.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>(),
        2,
    );
    let ticket = host.start(long(leader));
    host.pass(6_000);
    let joined = host.joined(ticket);
    assert_eq!(joined.members.len(), 2, "the silent one is still a member");
    host.pass(10_000);
    assert_ne!(
        host.state("g"),
        Some(State::CompletingRebalance),
        "its session has ended"
    );
}

#[test]
fn an_admin_removes_a_static_member_by_its_name() {
    let mut host = Host::usual();
    stable(&mut host);
    let leaver = |name: &str| Leaver {
        member_id: "".into(),
        instance_id: Some(name.into()),
    };
    let members = vec![
        leaver("a"),
        leaver("nope"),
        Leaver {
            instance_id: None,
            ..leaver("")
        },
    ];
    let outcomes = host.ask(Leave {
        group: "g".into(),
        members,
    });
    let results: Vec<_> = outcomes.into_iter().map(|outcome| outcome.result).collect();
    let unknown = Err(GroupError::UnknownMember);
    assert_eq!(results, [Ok(()), unknown, unknown]);
}

#[test]
fn static_members_survive_a_failover_under_their_names() {
    let mut host = Host::usual();
    let members = stable(&mut host);
    host.fail_over();
    let (name, old) = &members[1];
    let ticket = host.start(named(name, 7));
    let joined = host.joined(ticket);
    assert_eq!(joined.generation, 1);
    let synced = host.ask(sync(&joined.member_id, 1)).expect("synced");
    assert_eq!(synced.assignment, old.as_bytes());
}
