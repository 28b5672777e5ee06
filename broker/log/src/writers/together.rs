//! Syncing many logs with one call, for a stop.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::view::Shared;

/// From so many unsynced logs of an append thread on, one sync of the whole file system comes first.
/// For fewer it could cost more: it also waits for what other programs wrote.
const MANY_LOGS: usize = 32;

/// Makes logs that hold no records durable together, and leaves little to do for those that do.
///
/// A new log needs three syncs: of its state, of its directory, of the directory above. Ten
/// thousand topics that were made and never written would keep a stop busy for many seconds. Files
/// with records are still synced one by one afterwards, since only that tells whether each of them
/// was written back without an error.
pub(super) fn sync_together<'a>(logs: impl Iterator<Item = &'a Arc<Shared>>) {
    let mut dirs: HashMap<&Path, Vec<&Arc<Shared>>> = HashMap::new();
    for shared in logs.filter(|shared| shared.is_dirty()) {
        dirs.entry(shared.dir.path()).or_default().push(shared);
    }
    for unsynced in dirs.into_values().filter(|logs| logs.len() >= MANY_LOGS) {
        let dir = &unsynced[0].dir;
        let empty: Vec<_> = unsynced
            .iter()
            .filter(|shared| shared.take_empty())
            .collect();
        match dir.disk().sync_tree(dir.path()) {
            Ok(()) => empty.iter().for_each(|shared| shared.set_founded()),
            // The directory is offline now, which every log's own stop will see.
            Err(error) => drop(dir.fail("syncing", dir.path(), &error)),
        }
    }
}
