//! A manifest in parts: how a snapshot writes it, and how it travels between brokers.

use freshet_types::{LeaderEpoch, Offset};

use super::{Manifest, Unnamed};
use crate::segment::{Attempt, Segment, SegmentId};

/// One part. The first is the head, the others come in any order but for the named segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The manifest's own fields.
    Head(Head),
    /// A named segment.
    Named {
        /// As it is visible.
        segment: Segment,
    },
    /// An object that is on its way.
    Open {
        /// Its id.
        id: SegmentId,
        /// What it holds.
        attempt: Attempt,
    },
    /// An object that waits to be deleted.
    Left {
        /// Its id.
        id: SegmentId,
        /// What is known of it.
        unnamed: Unnamed,
    },
}

/// See [`Part::Head`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Who claimed last.
    pub leader_epoch: LeaderEpoch,
    /// First offset that may be read.
    pub log_start: Offset,
    /// Counts changes.
    pub version: u64,
    /// The version in the bucket.
    pub exported: u64,
    /// Whether only objects are left.
    pub deleted: bool,
}

impl Manifest {
    /// What this manifest is made of. No versions are counted on the way.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> {
        let head = Part::Head(Head {
            leader_epoch: self.leader_epoch,
            log_start: self.log_start,
            version: self.version,
            exported: self.exported,
            deleted: self.deleted,
        });
        let named = self.segments().iter().map(|segment| Part::Named {
            segment: segment.clone(),
        });
        let open = self.open.iter().map(|(id, attempt)| Part::Open {
            id: *id,
            attempt: *attempt,
        });
        let unnamed = self.unnamed.iter().map(|(id, unnamed)| Part::Left {
            id: *id,
            unnamed: *unnamed,
        });
        std::iter::once(head)
            .chain(named)
            .chain(open)
            .chain(unnamed)
    }

    /// The manifest of such parts; `None` if they are not those of one.
    pub(crate) fn of_parts(parts: Vec<Part>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let Some(Part::Head(head)) = parts.next() else {
            return None;
        };
        let mut manifest = Self::of_head(head);
        for part in parts {
            if let Part::Named { segment } = &part {
                let end = manifest.segments.end();
                if end.is_some_and(|end| end != segment.start) {
                    return None;
                }
            }
            if let Part::Head(_) = part {
                return None;
            }
            manifest.take(part);
        }
        Some(manifest)
    }

    pub(crate) fn of_head(head: Head) -> Self {
        Self {
            version: head.version,
            exported: head.exported,
            deleted: head.deleted,
            ..Self::new(head.leader_epoch, head.log_start)
        }
    }

    pub(crate) fn take(&mut self, part: Part) {
        match part {
            Part::Head(head) => *self = Self::of_head(head),
            Part::Named { segment } => self.segments.insert(segment),
            Part::Open { id, attempt } => {
                self.open.insert(id, attempt);
            }
            Part::Left { id, unnamed } => {
                self.unnamed.insert(id, unnamed);
            }
        }
    }
}

/// A manifest that is to take the place of the present one, as far as its parts have come.
#[derive(Debug)]
pub(crate) struct Staged {
    manifest: Manifest,
    parts: u64,
}

impl Staged {
    pub(crate) fn new(head: Head) -> Self {
        Self {
            manifest: Manifest::of_head(head),
            parts: 1,
        }
    }

    pub(crate) fn take(&mut self, part: Part) {
        self.manifest.take(part);
        self.parts += 1;
    }

    pub(crate) fn so_far(&self) -> &Manifest {
        &self.manifest
    }

    /// What it has become, if these are all parts of it.
    pub(crate) fn whole(self, parts: u64) -> Option<Manifest> {
        (self.parts == parts).then_some(self.manifest)
    }
}
