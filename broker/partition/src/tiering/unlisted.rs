//! Partitions whose objects the store does not list: who looks after them stands still, and says so once.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use freshet_env::objects::{Listing, ObjectError, ObjectFailure};
use freshet_types::TopicPartition;
use parking_lot::Mutex;

use super::Shared;

/// Names in one page of a listing.
const PAGE: usize = 1000;

/// Those that were told.
#[derive(Debug, Default)]
pub(super) struct Unlisted {
    told: Mutex<HashSet<TopicPartition>>,
}

impl Unlisted {
    /// Whether a human should hear of it: the store answers, and says no, and did not when it was asked last.
    pub(super) fn fails(&self, at: TopicPartition, failure: ObjectFailure) -> bool {
        !failure.passes() && self.told.lock().insert(at)
    }

    /// It lists again, or nobody here looks after it any more.
    pub(super) fn forget(&self, at: TopicPartition) {
        self.told.lock().remove(&at);
    }
}

impl Shared {
    /// A page of the names of a partition's objects. A store that refuses is told of once, until it lists.
    ///
    /// # Errors
    /// As the store says.
    pub(super) async fn list(
        &self,
        at: TopicPartition,
        prefix: &str,
        after: Option<&str>,
    ) -> Result<Listing, ObjectError> {
        self.names(at, prefix, (after, PAGE)).await
    }

    /// Whether a partition has an object whose name begins with `prefix`. It asks for no more names than that needs.
    ///
    /// # Errors
    /// As the store says.
    pub(super) async fn has_any(
        &self,
        at: TopicPartition,
        prefix: &str,
    ) -> Result<bool, ObjectError> {
        let listing = self.names(at, prefix, (None, 1)).await?;
        Ok(!listing.objects.is_empty())
    }

    async fn names(
        &self,
        at: TopicPartition,
        prefix: &str,
        (after, at_most): (Option<&str>, usize),
    ) -> Result<Listing, ObjectError> {
        match self.parts.objects.list(prefix, after, at_most).await {
            Ok(listing) => {
                self.unlisted.forget(at);
                Ok(listing)
            }
            Err(error) => {
                let failures = &self.parts.counts.scrub.failed_lists;
                failures.fetch_add(1, Ordering::Relaxed);
                if self.unlisted.fails(at, error.failure) {
                    tracing::warn!(
                        prefix,
                        why = %error,
                        "the store does not list objects: nothing is collected or looked after here until it does; \
                         the broker needs the right to list the bucket (s3:ListBucket)"
                    );
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use freshet_types::TopicId;

    use super::*;

    #[test]
    fn a_refusal_is_told_once_until_the_store_lists_again() {
        use ObjectFailure::{Denied, Invalid, Throttled, Unanswered, Unreachable};
        let at = |partition| TopicPartition {
            topic: TopicId([1; 16]),
            partition,
        };
        let unlisted = Unlisted::default();
        for away in [Throttled, Unanswered, Unreachable] {
            assert!(!unlisted.fails(at(0), away), "{away:?} is no refusal");
        }
        assert!(unlisted.fails(at(0), Denied));
        assert!(!unlisted.fails(at(0), Denied) && !unlisted.fails(at(0), Invalid));
        assert!(unlisted.fails(at(1), Invalid), "another walk");
        unlisted.forget(at(0));
        assert!(unlisted.fails(at(0), Denied));
        assert!(!unlisted.fails(at(1), Denied));
    }
}
