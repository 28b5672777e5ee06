//! How many brokers keep a topic's partitions.

use freshet_client::{Held, NoPlace, Reassignment, Survey};
use freshet_types::NodeId;

use super::reassign;
use crate::Context;
use crate::output::outcome::Failures;

/// Gives every partition of a topic this many replicas, and says for how many that takes a move. The
/// preferred leader stays.
pub(super) async fn change(context: &Context, topic: &str, factor: usize) -> anyhow::Result<usize> {
    let survey = Survey::take(&context.client);
    let survey = context
        .patience
        .with("looking at the cluster", survey)
        .await?;
    let changes = plan(&survey, topic, factor)?;
    let mut failures = Failures::default();
    let outcomes = reassign::begin(context, &changes).await?;
    for (_, outcome) in outcomes {
        failures.note(outcome);
    }
    failures.into_first(changes.len(), "partition")?;
    Ok(changes.len())
}

fn plan(survey: &Survey, topic: &str, factor: usize) -> anyhow::Result<Vec<Reassignment>> {
    let sizes = survey.sizes();
    let mut placement = survey.placement(None);
    let mut changes = Vec::new();
    let of_topic = |held: &&Held| held.partition.0 == topic;
    for held in survey.partitions.iter().filter(of_topic) {
        let mut replicas = held.target();
        while replicas.len() > factor {
            replicas.remove(dispensable(held, &replicas));
        }
        let bytes = sizes.get(&held.partition).copied().unwrap_or(0);
        while replicas.len() < factor {
            let chosen = placement.choose(&replicas, bytes).map_err(|why| {
                let why = match why {
                    NoPlace::NoBroker => "no other broker takes it",
                    NoPlace::NoRoom => "no other broker has room",
                };
                anyhow::anyhow!(
                    "{} cannot have {factor} copies: {why}; nothing was moved",
                    held.name()
                )
            })?;
            replicas.push(chosen);
        }
        if replicas != held.target() {
            changes.push(Reassignment {
                partition: held.partition.clone(),
                replicas: Some(replicas),
            });
        }
    }
    Ok(changes)
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
        let changes = plan(&survey, "t", 2).unwrap();
        assert_eq!(changes[0].replicas, Some(vec![NodeId(1), NodeId(3)]));
        let changes = plan(&survey, "t", 1).unwrap();
        assert_eq!(changes[0].replicas, Some(vec![NodeId(1)]));
        assert_eq!(plan(&survey, "t", 3).unwrap(), []);
        let said = plan(&survey, "t", 4).unwrap_err().to_string();
        assert!(said.contains("t-0 cannot have 4 copies"), "{said}");
    }
}
