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
        let is_next = self.version + shown.count() as u64 == changed.version;
        // What was asked twice and heard already is not done twice.
        let is_heard = self.version == changed.version;
        if is_next || is_heard {
            let news = changed.changes.iter();
            news.filter(|change| is_next || !change.is_shown())
                .for_each(|change| self.apply(change));
        }
        is_next || is_heard
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
            Change::Confirmed => {}
            Change::Head { .. } => self.begin_anew(change),
            Change::Named { segment } => self.segments.insert(segment.clone()),
            Change::Left { id, unnamed } => {
                self.unnamed.insert(*id, *unnamed);
            }
        }
    }

    /// A snapshot in the log is read behind all that it sums up.
    fn begin_anew(&mut self, head: &Change) {
        if let Change::Head {
            leader_epoch,
            log_start,
            version,
            exported,
            deleted,
        } = *head
        {
            *self = Self::new(leader_epoch, log_start);
            self.version = version;
            self.exported = exported;
            self.deleted = deleted;
        }
    }

    /// The changes that make this manifest of nothing. No versions are counted on the way.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Change> {
        let head = Change::Head {
            leader_epoch: self.leader_epoch,
            log_start: self.log_start,
            version: self.version,
            exported: self.exported,
            deleted: self.deleted,
        };
        let named = self.segments().iter().map(|segment| Change::Named {
            segment: segment.clone(),
        });
        let open = self.open.iter().map(|(id, attempt)| Change::Begun {
            id: *id,
            attempt: *attempt,
        });
        let unnamed = self.unnamed.iter().map(|(id, unnamed)| Change::Left {
            id: *id,
            unnamed: *unnamed,
        });
        std::iter::once(head)
            .chain(named)
            .chain(open)
            .chain(unnamed)
    }

    /// The manifest of such changes; `None` if they are not those of one.
    pub(crate) fn of_parts(parts: &[Change]) -> Option<Self> {
        let (head, rest) = parts.split_first()?;
        let Change::Head {
            leader_epoch,
            log_start,
            ..
        } = head
        else {
            return None;
        };
        let mut manifest = Self::new(*leader_epoch, *log_start);
        manifest.apply(head);
        for part in rest {
            match part {
                Change::Named { segment } => {
                    let end = manifest.segments.end();
                    if end.is_some_and(|end| end != segment.start) {
                        return None;
                    }
                }
                Change::Begun { .. } | Change::Left { .. } => {}
                _ => return None,
            }
            manifest.apply(part);
        }
        Some(manifest)
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

    fn abandon_all(&mut self) {
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
