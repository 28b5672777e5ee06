//! One partition's log: a single owner that appends, rolls, cuts and retains. Synchronous; `now` is
//! an argument; everything that others may see is published in [`Shared`].
//!
//! An append has two halves, so that all that waits for a partition becomes one write:
//!
//! ```text
//! stage   sequence judged, offsets given, prefix made, buffers collected      memory only
//! commit  one vectored write at the end of the active segment, then publish   one system call
//! ```
//!
//! Producer state is changed by `stage`, before the write. A failed write takes the directory offline,
//! so that nothing is ever staged after it; one that found no room is taken back whole.

mod cut;
mod inherit;
mod open;
mod recover;
mod retain;
mod room;
mod save;

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use freshet_env::DiskFile;
use freshet_env::disk::OpenMode;
use freshet_records::envelope::index::Indexed;
use freshet_records::{BatchHeader, prefix};
use freshet_types::{LeaderEpoch, Offset, Timestamp};

pub(crate) use recover::producers_at;
pub(crate) use save::{CheckpointJob, Saved};

use crate::batch::{Prepared, PreparedBatch};
use crate::segment::{MAX_SEGMENT_BYTES, Segment};
use crate::state::{Producers, Repeat};
use crate::view::Shared;
use crate::view::hot::{Run, RunBuilder};
use crate::{AppendError, Appended, LogConfig, LogError, LogView, Origin};
use room::Room;

/// Most leader epochs that one segment gets, but for those of one append: what object storage is told of a segment
/// names them all.
const SEGMENT_EPOCHS: usize = 1_000;

/// What stays cached of a copy, at least; twice as much is cached at most.
const COPY_CACHE_BYTES: u64 = 8 << 20;

/// The owner's side of a log.
#[derive(Debug)]
pub(crate) struct Log {
    shared: Arc<Shared>,
    active: Arc<Segment>,
    /// The active segment's file, opened at the first write.
    file: Option<Arc<dyn DiskFile>>,
    /// Bytes in the active segment, staged ones included.
    position: u64,
    /// The next offset, staged records included.
    end: Offset,
    /// Timestamp of the active segment's first batch; unknown until needed after an open.
    first_time: Option<Timestamp>,
    /// Appends of earlier leader epochs are refused; -1 until somebody says which.
    fence: LeaderEpoch,
    /// The active segment's room behind its last batch.
    room: Room,
    producers: Producers,
    /// Base offsets of snapshot files, sorted.
    snapshots: Vec<Offset>,
    staged: Staged,
    /// Why what was staged was taken back: whoever had it staged hears this from the next commit,
    /// and until then nothing is staged.
    taken_back: Option<LogError>,
    generation: u64,
    /// Bytes written since the last checkpoint was made.
    since_checkpoint: u64,
    /// A checkpoint is worth making whatever was written: a segment was closed.
    checkpoint_due: bool,
    records_since_flush: u64,
    /// The log is copied from a leader, and read by nobody.
    is_copy: bool,
    /// Up to here the active segment of a copy is not cached any more.
    forgotten: u64,
}

/// What waits for the next commit.
#[derive(Debug, Default)]
struct Staged {
    runs: RunBuilder,
    indexed: Vec<Indexed>,
    bytes: u64,
    records: u64,
}

/// What a commit did.
#[derive(Debug)]
pub(crate) struct Committed {
    /// The new log end.
    pub(crate) end: Offset,
    /// The bytes, for the hot tail.
    pub(crate) runs: Vec<Run>,
}

impl Log {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn view(&self) -> LogView {
        LogView(Arc::clone(&self.shared))
    }

    fn config(&self) -> arc_swap::Guard<Arc<LogConfig>> {
        self.shared.config.load()
    }

