//! Where the partitions of a broker go, and what is in the way.

use std::collections::{BTreeMap, BTreeSet};

use freshet_types::NodeId;

use crate::{Held, NoPlace, Placement, Reassignment, Survey, TopicPartition};

/// One partition's move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which partition.
    pub partition: TopicPartition,
    /// Who keeps it now, the preferred leader first.
    pub now: Vec<NodeId>,
    /// Who will.
    pub then: Vec<NodeId>,
    /// How large it is.
    pub bytes: u64,
}

impl Move {
    /// As brokers are asked for it.
    pub fn reassignment(&self) -> Reassignment {
        Reassignment {
            partition: self.partition.clone(),
            replicas: Some(self.then.clone()),
        }
    }
}

/// Moves, and why there are not more.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    /// What can move, and where to.
    pub moves: Vec<Move>,
    /// Nobody leads them: there is nobody to copy from.
    pub leaderless: Vec<String>,
    /// Brokers that are down and keep those.
    pub missing: BTreeSet<NodeId>,
    /// All brokers that could take them keep them already.
    pub placeless: Vec<String>,
    /// Some could take them, and have no room.
    pub roomless: Vec<String>,
    /// How large those are.
    pub roomless_bytes: u64,
}

impl Drain {
    /// A plan for all that `node` keeps and that is not on its way out.
    pub fn of_broker(survey: &Survey, node: NodeId) -> Self {
        let sizes = survey.sizes();
        let mut placement = survey.placement(Some(node));
        let mut plan = Self::default();
        for held in survey.kept_by(node) {
            plan.missing(survey, held);
            plan.put(held, node, &mut placement, &sizes);
        }
        plan
    }

    /// A plan for some of it.
    pub fn of_some(survey: &Survey, node: NodeId, some: &[Held]) -> Self {
        let sizes = survey.sizes();
        let mut placement = survey.placement(Some(node));
        let mut plan = Self::default();
        for held in some {
            plan.put(held, node, &mut placement, &sizes);
        }
        plan
    }

    fn missing(&mut self, survey: &Survey, held: &Held) {
        if held.leader.is_some() {
            return;
        }
        let down = |id: &&NodeId| {
            let seen = survey.brokers.get(*id);
            seen.is_none_or(|seen| seen.node.fenced)
        };
        self.leaderless.push(held.name());
        self.missing.extend(held.replicas.iter().filter(down));
    }

    fn put(
        &mut self,
        held: &Held,
        node: NodeId,
        placement: &mut Placement,
        sizes: &BTreeMap<TopicPartition, u64>,
    ) {
        let target = held.target();
        if !target.contains(&node) {
            return;
        }
        let bytes = sizes.get(&held.partition).copied().unwrap_or(0);
        match placement.choose(&target, bytes) {
            Ok(heir) => {
                let then = target.iter().map(|n| if *n == node { heir } else { *n });
                self.moves.push(Move {
                    partition: held.partition.clone(),
                    then: then.collect(),
                    now: target,
                    bytes,
                });
            }
            Err(NoPlace::NoBroker) => self.placeless.push(held.name()),
            Err(NoPlace::NoRoom) => {
                self.roomless.push(held.name());
                self.roomless_bytes += bytes;
            }
        }
    }

    /// Whether a drain could end: everything that has to move can.
    pub fn can_end(&self) -> bool {
        self.leaderless.is_empty() && self.placeless.is_empty() && self.roomless.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogDirPartition, Seen, samples};

    fn broker(id: i32, free: i64) -> (NodeId, Seen) {
        let (id, mut seen) = samples::broker(id, (free, 1000));
        let dirs = seen.dirs.iter_mut().flatten();
        for dir in dirs {
            dir.partitions.push(LogDirPartition {
                partition: ("t".to_owned(), 0),
                size_bytes: 60,
                lag: 0,
            });
        }
        (id, seen)
    }

    fn held(partition: i32, replicas: &[i32]) -> Held {
        samples::held("t", partition, replicas)
    }

    fn survey(brokers: &[(i32, i64)], partitions: Vec<Held>) -> Survey {
        let brokers = brokers.iter().map(|(id, free)| broker(*id, *free));
        Survey {
            brokers: brokers.collect(),
            partitions,
        }
    }

    #[test]
    fn each_replica_finds_an_heir_in_its_place() {
        let all = vec![held(0, &[1, 2]), held(1, &[2, 3]), held(2, &[3, 1])];
        let survey = survey(&[(1, 500), (2, 500), (3, 500)], all);
        let plan = Drain::of_broker(&survey, NodeId(1));
        let then: Vec<_> = plan.moves.iter().map(|m| m.then.clone()).collect();
        let to = |ids: [i32; 2]| ids.map(NodeId).to_vec();
        assert_eq!(then, [to([3, 2]), to([3, 2])]);
        assert!(plan.can_end());
    }

    #[test]
    fn what_moves_already_is_left_alone() {
        let mut moving = held(0, &[3, 1, 2]);
        moving.adding = vec![NodeId(3)];
        moving.removing = vec![NodeId(1)];
        let survey = survey(&[(1, 500), (2, 500), (3, 500)], vec![moving]);
        assert_eq!(Drain::of_broker(&survey, NodeId(1)).moves, []);
    }

    #[test]
    fn room_on_a_disk_that_would_not_be_taken_holds_nothing() {
        let mut survey = survey(&[(1, 500), (2, 500)], vec![held(0, &[1])]);
        let seen = survey.brokers.get_mut(&NodeId(2)).expect("broker 2");
        let dirs = seen.dirs.as_mut().expect("it answers");
        // It keeps less, and has no room but what producers must leave.
        let mut small = dirs[0].clone();
        small.partitions.clear();
        (small.usable_bytes, small.reserve_bytes) = (100, 41);
        dirs.push(small);
        let plan = Drain::of_broker(&survey, NodeId(1));
        assert_eq!(plan.roomless, ["t-0"]);
        let seen = survey.brokers.get_mut(&NodeId(2)).expect("broker 2");
        seen.dirs.as_mut().expect("it answers")[1].reserve_bytes = 40;
        assert!(Drain::of_broker(&survey, NodeId(1)).can_end());
    }

    #[test]
    fn what_would_be_stuck_is_named() {
        let drain = |brokers: &[(i32, i64)], held: Held| {
            let drain = Drain::of_broker(&survey(brokers, vec![held]), NodeId(1));
            assert!(!drain.can_end());
            drain
        };
        let nowhere = drain(&[(1, 500), (2, 500)], held(0, &[1, 2]));
        assert_eq!(nowhere.placeless, ["t-0"]);
        let full = drain(&[(1, 500), (2, 59)], held(0, &[1]));
        assert_eq!(
            (full.roomless, full.roomless_bytes),
            (vec!["t-0".to_owned()], 60)
        );
        let mut dead = held(0, &[1, 9]);
        dead.leader = None;
        assert!(
            drain(&[(1, 500), (2, 500)], dead)
                .missing
                .contains(&NodeId(9))
        );
    }
}
