//! What a stream is told while it does something else.

use std::collections::HashMap;
use std::sync::Arc;

use freshet_partition::Partition;
use freshet_types::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The last word about each partition: it is to be copied, or no more.
pub(super) type Changes = HashMap<TopicPartition, Option<Arc<Partition>>>;

/// See the module. Holds one word for each partition at most.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    changes: Mutex<Changes>,
    told: Notify,
}

impl Inbox {
    /// The partition is to be copied, from the start of what it says now.
    pub(super) fn take(&self, partition: &Arc<Partition>) {
        self.tell(partition.id(), Some(Arc::clone(partition)));
    }

    /// The partition is not copied any more.
    pub(super) fn leave(&self, at: TopicPartition) {
        self.tell(at, None);
    }

    fn tell(&self, at: TopicPartition, change: Option<Arc<Partition>>) {
        self.changes.lock().insert(at, change);
        self.told.notify_one();
    }

    /// All that was told since the last time.
    pub(super) fn read(&self) -> Changes {
        std::mem::take(&mut self.changes.lock())
    }

    /// Waits until something is told; may end once more than needed.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }
}