    /// Judges an append and gives it offsets. `stage` never writes, except that it commits and
    /// rolls first when the active segment is full.
    pub(crate) fn stage(
        &mut self,
        prepared: &Prepared,
    ) -> Result<(Appended, Option<Committed>), AppendError> {
        self.shared.usable()?;
        if let Some(error) = &self.taken_back {
            return Err(error.clone().into());
        }
        if let Some(duplicate) = self.judge(prepared)? {
            return Ok((duplicate, None));
        }
        let committed = self.make_room(prepared)?;
        let base_offset = match prepared.origin {
            Origin::Replica => prepared.batches[0].header.base_offset,
            Origin::Client | Origin::Coordinator => self.end,
        };
        let cache_copies = self.shared.context.options.cache_copies;
        self.is_copy = prepared.origin == Origin::Replica && !cache_copies;
        for batch in &prepared.batches {
            self.stage_batch(batch, prepared);
        }
        let appended = Appended {
            base_offset,
            last_offset: self.end - 1,
            log_append_time: prepared.log_append_time,
            log_start: self.shared.log_start.load(Ordering::Acquire),
            duplicate: false,
        };
        Ok((appended, committed))
    }

    /// Everything that can refuse an append, before anything is changed.
    fn judge(&self, prepared: &Prepared) -> Result<Option<Appended>, AppendError> {
        let origin = prepared.origin;
        let latest = self.latest_epoch();
        let (mut end, mut epoch) = (self.end, latest);
        if prepared.leader_epoch < self.fence {
            let (given, latest) = (prepared.leader_epoch, self.fence);
            return Err(LogError::Fenced { given, latest }.into());
        }
        for batch in &prepared.batches {
            let header = &batch.header;
            let given = match origin {
                Origin::Replica => header.leader_epoch,
                Origin::Client | Origin::Coordinator => prepared.leader_epoch,
            };
            if given < epoch {
                return Err(LogError::Fenced { given, latest }.into());
            }
            epoch = given;
            if origin == Origin::Replica {
                let base = header.base_offset;
                if base < end {
                    return Err(AppendError::NotNext { base, end });
                }
                end = header.next_offset();
            }
            if let Some(repeat) = self.producers.check(header, origin)? {
                return Ok(Some(self.duplicate(&repeat)));
            }
        }
        Ok(None)
    }

    fn latest_epoch(&self) -> LeaderEpoch {
        let latest = self.shared.epochs.read().latest();
        latest.map_or(-1, |(epoch, _)| epoch)
    }

    fn duplicate(&self, repeat: &Repeat) -> Appended {
        use freshet_records::TimestampType::LogAppendTime;
        let stamped = self.config().timestamp_type == LogAppendTime;
        let (base_offset, last_offset, timestamp) = match *repeat {
            Repeat::Remembered(stored) => {
                (stored.base_offset, stored.last_offset, stored.timestamp)
            }
            Repeat::Below(end) => (-1, end - 1, Timestamp::NONE),
        };
        Appended {
            base_offset,
            last_offset,
            log_append_time: if stamped { timestamp } else { Timestamp::NONE },
            log_start: self.shared.log_start.load(Ordering::Acquire),
            duplicate: true,
        }
    }

    fn stage_batch(&mut self, batch: &PreparedBatch, prepared: &Prepared) {
        let mut header = batch.header;
        if prepared.origin != Origin::Replica {
            header.base_offset = self.end;
            header.leader_epoch = prepared.leader_epoch;
        }
        self.assign_epoch(header.leader_epoch, header.base_offset);
        let max_producers = self.config().max_producers;
        self.producers.apply(&header, prepared.now, max_producers);
        self.publish_unstable();
        let size = header.size_bytes;
        let share = (prepared.bytes, prepared.frame_bytes);
        let runs = &mut self.staged.runs;
        if batch.stamped {
            runs.add(&header, &header.encode(), &batch.bytes, share);
        } else {
            let front = prefix(header.base_offset, header.leader_epoch, size);
            runs.add(&header, &front, &batch.bytes, share);
        }
        let indexed = self.active.indexed(&header, self.position);
        self.staged.indexed.push(indexed);
        self.staged.bytes += size as u64;
        self.staged.records += u64::try_from(header.record_count).unwrap_or(0);
        self.first_time.get_or_insert(header.max_timestamp);
        self.position += size as u64;
        self.end = header.next_offset();
    }

    fn assign_epoch(&self, epoch: LeaderEpoch, start: Offset) {
        if self.latest_epoch() < epoch {
            self.shared.epochs.write().assign(epoch, start);
        }
    }

