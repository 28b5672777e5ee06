//! Where logs are, and many of them at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use freshet_log::{LogDir, LogName, OpenError};
use freshet_metadata::DirectoryId;
use parking_lot::Mutex;

/// Which log directory a partition lives in.
pub(super) struct Homes<'a> {
    dirs: &'a [Arc<LogDir>],
    /// Their ids; none where nobody assigns replicas to directories.
    ids: &'a [DirectoryId],
    /// Directories that take new logs, with what they hold.
    online: Mutex<Vec<(usize, &'a Arc<LogDir>)>>,
}

impl<'a> Homes<'a> {
    pub(super) fn look(dirs: &'a [Arc<LogDir>], ids: &'a [DirectoryId]) -> Self {
        let online = dirs.iter().filter(|dir| dir.failure().is_none());
        let online = Mutex::new(online.map(|dir| (dir.log_count(), dir)).collect());
        Self { dirs, ids, online }
    }

    /// All directories online that have the log, the assigned one last.
    pub(super) fn all_of(&self, name: &LogName, assigned: DirectoryId) -> Vec<Arc<LogDir>> {
        let online = self.dirs.iter().filter(|dir| dir.failure().is_none());
        let mut all: Vec<_> = online.filter(|dir| dir.holds(name)).cloned().collect();
        let assigned = self.with_id(assigned);
        all.sort_by_key(|dir| assigned.is_some_and(|it| Arc::ptr_eq(it, dir)));
        all
    }

    fn with_id(&self, id: DirectoryId) -> Option<&'a Arc<LogDir>> {
        let mut known = self.dirs.iter().zip(self.ids);
        known.find(|(_, known)| **known == id).map(|(dir, _)| dir)
    }

    /// The directory that has the log already, else the one that was wished for, else the one it is
    /// assigned to, else the online one with the fewest logs. A replica that is not new may lie in a
    /// directory that could not be read: then it is there, and must not begin anew elsewhere. What a
    /// failed directory has of a new one's name is of another life, and in nobody's way.
    pub(super) fn of(
        &self,
        name: &LogName,
        assigned: DirectoryId,
        wish: Option<&Arc<LogDir>>,
        is_new: bool,
    ) -> Result<Arc<LogDir>, OpenError> {
        let has_it = |dir: &&Arc<LogDir>| dir.holds(name) && !(is_new && dir.failure().is_some());
        if let Some(dir) = self.dirs.iter().find(has_it) {
            return Ok(Arc::clone(dir));
        }
        let mut unread = self.dirs.iter().filter(|dir| dir.is_unread());
        if let Some(failure) = unread.find_map(|dir| dir.failure()).filter(|_| !is_new) {
            return Err(failure.into());
        }
        let assigned = self.with_id(assigned);
        let mut online = self.online.lock();
        let is = |one: Option<&Arc<LogDir>>, dir| one.is_some_and(|it| Arc::ptr_eq(it, dir));
        let best = online
            .iter_mut()
            .min_by_key(|(count, dir)| (!is(wish, dir), !is(assigned, dir), *count));
        let Some((count, dir)) = best else {
            let failure = self.dirs.iter().find_map(|dir| dir.failure());
            return Err(failure
                .expect("a broker without an online directory has a failed one")
                .into());
        };
        *count += 1;
        Ok(Arc::clone(dir))
    }
}

/// Threads for each directory that open so many logs after a clean stop. They read no records and
/// compute little, but wait for the device when the directories' names are not cached.
pub(super) fn opening_threads(logs: usize) -> usize {
    const MOST: usize = 16;
    const LOGS_EACH: usize = 32;
    (logs / LOGS_EACH).min(MOST)
}

/// Runs `work` on all items, on up to `threads` threads.
pub(super) fn in_parallel<T: Sync>(items: &[T], threads: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let take = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(take);
        }
        take();
    });
}
