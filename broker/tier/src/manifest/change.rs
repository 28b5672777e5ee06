//! What a change does to a manifest. Who hosts it, who follows it and who reads it back from the
//! internal topic all come here; nothing is judged any more.

use freshet_types::Offset;

use super::{Manifest, Unnamed};
use crate::machine::{Change, Changed};
use crate::segment::{Segment, SegmentId};

impl Manifest {
    /// Follows what a leader has heard. `false` if this copy has missed something: then it is of no use,
    /// and the manifest is to be claimed again.
    #[must_use]
    pub fn follow(&mut self, changed: &Changed) -> bool {
        let shown = changed.changes.iter().filter(|change| change.is_shown());
        // What this copy has already is told again: something else has raised the version.
        let is_old = shown.clone().any(|change| self.has(change));
        let is_next = self.version + shown.count() as u64 == changed.version && !is_old;
        // What was asked twice and heard already is not done twice.
        let is_heard = self.version == changed.version;
        if is_next || is_heard {
            let news = changed.changes.iter();
            news.filter(|change| is_next || !change.is_shown())
                .for_each(|change| self.apply(change));
        }
        is_next || is_heard
    }

    /// Whether a change that shows would change nothing.
    fn has(&self, change: &Change) -> bool {
        match change {
            Change::Committed { segment } => self.is_named(segment.id),
            Change::Replaced { added, .. } => added.iter().all(|s| self.is_named(s.id)),
            Change::StartMoved { log_start } => self.log_start == *log_start,
            _ => false,
        }
    }

    /// Applies one change.
    pub(crate) fn apply(&mut self, change: &Change) {
        if change.is_shown() {
            self.version += 1;
        }
        match change {
            Change::Claimed {
                leader_epoch,
                log_start,
                cut,
            } => {
                self.leader_epoch = *leader_epoch;
                self.claim(*log_start, *cut);
            }
            Change::Begun { id, attempt } => {
                self.open.insert(*id, *attempt);
            }
            Change::Committed { segment } => {
                self.open.remove(&segment.id);
                self.segments.insert(segment.clone());
            }
            Change::Abandoned { ids } => self.abandon(ids),
            Change::StartMoved { log_start } => {
                self.begin_at(*log_start);
            }
            Change::Replaced { removed, added } => {
                let gone = self.segments.remove(removed);
                self.unname(gone);
                for segment in added {
                    self.open.remove(&segment.id);
                    self.segments.insert(segment.clone());
                }
            }
            Change::Exported { version } => self.exported = self.exported.max(*version),
            Change::Doomed { objects } => {
                for (id, start) in objects {
                    let stranger = Unnamed {
                        start: *start,
                        since: 0,
                        doomed: true,
                    };
                    self.unnamed.entry(*id).or_insert(stranger).doomed = true;
                }
            }
            Change::Collected { ids } => self.unnamed.retain(|id, _| !ids.contains(id)),
            Change::Deleted { .. } => {
                self.deleted = true;
                self.abandon_all();
                let gone = self.segments.clear();
                self.unname(gone);
            }
            // Of what is to take its place, and no change of this one.
            Change::Confirmed | Change::Part(_) | Change::Whole { .. } => {}
        }
    }

    /// Another leader, or the same one anew.
    fn claim(&mut self, log_start: Offset, cut: Option<Offset>) {
        // Whoever began these cannot commit them any more.
        self.abandon_all();
        if let Some(end) = cut {
            let gone = self.segments.cut(end);
            self.unname(gone);
        }
        self.begin_at(log_start);
    }

    pub(crate) fn abandon_all(&mut self) {
        let open: Vec<_> = self.open.keys().copied().collect();
        self.abandon(&open);
    }

    fn begin_at(&mut self, log_start: Offset) {
        self.log_start = log_start;
        let gone = self.segments.drop_below(log_start);
        self.unname(gone);
    }

    fn unname(&mut self, segments: Vec<Segment>) {
        for segment in segments {
            let unnamed = Unnamed {
                start: segment.object_start,
                since: self.version,
                doomed: false,
            };
            self.unnamed.insert(segment.id, unnamed);
        }
    }

    fn abandon(&mut self, ids: &[SegmentId]) {
        for id in ids {
            if let Some(attempt) = self.open.remove(id) {
                let unnamed = Unnamed {
                    start: attempt.start,
                    since: 0,
                    doomed: false,
                };
                self.unnamed.insert(*id, unnamed);
            }
        }
    }
}