    fn publish_unstable(&self) {
        let first = self.producers.first_unstable().unwrap_or(-1);
        let known = self.shared.first_unstable.load(Ordering::Relaxed);
        if known != first {
            self.shared.first_unstable.store(first, Ordering::Release);
        }
    }

    /// Whether an append of so many bytes is a write and nothing else: no file has to be made for it.
    pub(crate) fn is_under_way(&self, bytes: usize) -> bool {
        self.file.is_some() && self.position + bytes as u64 <= self.segment_bytes()
    }

    /// Whether a commit is due.
    pub(crate) fn has_staged(&self) -> bool {
        self.staged.bytes > 0
    }

    /// Whether `flush.messages` records were written since this last said so.
    pub(crate) fn take_flush_due(&mut self) -> bool {
        let due = self.records_since_flush >= self.config().flush_messages;
        if due {
            self.records_since_flush = 0;
        }
        due
    }

    /// Writes what is staged. `None` when nothing was. When the disk has no room for it, the log is
    /// as if it had never been staged.
    pub(crate) fn commit(&mut self) -> Result<Option<Committed>, LogError> {
        match self.taken_back.take() {
            Some(error) => Err(error),
            None => self.commit_staged(),
        }
    }

    fn commit_staged(&mut self) -> Result<Option<Committed>, LogError> {
        if self.staged.bytes == 0 {
            return Ok(None);
        }
        self.shared.usable()?;
        let staged = std::mem::take(&mut self.staged);
        let (indexed, bytes, records) = (staged.indexed, staged.bytes, staged.records);
        let mut runs = staged.runs;
        let runs = runs.take();
        self.write(&runs, bytes).or_else(|error| match error {
            LogError::DiskFull { .. } => self.take_back().and(Err(error)),
            error => Err(error),
        })?;
        self.active.grown(&indexed, self.position, self.end);
        self.since_checkpoint += bytes;
        self.records_since_flush += records;
        let context = &self.shared.context;
        context
            .metrics
            .count_batches(indexed.len() as u64, records, bytes);
        Ok(Some(Committed {
            end: self.end,
            runs,
        }))
    }

    /// Lets readers see a commit; after its runs are in the hot tail, so that they are found there.
    pub(crate) fn publish(&self, end: Offset) {
        self.shared.log_end.store(end, Ordering::Release);
    }

    fn write(&mut self, runs: &[Run], bytes: u64) -> Result<(), LogError> {
        let file = self.open_file()?;
        let start = self.position - bytes;
        self.reserve_blocks(&file)?;
        let zeros: &[u8] = match self.shared.is_page_cache() {
            true => &[],
            false => self
                .room
                .zeros_for(bytes, self.position, self.segment_bytes()),
        };
        let buffers: Vec<IoSlice<'_>> = runs
            .iter()
            .flat_map(|run| [&run.head[..], &run.tail[..]])
            .chain([zeros])
            .filter(|part| !part.is_empty())
            .map(IoSlice::new)
            .collect();
        let clock = &self.shared.context.clock;
        let begin = clock.micros();
        let written = file.write_all_at(&buffers, start);
        let micros = clock.micros().saturating_sub(begin);
        self.shared.context.metrics.writes.observe(micros);
        self.shared.dir.note_write(micros);
        written.map_err(|error| self.shared.refuse("writing to", &error))?;
        self.room.written(self.position, zeros.len());
        self.shared.dir.charge(bytes);
        self.forget_behind(&file);
        self.shared.set_dirty(file);
        Ok(())
    }

    /// Copies are read when their leader dies, if ever: what is further behind leaves the cache. The
    /// memory serves the next records, still warm, instead of pushing out what consumers read.
    fn forget_behind(&mut self, file: &Arc<dyn DiskFile>) {
        let upto = self.position.saturating_sub(COPY_CACHE_BYTES);
        if self.is_copy && upto >= self.forgotten + COPY_CACHE_BYTES {
            file.forget(self.forgotten, upto - self.forgotten);
            self.forgotten = upto;
        }
    }

