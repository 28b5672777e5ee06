//! Members go.

use super::*;

#[test]
fn a_member_that_leaves_makes_the_others_rebalance() {
    let mut host = Host::usual();
    let ids = host.stable(3);
    let outcomes = host.ask(leave(&[&ids[2]]));
    assert_eq!(outcomes[0].result, Ok(()));
    assert_eq!(
        host.ask(beat(&ids[0], 1)),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(host.rejoin_all(&ids[..2]), 2);
}

#[test]
fn the_last_one_out_leaves_an_empty_group_behind() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let outcomes = host.ask(leave(&[&ids[0], &"stranger".into(), &ids[1]]));
    let results: Vec<_> = outcomes.into_iter().map(|outcome| outcome.result).collect();
    assert_eq!(results, [Ok(()), Err(GroupError::UnknownMember), Ok(())]);
    assert_eq!(host.state("g"), Some(State::Empty));
    assert_eq!(host.waiting(), 0);
}

#[test]
fn leaving_while_waiting_in_a_join_answers_the_join() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let ticket = host.start(rejoin(&ids[0]));
    host.ask(leave(&[&ids[0]]));
    assert_eq!(host.refused(ticket), GroupError::UnknownMember);
}

#[test]
fn the_last_missing_member_that_leaves_ends_the_wait_of_the_others() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let ticket = host.start(rejoin(&ids[0]));
    assert!(host.is_waiting(ticket));
    host.ask(leave(&[&ids[1]]));
    assert_eq!(host.joined(ticket).generation, 2);
}

#[test]
fn an_id_can_be_given_back_before_it_was_used() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    let id = host
        .ask(Join {
            needs_known_id: true,
            ..join(9)
        })
        .expect_err("an id")
        .member_id;
    let ticket = host.start(rejoin(&ids[0]));
    assert!(host.is_waiting(ticket), "it is waited for");
    assert_eq!(host.ask(leave(&[&id]))[0].result, Ok(()));
    assert_eq!(host.joined(ticket).generation, 2);
}

#[test]
fn bad_leaves_are_refused_one_by_one() {
    let mut host = Host::usual();
    host.stable(1);
    let one = |group: &str| Leave {
        group: group.into(),
        ..leave(&[&"x".into()])
    };
    for (group, error) in [
        ("", GroupError::InvalidGroupId),
        ("nope", GroupError::UnknownMember),
        ("g", GroupError::UnknownMember),
    ] {
        assert_eq!(host.ask(one(group))[0].result, Err(error), "{group:?}");
    }
}
