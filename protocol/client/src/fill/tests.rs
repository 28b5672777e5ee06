use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::samples::{self, held};
use crate::{Held, LogDir, LogDirPartition, Seen};

fn broker(id: i32, rack: Option<&str>) -> (NodeId, Seen) {
    let (id, mut seen) = samples::broker(id, (500_000, 1_000_000));
    seen.node.rack = rack.map(str::to_owned);
    (id, seen)
}

fn survey(racks: &[Option<&str>], partitions: Vec<Held>) -> Survey {
    let brokers = (1..).zip(racks).map(|(id, rack)| broker(id, *rack));
    Survey {
        brokers: brokers.collect(),
        partitions,
    }
}

fn dir(survey: &mut Survey, id: i32) -> &mut LogDir {
    let seen = survey.brokers.get_mut(&NodeId(id));
    let dirs = seen.and_then(|seen| seen.dirs.as_mut());
    &mut dirs.expect("it answers")[0]
}

fn nodes(ids: &[i32]) -> BTreeSet<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

/// As brokers carry it out.
fn carry_out(survey: &mut Survey, moves: &[Move]) {
    for planned in moves {
        let mut all = survey.partitions.iter_mut();
        let held = all.find(|held| held.partition == planned.partition);
        let held = held.expect("a move of a partition that is there");
        held.replicas.clone_from(&planned.then);
        held.isr.clone_from(&planned.then);
        held.leader = planned.then.first().copied();
    }
}

/// Moves some at a time until nothing is left to do.
fn fill(survey: &mut Survey, new: &BTreeSet<NodeId>, most: usize) -> Vec<Move> {
    let mut all = Vec::new();
    loop {
        let plan = Fill::of_brokers(survey, new, most);
        if plan.moves.is_empty() {
            assert_eq!(plan.full, *new);
            return all;
        }
        assert!(plan.moves.len() <= most);
        carry_out(survey, &plan.moves);
        all.extend(plan.moves);
        assert!(all.len() < 10_000, "it comes to an end");
    }
}

fn counts(survey: &Survey) -> BTreeMap<NodeId, (usize, usize)> {
    let of = |node: &NodeId| {
        let leads = |held: &&Held| held.replicas.first() == Some(node);
        let led = survey.partitions.iter().filter(leads).count();
        (*node, (survey.kept_by(*node).count(), led))
    };
    survey.brokers.keys().map(of).collect()
}

fn copied(moves: &[Move]) -> usize {
    let copies = |m: &&Move| m.then.iter().any(|node| !m.now.contains(node));
    moves.iter().filter(copies).count()
}

/// Three brokers that keep a copy of everything each, and lead a third of it.
fn threes(partitions: i32) -> Vec<Held> {
    let replicas = [[1, 2, 3], [2, 3, 1], [3, 1, 2]];
    (0..partitions)
        .map(|at| held(&format!("t{}", at % 4), at, &replicas[at as usize % 3]))
        .collect()
}

#[test]
fn a_new_broker_gets_its_share_of_replicas_and_of_leaders() {
    let mut survey = survey(&[None; 4], threes(120));
    let moves = fill(&mut survey, &nodes(&[4]), 50);
    assert_eq!(moves.len(), 90, "as many as it gets, and none besides");
    let after = counts(&survey);
    assert!(after.values().all(|count| *count == (90, 30)), "{after:?}");
    for topic in ["t0", "t1", "t2", "t3"] {
        let of_topic = |held: &&Held| held.partition.0 == topic;
        let got = survey.kept_by(NodeId(4)).filter(of_topic).count();
        assert!((20..=25).contains(&got), "{got} of {topic}");
    }
}

#[test]
fn two_new_brokers_get_the_same() {
    let mut survey = survey(&[None; 5], threes(100));
    fill(&mut survey, &nodes(&[4, 5]), 7);
    let after = counts(&survey);
    assert!(after.values().all(|(kept, _)| *kept == 60), "{after:?}");
    let of = |id: i32| after[&NodeId(id)].1;
    assert_eq!((of(4), of(5)), (20, 20));
}

#[test]
fn who_has_most_gives() {
    let many = (0..100).map(|at| held("t", at, &[1]));
    let few = (100..110).map(|at| held("t", at, &[2]));
    let mut survey = survey(&[None; 3], many.chain(few).collect());
    fill(&mut survey, &nodes(&[3]), 50);
    let kept: Vec<_> = counts(&survey).values().map(|(kept, _)| *kept).collect();
    assert_eq!(kept, [64, 10, 36], "no more than the mean");
}

