//! Who wants to hear that a partition's readable end has moved: parked fetches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The parked readers of one partition. Registration and removal cost O(parked readers of this
/// partition), a move of the end with nobody waiting costs one atomic load.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    count: AtomicUsize,
    next_id: AtomicU64,
    list: Mutex<Vec<(u64, Arc<Notify>)>>,
}

impl Waiters {
    /// Registers `notify` until the returned guard is dropped.
    pub(crate) fn register(self: &Arc<Self>, notify: Arc<Notify>) -> Waiting {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut list = self.list.lock();
        list.push((id, notify));
        self.count.store(list.len(), Ordering::SeqCst);
        drop(list);
        Waiting {
            waiters: Arc::clone(self),
            id,
        }
    }

    /// Wakes all. They stay registered: a fetch that needs more goes back to sleep.
    pub(crate) fn wake(&self) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for (_, notify) in self.list.lock().iter() {
            notify.notify_one();
        }
    }
}

/// A registration; dropping it ends it.
#[derive(Debug)]
pub struct Waiting {
    waiters: Arc<Waiters>,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut list = self.waiters.list.lock();
        if let Some(at) = list.iter().position(|(id, _)| *id == self.id) {
            list.swap_remove(at);
        }
        self.waiters.count.store(list.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_dropped_registration_is_forgotten_and_a_live_one_is_woken() {
        let waiters = Arc::new(Waiters::default());
        let kept = Arc::new(Notify::new());
        let dropped = Arc::new(Notify::new());
        let _guard = waiters.register(Arc::clone(&kept));
        drop(waiters.register(Arc::clone(&dropped)));
        assert_eq!(waiters.list.lock().len(), 1);
        waiters.wake();
        tokio::time::timeout(Duration::from_secs(1), kept.notified())
            .await
            .expect("woken");
        assert!(
            tokio::time::timeout(Duration::from_millis(1), dropped.notified())
                .await
                .is_err()
        );
    }
}
