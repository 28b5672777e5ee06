//! What may be deleted from the bucket (T7): objects that no manifest names, for a grace age now, and
//! that no manifest in the bucket names either. An object is doomed by a record before anybody is told
//! to delete it: a host that does not lead its shard any more cannot commit one.

use std::collections::BTreeMap;

use freshet_types::{Millis, Offset};

use super::record::Change;
use super::request::{Answer, Changed};
use super::{Decided, Limits};
use crate::guard::{Guard, holds};
use crate::manifest::Manifest;
use crate::segment::SegmentId;

/// Since when this host has seen things as they are. Never stored.
#[derive(Debug, Default)]
pub(super) struct Ages {
    open: BTreeMap<SegmentId, Millis>,
    unnamed: BTreeMap<SegmentId, Millis>,
    strangers: BTreeMap<SegmentId, Millis>,
}

/// Keeps the ages of those who are still there, and begins those of the others.
fn look(
    ages: &mut BTreeMap<SegmentId, Millis>,
    present: impl Iterator<Item = SegmentId>,
    now: Millis,
) {
    *ages = present
        .map(|id| (id, ages.get(&id).copied().unwrap_or(now)))
        .collect();
}

/// Whether something has been as it is for so long.
fn is_older(ages: &BTreeMap<SegmentId, Millis>, id: SegmentId, now: Millis, ms: u64) -> bool {
    ages.get(&id).is_some_and(|since| now - *since >= ms)
}

pub(super) fn collect(
    manifest: &Manifest,
    ages: &mut Ages,
    now: Millis,
    limits: &Limits,
) -> Decided {
    look(&mut ages.open, manifest.open.keys().copied(), now);
    look(&mut ages.unnamed, manifest.unnamed.keys().copied(), now);
    let mut changes = Vec::new();
    let open = manifest.open.keys().copied();
    let late: Vec<_> = open
        .filter(|id| is_older(&ages.open, *id, now, limits.attempt_ms))
        .collect();
    if !late.is_empty() {
        changes.push(Change::Abandoned { ids: late });
    }
    let is_due = |id: SegmentId, since: u64| {
        let aged = is_older(&ages.unnamed, id, now, limits.grace_ms);
        let shown = since > manifest.exported;
        (aged || !holds(Guard::GraceAge)) && (!shown || !holds(Guard::ExportedFirst))
    };
    let mut objects: Vec<(SegmentId, Offset)> = Vec::new();
    let mut fresh = Vec::new();
    for (id, unnamed) in &manifest.unnamed {
        if objects.len() >= limits.doomed {
            break;
        }
        if unnamed.doomed {
            objects.push((*id, unnamed.start));
        } else if is_due(*id, unnamed.since) {
            objects.push((*id, unnamed.start));
            fresh.push((*id, unnamed.start));
        }
    }
    doom(changes, fresh, objects)
}

/// What is listed and unknown for a grace age: left by a manifest that is lost, or by an upload that
/// came to an end after its object was deleted.
pub(super) fn sweep(
    manifest: &Manifest,
    ages: &mut Ages,
    listed: &[(SegmentId, Offset)],
    (now, limits): (Millis, &Limits),
) -> Decided {
    let is_stranger = |id: SegmentId| !manifest.knows(id) || !holds(Guard::SweepSparesNamed);
    let strangers = listed.iter().take(limits.doomed);
    let strangers: Vec<_> = strangers.filter(|(id, _)| is_stranger(*id)).collect();
    look(
        &mut ages.strangers,
        strangers.iter().map(|(id, _)| *id),
        now,
    );
    // The newest manifest in the bucket may be of a time that the shard has forgotten, and name them.
    let is_shown = manifest.exported == 0 || manifest.exported == manifest.version;
    let may = is_shown || !holds(Guard::ExportedFirst);
    let aged = |id| may && is_older(&ages.strangers, id, now, limits.grace_ms);
    let due = strangers.into_iter().copied();
    let objects: Vec<_> = due.filter(|(id, _)| aged(*id)).collect();
    doom(Vec::new(), objects.clone(), objects)
}

fn doom(
    mut changes: Vec<Change>,
    fresh: Vec<(SegmentId, Offset)>,
    objects: Vec<(SegmentId, Offset)>,
) -> Decided {
    if !fresh.is_empty() {
        changes.push(Change::Doomed { objects: fresh });
    }
    Decided {
        answer: Answer::Doomed {
            changed: Changed {
                changes: changes.clone(),
                version: 0,
            },
            objects,
        },
        changes,
    }
}

pub(super) fn collected(manifest: &Manifest, mut ids: Vec<SegmentId>) -> Decided {
    ids.retain(|id| manifest.unnamed.get(id).is_some_and(|u| u.doomed));
    if ids.is_empty() {
        return Decided::already(Vec::new());
    }
    Decided::change(Change::Collected { ids })
}
