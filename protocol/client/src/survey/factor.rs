//! How many brokers keep a topic's partitions: the moves that change it.

use freshet_types::NodeId;

use super::{Held, Survey};
use crate::{NoPlace, Placement, Reassignment};

/// Why a partition cannot have as many copies as were asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{partition} cannot have {copies} copies: {}", reason(*.why))]
pub struct NoCopies {
    /// `topic-partition`.
    pub partition: String,
    /// Copies that were asked for.
    pub copies: usize,
    /// What is in the way.
    pub why: NoPlace,
}

fn reason(why: NoPlace) -> &'static str {
    match why {
        NoPlace::NoBroker => "no other broker takes it",
        NoPlace::NoRoom => "no other broker has room",
    }
}

impl Survey {
    /// The moves that give every partition of a topic this many copies. The preferred leader stays; who
    /// is out of sync goes first. What they take is counted in `placement`.
    ///
    /// # Errors
    /// Where no copy can go; nothing is counted then.
    pub fn change_copies(
        &self,
        placement: &mut Placement,
        topic: &str,
        copies: usize,
    ) -> Result<Vec<Reassignment>, NoCopies> {
        let sizes = self.sizes();
        let mut chosen = placement.clone();
        let mut changes = Vec::new();
        let of_topic = |held: &&Held| held.partition.0 == topic;
        for held in self.partitions.iter().filter(of_topic) {
            let mut replicas = held.target();
            while replicas.len() > copies.max(1) {
                replicas.remove(dispensable(held, &replicas));
            }
            let bytes = sizes.get(&held.partition).copied().unwrap_or(0);
            while replicas.len() < copies {
                let refuse = |why| NoCopies {
                    partition: held.name(),
                    copies,
                    why,
                };
                replicas.push(chosen.choose(&replicas, bytes).map_err(refuse)?);
            }
            if replicas != held.target() {
                changes.push(Reassignment {
                    partition: held.partition.clone(),
                    replicas: Some(replicas),
                });
            }
        }
        *placement = chosen;
        Ok(changes)
    }
}

/// The last one that is not in sync, else the last one.
fn dispensable(held: &Held, replicas: &[NodeId]) -> usize {
    let behind = |node: &NodeId| !held.isr.contains(node);
    replicas
        .iter()
        .rposition(behind)
        .unwrap_or(replicas.len() - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Disks, PlacementBroker};

    fn held(replicas: &[i32], isr: &[i32]) -> Held {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        Held {
            partition: ("t".to_owned(), 0),
            leader: isr.first().copied().map(NodeId),
            replicas: nodes(replicas),
            isr: nodes(isr),
            adding: Vec::new(),
            removing: Vec::new(),
        }
    }

    #[test]
    fn who_is_behind_goes_first() {
        let survey = Survey {
            brokers: BTreeMap::new(),
            partitions: vec![held(&[1, 2, 3], &[1, 3])],
        };
        let plan = |copies| survey.change_copies(&mut Placement::default(), "t", copies);
        let replicas = |copies| plan(copies).unwrap()[0].replicas.clone();
        assert_eq!(replicas(2), Some(vec![NodeId(1), NodeId(3)]));
        assert_eq!(replicas(1), Some(vec![NodeId(1)]));
        assert_eq!(plan(3).unwrap(), []);
        let said = plan(4).unwrap_err().to_string();
        assert_eq!(said, "t-0 cannot have 4 copies: no other broker takes it");
    }

    #[test]
    fn what_is_refused_takes_no_place() {
        let survey = Survey {
            brokers: BTreeMap::new(),
            partitions: vec![held(&[1], &[1])],
        };
        let broker = |id| PlacementBroker {
            id: NodeId(id),
            rack: None,
            takes: true,
            unwell: false,
            replicas: 0,
            disks: Disks::default(),
        };
        let mut placement = Placement::new([broker(1), broker(2), broker(3)]);
        assert!(survey.change_copies(&mut placement, "t", 4).is_err());
        let first = placement.choose(&[NodeId(1)], 0);
        assert_eq!(first, Ok(NodeId(2)), "nothing was counted");
    }
}
