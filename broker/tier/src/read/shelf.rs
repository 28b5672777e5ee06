//! What was fetched, within a bound in bytes; and one fetch at a time for each thing.
//!
//! A fetch is a task of its own, and whoever wants its result waits for it: one that gives up waiting
//! takes nothing away from the others. What has come is on the shelf before the fetch is forgotten,
//! so nobody fetches again in between.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};
use tokio::sync::watch;

use super::error::ColdError;

/// Bookkeeping of an entry.
const ENTRY_BYTES: u64 = 128;
/// The share of the bound for what was used more than once. The default, nearly all, would leave what
/// is read ahead no room until it is read.
const HOT: f64 = 0.5;

/// Knows what it takes in memory.
pub(super) trait Held: Clone + Send + Sync + 'static {
    /// Bytes; never changes.
    fn held_bytes(&self) -> u64;
}

#[derive(Debug, Clone)]
struct Bytes;

impl<K, V: Held> Weighter<K, V> for Bytes {
    fn weight(&self, _: &K, value: &V) -> u64 {
        value.held_bytes() + ENTRY_BYTES
    }
}

/// Gives what is pushed out to whoever has pushed, to drop it, or more, outside of the lock.
#[derive(Debug, Clone)]
pub(super) struct Pushed;

impl<K, V> Lifecycle<K, V> for Pushed {
    type RequestState = Vec<(K, V)>;

    fn on_evict(&self, pushed: &mut Self::RequestState, key: K, value: V) {
        pushed.push((key, value));
    }
}

/// A cache that never holds more than its weight.
pub(super) type Bounded<K, V, W> = Cache<K, V, W, DefaultHashBuilder, Pushed>;

/// Hears what has left for lack of room.
type Leave<K, V> = Box<dyn Fn(K, V) + Send + Sync>;

type Landed<V> = Option<Result<V, ColdError>>;

/// See the module.
pub(super) struct Shelf<K: Eq + Hash, V: Held> {
    cache: Bounded<K, V, Bytes>,
    leave: Leave<K, V>,
    fetches: Mutex<HashMap<K, watch::Receiver<Landed<V>>>>,
}

impl<K: Eq + Hash, V: Held> Debug for Shelf<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shelf")
    }
}

/// What is known of a thing.
pub(super) enum Found<V> {
    /// Here it is.
    Here(V),
    /// It is being fetched.
    Coming(Coming<V>),
}

/// A fetch that is under way.
pub(super) struct Coming<V>(watch::Receiver<Landed<V>>);

impl<V: Held> Coming<V> {
    /// Its end.
    pub(super) async fn landed(mut self) -> Result<V, ColdError> {
        let landed = self.0.wait_for(Option::is_some).await;
        let landed = landed.ok().and_then(|landed| landed.clone());
        landed.unwrap_or_else(|| Err(ColdError::unanswered("a fetch")))
    }
}

/// The duty to fetch a thing. When it is dropped, somebody else may.
pub(super) struct Fetch<K: Eq + Hash, V: Held> {
    shelf: Arc<Shelf<K, V>>,
    key: K,
    tell: watch::Sender<Landed<V>>,
}

/// A cache that never holds more than `weight`.
pub(super) fn bounded<K, V, W>(weight: u64, things: usize, weigh: W) -> Bounded<K, V, W>
where
    K: Eq + Hash,
    V: Clone,
    W: Weighter<K, V> + Clone,
{
    let options = OptionsBuilder::new()
        // One, so that the bound holds exactly and a large thing has all of it.
        .shards(1)
        .hot_allocation(HOT)
        .estimated_items_capacity(things)
        .weight_capacity(weight)
        .build()
        .expect("all that is needed is set");
    let hash = DefaultHashBuilder::default();
    Cache::with_options(options, weigh, hash, Pushed)
}

impl<K: Eq + Hash + Clone, V: Held> Shelf<K, V> {
    /// Holds `bytes` at most, in things of about `each`.
    pub(super) fn new(bytes: u64, each: u64) -> Self {
        let things = usize::try_from(bytes / each.max(1)).unwrap_or(usize::MAX);
        Self {
            cache: bounded(bytes, things, Bytes),
            leave: Box::new(|_, _| {}),
            fetches: Mutex::default(),
        }
    }

    /// What has to go for something else is given to `leave`.
    pub(super) fn leading_to(mut self, leave: impl Fn(K, V) + Send + Sync + 'static) -> Self {
        self.leave = Box::new(leave);
        self
    }

    /// Holds so many bytes at most from now on.
    pub(super) fn resize(&self, bytes: u64) {
        if self.cache.capacity() != bytes {
            self.cache.set_capacity(bytes);
        }
    }

    /// What it may hold, bytes.
    pub(super) fn room_bytes(&self) -> u64 {
        self.cache.capacity()
    }

    /// The thing, or the fetch of it.
    pub(super) fn look(&self, key: &K) -> Option<Found<V>> {
        if let Some(here) = self.cache.get(key) {
            return Some(Found::Here(here));
        }
        let fetches = self.fetches.lock();
        if let Some(coming) = fetches.get(key) {
            return Some(Found::Coming(Coming(coming.clone())));
        }
        // It may have landed in between.
        self.cache.get(key).map(Found::Here)
    }

    /// Whether there is nothing to fetch.
    pub(super) fn has(&self, key: &K) -> bool {
        self.fetches.lock().contains_key(key) || self.cache.contains_key(key)
    }

    /// The thing, or the fetch of it, or the duty to begin one.
    pub(super) fn claim(self: &Arc<Self>, key: K) -> Result<Found<V>, Begun<K, V>> {
        let mut fetches = self.fetches.lock();
        if let Some(coming) = fetches.get(&key) {
            return Ok(Found::Coming(Coming(coming.clone())));
        }
        if let Some(here) = self.cache.get(&key) {
            return Ok(Found::Here(here));
        }
        let (tell, told) = watch::channel(None);
        fetches.insert(key.clone(), told.clone());
        let shelf = Arc::clone(self);
        Err((Fetch { shelf, key, tell }, Coming(told)))
    }

    /// Takes a thing away: it has turned out to be damaged.
    pub(super) fn forget(&self, key: &K) {
        self.cache.remove(key);
    }

    /// What it holds now, bytes.
    pub(super) fn held_bytes(&self) -> u64 {
        self.cache.weight()
    }
}

impl<K: Eq + Hash, V: Held> Fetch<K, V> {
    /// The end of it. Only what was fetched is kept.
    pub(super) fn land(self, landed: Result<V, ColdError>)
    where
        K: Clone,
    {
        let mut pushed = Vec::new();
        if let Ok(value) = &landed {
            let (key, value) = (self.key.clone(), value.clone());
            self.shelf
                .cache
                .insert_with_lifecycle(key, value, &mut pushed);
        }
        self.tell.send_replace(Some(landed));
        for (key, value) in pushed {
            (self.shelf.leave)(key, value);
        }
    }
}

/// A fetch that was not under way before.
type Begun<K, V> = (Fetch<K, V>, Coming<V>);

impl<K: Eq + Hash, V: Held> Drop for Fetch<K, V> {
    fn drop(&mut self) {
        self.shelf.fetches.lock().remove(&self.key);
    }
}
