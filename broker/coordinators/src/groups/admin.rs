//! Lists, describes and deletes groups.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::api::{
    Delete, DeleteOutcome, Describe, Described, GroupError, Kind, List, Listed, State,
};
use super::group::Group;
use super::turn::Turn;
use super::{Record, offsets};

pub(super) fn list(groups: &BTreeMap<Arc<str>, Group>, request: &List) -> Vec<Listed> {
    let wanted = |names: &[String], name: &str| {
        names.is_empty() || names.iter().any(|n| n.eq_ignore_ascii_case(name))
    };
    groups
        .iter()
        .map(|(id, group)| Listed {
            group: Arc::clone(id),
            protocol_type: group.classic.protocol_type().cloned().unwrap_or_default(),
            state: group.classic.state(),
            kind: Kind::Classic,
        })
        .filter(|listed| wanted(&request.states, listed.state.name()))
        .filter(|listed| wanted(&request.kinds, listed.kind.name()))
        .collect()
}

pub(super) fn describe(
    groups: &BTreeMap<Arc<str>, Group>,
    request: Describe,
) -> Vec<Result<Described, GroupError>> {
    let one = |id: Arc<str>| {
        let classic = &groups.get(&id).ok_or(GroupError::NotFound)?.classic;
        Ok(Described {
            group: id,
            state: classic.state(),
            protocol_type: classic.protocol_type().cloned().unwrap_or_default(),
            protocol: classic.stable_protocol().cloned().unwrap_or_default(),
            members: classic.describe_members(),
        })
    };
    request.groups.into_iter().map(one).collect()
}

pub(super) fn delete(
    turn: &mut Turn,
    groups: &BTreeMap<Arc<str>, Group>,
    request: Delete,
) -> Vec<DeleteOutcome> {
    let mut named = HashSet::new();
    let one = |id: Arc<str>| {
        let group = groups.get(&id).filter(|_| named.insert(Arc::clone(&id)));
        let result = group
            .ok_or(GroupError::NotFound)
            .and_then(|group| delete_one(turn, &id, group));
        DeleteOutcome { group: id, result }
    };
    request.groups.into_iter().map(one).collect()
}

fn delete_one(turn: &mut Turn, id: &Arc<str>, group: &Group) -> Result<(), GroupError> {
    if group.classic.state() != State::Empty {
        return Err(GroupError::NotEmpty);
    }
    offsets::forget_all(turn, id, group);
    forget(turn, id);
    Ok(())
}

/// Writes a tombstone for the group itself. Also for a group without a record of its own: tools
/// that read the topic see that it is gone.
pub(super) fn forget(turn: &mut Turn, id: &Arc<str>) {
    turn.record(Record::Group {
        group: Arc::clone(id),
        value: None,
    });
}
