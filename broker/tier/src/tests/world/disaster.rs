//! The shard forgets the partition, and now and then all disks lose it too: what is left is the bucket.

use super::{GRACE, NODES, Row, World, index};
use crate::manifest::Manifest;

impl World {
    /// Not before something was exported: nothing has left a disk until then, so there is nothing to
    /// adopt. And not so soon that what was asked before the last one can still be under way.
    pub(super) fn disaster(&mut self) {
        let newest = self.bucket.newest.clone();
        let Some(newest) = newest.filter(|_| self.now.0 > self.forgotten_at + 2 * GRACE) else {
            return;
        };
        self.forgotten_at = self.now.0;
        self.is_forgotten = true;
        self.is_dirty = true;
        self.told.disasters += 1;
        self.forget_shard();
        if self.dice.chance(40) {
            self.lose_disks(&newest);
        } else {
            // Who has deleted records since the newest manifest may see them again, or be told that
            // they are nowhere.
            self.excused = self.highest_start;
        }
    }

    /// A new cluster begins with the bucket, long after the last request of the old one.
    fn lose_disks(&mut self, newest: &Manifest) {
        self.committed = self.restored(newest);
        let end = self.high_watermark();
        self.cleaned.retain(|at| *at < end);
        self.post.clear();
        self.reads.clear();
        self.unclean = None;
        self.excused = 0;
        self.highest_start = newest.log_start();
        let host = self.shard.newest_host();
        for node in &mut self.nodes {
            node.lose_all();
            node.host = host;
        }
        let chosen = self.dice.index(NODES);
        self.elect(chosen, false);
    }

    /// What a manifest covers, as it was committed. An unclean election may have cut some of it since, on
    /// disks that are gone: there it is as the bucket has it.
    fn restored(&mut self, newest: &Manifest) -> Vec<Row> {
        let disk = self.nodes[self.current].local_start;
        let is_cut = self.unclean.is_some();
        let mut rows = self.committed.clone();
        rows.resize(index(newest.remote_end()), (0, 0));
        for segment in newest.segments() {
            let Some(Some(stored)) = self.bucket.objects.get(&segment.id) else {
                self.violation = Some(format!("{segment:?} is named, and missing or damaged"));
                continue;
            };
            for at in segment.start.max(newest.log_start())..segment.end {
                match stored.get(&at) {
                    Some(row) if is_cut && at >= disk => rows[index(at)] = *row,
                    Some(row) if rows[index(at)] != *row => {
                        self.violation = Some(format!("{at} is {row:?} in the bucket"));
                    }
                    Some(_) => {}
                    None => drop(self.cleaned.insert(at)),
                }
            }
        }
        rows
    }

    /// The shard has the manifest of an earlier time: what has happened since has to happen again.
    pub(super) fn remembered(&mut self, manifest: &Manifest) {
        self.is_forgotten = false;
        self.highest_start = manifest.log_start();
        self.vanished.clear();
    }
}
