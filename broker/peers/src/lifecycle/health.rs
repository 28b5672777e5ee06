//! What a broker says of its disks beside that they work: whether they have become slow, or full.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freshet_log::{LogDir, PaceLimits};
use freshet_metadata::DirectoryId;
use freshet_settings::LifecycleSettings;
use freshet_types::Millis;

/// The disks by what is wrong with them, as said last.
#[derive(Debug, Default)]
pub(super) struct Health {
    reserve_bytes: u64,
    slow: BTreeSet<DirectoryId>,
    full: BTreeMap<DirectoryId, bool>,
}

/// Whether a disk has no room for producers. One that had none has some only once there is a quarter more
/// than they need: else it would change with every segment that is deleted.
fn is_full(was: bool, available_bytes: u64, reserve_bytes: u64) -> bool {
    let most = reserve_bytes.max(1);
    let needed = if was {
        most.saturating_add(most / 4)
    } else {
        most
    };
    available_bytes < needed
}

impl Health {
    /// Begins to judge `dirs`.
    pub(super) fn start(settings: &LifecycleSettings, dirs: &[(DirectoryId, Arc<LogDir>)]) -> Self {
        for (_, dir) in dirs {
            dir.judge_by(PaceLimits {
                slow_flush_ms: settings.slow_flush_ms,
                recovery_ms: settings.slow_recovery_ms,
            });
        }
        Self {
            reserve_bytes: settings.disk_reserve_bytes,
            ..Self::default()
        }
    }

    /// Looks at all that are online, and tells what has changed.
    pub(super) fn look(&mut self, now: Millis, dirs: &[(DirectoryId, Arc<LogDir>)]) {
        for (id, dir) in dirs {
            let online = dir.failure().is_none();
            let slow = online && dir.judge_pace(now);
            if slow != self.slow.contains(id) {
                tell_slow(dir, slow);
            }
            if slow {
                self.slow.insert(*id);
            } else {
                self.slow.remove(id);
            }
            let was = self.full.get(id).copied().unwrap_or(false);
            let available_bytes = dir.known_space().available_bytes;
            let full = online && is_full(was, available_bytes, self.reserve_bytes);
            if full != was {
                tell_full(dir, full, available_bytes);
            }
            self.full.insert(*id, full);
        }
    }

    /// Those that are slow.
    pub(super) fn slow(&self) -> Vec<DirectoryId> {
        self.slow.iter().copied().collect()
    }

    /// Those that are full.
    pub(super) fn full(&self) -> Vec<DirectoryId> {
        let full = self.full.iter().filter(|(_, full)| **full);
        full.map(|(id, _)| *id).collect()
    }
}

fn tell_slow(dir: &LogDir, slow: bool) {
    let (path, flush_ms) = (dir.path().display(), dir.flush_ms());
    if slow {
        tracing::warn!(
            dir = %path, flush_ms,
            "the disk has become slow: others lead what is on it, where they can; look at the device"
        );
    } else {
        tracing::info!(dir = %path, flush_ms, "the disk is slow no more");
    }
}

fn tell_full(dir: &LogDir, full: bool, available_bytes: u64) {
    let path = dir.path().display();
    if full {
        tracing::warn!(
            dir = %path, available_bytes,
            "the disk has no room for producers: others lead what is on it, where they can; delete, or add room"
        );
    } else {
        tracing::info!(dir = %path, available_bytes, "the disk has room again");
    }
}

#[cfg(test)]
mod tests {
    use super::is_full;

    #[test]
    fn a_disk_is_full_below_the_reserve_and_has_room_a_quarter_above_it() {
        assert!(!is_full(false, 100, 100));
        assert!(is_full(false, 99, 100));
        assert!(is_full(true, 124, 100));
        assert!(!is_full(true, 125, 100));
        assert!(
            is_full(false, 0, 0),
            "without a reserve, when nothing is left"
        );
        assert!(!is_full(false, 1, 0));
    }
}
