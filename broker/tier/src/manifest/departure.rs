//! Where what is in the bucket departs from a leader's own history.
//!
//! Only committed records are tiered, and a leader that was elected cleanly has all of these, so it
//! finds no departure. One finds it that was elected uncleanly, or whose disk lost records.

use freshet_types::Offset;

use super::Manifest;
use crate::machine::Claim;
use crate::segment::epoch_at;

impl Manifest {
    /// The first offset in the bucket that the leader's log contradicts or lacks. Epochs tell: one
    /// epoch has one leader, so the same epoch at an offset means the same record.
    pub(crate) fn departure(&self, claim: &Claim) -> Option<Offset> {
        let remote_end = self.remote_end();
        let first = self.segments().first()?.start;
        let both = claim.local_start.max(first)..claim.log_end.min(remote_end);
        let starts = claim.epochs.iter().chain(self.epochs());
        let mut points: Vec<Offset> = starts
            .map(|start| start.offset)
            .chain([both.start])
            .filter(|point| both.contains(point))
            .collect();
        points.sort_unstable();
        let differs = |point: &Offset| epoch_at(&claim.epochs, *point) != self.epoch_at(*point);
        let lacks = (claim.log_end < remote_end).then_some(claim.log_end);
        points.into_iter().find(differs).or(lacks)
    }
}
