//! Collects answers that come from several threads, and wakes the asker once, when all are there.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Answers of one request, one slot for each thing asked.
#[derive(Debug)]
pub(crate) struct Gather<T> {
    inner: Mutex<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    slots: Vec<Option<T>>,
    missing: usize,
    whole: Option<oneshot::Sender<Vec<Option<T>>>>,
}

impl<T> Gather<T> {
    /// `count` slots. The receiver hears when the last one is filled; at once when there are none.
    pub(crate) fn new(count: usize) -> (Arc<Self>, oneshot::Receiver<Vec<Option<T>>>) {
        let (tell, told) = oneshot::channel();
        let slots = std::iter::repeat_with(|| None).take(count).collect();
        let inner = Mutex::new(Inner {
            slots,
            missing: count,
            whole: Some(tell),
        });
        let gather = Arc::new(Self { inner });
        if count == 0 {
            gather.inner.lock().finish();
        }
        (gather, told)
    }

    /// Fills a slot; only the first filling counts.
    pub(crate) fn fill(&self, slot: usize, answer: T) {
        let mut inner = self.inner.lock();
        if let Some(empty @ None) = inner.slots.get_mut(slot) {
            *empty = Some(answer);
            inner.missing -= 1;
            if inner.missing == 0 {
                inner.finish();
            }
        }
    }

    /// What is there by now; nothing that comes later is kept.
    pub(crate) fn close(&self) -> Vec<Option<T>> {
        let mut inner = self.inner.lock();
        inner.whole = None;
        std::mem::take(&mut inner.slots)
    }
}

impl<T> Inner<T> {
    fn finish(&mut self) {
        if let Some(tell) = self.whole.take() {
            // An asker that has gone away needs no answer.
            let _ = tell.send(std::mem::take(&mut self.slots));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_come_in_slot_order_when_all_are_there() {
        let (gather, told) = Gather::new(2);
        gather.fill(1, 'b');
        gather.fill(1, 'x');
        gather.fill(9, 'x');
        gather.fill(0, 'a');
        assert_eq!(told.await, Ok(vec![Some('a'), Some('b')]));
        let (_, none) = Gather::<char>::new(0);
        assert_eq!(none.await, Ok(vec![]));
    }

    #[test]
    fn who_waits_no_longer_takes_what_is_there() {
        let (gather, told) = Gather::new(2);
        gather.fill(1, 'b');
        drop(told);
        assert_eq!(gather.close(), [None, Some('b')]);
        gather.fill(0, 'a');
        assert_eq!(gather.close(), []);
    }
}
