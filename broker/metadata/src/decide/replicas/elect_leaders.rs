//! ElectLeaders (KIP-183, KIP-460).

use freshet_types::{NodeId, Now, PartitionId, TopicPartition};

use crate::decide::Draft;
use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::replicas::{Election, Transition};
use crate::request::{ElectLeaders, ElectedLeader, PartitionName};

pub(crate) fn elect_leaders(
    machine: &MetadataMachine,
    now: Now,
    request: &ElectLeaders,
    records: &mut Vec<Record>,
) -> Vec<ElectedLeader> {
    let election = if request.unclean {
        Election::Unclean
    } else {
        Election::Preferred
    };
    let mut draft = Draft::of(machine, now);
    let elected = match &request.partitions {
        Some(named) => named
            .iter()
            .cloned()
            .map(|partition| {
                let at = find(machine, &partition);
                let outcome = at.and_then(|at| elect(&mut draft, at, election));
                ElectedLeader { partition, outcome }
            })
            .collect(),
        None => elect_all(&mut draft, election),
    };
    records.append(&mut draft.records);
    elected
}

/// Everywhere; only those where something came of it are answered.
fn elect_all(draft: &mut Draft<'_>, election: Election) -> Vec<ElectedLeader> {
    let mut elected = Vec::new();
    for topic in draft.machine.image.topics() {
        for (partition, state) in topic.iter() {
            let wanted = match election {
                Election::Unclean => state.leader.is_none(),
                _ => state.leader != state.target().next(),
            };
            if !wanted {
                continue;
            }
            let at = TopicPartition {
                topic: topic.id,
                partition,
            };
            let outcome = elect(draft, at, election);
            let partition = PartitionName {
                topic: topic.name.to_string(),
                partition,
            };
            elected.push(ElectedLeader { partition, outcome });
        }
    }
    elected
}

/// A partition by its name.
pub(super) fn find(machine: &MetadataMachine, name: &PartitionName) -> Outcome<TopicPartition> {
    let topic = machine.image.topic(&name.topic);
    let topic = topic.ok_or_else(|| MetadataError::UnknownTopic {
        name: cut(&name.topic),
    })?;
    let number: PartitionId = name.partition;
    topic
        .partition(number)
        .ok_or_else(|| MetadataError::UnknownPartition {
            name: cut(&name.topic),
            partition: number,
        })?;
    Ok(TopicPartition {
        topic: topic.id,
        partition: number,
    })
}

/// The leader elected, or why there was no election.
pub(super) fn elect(
    draft: &mut Draft<'_>,
    at: TopicPartition,
    election: Election,
) -> Outcome<NodeId> {
    let unknown = || MetadataError::UnknownPartition {
        name: at.topic.to_string(),
        partition: at.partition,
    };
    let was = draft.partition(at).ok_or_else(unknown)?;
    let preferred = was.target().next();
    let sits = match election {
        Election::Unclean => was.leader.is_some(),
        _ => was.leader.is_some() && was.leader == preferred,
    };
    if sits {
        return Err(MetadataError::ElectionNotNeeded);
    }
    let step = Transition::of(&was, draft.rules(at.topic));
    let changed = draft.finish(step, election);
    let leader = changed
        .as_ref()
        .and_then(|changed| changed.partition.leader);
    match (election, leader, preferred) {
        (Election::Preferred, leader, Some(node)) if leader != Some(node) => {
            Err(MetadataError::PreferredUnavailable { node })
        }
        (_, Some(leader), _) => {
            if let Some(changed) = changed {
                draft.push(at, changed);
            }
            Ok(leader)
        }
        _ => Err(MetadataError::NobodyEligible),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}
