//! Objects in memory, for tests. It answers at once and forgets nothing but with the process.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::{Bound, Range};
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::{Bytes, BytesMut};
use freshet_types::Timestamp;
use parking_lot::Mutex;

use super::{ObjectBody, ObjectError, ObjectFailure, ObjectHead, ObjectWait, Objects};
use crate::objects::Listing;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    objects: Mutex<BTreeMap<String, (Bytes, Timestamp)>>,
    /// Its clock stands still until somebody sets it.
    now: AtomicI64,
}

fn head((bytes, modified): &(Bytes, Timestamp)) -> ObjectHead {
    ObjectHead {
        len_bytes: bytes.len() as u64,
        modified: *modified,
    }
}

/// What is taken of a body at a time: a real store takes more, so its parts are cut at fewer places.
const PART_BYTES: u64 = 300_000;

/// All that a body has.
///
/// # Errors
/// It has no end.
pub async fn whole(body: &mut dyn ObjectBody) -> Result<Bytes, ObjectError> {
    let mut bytes = BytesMut::new();
    loop {
        let part = body.part(PART_BYTES).await?;
        let before = bytes.len();
        part.iter().for_each(|piece| bytes.extend_from_slice(piece));
        if ((bytes.len() - before) as u64) < PART_BYTES {
            return Ok(bytes.freeze());
        }
    }
}

fn slice(key: &str, bytes: &Bytes, range: Range<u64>) -> Result<Bytes, ObjectError> {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    let end = usize::try_from(range.end).unwrap_or(usize::MAX);
    if start > end || end > bytes.len() {
        return Err(error("get", key, ObjectFailure::Invalid));
    }
    Ok(bytes.slice(start..end))
}

fn error(doing: &'static str, key: &str, failure: ObjectFailure) -> ObjectError {
    ObjectError {
        doing,
        key: key.to_owned(),
        failure,
        why: "in memory".to_owned(),
    }
}

impl MemoryObjects {
    fn get(&self, doing: &'static str, key: &str) -> Result<(Bytes, Timestamp), ObjectError> {
        let found = self.objects.lock().get(key).cloned();
        found.ok_or_else(|| error(doing, key, ObjectFailure::NotFound))
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::Relaxed))
    }

    /// What is stored from now on was stored at this moment.
    pub fn set_now(&self, now: Timestamp) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    /// Replaces an object's bytes, as a store that damages them would.
    pub fn damage(&self, key: &str, bytes: Bytes) {
        self.objects
            .lock()
            .insert(key.to_owned(), (bytes, self.now()));
    }
}

impl Objects for MemoryObjects {
    fn put_new<'a>(&'a self, key: &'a str, body: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()> {
        Box::pin(async move {
            let bytes = whole(body).await?;
            let mut objects = self.objects.lock();
            if objects.contains_key(key) {
                return Err(error("put", key, ObjectFailure::AlreadyExists));
            }
            objects.insert(key.to_owned(), (bytes, self.now()));
            Ok(())
        })
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> ObjectWait<'a, Bytes> {
        let found = self.get("get", key);
        Box::pin(ready(
            found.and_then(|(bytes, _)| slice(key, &bytes, range)),
        ))
    }

    fn head<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ObjectHead> {
        Box::pin(ready(self.get("head", key).map(|it| head(&it))))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        at_most: usize,
    ) -> ObjectWait<'a, Listing> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let objects = self.objects.lock();
        let behind = objects.range::<str, _>((from, Bound::Unbounded));
        let mut named = behind.take_while(|(key, _)| key.starts_with(prefix));
        let page = named.by_ref().take(at_most);
        let page = page.map(|(key, it)| (key.clone(), head(it))).collect();
        let listing = Listing {
            objects: page,
            more: named.next().is_some(),
        };
        Box::pin(ready(Ok(listing)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ()> {
        self.objects.lock().remove(key);
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passes_the_exam() {
        crate::contract::objects::examine_objects(&MemoryObjects::default(), "exam/").await;
    }
}
