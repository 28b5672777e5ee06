//! What all readers of a broker share: what was fetched, what is being fetched, and who is next.

use std::fmt::{self, Debug};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use freshet_env::Objects;
use freshet_records::crc32c;
use freshet_types::TopicPartition;
use quick_cache::UnitWeighter;

use super::counters::count;
use super::disk::{DiskCache, Key, Lease};
use super::error::ColdError;
use super::gate::{Gate, Turn};
use super::opened::{self, Opened};
use super::shelf::{Bounded, Fetch, Found, Held, Shelf, bounded};
use super::store::Store;
use super::streams::{Progress, Stream};
use super::{ReadLimits, Spawn};
use crate::layout::Layout;
use crate::object::{CHUNK_BYTES, Section, SectionKind};
use crate::segment::{Segment, SegmentId};

/// What an opened object takes, about: an index of 4,000 entries.
const OPENED_BYTES: u64 = 64 << 10;
const SECTION_BYTES: u64 = 16 << 10;

/// A range of batches, as it was written.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// Nobody has wanted it yet.
    fresh: Arc<AtomicBool>,
}

impl Held for Chunk {
    fn held_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Held for Bytes {
    fn held_bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// How something came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Kept,
    Joined,
    Fetched,
}

/// See the module.
pub(super) struct Shared {
    pub(super) limits: ReadLimits,
    pub(super) store: Store,
    layout: Layout,
    pub(super) spawn: Spawn,
    pub(super) gate: Arc<Gate>,
    pub(super) chunks: Arc<Shelf<Key, Chunk>>,
    /// Where they go from there.
    pub(super) disk: Option<Arc<DiskCache>>,
    opened: Arc<Shelf<SegmentId, Arc<Opened>>>,
    sections: Arc<Shelf<(SegmentId, SectionKind), Bytes>>,
    streams: Bounded<(u64, TopicPartition), Stream, UnitWeighter>,
}

impl Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({:?})", self.limits)
    }
}

impl Shared {
    pub(super) fn new(
        objects: Arc<dyn Objects>,
        layout: Layout,
        spawn: Spawn,
        limits: ReadLimits,
        disk: Option<Arc<DiskCache>>,
    ) -> Self {
        let streams = limits.streams;
        let mut chunks = Shelf::new(limits.chunk_bytes, CHUNK_BYTES);
        if let Some(disk) = disk.clone() {
            chunks = chunks.leading_to(move |key, chunk: Chunk| {
                // What was read ahead in vain is worth nothing.
                if !chunk.fresh.load(Ordering::Relaxed) {
                    disk.offer(key, chunk.bytes);
                }
            });
        }
        Self {
            limits,
            store: Store::new(objects),
            layout,
            spawn,
            gate: Arc::new(Gate::new(limits.requests, limits.waiting)),
            chunks: Arc::new(chunks),
            disk,
            opened: Arc::new(Shelf::new(limits.index_bytes, OPENED_BYTES)),
            sections: Arc::new(Shelf::new(limits.section_bytes, SECTION_BYTES)),
            streams: bounded(streams as u64, streams, UnitWeighter),
        }
    }

    pub(super) fn adjust(&self, limits: &ReadLimits) {
        self.chunks.resize(limits.chunk_bytes);
        self.opened.resize(limits.index_bytes);
        self.sections.resize(limits.section_bytes);
        self.gate.resize(limits.requests, limits.waiting);
    }

    /// Bytes that are kept.
    pub(super) fn held_bytes(&self) -> u64 {
        self.chunks.held_bytes() + self.opened.held_bytes() + self.sections.held_bytes()
    }

    /// What is kept, or comes, or is fetched now in a task of its own.
    async fn get<K, V, F>(
        &self,
        (shelf, key): (&Arc<Shelf<K, V>>, K),
        turn: Turn,
        fetch: impl FnOnce() -> F,
    ) -> Result<(V, Came), ColdError>
    where
        K: Eq + Hash + Clone + Send + Sync + 'static,
        V: Held,
        F: Future<Output = Result<V, ColdError>> + Send + 'static,
    {
        if let Some(found) = shelf.look(&key) {
            return landed(found).await;
        }
        let pass = self.gate.enter(turn).await?;
        // Others may have been quicker while this one waited for its turn.
        let (duty, coming) = match shelf.claim(key) {
            Ok(found) => {
                drop(pass);
                return landed(found).await;
            }
            Err(begun) => begun,
        };
        let fetched = fetch();
        (self.spawn)(Box::pin(async move {
            duty.land(fetched.await);
            // So late, because what is on its way is bounded by it.
            drop(pass);
        }));
        Ok((coming.landed().await?, Came::Fetched))
    }