    /// The active segment's file, made or opened at the first write.
    fn open_file(&mut self) -> Result<Arc<dyn DiskFile>, LogError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let fresh = self.active.size_bytes() == 0;
        let file = match fresh {
            true => self.active.create_or_empty(),
            false => self.active.writer(),
        };
        let file = file.map_err(|error| self.shared.refuse("opening a segment of", &error))?;
        if fresh {
            self.shared.dirty.lock().own_dir = true;
        }
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Reserves blocks ahead: with `preallocate` for the whole segment, else as [`Room`] finds useful.
    fn reserve_blocks(&mut self, file: &Arc<dyn DiskFile>) -> Result<(), LogError> {
        let most = self.segment_bytes().max(self.position);
        let whole = self.config().preallocate;
        let Some(range) = self.room.to_reserve(self.position, most, whole) else {
            return Ok(());
        };
        let reserved = file.allocate(range.start, range.end - range.start);
        match reserved {
            // What is not reserved can still be written, as long as there is room for that.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
            reserved => {
                reserved.map_err(|error| self.shared.fail("reserving blocks for", &error))?;
            }
        }
        self.room.reserved(range.end);
        Ok(())
    }

    /// Commits and rolls when the append would not fit, or its time has come.
    fn make_room(&mut self, prepared: &Prepared) -> Result<Option<Committed>, LogError> {
        if self.position == 0 || !self.must_roll(prepared)? {
            return Ok(None);
        }
        let committed = self.commit_staged().inspect_err(|error| {
            // Those who staged it ask for nothing before the next commit.
            if let LogError::DiskFull { .. } = error {
                self.taken_back = Some(error.clone());
            }
        });
        let committed = committed?;
        self.roll()?;
        Ok(committed)
    }

    /// Most that the active segment may hold, but for one batch.
    fn segment_bytes(&self) -> u64 {
        self.config().segment_bytes.min(MAX_SEGMENT_BYTES)
    }

    fn must_roll(&mut self, prepared: &Prepared) -> Result<bool, LogError> {
        let limit = self.segment_bytes();
        if self.position + prepared.bytes as u64 > limit {
            return Ok(true);
        }
        // A producer's base offset means nothing; it gets the next one here.
        let records = |batch: &PreparedBatch| i64::from(batch.header.last_offset_delta) + 1;
        let end = match prepared.origin {
            Origin::Replica => prepared
                .batches
                .last()
                .map_or(self.end, |batch| batch.header.next_offset()),
            Origin::Client | Origin::Coordinator => prepared
                .batches
                .iter()
                .map(records)
                .fold(self.end, i64::saturating_add),
        };
        if end.saturating_sub(self.active.base()) > i64::from(i32::MAX) {
            return Ok(true);
        }
        if self.has_many_epochs(prepared) {
            return Ok(true);
        }
        let now = prepared.now;
        let newest = prepared.batches[0].header.max_timestamp;
        let newest = if newest.0 < 0 { now } else { newest };
        let first = self.segment_first_time(now)?;
        let age = u64::try_from(newest.0.saturating_sub(first.0)).unwrap_or(0);
        Ok(age > self.config().segment_ms.saturating_sub(self.jitter()))
    }

    /// Whether the active segment would have more than [`SEGMENT_EPOCHS`].
    fn has_many_epochs(&self, prepared: &Prepared) -> bool {
        let last = prepared.batches.last();
        let given = match prepared.origin {
            Origin::Replica => last.map_or(-1, |batch| batch.header.leader_epoch),
            Origin::Client | Origin::Coordinator => prepared.leader_epoch,
        };
        let epochs = self.shared.epochs.read();
        let is_new = epochs.latest().is_none_or(|(latest, _)| latest < given);
        // One may have begun before the segment.
        is_new && 1 + epochs.since(self.active.base()) >= SEGMENT_EPOCHS
    }

    /// The same for a segment on every replica and after every restart: from its base offset.
    fn jitter(&self) -> u64 {
        match self
            .config()
            .segment_jitter_ms
            .min(self.config().segment_ms)
        {
            0 => 0,
            most => {
                let seed = self.active.base() as u64 ^ u64::from(self.shared.name.partition as u32);
                seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % most
            }
        }
    }

