//! A bucket that does what a test tells it to, and a log that was tiered into it.

use std::collections::VecDeque;
use std::future::pending;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use freshet_env::Objects;
use freshet_env::objects::{
    Listing, MemoryObjects, ObjectBody, ObjectError, ObjectFailure, ObjectHead, ObjectWait, whole,
};
use freshet_records::{BatchBuilder, Codec, NewRecord};
use freshet_types::{ClusterId, Offset, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::super::support::{HERE, Shard, epochs, id};
use crate::layout::Layout;
use crate::machine::Ask;
use crate::object::{ComposeError, Composed, SegmentObject, SegmentSource, upload};
use crate::read::{ColdReader, ColdSpec, DiskCache, Past, ReadLimits, Spawn};

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It is refused.
    Fail(ObjectFailure),
    /// It is never answered.
    Silent,
    /// So many bytes of the answer are missing.
    Cut(usize),
    /// A bit of the answer flips.
    Flip(usize),
}

/// Objects in memory with faults, counts and a lock.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) inner: MemoryObjects,
    /// For the next requests for ranges, one each.
    pub(super) faults: Mutex<VecDeque<Fault>>,
    /// The answer to the next put is lost; behind the first part of it, or behind all.
    lost_put: Mutex<Option<bool>>,
    /// What was asked for.
    pub(super) gets: Mutex<Vec<(String, Range<u64>)>>,
    /// Requests wait for one of these.
    pub(super) answers: Semaphore,
    busy: AtomicUsize,
    /// How many were under way at most.
    pub(super) peak: AtomicUsize,
}

const MANY: usize = 1 << 20;

impl Default for Faulty {
    fn default() -> Self {
        Self {
            inner: MemoryObjects::default(),
            faults: Mutex::default(),
            lost_put: Mutex::default(),
            gets: Mutex::default(),
            answers: Semaphore::new(MANY),
            busy: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        }
    }
}

impl Faulty {
    /// Answers nothing from now on, until there are `answers` again.
    pub(super) fn hold(&self) {
        self.answers.forget_permits(MANY);
    }

    pub(super) fn release(&self) {
        self.answers.add_permits(MANY);
    }

    /// Ranges asked for since the last time.
    pub(super) fn asked(&self) -> Vec<Range<u64>> {
        let gets = std::mem::take(&mut *self.gets.lock());
        gets.into_iter().map(|(_, range)| range).collect()
    }

    pub(super) fn fault(&self, faults: &[Fault]) {
        *self.faults.lock() = faults.iter().copied().collect();
    }

    pub(super) fn lose_put(&self, is_early: bool) {
        *self.lost_put.lock() = Some(is_early);
    }

    async fn put(&self, key: &str, body: &mut dyn ObjectBody) -> Result<(), ObjectError> {
        let lost = self.lost_put.lock().take();
        match lost {
            Some(true) => drop(body.part(1000).await?),
            _ => self.inner.put_new(key, body).await?,
        }
        lost.map_or(Ok(()), |_| {
            Err(failed("put", key, ObjectFailure::Unanswered))
        })
    }

    async fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, ObjectError> {
        self.gets.lock().push((key.to_owned(), range.clone()));
        let fault = self.faults.lock().pop_front();
        let busy = self.busy.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(busy, Ordering::SeqCst);
        // Others come in between, as they do on a network.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        let one = self.answers.acquire().await.unwrap();
        self.busy.fetch_sub(1, Ordering::SeqCst);
        drop(one);
        match fault {
            Some(Fault::Fail(failure)) => Err(failed("get", key, failure)),
            Some(Fault::Silent) => pending().await,
            Some(Fault::Cut(bytes)) => {
                let whole = self.inner.get_range(key, range).await?;
                Ok(whole.slice(..whole.len() - bytes))
            }
            Some(Fault::Flip(at)) => {
                let mut bytes = self.inner.get_range(key, range).await?.to_vec();
                let at = at % bytes.len();
                bytes[at] ^= 4;
                Ok(bytes.into())
            }
            None => self.inner.get_range(key, range).await,
        }
    }
}

fn failed(doing: &'static str, key: &str, failure: ObjectFailure) -> ObjectError {
    ObjectError {
        doing,
        key: key.to_owned(),
        failure,
        why: "a fault".to_owned(),
    }
}

impl Objects for Faulty {
    fn put_new<'a>(&'a self, key: &'a str, body: &'a mut dyn ObjectBody) -> ObjectWait<'a, ()> {
        Box::pin(self.put(key, body))
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> ObjectWait<'a, Bytes> {
        Box::pin(self.get(key, range))
    }

    fn head<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ObjectHead> {
        self.inner.head(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        at_most: usize,
    ) -> ObjectWait<'a, Listing> {
        self.inner.list(prefix, after, at_most)
    }

    fn delete<'a>(&'a self, key: &'a str) -> ObjectWait<'a, ()> {
        self.inner.delete(key)
    }
}

/// A batch of the log that all is compared with.
#[derive(Debug, Clone)]
pub(super) struct Stone {
    pub(super) base: Offset,
    pub(super) next: Offset,
    pub(super) bytes: Bytes,
    pub(super) times: Vec<i64>,
}

