//! What a broker says of its disks beside that they work: whether they have become slow, or full.

use std::collections::BTreeSet;
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
    full: BTreeSet<DirectoryId>,
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
            note(&mut self.slow, *id, slow);
            let full = online && dir.judge_room(self.reserve_bytes);
            if full != self.full.contains(id) {
                tell_full(dir, full);
            }
            note(&mut self.full, *id, full);
        }
    }

    /// Those that are slow.
    pub(super) fn slow(&self) -> Vec<DirectoryId> {
        self.slow.iter().copied().collect()
    }

    /// Those that are full.
    pub(super) fn full(&self) -> Vec<DirectoryId> {
        self.full.iter().copied().collect()
    }
}

fn note(unwell: &mut BTreeSet<DirectoryId>, id: DirectoryId, is_one: bool) {
    if is_one {
        unwell.insert(id);
    } else {
        unwell.remove(&id);
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

fn tell_full(dir: &LogDir, full: bool) {
    let (path, available_bytes) = (dir.path().display(), dir.known_space().available_bytes);
    if full {
        tracing::warn!(
            dir = %path, available_bytes,
            "the disk has no room for producers: others lead what is on it, where they can; delete, or add room"
        );
    } else {
        tracing::info!(dir = %path, available_bytes, "the disk has room again");
    }
}