    /// Timestamp of the active segment's first batch; `now` where it has none.
    fn segment_first_time(&mut self, now: Timestamp) -> Result<Timestamp, LogError> {
        if let Some(first) = self.first_time {
            return Ok(if first.0 < 0 { now } else { first });
        }
        let file = self.open_file()?;
        let mut header = [0; freshet_records::HEADER_BYTES];
        let read = file.read_exact_at(&mut header, 0);
        read.map_err(|error| self.shared.fail("reading a segment of", &error))?;
        let first = BatchHeader::parse(&header).map_or(now, |header| header.max_timestamp);
        self.first_time = Some(first);
        Ok(if first.0 < 0 { now } else { first })
    }

    /// Closes the active segment and starts an empty one. Nothing may be staged.
    pub(crate) fn roll(&mut self) -> Result<(), LogError> {
        debug_assert_eq!(self.staged.bytes, 0, "commit comes before roll");
        if self.position == 0 {
            return Ok(());
        }
        // A log that lost its state may have a torn end in its last segment only; so there is no
        // second segment before the state is durable.
        if !self.shared.founded.load(Ordering::Acquire) {
            self.shared.flush()?;
        }
        let full = Arc::clone(&self.active);
        self.trim_room()?;
        self.start_segment(self.end);
        full.set_sealed(true);
        let context = Arc::clone(&self.shared.context);
        context.open_segments.opened(&full);
        context
            .janitor
            .submit_or_run(Box::new(move || full.save_index()));
        // The producer snapshot at a segment's start is what a truncation goes back to.
        self.checkpoint_due = true;
        Ok(())
    }

    /// Cuts off what lies behind the active segment's last batch: reserved blocks and zeros. The next
    /// flush makes that durable, before anything in a later segment is.
    pub(crate) fn trim_room(&mut self) -> Result<(), LogError> {
        if let Some(file) = self.cut_room()? {
            self.shared.set_dirty(file);
        }
        Ok(())
    }

    /// The same, and nothing makes it durable: gives the file, if there was anything to cut.
    fn cut_room(&mut self) -> Result<Option<Arc<dyn DiskFile>>, LogError> {
        if !self.room.reaches_beyond(self.position) {
            return Ok(None);
        }
        let file = match &self.file {
            Some(file) => Ok(Arc::clone(file)),
            // Not kept open: nobody writes to it.
            None => {
                let path = self.active.path("log");
                self.shared.disk().open(&path, OpenMode::Write)
            }
        };
        let cut = file.and_then(|file| file.set_len(self.position).map(|()| file));
        let file = cut.map_err(|error| self.shared.fail("trimming a segment of", &error))?;
        self.room = Room::default();
        Ok(Some(file))
    }

    /// Makes an empty active segment. Its file comes with the first write.
    fn start_segment(&mut self, base: Offset) {
        let segment = Arc::new(Segment::new(
            Arc::clone(self.shared.disk()),
            Arc::clone(&self.shared.path),
            base,
            0,
            &self.config(),
        ));
        self.shared.segments.write().push(Arc::clone(&segment));
        self.active = segment;
        self.file = None;
        self.position = 0;
        self.forgotten = 0;
        self.room = Room::default();
        self.first_time = None;
    }

    /// A new leader epoch begins at the log end.
    pub(crate) fn start_epoch(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.fence(epoch)?;
        self.assign_epoch(epoch, self.end);
        Ok(())
    }

    /// Nothing of an earlier leader epoch is taken any more.
    pub(crate) fn fence(&mut self, epoch: LeaderEpoch) -> Result<(), LogError> {
        self.shared.usable()?;
        let latest = self.latest_epoch().max(self.fence);
        if epoch < latest {
            let given = epoch;
            return Err(LogError::Fenced { given, latest });
        }
        self.fence = epoch;
        // An epoch that wrote nothing is no part of the log's history. A follower that named it
        // would be told for ever that it has left its leader's.
        self.shared.epochs.write().cut_end(self.end);
        Ok(())
    }
}