#[test]
fn racks_stay_as_far_apart_as_they_are() {
    // Each partition has a copy in either rack: only broker 1 may give to 3.
    let racks = [Some("a"), Some("b"), Some("a")];
    let all = (0..40).map(|at| held("t", at, if at % 2 == 0 { &[1, 2] } else { &[2, 1] }));
    let mut survey = survey(&racks, all.collect());
    fill(&mut survey, &nodes(&[3]), 50);
    let kept: Vec<_> = counts(&survey).values().map(|(kept, _)| *kept).collect();
    assert_eq!(kept, [20, 40, 20]);
}

#[test]
fn a_new_rack_is_used() {
    let racks = [Some("a"), Some("a"), Some("b")];
    let all = (0..30).map(|at| held("t", at, &[1, 2])).collect();
    let mut survey = survey(&racks, all);
    fill(&mut survey, &nodes(&[3]), 50);
    assert_eq!(counts(&survey)[&NodeId(3)].0, 20);
}

#[test]
fn the_rack_of_a_cordoned_broker_counts_too() {
    let racks = [Some("a"), Some("b"), Some("a"), Some("b")];
    let all = (0..40).map(|at| held("t", at, &[1, 2])).collect();
    let mut survey = survey(&racks, all);
    dir(&mut survey, 1).cordoned = true;
    let plan = Fill::of_brokers(&survey, &nodes(&[3]), 50);
    assert_eq!(plan.moves, [], "2 cannot give: 1 keeps a copy in rack a");
    assert_eq!(plan.full, nodes(&[3]));
}

#[test]
fn what_moves_already_counts_and_is_left_alone() {
    let mut all: Vec<_> = (0..8).map(|at| held("t", at, &[1])).collect();
    for moving in &mut all[..3] {
        moving.replicas = vec![NodeId(2), NodeId(1)];
        (moving.adding, moving.removing) = (vec![NodeId(2)], vec![NodeId(1)]);
    }
    let plan = Fill::of_brokers(&survey(&[None; 2], all.clone()), &nodes(&[2]), 50);
    assert_eq!((plan.moves.len(), plan.lacking), (1, 1));
    assert_eq!(plan.moves[0].partition.1, 3);
    let rest = survey(&[None; 2], all.split_off(1));
    let plan = Fill::of_brokers(&rest, &nodes(&[2]), 0);
    assert_eq!(plan.full, BTreeSet::new(), "who may not plan does not know");
    let mut last = rest.clone();
    last.partitions.truncate(4);
    let plan = Fill::of_brokers(&last, &nodes(&[2]), 50);
    assert_eq!(plan.moves, []);
    assert_eq!(plan.full, BTreeSet::new(), "two are on their way");
}

#[test]
fn a_full_disk_gets_nothing_and_is_named() {
    let mut small = survey(&[None; 2], (0..4).map(|at| held("t", at, &[1])).collect());
    let logs = (0..4).map(|at| LogDirPartition {
        partition: ("t".to_owned(), at),
        size_bytes: 60,
        lag: 0,
    });
    dir(&mut small, 1).partitions = logs.collect();
    dir(&mut small, 2).usable_bytes = 70;
    let plan = Fill::of_brokers(&small, &nodes(&[2]), 50);
    assert_eq!(plan.moves.len(), 1);
    dir(&mut small, 2).usable_bytes = 50;
    let plan = Fill::of_brokers(&small, &nodes(&[2]), 50);
    assert_eq!((plan.moves.len(), plan.roomless), (0, nodes(&[2])));
}

#[test]
fn who_is_away_or_cordoned_neither_gives_nor_takes() {
    let mut survey = survey(&[None; 3], Vec::new());
    survey.partitions = (0..30).map(|at| held("t", at, &[1])).collect();
    dir(&mut survey, 2).cordoned = true;
    let fenced = survey.brokers.get_mut(&NodeId(1)).expect("broker 1");
    fenced.node.fenced = true;
    let plan = Fill::of_brokers(&survey, &nodes(&[2, 3, 9]), 50);
    assert_eq!(plan.moves, []);
    assert_eq!(plan.full, nodes(&[3]));
}

