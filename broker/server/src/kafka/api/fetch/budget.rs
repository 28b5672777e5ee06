//! Bytes of records on their way to clients.
//!
//! A fetch reserves what it may find before it reads, keeps what it found, and the last piece of each
//! partition carries that through the socket: it is given back when the client has taken it. Nobody
//! waits for room. When there is none, a fetch gets little instead of much, so that a client that
//! reads nothing slows others down and stops nobody.

use std::sync::Arc;

use bytes::Bytes;
use freshet_codec::Payload;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One fetch takes at most this part of the budget.
const SHARES: usize = 8;
/// What a fetch may find when nothing is left; the budget may be exceeded by this, or by one batch
/// that is larger, for each connection.
pub(super) const SCANT_BYTES: usize = 64 << 10;

/// Bytes of records that all responses may hold together.
#[derive(Debug)]
pub(crate) struct ResponseBudget {
    permits: Arc<Semaphore>,
    total_bytes: usize,
}

impl ResponseBudget {
    pub(crate) fn new(total_bytes: usize) -> Self {
        // One permit request is of 32 bits.
        let total_bytes = total_bytes
            .min(u32::MAX as usize)
            .min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(total_bytes)),
            total_bytes,
        }
    }

    /// Most that one fetch finds.
    pub(super) fn share_bytes(&self) -> usize {
        self.total_bytes / SHARES
    }

    /// Bytes that responses hold now.
    pub(crate) fn used_bytes(&self) -> usize {
        self.total_bytes - self.permits.available_permits()
    }

    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).ok()?;
        Arc::clone(&self.permits).try_acquire_many_owned(bytes).ok()
    }
}

/// What one fetch holds of the budget.
#[derive(Debug, Default)]
pub(super) struct Held {
    permit: Option<OwnedSemaphorePermit>,
    /// The last reservation found no room.
    pub(super) is_scant: bool,
}

impl Held {
    /// Reserves `bytes` more and says how many it may find: all of them, or little.
    pub(super) fn reserve(&mut self, budget: &ResponseBudget, bytes: usize) -> usize {
        let taken = budget.take(bytes);
        self.is_scant = taken.is_none();
        match (&mut self.permit, taken) {
            (_, None) => return bytes.min(SCANT_BYTES),
            (Some(permit), Some(taken)) => permit.merge(taken),
            (none, taken) => *none = taken,
        }
        bytes
    }

    /// Gives back all above `bytes`.
    pub(super) fn keep(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.permit {
            let surplus = permit.num_permits().saturating_sub(bytes);
            drop(permit.split(surplus));
        }
    }

    /// Has a partition's records hold their part until they are written.
    pub(super) fn hand_over(&mut self, records: Payload) -> Payload {
        let bytes = records.len();
        let part = self.permit.as_mut().and_then(|permit| {
            let part = permit.num_permits().min(bytes);
            permit.split(part)
        });
        let mut chunks = records.into_chunks();
        if let (Some(last), Some(permit)) = (chunks.last_mut(), part) {
            let bytes = std::mem::take(last);
            *last = Bytes::from_owner(Charged {
                bytes,
                _permit: permit,
            });
        }
        chunks.into_iter().collect()
    }
}

/// Bytes that hold a part of the budget.
struct Charged {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_held_until_it_is_written() {
        let budget = ResponseBudget::new(1 << 20);
        let mut held = Held::default();
        assert_eq!(held.reserve(&budget, 100_000), 100_000);
        held.keep(30);
        assert_eq!(budget.used_bytes(), 30);
        assert_eq!(held.reserve(&budget, 1000), 1000);
        held.keep(50);
        let pieces = [&b"0123456789"[..], b"0123456789"].map(Bytes::from_static);
        let first = held.hand_over(pieces.iter().cloned().collect());
        let second = held.hand_over(pieces.into_iter().collect());
        assert_eq!((first.len(), second.len()), (20, 20));
        drop(held);
        assert_eq!(budget.used_bytes(), 40);
        let mut chunks = first.into_chunks();
        drop(chunks.remove(0));
        assert_eq!(budget.used_bytes(), 40, "until the last piece");
        assert_eq!(chunks[0][..], b"0123456789"[..]);
        drop((chunks, second));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_fetch_gets_little_where_there_is_no_room() {
        let budget = ResponseBudget::new(1 << 20);
        let mut greedy = Held::default();
        assert_eq!(greedy.reserve(&budget, 1 << 20), 1 << 20);
        let mut late = Held::default();
        assert_eq!(late.reserve(&budget, 1 << 20), SCANT_BYTES);
        assert!(late.is_scant);
        let records = late.hand_over(Bytes::from_static(b"x").into());
        assert_eq!(records.into_bytes()[..], b"x"[..]);
        drop(greedy);
        assert_eq!(late.reserve(&budget, 1 << 20), 1 << 20);
        assert!(!late.is_scant);
    }
}
