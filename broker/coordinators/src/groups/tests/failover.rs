//! Another broker takes the shard over.

use super::*;

#[test]
fn members_of_a_stable_group_go_on_with_their_heartbeats() {
    let mut host = Host::usual();
    let ids = host.stable(3);
    host.fail_over();
    for _ in 0..3 {
        for id in &ids {
            assert_eq!(host.ask(beat(id, 1)), Ok(()));
        }
        host.pass(9_000);
    }
    let synced = host.ask(sync(&ids[2], 1)).expect("synced");
    assert_eq!(synced.assignment, ids[2].as_bytes());
    assert_eq!(host.rejoin_all(&ids), 2);
}

#[test]
fn members_that_died_with_the_broker_are_out_after_one_session_timeout() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    host.fail_over();
    host.pass(9_999);
    assert_eq!(host.ask(beat(&ids[0], 1)), Ok(()));
    host.pass(1);
    assert_eq!(host.ask(beat(&ids[1], 1)), Err(GroupError::UnknownMember));
}

#[test]
fn a_rebalance_under_way_starts_anew_from_the_last_generation() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    host.start(rejoin(&ids[0]));
    let ticket = host.start(rejoin(&ids[1]));
    assert_eq!(host.joined(ticket).generation, 2, "told, but not stored");
    host.fail_over();
    assert_eq!(
        host.ask(beat(&ids[0], 2)),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(host.rejoin_all(&ids), 2);
}

#[test]
fn a_snapshot_is_worth_the_whole_log() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    host.rejoin_all(&ids);
    let snapshot = host.groups.snapshot();
    assert!(snapshot.len() < host.log.len());
    host.fail_over_from(snapshot.clone());
    assert_eq!(host.groups.snapshot(), snapshot);
    assert_eq!(host.ask(beat(&ids[0], 2)), Ok(()));
}

#[test]
fn a_group_larger_than_a_limit_that_was_lowered_keeps_who_comes_first() {
    let mut host = Host::usual();
    let ids = host.stable(3);
    host.limits.members = 2;
    host.fail_over();
    assert_eq!(host.state("g"), Some(State::PreparingRebalance));
    let tickets: Vec<_> = ids.iter().map(|id| host.start(rejoin(id))).collect();
    assert_eq!(host.refused(tickets[2]), GroupError::MaxSizeReached);
    assert_eq!(host.joined(tickets[0]).generation, 2);
    assert_eq!(host.joined(tickets[1]).generation, 2);
}
