//! A broker says in which of its directories replicas are.

use freshet_types::{NodeId, Now};

use crate::decide::Draft;
use crate::decide::brokers::present;
use crate::error::{MetadataError, Outcome};
use crate::guard::{Guard, holds};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::replicas::{Election, Loss, Standing, Transition};
use crate::request::{AssignDirectories, AssignedPartition};
use crate::state::{DirectoryId, Partition};

pub(crate) fn assign_directories(
    machine: &MetadataMachine,
    now: Now,
    request: &AssignDirectories,
    records: &mut Vec<Record>,
) -> Outcome<Vec<Outcome<()>>> {
    present(machine, request.node, request.broker_epoch)?;
    let mut draft = Draft::of(machine, now);
    let assigned = request.replicas.iter();
    let outcomes = assigned.map(|replica| assign(&mut draft, request.node, *replica));
    let outcomes = outcomes.collect();
    records.append(&mut draft.records);
    Ok(outcomes)
}

/// Whether somebody clean is up beside `node`.
fn another_can_lead(draft: &Draft<'_>, was: &Partition, node: NodeId) -> bool {
    was.clean().any(|other| {
        let directory = was.directory(other).unwrap_or_default();
        other != node && draft.standing(other, directory) >= Standing::Impaired
    })
}

/// Copied from a directory that is online, a replica is what it was; so it is if the directory failed
/// only after the copy was whole. Put elsewhere because its directory is gone, or because it was lost,
/// it begins empty. One that is lost from now on leads nothing and is in sync with nothing; that it was
/// clean is not forgotten, for its broker may be wrong. The same holds for one whose new directory has
/// failed: it is out of reach.
///
/// One that was lost begins empty in the process, and under the registration, that has told its leader how
/// far the old copy was. Only another leader epoch tells such a fetch from those of the new one.
fn assign(draft: &mut Draft<'_>, node: NodeId, replica: AssignedPartition) -> Outcome<()> {
    let at = replica.at;
    let unknown = MetadataError::UnknownPartition {
        name: at.topic.to_string(),
        partition: at.partition,
    };
    let was = draft.partition(at).ok_or(unknown)?;
    let request = |reason: String| MetadataError::Request { reason };
    let before = was
        .directory(node)
        .ok_or_else(|| request(format!("broker {node} keeps no replica of {at}")))?;
    let broker = draft.machine.image.broker(node);
    let online = |directory| broker.is_some_and(|broker| broker.has_online(directory));
    let is_lost = replica.directory == DirectoryId::LOST;
    if is_lost && before != DirectoryId::LOST && !another_can_lead(draft, &was, node) {
        return Err(request(format!(
            "nobody else who is up has everything of {at}: broker {node} must keep its copy"
        )));
    }
    if before == replica.directory {
        return Ok(());
    }
    let mut step = Transition::of(&was, draft.rules(at.topic));
    step.move_to(node, replica.directory);
    let is_whole = replica.whole && before != DirectoryId::LOST;
    if !is_lost && !is_whole && !online(before) {
        step.lose(node, Loss::All);
        if before == DirectoryId::LOST && holds(Guard::NewCopyNewEpoch) {
            step.lead_anew();
        }
    } else if is_lost || !online(replica.directory) {
        step.leave(node);
    }
    if let Some(changed) = draft.finish(step, Election::WhenNeeded) {
        draft.push(at, changed);
    }
    Ok(())
}
