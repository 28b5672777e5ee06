//! Lists, descriptions, deletions.

use super::*;

fn commit_simple(host: &mut Host, group: &str) {
    let partitions = vec![PartitionCommit {
        partition: 0,
        offset: 1,
        leader_epoch: -1,
        metadata: "".into(),
    }];
    let topics = vec![CommitTopic {
        topic: "t".into(),
        topic_id: Default::default(),
        partitions,
    }];
    let request = Commit {
        group: group.into(),
        member_id: "".into(),
        instance_id: None,
        generation: -1,
        expires_at: None,
        topics,
    };
    host.ask(request).expect("stored");
}

#[test]
fn groups_are_listed_by_state_and_kind() {
    let mut host = Host::usual();
    host.stable(1);
    commit_simple(&mut host, "simple");
    let list = |host: &mut Host, states: &[&str], kinds: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let listed = host.ask(List {
            states: owned(states),
            kinds: owned(kinds),
        });
        listed
            .iter()
            .map(|listed| listed.group.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(&mut host, &[], &[]), ["g", "simple"]);
    assert_eq!(list(&mut host, &["stable"], &[]), ["g"]);
    assert_eq!(
        list(&mut host, &["Empty", "Dead"], &["Classic"]),
        ["simple"]
    );
    assert!(list(&mut host, &[], &["consumer"]).is_empty());
    let listed = host.ask(List::default());
    assert_eq!(
        (&*listed[0].protocol_type, &*listed[1].protocol_type),
        ("consumer", "")
    );
}

#[test]
fn a_stable_group_is_described_with_what_its_members_do() {
    let mut host = Host::usual();
    let ids = host.stable(2);
    let groups = vec!["nope".into(), "g".into()];
    let described = host.ask(Describe { groups });
    assert_eq!(described[0], Err(GroupError::NotFound));
    let group = described[1].as_ref().expect("there");
    assert_eq!((group.state, &*group.protocol), (State::Stable, "range"));
    assert_eq!(group.members.len(), 2);
    let leader = group
        .members
        .iter()
        .find(|m| m.member_id == ids[0])
        .expect("the leader");
    assert_eq!(leader.assignment, ids[0].as_bytes());
    assert_eq!(leader.metadata, subscription(&["t"]));
    assert_eq!(
        (&*leader.client_id, &*leader.client_host),
        ("c", "/10.0.0.1")
    );
    host.start(join(9));
    let groups = vec!["g".into()];
    let group = host.ask(Describe { groups }).remove(0).expect("there");
    assert_eq!(
        (group.state, &*group.protocol),
        (State::PreparingRebalance, "")
    );
    assert!(
        group
            .members
            .iter()
            .all(|m| m.assignment.is_empty() && m.metadata.is_empty())
    );
}

#[test]
fn only_empty_groups_are_deleted_and_with_all_their_offsets() {
    let mut host = Host::usual();
    let ids = host.stable(1);
    commit_simple(&mut host, "simple");
    let delete = |groups: &[&str]| Delete {
        groups: groups.iter().map(|&g| g.into()).collect(),
    };
    let results = |outcomes: Vec<DeleteOutcome>| {
        outcomes
            .into_iter()
            .map(|outcome| outcome.result)
            .collect::<Vec<_>>()
    };
    let outcomes = host.ask(delete(&["g", "nope", "simple", "simple"]));
    let not_found = Err(GroupError::NotFound);
    assert_eq!(
        results(outcomes),
        [Err(GroupError::NotEmpty), not_found, Ok(()), not_found]
    );
    assert_eq!(host.state("simple"), None);
    host.ask(leave(&[&ids[0]]));
    let outcomes = host.ask(delete(&["g"]));
    assert_eq!(results(outcomes), [Ok(())]);
    host.fail_over();
    assert!(host.groups.is_empty());
}
