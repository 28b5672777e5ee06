//! One step of one partition, as a table.

use crate::replicas::{Changed, Election, Loss, Rules, Standing, Transition};

use super::*;

const RULES: Rules = Rules {
    min_insync_replicas: 2,
    unclean: false,
    crash_loses_tail: false,
};

const UNCLEAN: Rules = Rules {
    unclean: true,
    ..RULES
};

/// Replicas 1, 2, 3; `leader` 0 is nobody.
fn partition(leader: i32, isr: &[i32], eligible: &[i32]) -> Partition {
    Partition {
        replicas: nodes(&[1, 2, 3]),
        directories: vec![DirectoryId::UNASSIGNED; 3],
        isr: nodes(isr),
        eligible: nodes(eligible),
        last_known_eligible: Vec::new(),
        adding: Vec::new(),
        removing: Vec::new(),
        leader: (leader > 0).then_some(NodeId(leader)),
        leader_epoch: 5,
        partition_epoch: 9,
    }
}

fn finish(step: Transition<'_>, election: Election, active: &[i32]) -> Option<Changed> {
    step.finish(election, &|node, _| {
        if active.contains(&node.0) {
            Standing::Active
        } else {
            Standing::Away
        }
    })
}

/// Leader (0 is nobody), ISR, ELR, last known, leader epoch.
type Shape = (i32, Vec<NodeId>, Vec<NodeId>, Vec<NodeId>, i32);

fn shape(changed: &Changed) -> Shape {
    let p = &changed.partition;
    assert_eq!(p.partition_epoch, 10);
    let leader = p.leader.map_or(0, |n| n.0);
    let (isr, eligible) = (p.isr.clone(), p.eligible.clone());
    (
        leader,
        isr,
        eligible,
        p.last_known_eligible.clone(),
        p.leader_epoch,
    )
}

fn shaped(leader: i32, isr: &[i32], eligible: &[i32], known: &[i32], epoch: i32) -> Shape {
    (leader, nodes(isr), nodes(eligible), nodes(known), epoch)
}

#[test]
fn who_leads_and_who_is_clean_when_brokers_leave() {
    // (before, who leaves, who is active) → after
    let cases: Vec<(Partition, &[i32], &[i32], Shape)> = vec![
        // A follower: the leader's epoch stays.
        (
            partition(1, &[1, 2, 3], &[]),
            &[3],
            &[1, 2],
            shaped(1, &[1, 2], &[], &[], 5),
        ),
        // The leader: the next in the order of preference.
        (
            partition(1, &[1, 2, 3], &[]),
            &[1],
            &[2, 3],
            shaped(2, &[2, 3], &[], &[], 6),
        ),
        (
            partition(1, &[3, 2, 1], &[]),
            &[1],
            &[2, 3],
            shaped(2, &[3, 2], &[], &[], 6),
        ),
        // Below min.insync.replicas, whoever leaves stays eligible.
        (
            partition(1, &[1, 2], &[]),
            &[2],
            &[1, 3],
            shaped(1, &[1], &[2], &[], 5),
        ),
        (
            partition(1, &[1], &[2]),
            &[1],
            &[3],
            shaped(0, &[], &[1, 2], &[], 6),
        ),
        // An eligible one that is up takes over, alone.
        (
            partition(1, &[1], &[2]),
            &[1],
            &[2, 3],
            shaped(2, &[2], &[1], &[], 6),
        ),
        // All at once.
        (
            partition(1, &[1, 2, 3], &[]),
            &[1, 2, 3],
            &[],
            shaped(0, &[], &[1, 2, 3], &[], 6),
        ),
    ];
    for (was, leaving, active, after) in cases {
        let mut step = Transition::of(&was, RULES);
        nodes(leaving).into_iter().for_each(|node| step.leave(node));
        let changed = finish(step, Election::WhenNeeded, active).unwrap();
        assert_eq!(shape(&changed), after, "{was:?} without {leaving:?}");
        assert_eq!(changed.unclean, None);
    }
}

#[test]
fn who_leads_when_brokers_return() {
    let known = Partition {
        last_known_eligible: nodes(&[3, 2]),
        ..partition(0, &[], &[])
    };
    type After = Option<(Shape, Option<UncleanCause>)>;
    let cases: Vec<(Partition, Rules, &[i32], After)> = vec![
        (partition(0, &[], &[2]), RULES, &[1, 3], None),
        (
            partition(0, &[], &[2]),
            RULES,
            &[2],
            Some((shaped(2, &[2], &[], &[], 6), None)),
        ),
        // Unclean, if the topic allows it. Who was eligible stays so while the leader is alone and can
        // acknowledge nothing.
        (
            partition(0, &[], &[2]),
            UNCLEAN,
            &[3],
            Some((shaped(3, &[3], &[2], &[], 6), Some(UncleanCause::Config))),
        ),
        (
            partition(0, &[], &[2]),
            Rules {
                min_insync_replicas: 1,
                ..UNCLEAN
            },
            &[3],
            Some((shaped(3, &[3], &[], &[], 6), Some(UncleanCause::Config))),
        ),
        (
            partition(0, &[], &[2]),
            UNCLEAN,
            &[2, 3],
            Some((shaped(2, &[2], &[], &[], 6), None)),
        ),
        // The last to be clean, and nobody before.
        (known.clone(), RULES, &[1, 2], None),
        (
            known.clone(),
            RULES,
            &[1, 2, 3],
            Some((shaped(3, &[3], &[], &[2], 6), Some(UncleanCause::LastKnown))),
        ),
        (
            known,
            UNCLEAN,
            &[1, 2],
            Some((shaped(2, &[2], &[], &[3], 6), Some(UncleanCause::Config))),
        ),
    ];
    for (was, rules, active, after) in cases {
        let changed = finish(Transition::of(&was, rules), Election::WhenNeeded, active);
        let found = changed.map(|changed| (shape(&changed), changed.unclean));
        assert_eq!(found, after, "{was:?} with {active:?}");
    }
}

