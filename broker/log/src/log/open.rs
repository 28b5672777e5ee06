//! Opening a log: what is in its directory against what its checkpoint promises.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use freshet_env::DiskFile;
use freshet_env::disk::{Entry, OpenMode};
use freshet_types::Offset;

use super::recover::{End, Replay, producers_at, scan_segment};
use super::room::{Room, is_room};
use super::{Log, Staged};
use crate::dir::{STATE, io_error, read_state};
use crate::segment::{Segment, file_name, parse_file_name};
use crate::state::stop::StopRow;
use crate::state::{Checkpoint, Producers, SNAPSHOT};
use crate::view::{Dirty, Shared, SharedSpec};
use crate::writers::context::Context;
use crate::{LogError, OpenError, OpenLog};

/// What was found about a log, before it is judged.
struct Found {
    checkpoint: Checkpoint,
    /// Producer snapshot that came with the checkpoint.
    producers: Vec<u8>,
    /// The last stop was clean: the log ends exactly at the checkpoint.
    clean: bool,
    /// Where the zeros behind it end, if it was clean and there are any.
    zeroed: u64,
    /// The state was lost: the checkpoint is made up, and promises nothing.
    unknown: bool,
}

impl Log {
    /// Opens or makes a log. The caller has reserved its name in the directory.
    pub(crate) fn open(spec: OpenLog, context: Arc<Context>) -> Result<Self, OpenError> {
        if let Some(failure) = spec.dir.failure() {
            return Err(failure.into());
        }
        let path: Arc<Path> = spec.dir.log_path(&spec.name).into();
        let disk = Arc::clone(spec.dir.disk());
        let entries = match disk.list(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Self::make(spec, context, path);
            }
            Err(error) => return Err(io_error("listing", &path, &error)),
        };
        let found = find_state(&spec, &path, &entries)?;
        Opening {
            spec,
            context,
            path,
            entries,
            found,
        }
        .run()
    }

    /// Makes an empty log. Nothing is synced now: a log whose making is lost in a crash held
    /// nothing, and its first flush syncs its names and its state before anything counts.
    fn make(spec: OpenLog, context: Arc<Context>, path: Arc<Path>) -> Result<Self, OpenError> {
        let disk = Arc::clone(spec.dir.disk());
        // What the last clean stop says of a log that had the name before must not count as newer:
        // after a crash it is found again, though it was forgotten here.
        let generation = spec.dir.newest_row() + 1;
        let checkpoint = Checkpoint {
            generation,
            ..Checkpoint::fresh(spec.topic_id)
        };
        let made = disk.create_dir_all(&path).and_then(|()| {
            let state = disk.open(&path.join(STATE), OpenMode::Replace)?;
            let bytes = checkpoint.to_file();
            state.write_all_at(&[io::IoSlice::new(&bytes)], 0)?;
            Ok(state)
        });
        // Nothing was promised yet, so this is no reason to take the directory offline.
        let state = made.map_err(|error| io_error("making", &path, &error))?;
        let dirty = Dirty {
            files: vec![state],
            own_dir: true,
            parent_dir: true,
        };
        let segment = new_segment(&spec, &path, 0, 0);
        let opening = Opening {
            spec,
            context,
            path,
            entries: Vec::new(),
            found: Found {
                checkpoint,
                producers: Vec::new(),
                clean: false,
                zeroed: 0,
                unknown: false,
            },
        };
        let shared = opening.share(&opening.found.checkpoint, 0, vec![segment], dirty);
        Ok(assemble(
            shared,
            Producers::default(),
            Vec::new(),
            generation,
        ))
    }
}

