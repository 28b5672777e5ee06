//! How far a partition's records are committed, and who waits for that.
//!
//! The high watermark is what every in-sync replica has *flushed*. With one replica that is its own
//! flushed end; followers' reported offsets join the minimum here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use freshet_log::{Appended, LogError, Progress};
use freshet_types::Offset;
use parking_lot::Mutex;

use crate::ProduceError;
use crate::waiters::Waiters;

/// Told once how a produce ended; runs on a log thread and must not block.
pub type ProduceDone = Box<dyn FnOnce(Result<Appended, ProduceError>) + Send>;

/// A stored batch whose acknowledgement waits for the high watermark.
struct Parked {
    appended: Appended,
    done: ProduceDone,
}

/// Commit state of the local replica.
#[derive(Default)]
pub(crate) struct Replica {
    high_watermark: AtomicI64,
    parked: Mutex<VecDeque<Parked>>,
    pub(crate) waiters: Arc<Waiters>,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("high_watermark", &self.high_watermark())
            .field("parked", &self.parked.lock().len())
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Records below are committed and may be read.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// The commit state of a log that was just opened: what is on disk is committed.
    pub(crate) fn start_at(&self, end: Offset) {
        self.high_watermark.fetch_max(end, Ordering::AcqRel);
    }

    /// Calls `done` once `appended` is committed.
    pub(crate) fn park(&self, appended: Appended, done: ProduceDone) {
        let mut parked = self.parked.lock();
        // Checked under the lock: `commit` moves the watermark in it and looks at the queue after.
        if appended.last_offset < self.high_watermark() {
            drop(parked);
            done(Ok(appended));
        } else {
            parked.push_back(Parked { appended, done });
        }
    }

    fn commit(&self, end: Offset) {
        {
            // Who waits is told before any producer is, and one who is about to park waits for both:
            // who fetches because of an acknowledgement must find the records, also through a
            // session that looks only at what has moved.
            let _parked = self.parked.lock();
            if self.high_watermark.fetch_max(end, Ordering::AcqRel) >= end {
                return;
            }
            self.waiters.wake();
        }
        loop {
            let mut parked = self.parked.lock();
            let due = parked
                .front()
                .is_some_and(|first| first.appended.last_offset < end);
            let Some(Parked { appended, done }) = due.then(|| parked.pop_front()).flatten() else {
                break;
            };
            drop(parked);
            done(Ok(appended));
        }
    }
}

impl Progress for Replica {
    fn appended(&self, _end: Offset) {}

    fn flushed(&self, end: Offset) {
        self.commit(end);
    }

    fn failed(&self, error: &LogError) {
        self.waiters.wake();
        for Parked { done, .. } in std::mem::take(&mut *self.parked.lock()) {
            done(Err(ProduceError::Append(error.clone().into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freshet_types::Timestamp;

    fn appended(last_offset: Offset) -> Appended {
        Appended {
            base_offset: last_offset,
            last_offset,
            log_append_time: Timestamp::NONE,
            log_start: 0,
            duplicate: false,
        }
    }

    fn park(replica: &Replica, last_offset: Offset) -> std::sync::mpsc::Receiver<bool> {
        let (tell, told) = std::sync::mpsc::channel();
        replica.park(
            appended(last_offset),
            Box::new(move |r| tell.send(r.is_ok()).expect("heard")),
        );
        told
    }

    #[test]
    fn an_acknowledgement_waits_for_the_flush_of_its_last_record() {
        let replica = Replica::default();
        let (first, second) = (park(&replica, 4), park(&replica, 9));
        replica.appended(10);
        assert!(first.try_recv().is_err(), "written is not flushed");
        replica.flushed(4);
        assert!(first.try_recv().is_err(), "offset 4 is not below 4");
        replica.flushed(5);
        assert_eq!(first.try_recv(), Ok(true));
        assert!(second.try_recv().is_err());
        replica.flushed(10);
        assert_eq!(second.try_recv(), Ok(true));
        assert_eq!(park(&replica, 9).try_recv(), Ok(true), "committed already");
        replica.flushed(3);
        assert_eq!(replica.high_watermark(), 10, "never goes back");
    }

    #[test]
    fn a_failed_log_fails_what_waits_and_acknowledges_nothing() {
        let replica = Replica::default();
        let waiting = park(&replica, 0);
        let dir = "d".into();
        replica.failed(&LogError::Offline {
            dir,
            reason: "EIO".into(),
        });
        assert_eq!(waiting.try_recv(), Ok(false));
        assert_eq!(replica.high_watermark(), 0);
    }
}
