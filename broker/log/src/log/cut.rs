//! Moving the ends of a log: trim at the front, truncate at the back, start anew.
//!
//! Order is what makes a cut safe. The state file promises that its `durable_end` is on the disk,
//! so a promise that a cut would break is withdrawn first, durably; only then are files cut. A crash
//! in between leaves more records than wanted, never fewer than promised.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use freshet_types::Offset;

use super::room::Room;
use super::save::{CheckpointJob, Ending};
use super::{Log, recover};
use crate::segment::scan::{Scan, ScanError};
use crate::segment::{Segment, file_name};
use crate::state::{Epochs, Producers, SNAPSHOT};
use crate::{Beginning, LogError};

/// Where a truncation ends up.
struct Place {
    /// Position in the list of segments.
    index: usize,
    /// First byte that goes.
    position: u64,
    /// The new log end.
    end: Offset,
}

impl Log {
    /// Moves the log start up to `to`; it is durable once the checkpoint is written. Nothing may be
    /// staged.
    pub(crate) fn trim(&mut self, to: Offset) -> Result<(Offset, CheckpointJob), LogError> {
        self.shared.usable()?;
        let start = self.shared.log_start.load(Ordering::Acquire);
        self.inside(to, start)?;
        // Also where nothing moves: the answer means that the start is durable.
        let to = to.max(start);
        self.shared.log_start.store(to, Ordering::Release);
        self.shared.epochs.write().cut_start(to);
        let below = {
            let segments = self.shared.segments.read();
            let bases = segments.iter().skip(1);
            bases.take_while(|next| next.base() <= to).count()
        };
        let gone = self.drop_first(below);
        Ok((to, self.checkpoint_without(gone)))
    }

    fn inside(&self, offset: Offset, start: Offset) -> Result<(), LogError> {
        let end = self.end;
        if offset < 0 || offset > end {
            return Err(LogError::OutOfRange { offset, start, end });
        }
        Ok(())
    }

    /// Cuts all batches that reach `to` or beyond. Answers the new end, which is below `to` when
    /// a batch spans it. Waits for the device. Nothing may be staged. Where damage hides the place, nothing
    /// is cut.
    pub(crate) fn truncate(&mut self, to: Offset) -> Result<Offset, LogError> {
        self.shared.usable()?;
        let start = self.shared.log_start.load(Ordering::Acquire);
        if to >= self.end {
            return Ok(self.end);
        }
        if to < start {
            let end = self.end;
            return Err(LogError::OutOfRange {
                offset: to,
                start,
                end,
            });
        }
        let shared = Arc::clone(&self.shared);
        let _flushing = shared.flushing.lock();
        shared.cuts.fetch_add(1, Ordering::AcqRel);
        let cut = self.truncate_held(to);
        shared.cuts.fetch_add(1, Ordering::AcqRel);
        cut
    }

    fn truncate_held(&mut self, to: Offset) -> Result<Offset, LogError> {
        let place = self.place_of(to)?;
        let mut kept = self.shared.segments.read().clone();
        let gone = kept.split_off(place.index + 1);
        let active = Arc::clone(&kept[place.index]);
        let (producers, snapshots) = self.producers_until(&kept, place.end)?;
        let mut epochs = self.shared.epochs.read().clone();
        epochs.cut_end(place.end);
        let mut ending = Ending {
            segments: kept,
            position: place.position,
            end: place.end,
            epochs,
            producers: producers.to_snapshot(),
            snapshots,
        };
        // It flushes first: what stays must be durable before the state file says so. And it needs
        // room: a full disk says so here, where nothing has changed yet.
        self.checkpoint_at(&mut ending).put()?;
        self.publish_cut(place.end);
        *self.shared.segments.write() = ending.segments;
        active.set_sealed(false);
        active.cut(place.position, place.end);
        self.active = Arc::clone(&active);
        self.position = place.position;
        self.end = place.end;
        self.file = None;
        self.first_time = None;
        self.room = Room::default();
        self.checkpoint_made(ending.snapshots);
        self.set_producers(producers);
        self.cut_files(&active, &gone)?;
        tracing::info!(log = %self.shared.name, asked = to, end = place.end, "truncated");
        Ok(place.end)
    }