#[test]
fn leaders_are_shared_where_nothing_has_to_be_copied() {
    let all = (0..30).map(|at| held("t", at, &[1, 2])).collect();
    let mut survey = survey(&[None; 2], all);
    let moves = fill(&mut survey, &nodes(&[2]), 50);
    assert_eq!(copied(&moves), 0);
    assert_eq!(counts(&survey)[&NodeId(2)], (30, 15));
}

/// A cluster of some racks, where new brokers keep nothing.
fn clusters() -> impl Strategy<Value = (Survey, BTreeSet<NodeId>)> {
    let racks = prop_oneof![
        Just(vec![None]),
        Just(vec![Some("a"), Some("b")]),
        Just(vec![Some("a"), Some("b"), Some("c")]),
    ];
    let choices =
        prop::collection::vec((1..=3_usize, prop::collection::vec(0..64_usize, 3)), 1..80);
    (racks, 3..=6_usize, 1..=3_usize, choices).prop_map(|(racks, old, new, choices)| {
        let all: Vec<_> = (0..old + new).map(|at| racks[at % racks.len()]).collect();
        let keepers = |(copies, picks): (usize, Vec<usize>)| {
            let mut left: Vec<i32> = (1..=i32::try_from(old).unwrap()).collect();
            let picks = picks.into_iter().take(copies);
            picks
                .map(|pick| left.remove(pick % left.len()))
                .collect::<Vec<_>>()
        };
        let partitions = (0..)
            .zip(choices)
            .map(|(at, choice)| held(["x", "y", "z"][at as usize % 3], at, &keepers(choice)));
        let partitions = partitions.collect();
        let new = (old + 1..=old + new).map(|id| NodeId(i32::try_from(id).unwrap()));
        (survey(&all, partitions), new.collect())
    })
}

fn racks_of(survey: &Survey, keepers: &[NodeId]) -> BTreeSet<Option<String>> {
    let rack = |node: &NodeId| survey.brokers[node].node.rack.clone();
    keepers.iter().map(rack).collect()
}

/// How crowded its racks are, the most crowded first.
fn crowds(survey: &Survey, keepers: &[NodeId]) -> Vec<usize> {
    let rack = |node: &NodeId| survey.brokers[node].node.rack.clone();
    let mut crowds: Vec<_> = racks_of(survey, keepers)
        .iter()
        .map(|of| keepers.iter().filter(|n| rack(n) == *of).count())
        .collect();
    crowds.sort_unstable_by(|a, b| b.cmp(a));
    crowds
}

proptest! {
    #[test]
    fn every_move_is_sound((mut survey, new) in clusters(), most in 1..60_usize) {
        let before = counts(&survey);
        let moves = fill(&mut survey, &new, most);
        for planned in &moves {
            let mut distinct: Vec<_> = planned.then.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), planned.then.len(), "twice on a broker");
            prop_assert_eq!(planned.now.len(), planned.then.len());
            let comes: Vec<_> = planned.then.iter().filter(|n| !planned.now.contains(n)).collect();
            prop_assert!(comes.len() <= 1 && comes.iter().all(|n| new.contains(n)));
            prop_assert!(
                racks_of(&survey, &planned.then).len() >= racks_of(&survey, &planned.now).len()
                    && crowds(&survey, &planned.then) <= crowds(&survey, &planned.now)
            );
        }
        let after = counts(&survey);
        let got: usize = new.iter().map(|n| after[n].0 - before[n].0).sum();
        prop_assert_eq!(copied(&moves), got, "none moved twice");
        let uneven = |counts: &BTreeMap<_, (usize, usize)>| -> usize {
            counts.values().map(|(kept, _)| kept * kept).sum()
        };
        prop_assert!(uneven(&before) >= uneven(&after) + 2 * got, "each move narrows a gap");
        prop_assert!(Fill::of_brokers(&survey, &new, most).moves.is_empty(), "it is over when it is over");
    }

    #[test]
    fn without_racks_each_has_the_mean_in_the_fewest_moves((mut survey, new) in clusters()) {
        for seen in survey.brokers.values_mut() {
            seen.node.rack = None;
        }
        let before = counts(&survey);
        let all: usize = before.values().map(|(kept, _)| kept).sum();
        let mean = all / survey.brokers.len();
        prop_assert_eq!(Fill::of_brokers(&survey, &new, 0).lacking, mean * new.len());
        let moves = fill(&mut survey, &new, 50);
        let after = counts(&survey);
        for node in &new {
            prop_assert_eq!(after[node].0, mean);
        }
        prop_assert_eq!(copied(&moves), mean * new.len());
    }
}
