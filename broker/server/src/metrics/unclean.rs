//! Counts elections that may have lost records, while this node decides for the cluster. It is read off
//! the images as they come: a scrape may be late, and the metadata keeps only the latest elections.
//!
//! Only the node that decides counts, so that the sum over nodes is right. What the last one decided
//! just before it died may be in nobody's count; the metadata has it.

use std::sync::Arc;

use freshet_metadata::MetadataImage;
use prometheus::IntCounter;
use tokio::sync::watch;

use crate::kafka::Context;
use crate::stop::Stop;

/// How far the count is.
struct Count {
    applied: u64,
    counter: IntCounter,
}

impl Count {
    /// `applied` is what the next image says.
    fn see(&mut self, applied: u64, decides: bool) {
        let before = std::mem::replace(&mut self.applied, applied);
        if decides {
            // A snapshot that took the image's place has fewer.
            self.counter.inc_by(applied.saturating_sub(before));
        }
    }
}

/// Counts until the stop signal.
pub(crate) async fn count(context: Arc<Context>, stop: Stop) {
    let mut images = context.quorum.watch();
    let leadership = context.quorum.leadership();
    let mut count = Count {
        applied: images.borrow_and_update().unclean_applied(),
        counter: context.metrics.unclean_elections.clone(),
    };
    while let Some(image) = next(&mut images, &stop).await {
        count.see(image.unclean_applied(), leadership.borrow().is_mine);
    }
}

async fn next(
    images: &mut watch::Receiver<Arc<MetadataImage>>,
    stop: &Stop,
) -> Option<Arc<MetadataImage>> {
    tokio::select! {
        () = stop.stopped() => None,
        changed = images.changed() => {
            changed.ok()?;
            Some(Arc::clone(&images.borrow_and_update()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_decided_here_counts_and_it_never_goes_back() {
        let counter = IntCounter::new("elections", "Elections.").expect("a legal name");
        let mut count = Count {
            applied: 7,
            counter: counter.clone(),
        };
        for (applied, decides, expected) in [
            (7, true, 0),
            (9, true, 2),
            (12, false, 2),
            (13, true, 3),
            (4, true, 3),
            (5, true, 4),
        ] {
            count.see(applied, decides);
            assert_eq!(counter.get(), expected, "{applied} {decides}");
        }
    }
}
