//! The bucket, asked for ranges: what it says becomes what readers understand.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{ObjectError, ObjectFailure, ObjectWait};
use freshet_types::Retry;

use super::counters::{Counters, count, count_up};
use super::error::ColdError;
use crate::object::CHUNK_BYTES;

/// The only place of the readers that asks the store.
#[derive(Debug, Clone)]
pub(super) struct Store {
    objects: Arc<dyn Objects>,
    pub(super) counters: Arc<Counters>,
    /// Whether the last answer was that it will not, or cannot, now.
    refuses: Arc<AtomicBool>,
}

impl Store {
    pub(super) fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            counters: Arc::default(),
            refuses: Arc::default(),
        }
    }

    /// Whether this is no time to ask for what nobody waits for.
    pub(super) fn refuses(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// A range with a checksum.
    pub(super) async fn summed(
        &self,
        (key, size_bytes): (&str, u64),
        range: Range<u64>,
        is_right: impl Fn(&[u8]) -> bool,
        tries: u32,
    ) -> Result<Bytes, ColdError> {
        let position = range.start;
        for _ in 0..tries {
            let bytes = self.range(key, size_bytes, range.clone()).await?;
            // That also sees an answer that is cut.
            if is_right(&bytes) {
                return Ok(bytes);
            }
            count(&self.counters.damaged);
        }
        Err(cut(key, position, "checksum mismatch, twice"))
    }

    /// A range of an object that has so many bytes. Whoever asks looks whether it is right, and whole.
    pub(super) async fn range(
        &self,
        key: &str,
        size_bytes: u64,
        range: Range<u64>,
    ) -> Result<Bytes, ColdError> {
        let from = range.start;
        let got = self.objects.get_range(key, range);
        let bytes = self.told(got, (key, size_bytes, from)).await?;
        count_up(&self.counters.fetched_bytes, bytes.len() as u64);
        Ok(bytes)
    }

    /// The same, in chunks.
    pub(super) async fn pieces(
        &self,
        key: &str,
        size_bytes: u64,
        range: Range<u64>,
    ) -> Result<Vec<Bytes>, ColdError> {
        let from = range.start;
        let chunk = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
        let got = self.objects.get_pieces(key, range, chunk);
        let pieces = self.told(got, (key, size_bytes, from)).await?;
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        count_up(&self.counters.fetched_bytes, bytes as u64);
        Ok(pieces)
    }

    async fn told<T>(
        &self,
        got: ObjectWait<'_, T>,
        (key, size_bytes, from): (&str, u64, u64),
    ) -> Result<T, ColdError> {
        count(&self.counters.requests);
        let got = got.await;
        let refused = matches!(&got, Err(error) if error.retry() != Retry::Never);
        self.refuses.store(refused, Ordering::Relaxed);
        match got {
            Ok(got) => Ok(got),
            Err(error) => {
                count(&self.counters.failed);
                match error.failure {
                    ObjectFailure::NotFound => Err(missing(key)),
                    ObjectFailure::Invalid => Err(self.why(error, key, size_bytes, from).await),
                    _ => Err(ColdError::Store(error)),
                }
            }
        }
    }

    /// A request that can never succeed: the object is too short, or the store is not what it should be.
    async fn why(&self, error: ObjectError, key: &str, size_bytes: u64, from: u64) -> ColdError {
        count(&self.counters.requests);
        match self.objects.head(key).await {
            Ok(head) if head.len_bytes != size_bytes => {
                let what = format!("{} bytes instead of {size_bytes}", head.len_bytes);
                cut(key, from, &what)
            }
            Err(gone) if gone.failure == ObjectFailure::NotFound => missing(key),
            _ => ColdError::Store(error),
        }
    }
}

fn missing(key: &str) -> ColdError {
    let key = key.to_owned();
    ColdError::Missing { key }
}

fn cut(key: &str, position: u64, what: &str) -> ColdError {
    ColdError::Damaged {
        key: key.to_owned(),
        position,
        what: what.to_owned(),
    }
}