fn find_state(spec: &OpenLog, path: &Path, entries: &[Entry]) -> Result<Found, OpenError> {
    let disk = spec.dir.disk();
    let row = spec.dir.row(&spec.name);
    let row = row.filter(|row| row.checkpoint.topic_id == spec.topic_id);
    if let Some(row) = row {
        if row.clean {
            return Ok(found(row));
        }
        let state = read_state(&**disk, path).map_err(|e| io_error("reading", path, &e))?;
        let newer = state.filter(|state| state.generation > row.checkpoint.generation);
        return match newer {
            Some(state) => of_state(spec, state),
            None => Ok(found(row)),
        };
    }
    let state = read_state(&**disk, path).map_err(|error| io_error("reading", path, &error))?;
    if let Some(state) = state {
        return of_state(spec, state);
    }
    let first = entries
        .iter()
        .find_map(|entry| parse_file_name(&entry.name, "log"));
    let base = first.unwrap_or(0);
    let checkpoint = Checkpoint {
        log_start: base,
        durable_end: base,
        segment: base,
        ..Checkpoint::fresh(spec.topic_id)
    };
    let has_log = first.is_some();
    if has_log {
        tracing::warn!(log = %spec.name, "state is lost: reading the whole log");
    }
    Ok(Found {
        checkpoint,
        producers: Vec::new(),
        clean: false,
        zeroed: 0,
        unknown: true,
    })
}

fn found(row: StopRow) -> Found {
    Found {
        checkpoint: row.checkpoint,
        producers: row.producers,
        clean: row.clean,
        zeroed: row.zeroed,
        unknown: false,
    }
}

fn of_state(spec: &OpenLog, state: Checkpoint) -> Result<Found, OpenError> {
    if state.topic_id != spec.topic_id {
        return Err(OpenError::OtherTopic {
            log: spec.name.clone(),
            found: state.topic_id,
            wanted: spec.topic_id,
        });
    }
    Ok(Found {
        checkpoint: state,
        producers: Vec::new(),
        clean: false,
        zeroed: 0,
        unknown: false,
    })
}

/// An open under way.
struct Opening {
    spec: OpenLog,
    context: Arc<Context>,
    path: Arc<Path>,
    entries: Vec<Entry>,
    found: Found,
}

impl Opening {
    fn run(self) -> Result<Log, OpenError> {
        let sealed = self.check_promised()?;
        if self.found.clean && self.ends_at_checkpoint() {
            return self.take_as_is(sealed);
        }
        self.recover(sealed)
    }

    fn corrupt(&self, what: String) -> OpenError {
        let log = self.spec.name.clone();
        tracing::error!(%log, what, "log is damaged");
        let what = what.into();
        LogError::Corrupt { log, what }.into()
    }

    /// Sizes of the segment files, sorted by base.
    fn files(&self) -> impl Iterator<Item = (Offset, u64)> {
        self.entries.iter().filter_map(|entry| {
            let base = parse_file_name(&entry.name, "log")?;
            Some((base, entry.len_bytes))
        })
    }

    /// The segments before the checkpoint's, or what is wrong with them and with that one. A prefix
    /// may be missing (retention); of the others, none, and none may have another length.
    fn check_promised(&self) -> Result<Vec<Arc<Segment>>, OpenError> {
        let checkpoint = &self.found.checkpoint;
        let len_of = |base| self.files().find(|file| file.0 == base).map(|file| file.1);
        let mut segments: Vec<Arc<Segment>> = Vec::new();
        for sealed in &checkpoint.sealed {
            match len_of(sealed.base) {
                Some(len) if len == sealed.size_bytes => {
                    let segment = new_segment(&self.spec, &self.path, sealed.base, len);
                    segment.set_sealed(true);
                    segments.push(segment);
                }
                None if segments.is_empty() => {}
                Some(len) => {
                    let (base, size) = (sealed.base, sealed.size_bytes);
                    let what = format!("segment {base} has {len} bytes instead of {size}");
                    return Err(self.corrupt(what));
                }
                None => return Err(self.corrupt(format!("segment {} is missing", sealed.base))),
            }
        }
        let (base, position) = (checkpoint.segment, checkpoint.position);
        match len_of(base) {
            Some(len) if len >= position => {}
            None if position == 0 => {}
            found => {
                let found = found.unwrap_or(0);
                let what = format!("segment {base} has {found} bytes, {position} were durable");
                return Err(self.corrupt(what));
            }
        }
        Ok(segments)
    }

