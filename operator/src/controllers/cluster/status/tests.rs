use super::*;

fn pools(ready: &[(i32, i32)]) -> ClusterStatus {
    let pool = |(at, (ready, replicas)): (usize, &(i32, i32))| PoolStatus {
        name: format!("p{at}"),
        replicas: *replicas,
        ready: *ready,
        updated: 0,
        brokers: Vec::new(),
    };
    ClusterStatus {
        pools: ready.iter().enumerate().map(pool).collect(),
        ..ClusterStatus::default()
    }
}

fn is_ready(counts: &[(i32, i32)], found: &Found, was_ready: bool) -> bool {
    ready(&pools(counts), found, was_ready).0
}

#[test]
fn one_pod_away_alarms_nobody_once_the_cluster_has_served() {
    let well = Found::default();
    assert!(is_ready(&[(3, 3)], &well, false));
    assert!(!is_ready(&[(2, 3)], &well, false), "it has never served");
    assert!(is_ready(&[(2, 3)], &well, true));
    assert!(!is_ready(&[(1, 3)], &well, true));
    assert!(
        !is_ready(&[(2, 3), (2, 3)], &well, true),
        "one of each pool are two"
    );
    assert!(!is_ready(&[(0, 1)], &well, true), "the only one");
    assert!(!is_ready(&[], &well, true));
}

#[test]
fn a_spec_that_is_not_carried_out_is_not_ready() {
    let refused = Found {
        refused: vec!["config.x: unknown".to_owned()],
        ..Found::default()
    };
    assert!(!is_ready(&[(3, 3)], &refused, true));
    let mut taken = Found::default();
    taken.note(Applied {
        written: 1,
        taken: vec!["StatefulSet a-b-c".to_owned()],
    });
    assert_eq!(
        taken.impossible.as_ref().map(|(reason, _)| *reason),
        Some("NameTaken")
    );
    assert!(!is_ready(&[(3, 3)], &taken, true));
    let away = Found {
        unreachable: Some("no broker serves".to_owned()),
        ..Found::default()
    };
    assert!(!is_ready(&[(3, 3)], &away, true));
}

#[test]
fn a_level_that_cannot_be_is_told_and_one_that_waits_is_no_fault() {
    let mut found = Found::default();
    found.levelled.waits_for = Some("all pods to be restarted and ready".to_owned());
    assert!(is_ready(&[(3, 3)], &found, true));
    assert_eq!(
        under_way(&pools(&[(3, 3)]), &found).0,
        "MetadataVersionWaits"
    );
    found.levelled.refused = Some(("MetadataVersionNotSupported", "1 to 1".to_owned()));
    assert!(!is_ready(&[(3, 3)], &found, true));
    assert_eq!(
        found.not_carried_out().map(|(reason, _)| *reason),
        Some("MetadataVersionNotSupported")
    );
}

#[test]
fn what_is_under_way_is_told_by_the_most_telling_thing() {
    let mut found = Found::default();
    assert_eq!(under_way(&pools(&[(3, 3)]), &found).0, "AsWanted");
    assert_eq!(under_way(&pools(&[(2, 3)]), &found).0, "PodsComing");
    found.rolled.waits_for = Some("pod a-main-0: CrashLoopBackOff".to_owned());
    let (_, message) = under_way(&pools(&[(2, 3)]), &found);
    assert!(message.ends_with("a-main-0: CrashLoopBackOff"), "{message}");
    found.seated.waits_for = Some("broker 2 to be empty".to_owned());
    let (reason, message) = under_way(&pools(&[(3, 3)]), &found);
    assert_eq!(reason, "QuorumChanging");
    assert!(
        message.ends_with("waits for broker 2 to be empty"),
        "{message}"
    );
    found.drained.left = 4;
    assert_eq!(under_way(&pools(&[(2, 3)]), &found).0, "ScalingIn");
    found.drained.stuck = Some("broker 4 cannot leave".to_owned());
    assert_eq!(under_way(&pools(&[(3, 3)]), &found).0, "CannotScaleIn");
}

#[test]
fn pods_that_went_together_are_known_until_they_are_back() {
    let names = |ids: &[i32]| -> Vec<_> { ids.iter().map(|id| format!("a-{id}")).collect() };
    let went = Rolled {
        left: 6,
        pod: Some(("a-1".to_owned(), "ImageChanged")),
        restarted: names(&[1, 4, 7]),
        ..Rolled::default()
    };
    let all_there = |_: &String| false;
    let first = rolling(&went, None, all_there).expect("it is under way");
    assert_eq!(first.together, names(&[1, 4, 7]));
    let waits = Rolled {
        left: 3,
        waits_for: Some("pod a-4 to be ready".to_owned()),
        ..Rolled::default()
    };
    let then = rolling(&waits, Some(first), |pod| pod != "a-1").expect("it goes on");
    assert_eq!(then.together, names(&[4, 7]));
    let mut status = pools(&[(7, 9)]);
    status.rolling = Some(then.clone());
    assert!(ready(&status, &Found::default(), true).0);
    assert!(
        restarting(&then).contains("a-4, a-7 are under way"),
        "{}",
        restarting(&then)
    );
    // One more is away than was sent away.
    let mut less = pools(&[(6, 9)]);
    less.rolling.clone_from(&status.rolling);
    assert!(!ready(&less, &Found::default(), true).0);
    let last = rolling(&Rolled::default(), Some(then.clone()), |_| true);
    assert_eq!(last.map(|last| last.left), Some(0), "two are coming");
    assert_eq!(rolling(&Rolled::default(), Some(then), all_there), None);
}

#[test]
fn why_a_pod_went_alone_is_told_until_it_is_back() {
    let went = Rolled {
        left: 2,
        restarted: vec!["a-1".to_owned()],
        alone_since: Some("3 partitions".to_owned()),
        ..Rolled::default()
    };
    let first = rolling(&went, None, |_| false).expect("it is under way");
    let waits = Rolled {
        left: 1,
        ..Rolled::default()
    };
    let then = rolling(&waits, Some(first), |_| true).expect("it goes on");
    assert!(restarting(&then).ends_with("do not go with it: 3 partitions"));
    let back = rolling(&waits, Some(then), |_| false).expect("it goes on");
    assert_eq!((back.together.len(), back.alone_since), (0, None));
}

#[test]
fn new_brokers_are_told_of_when_nothing_more_telling_is_under_way() {
    let mut found = Found::default();
    found.filled.brokers = [4, 5].into();
    found.filled.left = Some(7);
    let (reason, message) = under_way(&pools(&[(3, 3)]), &found);
    assert_eq!(reason, "FillingBrokers");
    assert_eq!(
        message,
        "about 7 replicas have yet to move to new brokers 4, 5"
    );
    found.filled.waits_for = Some("the rolling restart".to_owned());
    let (_, message) = under_way(&pools(&[(3, 3)]), &found);
    assert!(message.ends_with("it waits for the rolling restart"));
    assert_eq!(under_way(&pools(&[(2, 3)]), &found).0, "PodsComing");
    let told = filling(&found.filled).map(|filling| (filling.brokers, filling.left));
    assert_eq!(told, Some((vec![4, 5], Some(7))));
    assert_eq!(filling(&Filled::default()), None);
}
