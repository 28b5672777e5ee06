//! What a custodian does with what its patrol has found: objects that nobody knows go, the records of
//! a damaged one are stored anew, if this disk still has them, and so is what the newest manifest says.

use std::sync::atomic::Ordering;

use freshet_log::{ClosedSegment, Tiered};
use freshet_tier::{Ask, Manifest, Purpose, Segment, SegmentId};
use freshet_types::Offset;

use super::custodian::Custodian;
use super::patrol::{Damaged, Finding, Mended};
use super::tended::Trouble;

/// Closed segments that take the place of one object: far below the uploads that may be open.
const MOST_PIECES: usize = 16;

impl Custodian {
    pub(super) async fn see_to(
        &self,
        finding: Finding,
        copy: &mut Manifest,
        exported_end: &mut Offset,
    ) -> Result<(), Trouble> {
        // Nobody waits any more whose walk was stopped.
        match finding {
            Finding::Strangers(listed, seen) => {
                self.sweep(listed, copy, exported_end).await?;
                let _ = seen.send(());
            }
            Finding::Damaged(damaged, seen) => {
                let mended = match damaged {
                    Damaged::Segment(segment) => self.mend(&segment, copy, exported_end).await?,
                    Damaged::Manifest { version, is_gone } => {
                        self.put_again(version, is_gone, copy).await?
                    }
                };
                let _ = seen.send(mended);
            }
        }
        Ok(())
    }

    /// How long they have been strangers, the shard knows.
    async fn sweep(
        &self,
        listed: Vec<(SegmentId, Offset)>,
        copy: &mut Manifest,
        exported_end: &mut Offset,
    ) -> Result<(), Trouble> {
        let ask = Ask::Sweep { listed };
        let doomed = self.tended.doomed(copy, ask).await?;
        if doomed.is_empty() {
            return Ok(());
        }
        let (log, objects) = (self.partition.name(), doomed.len());
        tracing::info!(%log, objects, "objects that nobody knows are deleted");
        let swept = &self.shared.parts.counts.scrub.swept;
        swept.fetch_add(objects as u64, Ordering::Relaxed);
        let deleting = self.tended.delete(doomed);
        let ids = self.meanwhile(deleting, copy, exported_end).await??;
        self.tended.change(copy, Ask::Collected { ids }).await
    }

    /// Until then a restore would take one before it, which does not name what came since. Where something is
    /// under its name that stays as it is: objects are written once, and there may be a store that reads it
    /// right tomorrow. A claim makes the next version, which has a name of its own.
    async fn put_again(
        &self,
        damaged: u64,
        is_gone: bool,
        copy: &mut Manifest,
    ) -> Result<Mended, Trouble> {
        if copy.exported() != damaged {
            return Ok(Mended::Gone);
        }
        if !is_gone {
            *copy = self.claim_anew().await?;
        }
        self.tended.put_manifest(copy).await?;
        let repaired = &self.shared.parts.counts.scrub.repaired;
        repaired.fetch_add(1, Ordering::Relaxed);
        let (log, version) = (self.partition.name(), copy.exported());
        tracing::info!(%log, damaged, version, "the newest manifest is stored again");
        Ok(Mended::Anew)
    }

    async fn mend(
        &self,
        segment: &Segment,
        copy: &mut Manifest,
        exported_end: &mut Offset,
    ) -> Result<Mended, Trouble> {
        if !is_named(copy, segment.id) {
            return Ok(Mended::Gone);
        }
        let sources = self.on_disk(segment, copy);
        if sources.is_empty() {
            return Ok(Mended::Never);
        }
        let seat = self.shared.seat();
        let seat = self.meanwhile(seat, copy, exported_end).await?;
        let _seat = seat.ok_or(Trouble::Over)?;
        let generation = segment.generation.saturating_add(1);
        let mut added = Vec::with_capacity(sources.len());
        for source in &sources {
            let what = (source, Purpose::Rewrite, generation);
            added.push(self.upload(copy, what, exported_end).await?);
        }
        let ids: Vec<_> = added.iter().map(|stored| stored.id).collect();
        // Retention may have taken it meanwhile.
        if !is_named(copy, segment.id) {
            self.tended.change(copy, Ask::Abandon { ids }).await?;
            return Ok(Mended::Gone);
        }
        let removed = vec![segment.id];
        self.tended
            .change(copy, Ask::Replace { removed, added })
            .await?;
        let repaired = &self.shared.parts.counts.scrub.repaired;
        repaired.fetch_add(1, Ordering::Relaxed);
        let (log, old, new) = (self.partition.name(), segment.id, ids);
        tracing::info!(%log, %old, ?new, "a damaged object is replaced by what the disk has");
        Ok(Mended::Anew)
    }

    /// The closed segments that have all that a damaged object shows; none if they are not here. They may
    /// have more: it stays hidden.
    fn on_disk(&self, segment: &Segment, copy: &Manifest) -> Vec<ClosedSegment> {
        let ends = self.partition.ends();
        let view = self.partition.view();
        let copies = matches!(view.tiered(), Some(Tiered { copies: true, .. }));
        if !copies || ends.local_start > segment.start.max(copy.log_start()) {
            return Vec::new();
        }
        let mut here = view.closed_segments(segment.start, ends.high_watermark);
        here.retain(|closed| closed.base() < segment.end);
        let begins = here
            .first()
            .is_some_and(|first| first.base() <= segment.start);
        let ends = here.last().is_some_and(|last| last.end() >= segment.end);
        if !begins || !ends || here.len() > MOST_PIECES {
            return Vec::new();
        }
        here
    }
}

fn is_named(copy: &Manifest, id: SegmentId) -> bool {
    copy.segments().iter().any(|segment| segment.id == id)
}