    /// The start of the first batch that reaches `to`.
    fn place_of(&self, to: Offset) -> Result<Place, LogError> {
        let segments = self.shared.segments.read().clone();
        let index = segments.partition_point(|segment| segment.base() <= to);
        let index = index.saturating_sub(1);
        let segment = &segments[index];
        let unread = |error: &dyn std::fmt::Display| {
            let error = io::Error::other(error.to_string());
            self.shared.fail("finding where to cut", &error)
        };
        let failed = |error: &ScanError| match error {
            ScanError::Io { .. } => unread(error),
            // Its own trouble; nothing has been cut.
            _ => self.corrupt(format!("segment {}, {error}", segment.base())),
        };
        let start = segment.start_for(to, false).map_err(|e| failed(&e))?;
        let file = segment.reader().map_err(|e| unread(&e))?;
        let mut scan = Scan::in_order(file, &start);
        while let Some((header, position)) = scan.next_header().map_err(|e| failed(&e))? {
            if header.next_offset() > to {
                let end = header.base_offset.min(to);
                return Ok(Place {
                    index,
                    position,
                    end,
                });
            }
        }
        Ok(Place {
            index,
            position: segment.size_bytes(),
            end: to,
        })
    }

    fn corrupt(&self, what: String) -> LogError {
        LogError::Corrupt {
            log: self.shared.name.clone(),
            what: what.into(),
        }
    }

    /// Readers see the shorter log before any byte goes.
    fn publish_cut(&self, end: Offset) {
        let shared = &self.shared;
        shared.hot.lock().cut_end(end);
        shared.epochs.write().cut_end(end);
        shared.log_end.store(end, Ordering::Release);
        shared.durable.fetch_min(end, Ordering::AcqRel);
        shared.flushed.fetch_min(end, Ordering::AcqRel);
    }

    fn cut_files(&self, active: &Arc<Segment>, gone: &[Arc<Segment>]) -> Result<(), LogError> {
        let failed = |error: io::Error| self.shared.fail("cutting", &error);
        // From the back, so that a crash never leaves a hole.
        for segment in gone.iter().rev() {
            segment.remove().map_err(failed)?;
        }
        let size = active.size_bytes();
        if size > 0 {
            let file = active.writer().map_err(failed)?;
            file.set_len(size).map_err(failed)?;
            file.sync_data().map_err(failed)?;
            active.forget_index_file().map_err(failed)?;
        } else {
            active.remove().map_err(failed)?;
        }
        // Other records will have their offsets: to be made durable before they do.
        let end = self.end;
        let above = |offset| offset > end;
        self.remove_snapshots(above).map_err(failed)?;
        self.shared
            .disk()
            .sync_dir(&self.shared.path)
            .map_err(failed)?;
        Ok(())
    }

    /// Removes the snapshots of records that went.
    fn remove_snapshots(&self, is_gone: impl Fn(Offset) -> bool) -> io::Result<()> {
        for offset in self.shared.snapshot_files()? {
            if is_gone(offset) {
                let name = file_name(offset, SNAPSHOT);
                self.shared
                    .disk()
                    .remove_file(&self.shared.path.join(name))?;
            }
        }
        Ok(())
    }

    /// Producer state as it was at `end`: the newest snapshot at or below it, and the headers since.
    /// With it, the snapshots that it may be rebuilt from. `flushing` is held.
    fn producers_until(
        &self,
        segments: &[Arc<Segment>],
        end: Offset,
    ) -> Result<(Producers, Vec<Offset>), LogError> {
        let shared = &self.shared;
        // What is on the disk, not what the list says: the newest in the list may wait for a
        // checkpoint that was overtaken, and its predecessor is still there.
        let snapshots = shared
            .snapshot_files()
            .map_err(|error| shared.fail("listing the snapshots of", &error))?;
        let usable = segments[0].base()..=end;
        let usable = snapshots.into_iter().filter(|at| usable.contains(at));
        let mut snapshots = usable.collect();
        if self.producers.is_empty() {
            return Ok((Producers::default(), snapshots));
        }
        let max_producers = self.config().max_producers;
        let rebuilt = recover::producers_at(shared, segments, &mut snapshots, end, max_producers);
        let producers = rebuilt.map_err(|error| match error {
            ScanError::Io { source, .. } => shared.fail("rebuilding producer state of", &source),
            damage => self.corrupt(format!("rebuilding producer state, {damage}")),
        })?;
        Ok((producers, snapshots))
    }

