//! What a leader may change, and when not: plain functions of one manifest and one request.

use freshet_types::{LeaderEpoch, Offset};

use super::record::Change;
use super::request::{Answer, Ask, Claim, Purpose, Refusal, Stored};
use super::{Decided, Limits};
use crate::guard::{Guard, holds};
use crate::manifest::Manifest;
use crate::segment::{Attempt, Segment, SegmentId, span, span_from, visible};

type Judged = Result<Decided, Refusal>;

/// T1. What is left of a deleted topic is collected by whoever hosts the shard: it has no leader.
pub(super) fn may_ask(manifest: &Manifest, asked: LeaderEpoch, ask: &Ask) -> Result<(), Refusal> {
    let current = manifest.leader_epoch;
    match ask {
        Ask::Export
        | Ask::Exported { .. }
        | Ask::Collect
        | Ask::Collected { .. }
        | Ask::Sweep { .. }
            if manifest.deleted =>
        {
            Ok(())
        }
        _ if manifest.deleted => Err(Refusal::Deleted),
        _ if !holds(Guard::LeaderEpoch) || asked == current => Ok(()),
        _ if asked < current => Err(Refusal::Fenced { asked, current }),
        _ => Err(Refusal::NotClaimed { asked }),
    }
}

pub(super) fn claim(
    manifest: Option<&Manifest>,
    leader_epoch: LeaderEpoch,
    claim: &Claim,
    limits: &Limits,
) -> Judged {
    check_claim(claim, limits)?;
    let claimed = match manifest {
        Some(manifest) => judge_claim(manifest, leader_epoch, claim)?,
        // Nothing is in the bucket: there is what the log has.
        None => Change::Claimed {
            leader_epoch,
            log_start: claim.local_start,
            cut: None,
        },
    };
    let mut copy = match manifest {
        Some(manifest) => manifest.clone(),
        None => Manifest::new(leader_epoch, claim.local_start),
    };
    copy.apply(&claimed);
    let from = copy.remote_end();
    if claim.local_start > from {
        let to = claim.local_start;
        return Err(Refusal::Hole { from, to });
    }
    Ok(Decided {
        changes: vec![claimed],
        answer: Answer::Claimed(Box::new(copy)),
    })
}

fn check_claim(claim: &Claim, limits: &Limits) -> Result<(), Refusal> {
    let Claim {
        log_start,
        local_start,
        log_end,
        epochs,
        ..
    } = claim;
    if *log_start < 0 || log_start > local_start || local_start > log_end {
        return Err(Refusal::Malformed(
            "a log that ends before it starts".into(),
        ));
    }
    if local_start == log_end {
        return Ok(());
    }
    if epochs.len() > limits.claimed_epochs {
        let (what, limit) = ("epochs of a log", limits.claimed_epochs);
        return Err(Refusal::Full {
            what: what.into(),
            limit,
        });
    }
    let known = span_from(epochs, *local_start);
    known.then_some(()).ok_or(Refusal::Malformed(
        "epochs that do not cover the log".into(),
    ))
}

fn judge_claim(
    manifest: &Manifest,
    leader_epoch: LeaderEpoch,
    claim: &Claim,
) -> Result<Change, Refusal> {
    let current = manifest.leader_epoch;
    if manifest.deleted {
        return Err(Refusal::Deleted);
    }
    if leader_epoch < current && holds(Guard::LeaderEpoch) {
        let asked = leader_epoch;
        return Err(Refusal::Fenced { asked, current });
    }
    let mut cut = None;
    if holds(Guard::Lineage)
        && let Some(at) = departure(manifest, claim)
    {
        // Only the first claim since may cut: a late copy of it knows an older log end.
        let unclean = claim.unclean.is_some_and(|epoch| epoch > current);
        let may = unclean && leader_epoch > current && claim.log_end >= manifest.log_start;
        if !may {
            let remote_end = manifest.remote_end();
            return Err(Refusal::Departs { at, remote_end });
        }
        cut = Some(at);
    }
    // While nothing is in the bucket, retention of the log is all there is, and need not tell of itself.
    let follows = cut.is_none() && manifest.segments().is_empty();
    let log_start = if follows {
        claim.local_start
    } else {
        claim.log_start
    };
    Ok(Change::Claimed {
        leader_epoch,
        log_start: log_start.max(manifest.log_start),
        cut,
    })
}

