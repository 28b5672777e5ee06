//! Buffers for file reads, used again: a fresh one costs a page fault and a cleared page for every
//! 4 KiB, which was half of what reading from the page cache cost.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// Smaller reads come from the allocator, which has such pieces at hand.
const MIN_BYTES: usize = 64 << 10;
/// Larger ones are rare, and would make a few of them fill the pool.
const MAX_BYTES: usize = 4 << 20;
/// What the pool keeps at most while nobody uses it.
const KEEP_BYTES: usize = 16 << 20;

/// Free buffers of one broker.
#[derive(Default)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Vec<u8>>>,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buffers")
    }
}

/// A buffer of exactly the length asked for; what is in it has no meaning.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffers {
    pub(crate) fn take(self: &Arc<Self>, len: usize) -> Buffer {
        if !(MIN_BYTES..=MAX_BYTES).contains(&len) {
            return Buffer {
                bytes: vec![0; len],
                len,
                home: None,
            };
        }
        let mut bytes = {
            let mut free = self.free.lock();
            let fits = free.iter().position(|buffer| buffer.len() >= len);
            fits.map(|i| free.swap_remove(i)).unwrap_or_default()
        };
        if bytes.len() < len {
            // A power of two, so that later reads of about this length find it.
            bytes = vec![0; len.next_power_of_two()];
        }
        Buffer {
            bytes,
            len,
            home: Some(Arc::clone(self)),
        }
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut free = self.free.lock();
        let held: usize = free.iter().map(Vec::len).sum();
        if held + buffer.len() <= KEEP_BYTES {
            free.push(buffer);
        }
    }
}

impl Buffer {
    /// Keeps the first bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Shared bytes; the buffer goes back when the last of them is dropped.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = self.home.take() {
            home.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_the_pool_has_a_limit() {
        let pool = Arc::new(Buffers::default());
        let first = pool.take(100_000);
        let address = first.as_ptr();
        let shared = first.into_bytes();
        let slice = shared.slice(5..10);
        drop(shared);
        assert_eq!(pool.free.lock().len(), 0, "a slice keeps it");
        drop(slice);
        let mut again = pool.take(80_000);
        assert_eq!((again.len(), again.as_ptr()), (80_000, address));
        again.truncate(10);
        assert_eq!(again.into_bytes().len(), 10);

        let many: Vec<_> = (0..10).map(|_| pool.take(MAX_BYTES)).collect();
        drop(many);
        let held: usize = pool.free.lock().iter().map(Vec::len).sum();
        assert!(held <= KEEP_BYTES, "{held}");
        drop((pool.take(MIN_BYTES - 1), pool.take(MAX_BYTES + 1)));
        assert_eq!(pool.free.lock().iter().map(Vec::len).sum::<usize>(), held);
    }
}
