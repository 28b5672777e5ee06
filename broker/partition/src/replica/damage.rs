//! Partitions whose stored records were found damaged, on the way to who repairs them.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// What was found and not taken up yet. Readers put in, the directory's thread takes out.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    found: Mutex<BTreeMap<TopicPartition, Arc<str>>>,
    told: Notify,
}

impl Damage {
    /// Something of a partition cannot be read as it was written.
    pub(crate) fn report(&self, at: TopicPartition, what: Arc<str>) {
        self.found.lock().entry(at).or_insert(what);
        self.told.notify_one();
    }

    /// All that was found since the last time.
    pub(crate) fn take(&self) -> BTreeMap<TopicPartition, Arc<str>> {
        std::mem::take(&mut self.found.lock())
    }

    /// Waits until something is found.
    pub(crate) async fn found(&self) {
        self.told.notified().await;
    }
}