fn departure(manifest: &Manifest, claim: &Claim) -> Option<Offset> {
    let ends_early = (claim.log_end < manifest.log_start).then_some(claim.log_end);
    ends_early.or_else(|| manifest.departure(claim))
}

pub(super) fn begin(
    manifest: &Manifest,
    id: SegmentId,
    attempt: Attempt,
    limits: &Limits,
) -> Judged {
    if attempt.start < 0 || attempt.start >= attempt.end {
        return Err(Refusal::Malformed("a segment without offsets".into()));
    }
    let begun = Change::Begun { id, attempt };
    if manifest.open.get(&id) == Some(&attempt) {
        return Ok(Decided::already(vec![begun]));
    }
    if holds(Guard::UniqueId) && manifest.knows(id) {
        return Err(Refusal::IdInUse(id));
    }
    let remote_end = manifest.remote_end();
    if attempt.purpose == Purpose::Append && attempt.end <= remote_end {
        return Err(Refusal::NotContiguous { remote_end });
    }
    if manifest.open.len() >= limits.open {
        let (what, limit) = ("open uploads of a partition", limits.open);
        return Err(Refusal::Full {
            what: what.into(),
            limit,
        });
    }
    Ok(Decided::change(begun))
}

pub(super) fn commit(
    manifest: &Manifest,
    leader_epoch: LeaderEpoch,
    stored: Stored,
    limits: &Limits,
) -> Judged {
    if let Some(segment) = manifest.named(stored.id) {
        let segment = segment.clone();
        return Ok(Decided::already(vec![Change::Committed { segment }]));
    }
    check_stored(manifest, leader_epoch, &stored, Purpose::Append, limits)?;
    let remote_end = manifest.remote_end();
    let goes_on = stored.start <= remote_end && remote_end < stored.end;
    let mut visible = (stored.start, stored.end);
    if goes_on {
        visible.0 = remote_end;
    } else if holds(Guard::Contiguity) {
        return Err(Refusal::NotContiguous { remote_end });
    }
    let segment = shown(stored, visible, 0);
    Ok(Decided::change(Change::Committed { segment }))
}

/// T2, and that the object's own words make sense.
fn check_stored(
    manifest: &Manifest,
    leader_epoch: LeaderEpoch,
    stored: &Stored,
    purpose: Purpose,
    limits: &Limits,
) -> Result<(), Refusal> {
    let epochs = &stored.epochs;
    if epochs.len() > limits.epochs {
        let (what, limit) = ("epochs of a segment", limits.epochs);
        return Err(Refusal::Full {
            what: what.into(),
            limit,
        });
    }
    let known = span(epochs, stored.start, stored.end)
        && epochs.last().is_some_and(|e| e.epoch <= leader_epoch);
    if stored.start < 0 || stored.start >= stored.end || !known {
        return Err(Refusal::Malformed(
            "a segment whose epochs do not cover it".into(),
        ));
    }
    let begun = Attempt {
        start: stored.start,
        end: stored.end,
        purpose,
    };
    if holds(Guard::BegunFirst) && manifest.open.get(&stored.id) != Some(&begun) {
        return Err(Refusal::NotOpen(stored.id));
    }
    Ok(())
}

/// A stored object as readers see it.
fn shown(stored: Stored, (start, end): (Offset, Offset), generation: u32) -> Segment {
    Segment {
        id: stored.id,
        object_start: stored.start,
        start,
        end,
        generation,
        size_bytes: stored.size_bytes,
        max_timestamp: stored.max_timestamp,
        epochs: visible(&stored.epochs, start, end),
    }
}

pub(super) fn abandon(manifest: &Manifest, mut ids: Vec<SegmentId>) -> Decided {
    ids.retain(|id| manifest.open.contains_key(id));
    if ids.is_empty() {
        return Decided::already(Vec::new());
    }
    Decided::change(Change::Abandoned { ids })
}