    /// After a clean stop nothing lies behind the checkpoint but the zeros that were there.
    fn ends_at_checkpoint(&self) -> bool {
        let checkpoint = &self.found.checkpoint;
        let end = checkpoint.position.max(self.found.zeroed);
        self.files().all(|(base, len)| {
            base < checkpoint.segment || (base == checkpoint.segment && len == end)
        })
    }

    /// After a clean stop: nothing is read.
    fn take_as_is(self, mut segments: Vec<Arc<Segment>>) -> Result<Log, OpenError> {
        let mut snapshots = self.snapshots(&segments);
        let (base, position) = (
            self.found.checkpoint.segment,
            self.found.checkpoint.position,
        );
        segments.push(new_segment(&self.spec, &self.path, base, position));
        let shared = self.share(
            &self.found.checkpoint,
            self.found.checkpoint.durable_end,
            segments,
            Dirty::default(),
        );
        let producers = self.producers(&shared, &mut snapshots)?;
        let generation = self.found.checkpoint.generation;
        let mut log = assemble(shared, producers, snapshots, generation);
        log.room = Room::found(self.found.zeroed);
        Ok(log)
    }

    /// Producer snapshots up to the checkpoint. Later ones belong to a checkpoint that was not
    /// finished, or to records that were cut; between earlier ones and the first segment there are
    /// records that nobody can read any more. Both are removed.
    fn snapshots(&self, sealed: &[Arc<Segment>]) -> Vec<Offset> {
        let checkpoint = &self.found.checkpoint;
        let first = sealed
            .first()
            .map_or(checkpoint.segment, |segment| segment.base());
        let usable = first..=checkpoint.durable_end;
        let all = self.entries.iter();
        let all = all.filter_map(|entry| parse_file_name(&entry.name, SNAPSHOT));
        let (kept, stale): (Vec<_>, Vec<_>) = all.partition(|offset| usable.contains(offset));
        for offset in stale {
            let path = self.path.join(file_name(offset, SNAPSHOT));
            if let Err(error) = self.spec.dir.disk().remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "stale snapshot not removed");
            }
        }
        kept
    }

    /// After any other stop: what lies behind the checkpoint is verified.
    fn recover(mut self, sealed: Vec<Arc<Segment>>) -> Result<Log, OpenError> {
        let begin = self.context.clock.micros();
        let mut snapshots = self.snapshots(&sealed);
        let end = self.found.checkpoint.durable_end;
        let before = self.share(
            &self.found.checkpoint,
            end,
            sealed.clone(),
            Dirty::default(),
        );
        let mut replay = Replay {
            producers: self.producers(&before, &mut snapshots)?,
            epochs: self.found.checkpoint.epochs.clone(),
            now: self.context.clock.wall(),
            max_producers: self.spec.config.max_producers,
        };
        let mut tail = self.scan_tail(&mut replay)?;
        let changed = tail.scanned_bytes > 0 || tail.cut_bytes > 0;
        if changed {
            let millis = self.context.clock.micros().saturating_sub(begin) / 1000;
            let (log, scanned, cut) = (&self.spec.name, tail.scanned_bytes, tail.cut_bytes);
            tracing::info!(%log, from = end, end = tail.end, scanned, cut, millis, "recovered");
        }
        let mut segments = sealed;
        segments.append(&mut tail.segments);
        let (_active, full) = segments
            .split_last()
            .expect("the tail has the active segment");
        full.iter().for_each(|segment| segment.set_sealed(true));
        // After a crash the directory was synced whole; only what was cut since is not. After a clean
        // stop nobody did, and somebody was at the files.
        let meddled = self.spec.dir.was_clean() && changed;
        let must_flush = meddled || tail.cut_bytes > 0;
        let dirty = Dirty {
            files: if must_flush { tail.files } else { Vec::new() },
            own_dir: must_flush,
            parent_dir: meddled,
        };
        let unknown = self.found.unknown;
        self.found.checkpoint.epochs = replay.epochs;
        let shared = self.share(&self.found.checkpoint, tail.end, segments, dirty);
        let generation = self.found.checkpoint.generation;
        let mut log = assemble(shared, replay.producers, snapshots, generation);
        log.since_checkpoint = tail.scanned_bytes;
        log.room = Room::found(tail.zeroed);
        if unknown {
            log.checkpoint().write()?;
        } else if must_flush {
            // A cut must be durable before anything is written where it was.
            log.shared.flush()?;
        }
        Ok(log)
    }

    fn share(
        &self,
        checkpoint: &Checkpoint,
        log_end: Offset,
        segments: Vec<Arc<Segment>>,
        dirty: Dirty,
    ) -> Arc<Shared> {
        let first = segments.first().map_or(0, |segment| segment.base());
        Arc::new(Shared::new(SharedSpec {
            name: self.spec.name.clone(),
            topic_id: self.spec.topic_id,
            dir: Arc::clone(&self.spec.dir),
            path: Arc::clone(&self.path),
            context: Arc::clone(&self.context),
            progress: Arc::clone(&self.spec.progress),
            config: Arc::clone(&self.spec.config),
            // Retention removes segments without writing that down.
            log_start: checkpoint.log_start.max(first).min(log_end),
            log_end,
            segments,
            epochs: checkpoint.epochs.clone(),
            dirty,
            generation: checkpoint.generation,
        }))
    }

    /// Producer state at the checkpoint: from what came with it, else from snapshots and headers.
    fn producers(
        &self,
        shared: &Arc<Shared>,
        snapshots: &mut Vec<Offset>,
    ) -> Result<Producers, OpenError> {
        let checkpoint = &self.found.checkpoint;
        if !checkpoint.has_producers {
            return Ok(Producers::default());
        }
        if let Ok(producers) = Producers::from_snapshot(&self.found.producers) {
            return Ok(producers);
        }
        let mut segments = shared.segments.read().clone();
        if segments
            .last()
            .is_none_or(|last| last.base() < checkpoint.segment)
        {
            let (base, position) = (checkpoint.segment, checkpoint.position);
            let segment = new_segment(&self.spec, &self.path, base, position);
            segment.set_end(checkpoint.durable_end);
            segments.push(segment);
        }
        let max = self.spec.config.max_producers;
        producers_at(shared, &segments, snapshots, checkpoint.durable_end, max)
            .map_err(|error| self.corrupt(format!("producer state cannot be rebuilt: {error}")))
    }

    /// Verifies everything behind the checkpoint, cuts at the first batch that is not whole, and
    /// removes what is behind that.
    fn scan_tail(&self, replay: &mut Replay) -> Result<Tail, OpenError> {
        let checkpoint = &self.found.checkpoint;
        let mut tail = Tail {
            end: checkpoint.durable_end,
            ..Tail::default()
        };
        let mut torn = false;
        let files: Vec<_> = self.files().collect();
        for (i, &(base, len)) in files.iter().enumerate() {
            let is_first = base == checkpoint.segment;
            let promised = checkpoint.sealed.iter().any(|sealed| sealed.base == base);
            if promised {
                continue;
            }
            let may_cut = !self.found.unknown || i + 1 == files.len();
            if torn || (!is_first && base != tail.end) {
                // Behind a cut, a leftover of a log that was started anew, or behind a hole.
                if !may_cut {
                    return Err(
                        self.corrupt(format!("segment {base} does not follow {}", tail.end))
                    );
                }
                self.remove_segment(base, len, &mut tail)?;
                torn |= base > checkpoint.segment;
                continue;
            }
            let from = if is_first { checkpoint.position } else { 0 };
            let file = TailFile {
                base,
                len,
                from,
                end: files.get(i + 1).map_or(Offset::MAX, |next| next.0),
                is_last: i + 1 == files.len(),
                may_cut,
            };
            torn = self.scan_one(file, replay, &mut tail)?;
        }
        if tail.segments.is_empty() {
            let base = checkpoint.segment;
            tail.segments
                .push(new_segment(&self.spec, &self.path, base, 0));
        }
        Ok(tail)
    }

    /// Verifies one segment and cuts it where it is torn, if it may; says whether it was torn.
    fn scan_one(
        &self,
        file: TailFile,
        replay: &mut Replay,
        tail: &mut Tail,
    ) -> Result<bool, OpenError> {
        let TailFile {
            base,
            len,
            from,
            is_last,
            ..
        } = file;
        let failed = |error: io::Error| io_error("recovering", &self.path, &error);
        let whole = new_segment(&self.spec, &self.path, base, len);
        let due = tail.end..file.end;
        let scanned = scan_segment(&whole, from, due, replay).map_err(failed)?;
        let position = scanned.position;
        tail.scanned_bytes += position - from;
        tail.end = scanned.next;
        let segment = new_segment(&self.spec, &self.path, base, position);
        if is_last && position > 0 && position < len {
            let file = whole.reader().map_err(failed)?;
            if is_room(&*file, position..len).map_err(failed)? {
                segment.forget_index_file().map_err(failed)?;
                tail.zeroed = len;
                tail.segments.push(segment);
                return Ok(false);
            }
        }
        if let End::Torn(what) = &scanned.end {
            if !file.may_cut {
                return Err(self.corrupt(format!("segment {base} at byte {position}: {what}")));
            }
            let (log, cut) = (&self.spec.name, len - position);
            tracing::warn!(%log, base, position, cut, what, "torn tail cut");
            tail.cut_bytes += cut;
        }
        segment.forget_index_file().map_err(failed)?;
        if position < len {
            let file = segment.writer().map_err(failed)?;
            file.set_len(position).map_err(failed)?;
            tail.files.push(file);
        } else if self.spec.dir.was_clean() && len > from {
            tail.files.push(segment.writer().map_err(failed)?);
        }
        tail.segments.push(segment);
        Ok(matches!(scanned.end, End::Torn(_)))
    }

    fn remove_segment(&self, base: Offset, len: u64, tail: &mut Tail) -> Result<(), OpenError> {
        let log = &self.spec.name;
        tracing::warn!(%log, base, bytes = len, "segment without a place in the log removed");
        tail.cut_bytes += len;
        let removed = new_segment(&self.spec, &self.path, base, len).remove();
        removed.map_err(|error| io_error("removing a segment of", &self.path, &error))
    }
}

