//! A map that is cheap to share and cheap to compare with its own past.
//!
//! 256 ordered maps behind counted pointers. A clone copies pointers; a change copies the one shard
//! that it touches, and only if somebody still holds it. Two versions of a map agree in all shards
//! whose pointers agree, so finding what changed costs what changed, not what is there.
//!
//! Rejected: a persistent tree from a crate (one more dependency for the same big-O at our sizes),
//! and a change log inside of the image (readers skip images, so it would need a horizon).

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_types::{TopicId, TopicName};

const SHARDS: usize = 256;

/// A key that knows its shard. Must not depend on anything but the key: images are compared.
pub(crate) trait ShardKey: Ord + Clone {
    fn shard(&self) -> usize;
}

impl ShardKey for TopicId {
    fn shard(&self) -> usize {
        // Ids are random, but a caller could craft some: xor of all bytes costs nothing.
        usize::from(self.0.iter().fold(0, |acc, byte| acc ^ byte))
    }
}

impl ShardKey for TopicName {
    fn shard(&self) -> usize {
        name_shard(self.as_str())
    }
}

/// FNV-1a, folded to a byte.
pub(crate) fn name_shard(name: &str) -> usize {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ (hash >> 16)) as usize % SHARDS
}

#[derive(Debug, Clone)]
pub(crate) struct Shards<K, V> {
    shards: Vec<Arc<BTreeMap<K, V>>>,
    len: usize,
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Arc::default()).collect(),
            len: 0,
        }
    }
}

impl<K: ShardKey, V: Clone> Shards<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.shards[key.shard()].get(key)
    }

    /// Like `get`, for a borrowed form of the key whose shard the caller knows.
    pub(crate) fn get_in<Q: Ord + ?Sized>(&self, shard: usize, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.shards[shard].get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        Arc::make_mut(&mut self.shards[key.shard()]).get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let old = Arc::make_mut(&mut self.shards[key.shard()]).insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let old = Arc::make_mut(&mut self.shards[key.shard()]).remove(key);
        self.len -= usize::from(old.is_some());
        old
    }

    /// All entries, shard by shard: an order that only depends on the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.shards.iter().flat_map(|shard| shard.iter())
    }

    /// Pairs of shards (old, new) that may differ.
    pub(crate) fn differing<'a>(
        &'a self,
        old: &'a Self,
    ) -> impl Iterator<Item = (&'a BTreeMap<K, V>, &'a BTreeMap<K, V>)> {
        let pairs = old.shards.iter().zip(&self.shards);
        pairs
            .filter(|(old, new)| !Arc::ptr_eq(old, new))
            .map(|(old, new)| (&**old, &**new))
    }
}