    fn set_producers(&mut self, producers: Producers) {
        self.producers = producers;
        self.publish_unstable();
    }

    /// Forgets what was staged and could not be written. No promise covers it: what a crash finds of
    /// it is what it finds of any unfinished write.
    pub(super) fn take_back(&mut self) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let _flushing = shared.flushing.lock();
        let end = self.shared.log_end.load(Ordering::Acquire);
        self.end = end;
        self.position = self.active.size_bytes();
        self.shared.epochs.write().cut_end(end);
        if self.position == 0 {
            self.first_time = None;
        }
        if let Some(file) = self.file.clone() {
            // Behind the last batch there are whole zeros or nothing.
            let cut = file.set_len(self.position);
            cut.map_err(|error| self.shared.fail("taking back a write to", &error))?;
            self.shared.set_dirty(file);
        }
        self.room = Room::default();
        let segments = shared.segments.read().clone();
        // What was staged is gone, so there is no log to go on with that has the producers of before.
        let rebuilt = self.producers_until(&segments, end);
        let (producers, snapshots) = rebuilt.map_err(|error| match error {
            LogError::Corrupt { .. } => {
                shared.fail("taking back", &io::Error::other(error.to_string()))
            }
            failed => failed,
        })?;
        self.snapshots = snapshots;
        self.set_producers(producers);
        Ok(())
    }

    /// Throws all records away and begins there. Waits for the device. Nothing may be staged.
    pub(crate) fn restart_at(&mut self, beginning: Beginning) -> Result<Offset, LogError> {
        self.shared.usable()?;
        let at = beginning.at;
        if at < 0 {
            let start = self.shared.log_start.load(Ordering::Acquire);
            let end = self.end;
            return Err(LogError::OutOfRange {
                offset: at,
                start,
                end,
            });
        }
        let shared = Arc::clone(&self.shared);
        let _flushing = shared.flushing.lock();
        // Once it has begun there is no way back, and its checkpoint needs room: the present one finds out.
        self.checkpoint().put()?;
        shared.cuts.fetch_add(1, Ordering::AcqRel);
        let restarted = self.restart_held(beginning);
        shared.cuts.fetch_add(1, Ordering::AcqRel);
        restarted
    }

    fn restart_held(&mut self, beginning: Beginning) -> Result<Offset, LogError> {
        let shared = Arc::clone(&self.shared);
        let Beginning {
            at,
            epoch,
            producers,
        } = beginning;
        // The new names stay to be synced; the old files need not be.
        shared.dirty.lock().files.clear();
        shared.hot.lock().clear();
        *shared.epochs.write() = Epochs::default();
        if let Some(epoch) = epoch {
            shared.epochs.write().assign(epoch, at);
        }
        let gone = std::mem::take(&mut *shared.segments.write());
        shared.log_start.store(at, Ordering::Release);
        shared.log_end.store(at, Ordering::Release);
        shared.durable.store(at, Ordering::Release);
        shared.flushed.store(at, Ordering::Release);
        self.end = at;
        self.set_producers(producers);
        self.start_segment(at);
        self.snapshots.clear();
        self.checkpoint().write_held()?;
        let failed = |error: io::Error| shared.fail("emptying", &error);
        for segment in gone.iter().rev() {
            segment.remove().map_err(failed)?;
        }
        let stale = |offset| !self.snapshots.contains(&offset);
        self.remove_snapshots(stale).map_err(failed)?;
        shared.disk().sync_dir(&shared.path).map_err(failed)?;
        Ok(at)
    }
}
