//! AlterPartitionReassignments (KIP-455): who shall keep a partition.

use std::collections::BTreeSet;

use freshet_types::{NodeId, Now, TopicPartition};

use super::elect_leaders::find;
use crate::decide::Draft;
use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::replicas::{Crowds, Election, Placement, Transition};
use crate::request::{PartitionName, Reassign, Reassignment};
use crate::state::{DirectoryId, Partition};

pub(crate) fn reassign(
    machine: &MetadataMachine,
    now: Now,
    request: Reassign,
    records: &mut Vec<Record>,
) -> Vec<Outcome<()>> {
    let mut seen = BTreeSet::new();
    let names = request.changes.iter().map(|change| &change.partition);
    let twice: BTreeSet<PartitionName> = names.filter(|n| !seen.insert(*n)).cloned().collect();
    let mut draft = Draft::of(machine, now);
    let mut crowds = Crowds::of(machine);
    let factor_may_change = request.allow_factor_change;
    let change = |change: Reassignment| {
        if twice.contains(&change.partition) {
            let reason = "each partition may be named once in a request".to_owned();
            return Err(MetadataError::Request { reason });
        }
        let at = find(machine, &change.partition)?;
        match change.replicas {
            Some(replicas) => {
                check_factor(&draft, at, &replicas, factor_may_change)?;
                begin(&mut draft, &mut crowds, at, &replicas)
            }
            None => cancel(&mut draft, at),
        }
    };
    let outcomes = request.changes.into_iter().map(change).collect();
    records.append(&mut draft.records);
    outcomes
}

fn check_factor(
    draft: &Draft<'_>,
    at: TopicPartition,
    wanted: &[NodeId],
    factor_may_change: bool,
) -> Outcome<()> {
    let was = partition(draft, at)?;
    let original = without(&was.replicas, &was.adding);
    if !factor_may_change && wanted.len() != original.len() {
        let reason = format!(
            "{at} has {} replicas, {} are asked for, and their number may not change",
            original.len(),
            wanted.len()
        );
        return Err(MetadataError::ReplicationFactor { reason });
    }
    Ok(())
}

/// Those who keep it now and those who shall, until all of the latter are in sync.
fn begin(
    draft: &mut Draft<'_>,
    crowds: &mut Crowds<'_>,
    at: TopicPartition,
    wanted: &[NodeId],
) -> Outcome<()> {
    let was = partition(draft, at)?;
    let original = without(&was.replicas, &was.adding);
    let placement = Placement::of(&draft.machine.image, 0);
    placement.check(wanted, &was.replicas)?;
    let adding = without(wanted, &original);
    let removing = without(&original, wanted);
    let all = wanted.iter().chain(&removing).copied();
    let placed = all.map(|node| {
        let present = was.directory(node);
        let chosen = || placement.directory(crowds, node);
        (node, present.unwrap_or_else(chosen))
    });
    let placed = placed.collect();
    change(draft, at, &was, (placed, adding, removing))
}

/// Back to those who kept it before.
fn cancel(draft: &mut Draft<'_>, at: TopicPartition) -> Outcome<()> {
    let was = partition(draft, at)?;
    if !was.is_moving() {
        return Err(MetadataError::NoReassignment);
    }
    let stay = was.replicas.iter().zip(&was.directories);
    let stay = stay.filter(|(node, _)| !was.adding.contains(node));
    let placed = stay.map(|(node, directory)| (*node, *directory)).collect();
    change(draft, at, &was, (placed, Vec::new(), Vec::new()))
}

type Target = (Vec<(NodeId, DirectoryId)>, Vec<NodeId>, Vec<NodeId>);

fn change(
    draft: &mut Draft<'_>,
    at: TopicPartition,
    was: &Partition,
    (placed, adding, removing): Target,
) -> Outcome<()> {
    let mut step = Transition::of(was, draft.rules(at.topic));
    step.reassign(placed, adding, removing);
    let Some(changed) = draft.finish(step, Election::WhenNeeded) else {
        return Ok(());
    };
    let clean_lost = was.clean().next().is_some() && changed.partition.clean().next().is_none();
    let leader_lost = was.leader.is_some() && changed.partition.leader.is_none();
    if clean_lost || leader_lost || changed.unclean.is_some() {
        let reason = format!("{at} would be left without a replica that has everything");
        return Err(MetadataError::Assignment { reason });
    }
    draft.push(at, changed);
    Ok(())
}

fn partition(draft: &Draft<'_>, at: TopicPartition) -> Outcome<std::sync::Arc<Partition>> {
    draft
        .partition(at)
        .ok_or_else(|| MetadataError::UnknownPartition {
            name: at.topic.to_string(),
            partition: at.partition,
        })
}

fn without(nodes: &[NodeId], others: &[NodeId]) -> Vec<NodeId> {
    let left = nodes.iter().filter(|node| !others.contains(node));
    left.copied().collect()
}
