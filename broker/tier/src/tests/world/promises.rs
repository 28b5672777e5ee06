//! What must be true after every step.

use freshet_types::Offset;

use super::bucket::Rows;
use super::{GRACE, Read, World, index};
use crate::manifest::Manifest;
use crate::segment::Segment;

impl World {
    pub(super) fn promises(&mut self) -> Option<String> {
        if let Some(what) = self.violation.take() {
            return Some(what);
        }
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        if let Some(ending) = self.mourned() {
            return self.promised_to_the_bereaved(ending);
        }
        let manifest = self.shard.manifest().cloned();
        if self.is_forgotten {
            match &manifest {
                Some(manifest) if !manifest.is_pristine() => self.remembered(manifest),
                // Nobody asks the shard; the bucket has it all.
                _ => return self.restorable(self.highest_start),
            }
        }
        let local_start = self.disk_start();
        let Some(manifest) = manifest else {
            let lost = local_start > 0;
            return lost
                .then(|| format!("nothing is tiered, and the disk begins at {local_start}"));
        };
        if manifest.log_start() < self.highest_start {
            return Some(format!(
                "the log start went back to {}",
                manifest.log_start()
            ));
        }
        self.highest_start = manifest.log_start();
        self.shown(&manifest, manifest.log_start().max(self.excused))
            .or_else(|| self.same_as_before(&manifest))
            .or_else(|| self.restorable(manifest.log_start()))
    }

    /// What a cluster without disks would begin with.
    pub(super) fn restorable(&self, log_start: Offset) -> Option<String> {
        let log_start = log_start.max(self.excused);
        match &self.bucket.newest {
            Some(newest) => self
                .shown(newest, log_start.max(newest.log_start()))
                .map(|what| format!("restored from the bucket: {what}")),
            None if self.disk_start() > log_start => Some("nothing to restore from".to_owned()),
            None => None,
        }
    }

    /// Where the leader's disk begins; it will, if it is empty and the bucket is not.
    fn disk_start(&self) -> Offset {
        let node = &self.nodes[self.current];
        match node.log.is_empty() {
            true => self.high_watermark(),
            false => node.local_start,
        }
    }

    /// Whether a manifest shows all that is not on the leader's disk, from `from` on, and shows it as
    /// it was written.
    pub(super) fn shown(&self, manifest: &Manifest, from: Offset) -> Option<String> {
        let segments = manifest.segments();
        let joined = segments.windows(2).all(|pair| pair[0].end == pair[1].start);
        if !joined {
            return Some(format!("segments overlap, or leave a hole: {segments:?}"));
        }
        let local_start = self.disk_start();
        let first = segments.first().map_or(from, |first| first.start);
        if local_start > from && (first > from || manifest.remote_end() < local_start) {
            let ends = (first, manifest.remote_end());
            return Some(format!(
                "{from} to {local_start} are wanted, {ends:?} is there"
            ));
        }
        let is_claimed = manifest.leader_epoch() == self.epoch;
        for segment in segments {
            let Some(Some(rows)) = self.bucket.objects.get(&segment.id) else {
                return Some(format!("{segment:?} is named, and missing or damaged"));
            };
            // Until the leader has claimed, what its disk has comes first.
            let end = if is_claimed {
                segment.end
            } else {
                segment.end.min(local_start)
            };
            let wrong = (segment.start.max(from)..end)
                .find_map(|offset| self.differs(segment, rows, offset));
            if wrong.is_some() {
                return wrong;
            }
        }
        None
    }

    fn differs(&self, segment: &Segment, rows: &Rows, offset: Offset) -> Option<String> {
        if offset >= self.high_watermark() {
            return Some(format!("{offset} is in the bucket, and not committed"));
        }
        let row = self.committed[index(offset)];
        match rows.get(&offset) {
            Some(read) if *read == row => None,
            None if segment.generation > 0 && self.cleaned.contains(&offset) => None,
            read => Some(format!(
                "{offset} reads {read:?} instead of {row:?} in {segment:?}"
            )),
        }
    }

    /// What a reader has missed once, because it was cleaned, does not come back.
    fn same_as_before(&mut self, manifest: &Manifest) -> Option<String> {
        let local_start = self.disk_start();
        let is_claimed = manifest.leader_epoch() == self.epoch;
        for segment in manifest.segments() {
            let Some(Some(rows)) = self.bucket.objects.get(&segment.id) else {
                continue;
            };
            let end = if is_claimed {
                segment.end
            } else {
                segment.end.min(local_start)
            };
            for offset in segment.start..end {
                if !rows.contains_key(&offset) {
                    self.vanished.insert(offset);
                } else if self.vanished.contains(&offset) {
                    return Some(format!("{offset} was cleaned, and is back"));
                }
            }
        }
        None
    }

    /// Somebody begins to read an offset that is not on the leader's disk.
    pub(super) fn read(&mut self) {
        let local_start = self.nodes[self.current].local_start;
        let log_start = self.shard.manifest().map_or(0, Manifest::log_start);
        let Some(copy) = self.leader().and_then(|leader| leader.copy.as_ref()) else {
            return;
        };
        let from = copy.log_start().max(log_start);
        if from >= local_start {
            return;
        }
        let copy = copy.clone();
        let offset = self.dice.offset(from, local_start - 1);
        let Some(segment) = copy.at(offset).cloned() else {
            self.violation = Some(format!("the leader does not know where {offset} is"));
            return;
        };
        self.told.reads += 1;
        self.reads.push(Read {
            due: self.now.0 + 1 + self.dice.below(GRACE - 15),
            segment,
            offset,
            row: self.committed[index(offset)],
        });
    }

    /// Readers arrive at their objects.
    pub(super) fn finish_reads(&mut self) -> Option<String> {
        let now = self.now.0;
        let log_start = self.shard.manifest().map_or(0, Manifest::log_start);
        let (due, later) = std::mem::take(&mut self.reads)
            .into_iter()
            .partition(|read| read.due <= now);
        self.reads = later;
        let due: Vec<Read> = due;
        let read = due.into_iter().filter(|read| read.offset >= log_start);
        read.into_iter().find_map(|read| {
            let Some(Some(rows)) = self.bucket.objects.get(&read.segment.id) else {
                return Some(format!("a reader of {} finds no object", read.offset));
            };
            match rows.get(&read.offset) {
                Some(row) if *row == read.row => None,
                None if self.cleaned.contains(&read.offset) => None,
                row => Some(format!("a reader of {} finds {row:?}", read.offset)),
            }
        })
    }
}
