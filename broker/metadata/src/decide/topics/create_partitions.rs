//! CreatePartitions.

use std::collections::BTreeSet;

use super::room::Room;
use crate::error::{MetadataError, Outcome};
use crate::machine::MetadataMachine;
use crate::record::Record;
use crate::replicas::{Crowds, Placement};
use crate::request::{CreatePartitions, MorePartitions};
use crate::state::{Partition, Topic};

pub(crate) fn create_partitions(
    machine: &MetadataMachine,
    request: CreatePartitions,
    records: &mut Vec<Record>,
) -> Vec<Outcome<()>> {
    let mut seen = BTreeSet::new();
    let names = request.topics.iter().map(|topic| topic.name.as_str());
    let twice: BTreeSet<&str> = names.filter(|name| !seen.insert(*name)).collect();
    let mut room = Room::of(machine);
    let mut crowds = Crowds::of(machine);
    let grow = |more: &MorePartitions| {
        if twice.contains(more.name.as_str()) {
            let reason = format!("topic {} is named twice in the request", cut(&more.name));
            return Err(MetadataError::Request { reason });
        }
        let topic = machine
            .image
            .topic(&more.name)
            .ok_or_else(|| MetadataError::UnknownTopic {
                name: cut(&more.name),
            })?;
        let new = new_partitions(machine, (&mut room, &mut crowds), topic, more)?;
        if !request.validate_only {
            let first = topic.partitions.len();
            let numbered = (i32::try_from(first).unwrap_or(i32::MAX)..).zip(new);
            records.extend(numbered.map(|(number, p)| Record::partition(topic.id, number, p)));
        }
        Ok(())
    };
    request.topics.iter().map(grow).collect()
}

fn new_partitions(
    machine: &MetadataMachine,
    (room, crowds): (&mut Room, &mut Crowds<'_>),
    topic: &Topic,
    more: &MorePartitions,
) -> Outcome<Vec<Partition>> {
    let present = topic.partitions.len();
    let wanted = usize::try_from(more.count).unwrap_or(0);
    if wanted <= present {
        let reason = format!(
            "topic {} has {present} partitions; it cannot have {} (partitions are only ever added)",
            topic.name, more.count
        );
        return Err(MetadataError::Partitions { reason });
    }
    let added = wanted - present;
    let factor = topic.partitions.first().map_or(1, |p| p.target().count());
    let Some(assignments) = &more.assignments else {
        let placement = Placement::of(&machine.image, room.partitions());
        room.take(machine, 0, added, wanted)?;
        return placement.choose(crowds, added, i16::try_from(factor).unwrap_or(i16::MAX));
    };
    if assignments.len() != added {
        let reason = format!(
            "{added} partitions are added and {} assigned",
            assignments.len()
        );
        return Err(MetadataError::Assignment { reason });
    }
    if let Some(other) = assignments.iter().find(|nodes| nodes.len() != factor) {
        let reason = format!(
            "topic {} has {factor} replicas, and {} are assigned",
            topic.name,
            other.len()
        );
        return Err(MetadataError::Assignment { reason });
    }
    let placement = Placement::of(&machine.image, room.partitions());
    room.take(machine, 0, added, wanted)?;
    assignments
        .iter()
        .map(|replicas| placement.explicit(crowds, replicas.clone()))
        .collect()
}

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}
