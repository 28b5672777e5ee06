//! Chunks that follow one another come by one request: what a store does for a request costs it more
//! than a MiB, and readers as well.

use std::ops::Range;
use std::sync::Arc;

use super::gate::Turn;
use super::opened::Opened;
use super::shared::{ChunkDuty, ChunkWanted, Shared};

/// Chunks of one request at most: 4 MiB. With 8 the S3 server of the tests takes a quarter less, and what is
/// on its way takes twice the memory.
pub(super) const RUN: u32 = 4;

/// Cuts out what is not `wanted`, and the rest into runs.
fn runs(chunks: Range<u32>, wanted: impl Fn(u32) -> bool) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    for chunk in chunks.filter(|chunk| wanted(*chunk)) {
        match runs.last_mut() {
            Some(run) if run.end == chunk && run.end - run.start < RUN => run.end += 1,
            _ => runs.push(chunk..chunk + 1),
        }
    }
    runs
}

impl Shared {
    /// Begins to fetch what will be wanted; nobody waits for it, and what fails is asked for again.
    pub(super) fn begin(self: &Arc<Self>, object: &Arc<Opened>, chunks: Range<u32>, turn: Turn) {
        let key = |chunk| (object.footer.id, chunk);
        let missing = chunks.filter(|chunk| !self.chunks.has(&key(*chunk)));
        let missing: Vec<u32> = missing.collect();
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else {
            return;
        };
        let (first, last) = (*first, *last);
        let on_disk = |chunk| {
            self.disk
                .as_ref()
                .is_some_and(|disk| disk.lease(&key(chunk)).is_some())
        };
        let (near, far): (Vec<u32>, Vec<u32>) =
            missing.into_iter().partition(|chunk| on_disk(*chunk));
        for chunk in near {
            let (shared, object) = (Arc::clone(self), Arc::clone(object));
            (self.spawn)(Box::pin(async move {
                drop(shared.chunk(&object, chunk, turn).await);
            }));
        }
        for run in runs(first..last + 1, |chunk| far.contains(&chunk)) {
            let (shared, object) = (Arc::clone(self), Arc::clone(object));
            (self.spawn)(Box::pin(
                async move { shared.run(&object, run, turn).await },
            ));
        }
    }

    async fn run(&self, object: &Arc<Opened>, chunks: Range<u32>, turn: Turn) {
        let Ok(pass) = self.gate.enter(turn).await else {
            return;
        };
        let mut duties = Vec::new();
        for chunk in chunks {
            match self.chunks.claim((object.footer.id, chunk)) {
                Err((duty, _)) => duties.push((self.wanted(object, chunk, turn), duty)),
                // Somebody was quicker: two requests for what is around it.
                Ok(_) => self.bring(object, std::mem::take(&mut duties)).await,
            }
        }
        self.bring(object, duties).await;
        // So late, because what is on its way is bounded by it.
        drop(pass);
    }

    /// One request for all of these, which follow one another.
    async fn bring(&self, object: &Arc<Opened>, duties: Vec<(ChunkWanted, ChunkDuty)>) {
        let (Some((first, _)), Some((last, _))) = (duties.first(), duties.last()) else {
            return;
        };
        let range = object.range(first.chunk).start..object.range(last.chunk).end;
        let pieces = self
            .store
            .pieces(&object.key, object.size_bytes, range)
            .await;
        let mut pieces = match pieces {
            Ok(pieces) => pieces.into_iter(),
            Err(error) => {
                let failed = |(_, duty): (_, ChunkDuty)| duty.land(Err(error.clone()));
                return duties.into_iter().for_each(failed);
            }
        };
        for (wanted, duty) in duties {
            let piece = pieces.next().unwrap_or_default();
            let landed = match wanted.judged(piece) {
                Some(chunk) => Ok(chunk),
                // Asked for once more, alone.
                None => wanted.again().await,
            };
            duty.land(landed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_bounded_and_leave_out_what_is_there() {
        let one = |run: Range<u32>| vec![run];
        assert_eq!(runs(0..3, |_| true), one(0..3));
        assert_eq!(runs(2..11, |_| true), [2..6, 6..10, 10..11]);
        assert_eq!(runs(0..6, |chunk| chunk != 2), [0..2, 3..6]);
        assert_eq!(runs(0..6, |chunk| chunk == 4), one(4..5));
        assert!(runs(3..3, |_| true).is_empty());
        assert!(runs(0..9, |_| false).is_empty());
    }
}