    /// A named object's end.
    pub(super) async fn open(
        &self,
        partition: TopicPartition,
        segment: &Segment,
        turn: Turn,
    ) -> Result<Arc<Opened>, ColdError> {
        let place = (&self.opened, segment.id);
        let open = || {
            let (store, segment) = (self.store.clone(), segment.clone());
            let (start, id) = (segment.object_start, segment.id);
            let key = self.layout.segment(partition, start, id);
            async move {
                let of = (partition, &segment);
                match opened::open(&store, key.clone(), of).await {
                    // Not what is stored, perhaps, but what came.
                    Err(ColdError::Damaged { .. }) => {
                        count(&store.counters.damaged);
                        opened::open(&store, key, of).await
                    }
                    result => result,
                }
                .map(Arc::new)
            }
        };
        Ok(self.get(place, turn, open).await?.0)
    }

    pub(super) fn wanted(&self, object: &Arc<Opened>, chunk: u32, turn: Turn) -> ChunkWanted {
        ChunkWanted {
            store: self.store.clone(),
            disk: self.disk.clone(),
            of: Arc::clone(object),
            chunk,
            is_spare: turn == Turn::Spare,
        }
    }

    /// One chunk of an object's batches, held against its checksum.
    pub(super) async fn chunk(
        &self,
        object: &Arc<Opened>,
        chunk: u32,
        turn: Turn,
    ) -> Result<Bytes, ColdError> {
        let is_spare = turn == Turn::Spare;
        let wanted = self.wanted(object, chunk, turn);
        let key = (object.footer.id, chunk);
        let near = self.disk.as_ref().filter(|_| !self.chunks.has(&key));
        let near = near.and_then(|disk| disk.lease(&key));
        let (found, came) = match near {
            Some(lease) => self.near(lease, wanted, turn).await?,
            None => {
                let fetch = move || wanted.fetch();
                self.get((&self.chunks, key), turn, fetch).await?
            }
        };
        if !is_spare {
            let counters = &self.store.counters;
            count(&counters.wanted);
            match came {
                Came::Kept => count(&counters.hits),
                Came::Joined => count(&counters.joined),
                Came::Fetched => {}
            }
            if found.fresh.swap(false, Ordering::Relaxed) {
                count(&counters.prefetch_hits);
            }
        }
        Ok(found.bytes)
    }

    /// A chunk that is on the disk, it seems. It needs no turn, for the store is not asked for it.
    async fn near(
        &self,
        lease: Lease,
        wanted: ChunkWanted,
        turn: Turn,
    ) -> Result<(Chunk, Came), ColdError> {
        let key = (wanted.of.footer.id, wanted.chunk);
        let (duty, coming) = match self.chunks.claim(key) {
            Ok(found) => return landed(found).await,
            Err(begun) => begun,
        };
        let gate = Arc::clone(&self.gate);
        (self.spawn)(Box::pin(async move {
            if let Some(chunk) = wanted.take(lease).await {
                return duty.land(Ok(chunk));
            }
            match gate.enter(turn).await {
                Ok(pass) => {
                    duty.land(wanted.fetch().await);
                    drop(pass);
                }
                Err(error) => duty.land(Err(error)),
            }
        }));
        Ok((coming.landed().await?, Came::Fetched))
    }

    /// A chunk has turned out to be damaged in memory.
    pub(super) fn forget(&self, object: &Opened, chunk: u32) {
        self.chunks.forget(&(object.footer.id, chunk));
    }

    /// A section, held against its checksum.
    pub(super) async fn section(
        &self,
        object: &Arc<Opened>,
        section: &Section,
        turn: Turn,
    ) -> Result<Bytes, ColdError> {
        let (store, of) = (self.store.clone(), Arc::clone(object));
        let wanted = section.clone();
        let fetch = move || async move {
            match gather(&store, &of, &wanted).await {
                Err(ColdError::Damaged { .. }) => gather(&store, &of, &wanted).await,
                result => result,
            }
        };
        let place = (&self.sections, (object.footer.id, section.kind));
        Ok(self.get(place, turn, fetch).await?.0)
    }

