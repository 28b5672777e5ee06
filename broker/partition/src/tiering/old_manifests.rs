//! Manifests before the newest one. Where a past lives the leader's walks see to them, and leave a few; of a
//! topic that is deleted, and of a past that goes, none stays.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use freshet_env::objects::{ObjectError, ObjectFailure};
use freshet_tier::ObjectName;
use freshet_types::TopicPartition;

use super::Shared;

impl Shared {
    /// Deletes all manifests before version `end` but for the last `few`, one after the other. Who is stopped
    /// begins again, and finds fewer.
    pub(super) async fn drop_manifests(
        &self,
        at: TopicPartition,
        end: u64,
        few: usize,
    ) -> Result<(), ObjectError> {
        let layout = &self.parts.layout;
        let prefix = layout.manifests(at);
        let mut after: Option<String> = None;
        let mut stay = VecDeque::new();
        loop {
            let page = self.list(at, &prefix, after.as_deref()).await?;
            for (key, _) in &page.objects {
                match layout.parse(at, key) {
                    Some(ObjectName::Manifest { version }) if version < end => {}
                    // They come in the order of versions.
                    Some(ObjectName::Manifest { .. }) => return Ok(()),
                    _ => continue,
                }
                stay.push_back(key.clone());
                if stay.len() > few
                    && let Some(oldest) = stay.pop_front()
                {
                    self.drop_object(&oldest).await?;
                    let old = &self.parts.counts.scrub.old_manifests;
                    old.fetch_add(1, Ordering::Relaxed);
                }
            }
            after = page.objects.last().map(|(key, _)| key.clone());
            if !page.more || after.is_none() {
                return Ok(());
            }
        }
    }

    /// Deletes an object that may be gone already.
    pub(super) async fn drop_object(&self, key: &str) -> Result<(), ObjectError> {
        match self.parts.objects.delete(key).await {
            Err(error) if error.failure != ObjectFailure::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
