//! Where the partitions of a broker go, and what is in the way.

use std::collections::{BTreeMap, BTreeSet};

use freshet_client::{NoPlace, Placement, TopicPartition};
use freshet_types::NodeId;
use serde::Serialize;

use crate::broker::describe::some_of;
use crate::broker::survey::{Held, Survey};
use crate::text;

/// One partition's move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Move {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) now: Vec<i32>,
    pub(super) then: Vec<i32>,
    pub(super) bytes: u64,
}

impl Move {
    /// Which partition.
    pub(super) fn of(&self) -> TopicPartition {
        (self.topic.clone(), self.partition)
    }
}

/// Moves, and why there are not more.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) moves: Vec<Move>,
    /// Nobody leads them: there is nobody to copy from.
    leaderless: Vec<String>,
    /// Brokers that are down and keep those.
    missing: BTreeSet<NodeId>,
    /// All brokers that could take them keep them already.
    placeless: Vec<String>,
    /// Some could take them, and have no room.
    roomless: Vec<String>,
    roomless_bytes: u64,
}

impl Plan {
    /// A plan for all that `node` keeps and that is not on its way out.
    pub(super) fn of_broker(survey: &Survey, node: NodeId) -> Self {
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
    pub(super) fn of_some(survey: &Survey, node: NodeId, some: &[Held]) -> Self {
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
                let then = target.iter().map(|n| if *n == node { heir.0 } else { n.0 });
                self.moves.push(Move {
                    topic: held.partition.0.clone(),
                    partition: held.partition.1,
                    now: target.iter().map(|n| n.0).collect(),
                    then: then.collect(),
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

    /// Refuses a drain that could not end, and says what to do.
    pub(super) fn check(&self, node: NodeId) -> anyhow::Result<()> {
        let mut reasons = Vec::new();
        if !self.leaderless.is_empty() {
            let missing: Vec<_> = self.missing.iter().map(ToString::to_string).collect();
            reasons.push(format!(
                "nobody leads {}, so nobody could copy them; start broker {} first",
                some_of(&self.leaderless),
                missing.join(", ")
            ));
        }
        if !self.placeless.is_empty() {
            reasons.push(format!(
                "no other broker is left for {}; start another broker, uncordon one, or keep fewer \
                 copies (`freshet topic alter NAME --replication-factor N`)",
                some_of(&self.placeless)
            ));
        }
        if !self.roomless.is_empty() {
            reasons.push(format!(
                "no other broker has room for {} ({}); make room, or start another broker",
                some_of(&self.roomless),
                text::bytes(self.roomless_bytes)
            ));
        }
        if reasons.is_empty() {
            return Ok(());
        }
        anyhow::bail!(
            "broker {node} cannot be drained, and nothing was changed:\n  {}",
            reasons.join("\n  ")
        )
    }
}

#[cfg(test)]
mod tests {
    use freshet_client::{ClusterNode, LogDir, LogDirPartition};

    use super::*;
    use crate::broker::survey::Seen;

    fn broker(id: i32, free: i64) -> (NodeId, Seen) {
        let dir = LogDir {
            path: "/d".to_owned(),
            error: None,
            total_bytes: 1000,
            usable_bytes: free,
            cordoned: false,
            partitions: vec![LogDirPartition {
                partition: ("t".to_owned(), 0),
                size_bytes: 60,
                lag: 0,
            }],
        };
        let node = ClusterNode {
            id: NodeId(id),
            host: "h".to_owned(),
            port: 1,
            rack: None,
            fenced: false,
        };
        let dirs = Some(vec![dir]);
        (NodeId(id), Seen { node, dirs })
    }

    fn held(partition: i32, replicas: &[i32]) -> Held {
        let replicas: Vec<_> = replicas.iter().copied().map(NodeId).collect();
        Held {
            partition: ("t".to_owned(), partition),
            leader: Some(replicas[0]),
            isr: replicas.clone(),
            replicas,
            adding: Vec::new(),
            removing: Vec::new(),
        }
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
        let plan = Plan::of_broker(&survey, NodeId(1));
        let then: Vec<_> = plan.moves.iter().map(|m| m.then.clone()).collect();
        assert_eq!(then, [vec![3, 2], vec![3, 2]]);
        assert!(plan.check(NodeId(1)).is_ok());
    }

    #[test]
    fn what_moves_already_is_left_alone() {
        let mut moving = held(0, &[3, 1, 2]);
        moving.adding = vec![NodeId(3)];
        moving.removing = vec![NodeId(1)];
        let survey = survey(&[(1, 500), (2, 500), (3, 500)], vec![moving]);
        assert_eq!(Plan::of_broker(&survey, NodeId(1)).moves, []);
    }

    #[test]
    fn what_would_be_stuck_is_refused_by_name() {
        let refusal = |brokers: &[(i32, i64)], held: Held| {
            let survey = survey(brokers, vec![held]);
            let refused = Plan::of_broker(&survey, NodeId(1)).check(NodeId(1));
            refused.unwrap_err().to_string()
        };
        let said = refusal(&[(1, 500), (2, 500)], held(0, &[1, 2]));
        assert!(
            said.contains("t-0") && said.contains("--replication-factor"),
            "{said}"
        );
        let said = refusal(&[(1, 500), (2, 59)], held(0, &[1]));
        assert!(said.contains("room for t-0 (60 B)"), "{said}");
        let mut dead = held(0, &[1, 9]);
        dead.leader = None;
        let said = refusal(&[(1, 500), (2, 500)], dead);
        assert!(said.contains("start broker 9 first"), "{said}");
    }
}