#[test]
fn a_lost_copy_is_clean_no_more() {
    let cases: Vec<(Partition, Loss, Shape)> = vec![
        (
            partition(1, &[1, 2], &[]),
            Loss::All,
            shaped(1, &[1], &[], &[], 5),
        ),
        (
            partition(1, &[1, 2], &[]),
            Loss::Tail,
            shaped(1, &[1], &[], &[2], 5),
        ),
        (
            partition(0, &[], &[2]),
            Loss::Tail,
            shaped(0, &[], &[], &[2], 5),
        ),
        (
            partition(0, &[], &[2]),
            Loss::All,
            shaped(0, &[], &[], &[], 5),
        ),
        (
            partition(2, &[2], &[]),
            Loss::Tail,
            shaped(0, &[], &[], &[2], 6),
        ),
    ];
    for (was, loss, after) in cases {
        let mut step = Transition::of(&was, RULES);
        step.lose(NodeId(2), loss);
        let changed = finish(step, Election::WhenNeeded, &[1]).unwrap();
        assert_eq!(shape(&changed), after, "{was:?} losing {loss:?}");
    }
}

#[test]
fn elections_on_request() {
    let lead = |was: &Partition, election, active: &[i32]| {
        let changed = finish(Transition::of(was, RULES), election, active);
        changed.map(|c| (c.partition.leader, c.partition.leader_epoch, c.unclean))
    };
    let second = partition(2, &[1, 2, 3], &[]);
    let first = Some((Some(NodeId(1)), 6, None));
    assert_eq!(lead(&second, Election::Preferred, &[1, 2, 3]), first);
    // Not in sync, or away: whoever leads goes on.
    assert_eq!(lead(&second, Election::Preferred, &[2, 3]), None);
    assert_eq!(
        lead(&partition(2, &[2, 3], &[]), Election::Preferred, &[1, 2, 3]),
        None
    );
    let dead = partition(0, &[], &[1]);
    let forced = Some((Some(NodeId(3)), 6, Some(UncleanCause::Request)));
    assert_eq!(lead(&dead, Election::Unclean, &[3]), forced);
    assert_eq!(lead(&dead, Election::Unclean, &[1, 3]), first);
    assert_eq!(lead(&dead, Election::Unclean, &[]), None);
}

#[test]
fn enough_in_sync_are_all_that_counts() {
    let was = partition(1, &[1], &[2]);
    let mut step = Transition::of(&was, RULES);
    step.set_isr(nodes(&[1, 3]));
    let changed = finish(step, Election::WhenNeeded, &[1, 3]).unwrap();
    assert_eq!(shape(&changed), shaped(1, &[1, 3], &[], &[], 5));
    // Never more than there are replicas.
    let high = Rules {
        min_insync_replicas: 9,
        ..RULES
    };
    let mut step = Transition::of(&was, high);
    step.set_isr(nodes(&[1, 2, 3]));
    let changed = finish(step, Election::WhenNeeded, &[1, 2, 3]).unwrap();
    assert_eq!(shape(&changed), shaped(1, &[1, 2, 3], &[], &[], 5));
    let same = Transition::of(&was, RULES);
    assert_eq!(finish(same, Election::WhenNeeded, &[1]), None);
}

#[test]
fn a_reassignment_ends_when_all_who_come_are_in_sync() {
    let moving = Partition {
        replicas: nodes(&[4, 1, 2, 3]),
        directories: vec![DirectoryId::UNASSIGNED; 4],
        adding: nodes(&[4]),
        removing: nodes(&[2, 3]),
        ..partition(2, &[1, 2, 3], &[])
    };
    let propose = |isr: &[i32], active: &[i32]| {
        let mut step = Transition::of(&moving, RULES);
        step.set_isr(nodes(isr));
        let partition = finish(step, Election::WhenNeeded, active)
            .unwrap()
            .partition;
        let done = !partition.is_moving();
        (
            done,
            partition.replicas,
            partition.isr,
            partition.leader.map(|n| n.0),
        )
    };
    let (all, both) = (nodes(&[4, 1, 2, 3]), nodes(&[4, 1]));
    assert_eq!(
        propose(&[1, 2], &[1, 2, 3, 4]),
        (false, all.clone(), nodes(&[1, 2]), Some(2))
    );
    // The leader goes: the first of those who stay leads.
    let done = (true, both.clone(), both.clone(), Some(4));
    assert_eq!(propose(&[4, 1, 2, 3], &[1, 2, 3, 4]), done);
    // One of the two is not enough to go on with.
    let isr = nodes(&[4, 2, 3]);
    assert_eq!(
        propose(&[4, 2, 3], &[1, 2, 3, 4]),
        (false, all, isr, Some(2))
    );
}