/// A batch of records with these timestamps and values of `size` bytes that do not compress to nothing.
pub(super) fn stone(base: Offset, times: &[i64], size: usize) -> Stone {
    let mut builder = BatchBuilder::new(Codec::None).at(base, 1);
    let seed = base.unsigned_abs() + 1;
    let page: Vec<u8> = (0..4093_u64)
        .map(|n| (n.wrapping_mul(seed).wrapping_mul(0x9e37_79b9) >> 11) as u8)
        .collect();
    let mut value = page.repeat(size / page.len() + 1);
    value.truncate(size);
    for time in times {
        let record = NewRecord {
            timestamp: Timestamp(*time),
            value: Some(&value),
            ..NewRecord::default()
        };
        builder.push(&record).unwrap();
    }
    let batch = builder.finish().unwrap();
    Stone {
        base,
        next: batch.header().next_offset(),
        bytes: batch.bytes().clone(),
        times: times.to_vec(),
    }
}

/// `count` batches of one record of `size` bytes, one behind the other; timestamps are offsets.
pub(super) fn stones(count: i64, size: usize) -> Vec<Stone> {
    (0..count).map(|base| stone(base, &[base], size)).collect()
}

pub(super) fn joined(stones: &[Stone]) -> Bytes {
    let all: Vec<&[u8]> = stones.iter().map(|stone| &stone.bytes[..]).collect();
    all.concat().into()
}

pub(super) fn source(n: u8, stones: &[Stone], start: Offset, end: Offset) -> SegmentSource {
    SegmentSource {
        partition: HERE,
        id: id(n),
        leader_epoch: 1,
        generation: 0,
        start,
        end,
        epochs: epochs(&[(1, start)]),
        batches: Box::new(joined(stones)),
        producers: Bytes::from(vec![n; 100]),
        aborted: Bytes::from(vec![n; 64]),
        spacing: 4096,
    }
}

/// What is made of a segment, and its bytes.
pub(super) async fn made(source: SegmentSource) -> Result<(Composed, Bytes), ComposeError> {
    let mut object = SegmentObject::new(source)?;
    let bytes = whole(&mut object).await;
    let composed = object.ended().map_err(|damage| damage.unwrap())?;
    Ok((composed, bytes.unwrap()))
}

/// A partition whose past is in the bucket.
pub(super) struct Tiered {
    pub(super) objects: Arc<Faulty>,
    pub(super) layout: Layout,
    pub(super) shard: Shard,
    pub(super) stones: Vec<Stone>,
}

impl Tiered {
    /// Uploads the batches in one segment.
    pub(super) async fn whole(stones: Vec<Stone>) -> Self {
        let all = 0..stones.len();
        Self::new(stones, std::slice::from_ref(&all)).await
    }

    /// Uploads the batches in segments of these ranges of the list.
    pub(super) async fn new(stones: Vec<Stone>, segments: &[Range<usize>]) -> Self {
        let mut tiered = Self {
            objects: Arc::default(),
            layout: Layout::new("t", &ClusterId("c".into())),
            shard: Shard::new(),
            stones,
        };
        let mut log = super::super::support::log(0, 0, 1 << 40);
        log.epochs = epochs(&[(1, 0)]);
        tiered.shard.ask(1, Ask::Claim(log)).unwrap();
        for (n, segment) in (1..).zip(segments) {
            tiered.upload(n, segment.clone()).await;
        }
        tiered
    }

    pub(super) fn key(&self, n: u8, start: Offset) -> String {
        self.layout.segment(HERE, start, id(n))
    }

    async fn upload(&mut self, n: u8, segment: Range<usize>) {
        let before = segment.start.checked_sub(1);
        let start = before.map_or(0, |before| self.stones[before].next);
        let end = self.stones[segment.end - 1].next;
        let source = source(n, &self.stones[segment], start, end);
        let stored = upload(&*self.objects, &self.key(n, start), source).await;
        self.objects.asked();
        self.shard.append(1, stored.unwrap()).unwrap();
    }

    pub(super) fn past(&self) -> Past {
        Past {
            partition: HERE,
            manifest: Arc::new(self.shard.manifest().clone()),
        }
    }

    pub(super) fn reader(&self, limits: ReadLimits) -> ColdReader {
        self.reader_on(limits, None)
    }

    /// With a disk behind its memory.
    pub(super) fn reader_on(&self, limits: ReadLimits, disk: Option<DiskCache>) -> ColdReader {
        let spawn: Spawn = Arc::new(|task| drop(tokio::spawn(task)));
        let objects: Arc<dyn Objects> = Arc::<Faulty>::clone(&self.objects);
        ColdReader::new(objects, self.layout.clone(), spawn, limits, disk)
    }
}

/// Everything from an offset on.
pub(super) fn from(from: Offset, max_bytes: usize) -> ColdSpec {
    ColdSpec {
        from,
        max_bytes,
        upper_bound: Offset::MAX,
        at_least_one: true,
        client: 1,
    }
}

/// Lets every task go as far as it can.
pub(super) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Without reading ahead.
pub(super) fn plain() -> ReadLimits {
    ReadLimits {
        ahead: 0,
        ..ReadLimits::default()
    }
}
