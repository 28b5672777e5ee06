//! Groups go on where they were, as far as there is something to read.

use std::collections::{BTreeMap, BTreeSet};

use freshet_client::{NewGroupOffset, TopicPartition};
use freshet_tier::{GroupPositions, Position};
use serde::Serialize;

use super::topics::Ends;
use crate::Context;
use crate::tier::source::Found;

/// What became of positions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Positions {
    /// Groups that have positions.
    pub(super) groups: u64,
    /// Positions that were stored.
    pub(super) stored: u64,
    /// Positions that the groups had already.
    pub(super) kept: u64,
    /// Of those stored, those that lay where nothing is.
    pub(super) cut: u64,
    /// Records that some group had read and that are nowhere any more.
    pub(super) lost_records: u64,
}

/// What there is to store.
pub(super) fn count(found: &Found) -> Positions {
    let stored = found.groups.iter().flat_map(flat).count();
    Positions {
        groups: found.groups.len() as u64,
        stored: stored as u64,
        ..Positions::default()
    }
}

fn flat(group: &GroupPositions) -> impl Iterator<Item = (TopicPartition, &Position)> {
    group.topics.iter().flat_map(|of| {
        let at = |position: &Position| (of.topic.clone(), position.partition);
        of.positions
            .iter()
            .map(move |position| (at(position), position))
    })
}

/// Stores positions in the partitions of `ends`. A group that has read in this cluster goes on from there.
pub(super) async fn restore(
    context: &Context,
    found: &Found,
    ends: &Ends,
    remarks: &mut Vec<String>,
) -> anyhow::Result<Positions> {
    let mut done = Positions::default();
    let mut lost = BTreeMap::new();
    for group in &found.groups {
        let known = context.client.admin().group_offsets(&group.group).await?;
        let known: BTreeSet<TopicPartition> = known
            .into_iter()
            .map(|it| (it.topic, it.partition))
            .collect();
        let mut wanted = Vec::new();
        for (at, position) in flat(group) {
            let Some(&(start, end)) = ends.get(&at) else {
                continue;
            };
            if position.offset > end {
                let behind = (position.offset - end).unsigned_abs();
                let most = lost.entry(at.clone()).or_insert(0);
                *most = behind.max(*most);
            }
            if known.contains(&at) {
                done.kept += 1;
                continue;
            }
            let new = fitting(at, position, start, end);
            done.cut += u64::from(new.offset != position.offset);
            wanted.push(new);
        }
        done.groups += 1;
        match store(context, &group.group, &wanted).await {
            Ok(()) => done.stored += wanted.len() as u64,
            Err(error) => remarks.push(format!(
                "the positions of group {} were not stored: {error:#}",
                group.group
            )),
        }
    }
    done.lost_records = lost.values().sum();
    Ok(done)
}

fn fitting(at: TopicPartition, position: &Position, start: i64, end: i64) -> NewGroupOffset {
    let offset = position.offset.clamp(start, end);
    NewGroupOffset {
        partition: at,
        offset,
        // The epoch is that of the record before; of another one nothing is known.
        leader_epoch: if offset == position.offset {
            position.leader_epoch
        } else {
            -1
        },
        metadata: position.metadata.clone(),
    }
}

async fn store(context: &Context, group: &str, wanted: &[NewGroupOffset]) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let outcomes = context
        .client
        .admin()
        .set_group_offsets(group, wanted)
        .await?;
    for (_, outcome) in outcomes {
        outcome?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lie_where_records_are() {
        let at = ("t".to_owned(), 0);
        let position = |offset| Position {
            partition: 0,
            offset,
            leader_epoch: 3,
            metadata: "m".to_owned(),
        };
        let fitted = |offset| {
            let new = fitting(at.clone(), &position(offset), 5, 9);
            assert_eq!(new.metadata, "m");
            (new.offset, new.leader_epoch)
        };
        assert_eq!(fitted(7), (7, 3));
        assert_eq!(fitted(12), (9, -1));
        assert_eq!(fitted(1), (5, -1));
    }
}
