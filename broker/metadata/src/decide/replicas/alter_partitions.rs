//! A leader says who is in sync.

use std::sync::Arc;

use freshet_types::{NodeId, Now, TopicPartition};

use crate::decide::Draft;
use crate::decide::brokers::present;
use crate::error::{MetadataError, Outcome};
use crate::guard::{Guard, holds};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::replicas::{Changed, Election, Standing, Transition};
use crate::request::{AlterPartitions, ProposedIsr};
use crate::state::Partition;

pub(crate) fn alter_partitions(
    machine: &MetadataMachine,
    now: Now,
    request: AlterPartitions,
    records: &mut Vec<Record>,
) -> Outcome<Vec<Outcome<Arc<Partition>>>> {
    present(machine, request.node, request.broker_epoch)?;
    let mut draft = Draft::of(machine, now);
    let proposals = request.partitions.into_iter();
    let outcomes = proposals.map(|proposal| alter(&mut draft, request.node, proposal));
    let outcomes = outcomes.collect();
    records.append(&mut draft.records);
    Ok(outcomes)
}

fn alter(draft: &mut Draft<'_>, leader: NodeId, proposal: ProposedIsr) -> Outcome<Arc<Partition>> {
    let at = proposal.at;
    let topic = draft.machine.image.topic_by_id(at.topic);
    topic.ok_or(MetadataError::UnknownTopicId { id: at.topic })?;
    let unknown = || MetadataError::UnknownPartition {
        name: at.topic.to_string(),
        partition: at.partition,
    };
    let was = draft.partition(at).ok_or_else(unknown)?;
    check_epochs(&was, leader, &proposal)?;
    if let Err(refusal) = check_members(draft, &was, leader, &proposal) {
        let lets_go = matches!(refusal, MetadataError::IneligibleReplica { .. });
        if lets_go && holds(Guard::RefusedAreOver) {
            end_epoch(draft, at, &was);
        }
        return Err(refusal);
    }
    let mut step = Transition::of(&was, draft.rules(at.topic));
    let proposed = |node: &&NodeId| proposal.isr.iter().any(|(n, _)| n == *node);
    step.set_isr(was.replicas.iter().filter(proposed).copied().collect());
    if let Some(changed) = draft.finish(step, Election::WhenNeeded) {
        draft.push(at, changed);
    }
    draft.partition(at).ok_or_else(unknown)
}

/// A leader that is refused because of a member waits for that one no more. A copy of the proposal that was
/// sent before and comes later, when its members would do, must find that it is too late.
fn end_epoch(draft: &mut Draft<'_>, at: TopicPartition, was: &Partition) {
    let partition = Partition {
        partition_epoch: was.partition_epoch + 1,
        ..was.clone()
    };
    let unclean = None;
    draft.push(at, Changed { partition, unclean });
}

/// The leader must know everything that was decided before.
fn check_epochs(was: &Partition, leader: NodeId, proposal: &ProposedIsr) -> Outcome<()> {
    let (epoch, present) = (proposal.leader_epoch, was.leader_epoch);
    if epoch < present && holds(Guard::CompareAndSet) {
        return Err(MetadataError::StaleLeader { epoch, present });
    }
    if epoch > present {
        return Err(MetadataError::Behind { epoch });
    }
    if was.leader != Some(leader) && holds(Guard::CompareAndSet) {
        let reason = format!("broker {leader} does not lead {}", proposal.at);
        return Err(MetadataError::Request { reason });
    }
    let (epoch, present) = (proposal.partition_epoch, was.partition_epoch);
    if epoch < present && holds(Guard::CompareAndSet) {
        return Err(MetadataError::StalePartition { epoch, present });
    }
    if epoch > present {
        return Err(MetadataError::Behind { epoch });
    }
    Ok(())
}

fn check_members(
    draft: &Draft<'_>,
    was: &Partition,
    leader: NodeId,
    proposal: &ProposedIsr,
) -> Outcome<()> {
    let request = |reason: String| Err(MetadataError::Request { reason });
    if !proposal.isr.iter().any(|(node, _)| *node == leader) {
        return request(format!("leader {leader} is not among those in sync"));
    }
    for (i, (node, epoch)) in proposal.isr.iter().enumerate() {
        let Some(directory) = was.directory(*node) else {
            return request(format!("broker {node} keeps no replica of {}", proposal.at));
        };
        if proposal.isr[..i].iter().any(|(n, _)| n == node) {
            return request(format!("broker {node} is named twice"));
        }
        let node = *node;
        let ineligible = |reason: &'static str| {
            let reason = reason.into();
            Err(MetadataError::IneligibleReplica { node, reason })
        };
        let registered = draft.machine.image.broker(node).map(|broker| broker.epoch);
        let same = *epoch == -1 || registered == Some(*epoch);
        if !same && holds(Guard::MemberEpochs) {
            return ineligible("it was seen as another process");
        }
        match draft.standing(node, directory) {
            // Leaders know when to take in one whose disk is unwell.
            Standing::Active | Standing::Impaired => {}
            // It goes on where nobody else can lead.
            Standing::Stopping if node == leader => {}
            _ if !holds(Guard::MemberStanding) => {}
            Standing::Stopping => return ineligible("it is stopping"),
            Standing::Away => return ineligible("it is fenced"),
        }
    }
    Ok(())
}