/// A segment file that reaches behind the checkpoint.
struct TailFile {
    base: Offset,
    len: u64,
    /// Where to start.
    from: u64,
    /// Where the next segment starts.
    end: Offset,
    /// No segment is behind it.
    is_last: bool,
    /// Whether a bad batch is a torn tail, or else damage.
    may_cut: bool,
}

/// What lies behind the checkpoint.
#[derive(Default)]
struct Tail {
    /// From the checkpoint's segment on; the last one is active.
    segments: Vec<Arc<Segment>>,
    /// The log end.
    end: Offset,
    /// To be synced.
    files: Vec<Arc<dyn DiskFile>>,
    scanned_bytes: u64,
    cut_bytes: u64,
    /// End of the zeros behind the last batch; 0 for none.
    zeroed: u64,
}

fn new_segment(spec: &OpenLog, path: &Arc<Path>, base: Offset, size_bytes: u64) -> Arc<Segment> {
    let disk = Arc::clone(spec.dir.disk());
    Arc::new(Segment::new(
        disk,
        Arc::clone(path),
        base,
        size_bytes,
        &spec.config,
    ))
}

fn assemble(
    shared: Arc<Shared>,
    producers: Producers,
    snapshots: Vec<Offset>,
    generation: u64,
) -> Log {
    let segments = shared.segments.read();
    let active = Arc::clone(segments.last().expect("a log has an active segment"));
    drop(segments);
    let position = active.size_bytes();
    let end = shared.log_end.load(Ordering::Acquire);
    let log = Log {
        shared,
        active,
        file: None,
        position,
        end,
        first_time: None,
        fence: -1,
        room: Room::default(),
        producers,
        snapshots,
        staged: Staged::default(),
        taken_back: None,
        generation,
        since_checkpoint: 0,
        checkpoint_due: false,
        records_since_flush: 0,
        is_copy: false,
        forgotten: 0,
    };
    log.publish_unstable();
    log
}