pub(super) fn move_start(manifest: &Manifest, log_start: Offset) -> Judged {
    if log_start < 0 {
        return Err(Refusal::Malformed("a negative log start".into()));
    }
    if log_start == manifest.log_start
        || (log_start < manifest.log_start && holds(Guard::StartForward))
    {
        let log_start = manifest.log_start;
        return Ok(Decided::already(vec![Change::StartMoved { log_start }]));
    }
    Ok(Decided::change(Change::StartMoved { log_start }))
}

pub(super) fn replace(
    manifest: &Manifest,
    leader_epoch: LeaderEpoch,
    (removed, added): (Vec<SegmentId>, Vec<Stored>),
    limits: &Limits,
) -> Judged {
    if removed.is_empty() || added.is_empty() {
        return Err(Refusal::Malformed(
            "a replacement of nothing, or by nothing".into(),
        ));
    }
    if removed.len().max(added.len()) > limits.replaced {
        let (what, limit) = ("segments of a replacement", limits.replaced);
        return Err(Refusal::Full {
            what: what.into(),
            limit,
        });
    }
    let present: Option<Vec<Segment>> = added
        .iter()
        .map(|stored| manifest.named(stored.id).cloned())
        .collect();
    if let Some(added) = present {
        return Ok(Decided::already(vec![Change::Replaced { removed, added }]));
    }
    for stored in &added {
        check_stored(manifest, leader_epoch, stored, Purpose::Rewrite, limits)?;
    }
    let old = current(manifest, &removed);
    if old.is_none() && holds(Guard::ReplaceCurrent) {
        return Err(Refusal::NotCurrent);
    }
    let old = old.unwrap_or_default();
    let added = cover(old, added).ok_or(Refusal::NotCovering)?;
    Ok(Decided::change(Change::Replaced { removed, added }))
}

/// The named segments with these ids, if they stand in this order one after the other.
fn current<'a>(manifest: &'a Manifest, ids: &[SegmentId]) -> Option<&'a [Segment]> {
    let segments = manifest.segments();
    let first = segments.iter().position(|s| s.id == ids[0])?;
    let run = segments.get(first..first + ids.len())?;
    let same = run.iter().map(|s| s.id).eq(ids.iter().copied());
    same.then_some(run)
}

/// The new segments as readers see them: exactly where the old ones were.
fn cover(old: &[Segment], added: Vec<Stored>) -> Option<Vec<Segment>> {
    let generation = old.iter().map(|s| s.generation).max().unwrap_or(0) + 1;
    let whole = (added.first()?.start, added.last()?.end);
    let (start, end) = match (old.first(), old.last()) {
        (Some(first), Some(last)) if holds(Guard::ReplaceCovers) => (first.start, last.end),
        _ => whole,
    };
    let joined = added.windows(2).all(|pair| pair[0].end == pair[1].start);
    let covers = joined
        && whole.0 <= start
        && end <= whole.1
        && added[0].end > start
        && added.last()?.start < end;
    if holds(Guard::ReplaceCovers) && !covers {
        return None;
    }
    let show = |stored: Stored| {
        let visible = (stored.start.max(start), stored.end.min(end));
        shown(stored, visible, generation)
    };
    Some(added.into_iter().map(show).collect())
}

pub(super) fn exported(manifest: &Manifest, version: u64) -> Judged {
    if version > manifest.version {
        return Err(Refusal::Malformed("a version that is yet to come".into()));
    }
    if version <= manifest.exported {
        return Ok(Decided::already(Vec::new()));
    }
    Ok(Decided::change(Change::Exported { version }))
}

pub(super) fn delete(manifest: Option<&Manifest>, keep_objects: bool) -> Judged {
    let manifest = match manifest {
        Some(manifest) if !manifest.deleted => manifest,
        _ => return Ok(Decided::already(Vec::new())),
    };
    // The shard forgets what is kept: nobody else could tell what is there, and nobody collects later.
    let is_whole = manifest.exported == manifest.version || manifest.is_pristine();
    let is_tidy = manifest.open.is_empty() && manifest.unnamed.is_empty();
    if keep_objects && !(is_whole && is_tidy) {
        return Err(Refusal::NotWhole);
    }
    Ok(Decided::change(Change::Deleted { keep_objects }))
}