    /// A client has read something: what it will want next is fetched ahead of it.
    pub(super) fn ahead(
        self: &Arc<Self>,
        (client, partition): (u64, TopicPartition),
        (object, next): (&Arc<Opened>, Option<&Segment>),
        read: &Progress,
    ) {
        // A quarter, so that what comes does not push out what came before it was read.
        let room = self.chunks.room_bytes() / CHUNK_BYTES / 4;
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        // A store that throttles is not asked for more than somebody waits for.
        let limit = match self.store.refuses() {
            true => 0,
            false => self.limits.ahead.min(room),
        };
        let stream = (client, partition);
        let before = self.streams.get(&stream);
        let (after, ahead) = Stream::advance(before, read, limit);
        self.streams.insert(stream, after);
        self.begin(object, ahead.from..ahead.from + ahead.here, Turn::Spare);
        let Some(next) = next.filter(|_| ahead.behind > 0).cloned() else {
            return;
        };
        let shared = Arc::clone(self);
        (self.spawn)(Box::pin(async move {
            let Ok(object) = shared.open(partition, &next, Turn::Spare).await else {
                return;
            };
            let position = object.index.by_offset(next.start - next.object_start);
            let first = object.chunk_of(position);
            let until = first
                .saturating_add(ahead.behind)
                .min(object.last_chunk() + 1);
            shared.begin(&object, first..until, Turn::Spare);
        }));
    }
}

/// A chunk that is neither in memory nor on its way.
pub(super) struct ChunkWanted {
    store: Store,
    disk: Option<Arc<DiskCache>>,
    of: Arc<Opened>,
    pub(super) chunk: u32,
    is_spare: bool,
}

/// The duty to fetch one.
pub(super) type ChunkDuty = Fetch<Key, Chunk>;

impl ChunkWanted {
    fn is_right(&self, bytes: &[u8]) -> bool {
        self.of.sums.of(self.chunk) == Some(crc32c(bytes))
    }

    async fn take(&self, lease: Lease) -> Option<Chunk> {
        let disk = self.disk.as_ref()?;
        let bytes = disk.read(lease, |bytes| self.is_right(bytes)).await?;
        Some(self.chunk(bytes))
    }

    async fn fetch(self) -> Result<Chunk, ColdError> {
        self.miss();
        self.ask(2).await
    }

    fn miss(&self) {
        if let Some(disk) = &self.disk {
            disk.missed();
        }
    }

    /// What came of it with others, if it is right.
    pub(super) fn judged(&self, bytes: Bytes) -> Option<Chunk> {
        self.miss();
        if self.is_right(&bytes) {
            return Some(self.chunk(bytes));
        }
        count(&self.store.counters.damaged);
        None
    }

    /// The second try.
    pub(super) async fn again(self) -> Result<Chunk, ColdError> {
        self.ask(1).await
    }

    async fn ask(self, tries: u32) -> Result<Chunk, ColdError> {
        let (of, range) = (&self.of, self.of.range(self.chunk));
        let is_right = |bytes: &[u8]| self.is_right(bytes);
        let summed = self
            .store
            .summed((&of.key, of.size_bytes), range, is_right, tries);
        let bytes = summed.await?;
        Ok(self.chunk(bytes))
    }

    fn chunk(&self, bytes: Bytes) -> Chunk {
        if self.is_spare {
            count(&self.store.counters.prefetched);
        }
        let fresh = Arc::new(AtomicBool::new(self.is_spare));
        Chunk { bytes, fresh }
    }
}

async fn landed<V: Held>(found: Found<V>) -> Result<(V, Came), ColdError> {
    match found {
        Found::Here(value) => Ok((value, Came::Kept)),
        Found::Coming(coming) => Ok((coming.landed().await?, Came::Joined)),
    }
}

/// Reads a section chunk by chunk.
async fn gather(store: &Store, of: &Opened, section: &Section) -> Result<Bytes, ColdError> {
    let mut bytes = BytesMut::new();
    let mut from = section.range.start;
    while from < section.range.end {
        let until = section.range.end.min(from + CHUNK_BYTES);
        bytes.extend_from_slice(&store.range(&of.key, of.size_bytes, from..until).await?);
        from = until;
    }
    if crc32c(&bytes) == section.crc {
        return Ok(bytes.freeze());
    }
    count(&store.counters.damaged);
    Err(of.damaged(section.range.start, "checksum mismatch of a section"))
}
