//! One file of batches with its index. Written by the log's owner, read by anybody.

mod index;
pub(crate) mod order;
pub(crate) mod scan;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use freshet_env::disk::OpenMode;
use freshet_env::{Disk, DiskFile};
use freshet_records::envelope::index::{Entries, Indexed, MAX_INDEX_BYTES, MaxTime, StoredIndex};
use freshet_types::Offset;
use parking_lot::{Mutex, RwLock};

use crate::LogConfig;
use index::Index;
use order::{Border, Start};
use scan::{Scan, ScanError};

/// Positions are 32 bits: a segment may hold this much and one more batch.
pub(crate) const MAX_SEGMENT_BYTES: u64 = i32::MAX as u64;
/// A smaller segment is scanned about as fast as its index file is read, and thousands of such files
/// would make a stop slow.
const MIN_INDEXED_BYTES: u64 = 1 << 20;
/// Places where sequential readers stopped, remembered per segment.
const CURSORS: usize = 4;

/// `00000000000000000042.log`: 20 digits, as Kafka names them.
pub(crate) fn file_name(base: Offset, suffix: &str) -> String {
    format!("{base:020}.{suffix}")
}

/// The offset in such a name, if it has the suffix.
pub(crate) fn parse_file_name(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?.strip_suffix('.')?;
    let decimal = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    decimal.then(|| digits.parse().ok()).flatten()
}

/// A segment. `size_bytes` is published after the bytes are written, so readers bounded by it
/// see whole batches only.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    dir: Arc<Path>,
    disk: Arc<dyn Disk>,
    size_bytes: AtomicU64,
    /// How often it was cut: what was learnt from bytes before a cut is not remembered after it.
    cuts: AtomicU64,
    file: Mutex<Option<Arc<dyn DiskFile>>>,
    index: RwLock<Index>,
    /// One rebuild of the head at a time.
    rebuild: Mutex<()>,
    /// Held while the index file is written or removed.
    saving: Mutex<()>,
    cursors: Mutex<Cursors>,
    /// Not written any more: may be evicted.
    sealed: AtomicBool,
    /// Removed, or about to be.
    gone: AtomicBool,
    /// Answer of [`Segment::max_time`] for a sealed segment, whose index need not stay for it.
    max_time: Mutex<Option<Option<MaxTime>>>,
}

#[derive(Debug, Default)]
struct Cursors {
    places: [Option<(Offset, u64)>; CURSORS],
    next: usize,
}

impl Segment {
    /// A segment whose file has `size_bytes` valid bytes. Opens nothing.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: Arc<Path>,
        base: Offset,
        size_bytes: u64,
        config: &LogConfig,
    ) -> Self {
        let covered = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        let index = Index::new(
            base,
            covered,
            config.index_interval_bytes,
            config.segment_index_bytes,
        );
        Self {
            base,
            dir,
            disk,
            size_bytes: AtomicU64::new(size_bytes),
            cuts: AtomicU64::new(0),
            file: Mutex::new(None),
            index: RwLock::new(index),
            rebuild: Mutex::new(()),
            saving: Mutex::new(()),
            cursors: Mutex::default(),
            sealed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            max_time: Mutex::new(None),
        }
    }

    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    /// To be asked before `size_bytes` and any byte, by whoever leaves what it learnt here.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    pub(crate) fn path(&self, suffix: &str) -> PathBuf {
        self.dir.join(file_name(self.base, suffix))
    }

    /// Makes the file; durable only after a sync of the directory. One that is there holds nothing
    /// that was ever durable, and is emptied.
    pub(crate) fn create_or_empty(&self) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(&self.path("log"), OpenMode::Replace)?;
        *self.file.lock() = Some(Arc::clone(&file));
        Ok(file)
    }

    /// The file for its writer.
    pub(crate) fn writer(&self) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(&self.path("log"), OpenMode::Write)?;
        *self.file.lock() = Some(Arc::clone(&file));
        Ok(file)
    }

    /// The file for a reader, opened when it is not.
    pub(crate) fn reader(&self) -> io::Result<Arc<dyn DiskFile>> {
        let mut slot = self.file.lock();
        if let Some(file) = &*slot {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path("log"), OpenMode::Read)?;
        *slot = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Whether the file is open.
    pub(crate) fn is_open(&self) -> bool {
        self.file.lock().is_some()
    }

    /// Nothing will be written to it any more, unless a cut makes it the last one again.
    pub(crate) fn set_sealed(&self, sealed: bool) {
        // Under the index's lock, so that an eviction never meets a segment that is being written.
        let _index = self.index.write();
        self.sealed.store(sealed, Ordering::Release);
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Closes the file and forgets the index of a sealed segment; both come back when needed.
    pub(crate) fn evict(&self) {
        let mut index = self.index.write();
        if !self.is_sealed() {
            return;
        }
        *self.file.lock() = None;
        let end = index.end().offset;
        index.cut(u32::try_from(self.size_bytes()).unwrap_or(u32::MAX), end);
    }

    /// Batches were written; the file has `size_bytes` now, and the next batch begins at `end`.
    pub(crate) fn grown(&self, batches: &[Indexed], size_bytes: u64, end: Offset) {
        let mut index = self.index.write();
        for batch in batches {
            index.add(*batch);
        }
        index.grow(Border {
            position: size_bytes,
            offset: end,
        });
        drop(index);
        self.size_bytes.store(size_bytes, Ordering::Release);
    }

    /// The next segment, or the next batch, begins at `end`.
    pub(crate) fn set_end(&self, end: Offset) {
        self.index.write().set_end(end);
    }

    /// The file was cut, in front of the offset `end`.
    pub(crate) fn cut(&self, size_bytes: u64, end: Offset) {
        self.size_bytes.store(size_bytes, Ordering::Release);
        // Behind the size: whoever knows of this cut keeps within it. In front of the locks: whoever
        // does not, and came in time to leave something, leaves it for the lines below to clear.
        self.cuts.fetch_add(1, Ordering::AcqRel);
        let position = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        self.index.write().cut(position, end);
        *self.cursors.lock() = Cursors::default();
        *self.max_time.lock() = None;
    }

    /// Remembers that the batch which holds `offset` starts at `position`, unless the segment was
    /// cut more than `cuts` times.
    pub(crate) fn leave_cursor(&self, offset: Offset, position: u64, cuts: u64) {
        let mut cursors = self.cursors.lock();
        if self.cuts() != cuts {
            return;
        }
        let next = cursors.next;
        cursors.places[next] = Some((offset, position));
        cursors.next = (next + 1) % CURSORS;
    }

    /// Takes back what [`Segment::leave_cursor`] has remembered of `offset`.
    pub(crate) fn forget_cursor(&self, offset: Offset) {
        let mut cursors = self.cursors.lock();
        for place in &mut cursors.places {
            place.take_if(|(at, _)| *at == offset);
        }
    }

    /// Where the batch that holds `offset` should start, by [`Segment::leave_cursor`].
    pub(crate) fn cursor(&self, offset: Offset) -> Option<u64> {
        let known = self.cursors.lock().places;
        let here = known.iter().flatten().find(|(at, _)| *at == offset);
        here.map(|&(_, position)| position)
    }

    /// From the first byte on.
    pub(crate) fn all(&self) -> Start {
        self.index.read().all()
    }

    /// Where to start looking for `offset`. With `cached` it fails with `WouldBlock` where the
    /// index has to be loaded first.
    pub(crate) fn start_for(&self, offset: Offset, cached: bool) -> Result<Start, ScanError> {
        let delta = u32::try_from(offset - self.base).unwrap_or(u32::MAX);
        match self.ask_index(cached, |index| index.by_offset(delta)) {
            // No index is made of damage; a walk from the first byte shows what is whole in front of it.
            Err(ScanError::Bad { .. } | ScanError::Misplaced { .. }) => Ok(self.all()),
            start => start,
        }
    }

    /// A start with no timestamp of `target` or later in front of it. Waits for the device.
    pub(crate) fn start_for_time(
        &self,
        target: freshet_types::Timestamp,
    ) -> Result<Start, ScanError> {
        self.ask_index(false, |index| index.by_time(target))
    }

    /// The batch with the largest timestamp. Waits for the device.
    pub(crate) fn max_time(&self) -> Result<Option<MaxTime>, ScanError> {
        if let Some(known) = *self.max_time.lock() {
            return Ok(known);
        }
        let cuts = self.cuts();
        let max = self.ask_index(false, Index::max)?;
        if self.is_sealed() {
            let mut known = self.max_time.lock();
            if self.cuts() == cuts {
                *known = Some(max);
            }
            drop(known);
            if !self.is_open() {
                self.index.write().drop_head();
            }
        }
        Ok(max)
    }

    fn ask_index<T>(
        &self,
        cached: bool,
        ask: impl Fn(&Index) -> Option<T>,
    ) -> Result<T, ScanError> {
        loop {
            if let Some(answer) = ask(&self.index.read()) {
                return Ok(answer);
            }
            if cached {
                let source = io::ErrorKind::WouldBlock.into();
                return Err(ScanError::Io {
                    position: 0,
                    source,
                });
            }
            self.load_head()?;
        }
    }

    /// Reads the index file, or scans the segment and writes it.
    fn load_head(&self) -> Result<(), ScanError> {
        let _one = self.rebuild.lock();
        let cuts = self.cuts();
        let (covers, front, mut builder) = {
            let index = self.index.read();
            let Some(covers) = index.missing_head() else {
                return Ok(());
            };
            (covers, index.front(), index.empty_head())
        };
        if let Some(file) = self.read_index_file()
            && file.covers == covers
        {
            self.set_head(Arc::new(file.entries), (covers, cuts));
            return Ok(());
        }
        let file = self.reader().map_err(|source| ScanError::Io {
            position: 0,
            source,
        })?;
        let mut scan = Scan::in_order(file, &front).believing();
        while let Some((header, position)) = scan.next_header()? {
            builder.add(self.indexed(&header, position));
        }
        self.set_head(builder.finish(), (covers, cuts));
        self.save_index();
        Ok(())
    }

    fn set_head(&self, head: Arc<Entries>, (covers, cuts): (u32, u64)) {
        let mut index = self.index.write();
        if self.cuts() == cuts {
            index.set_head(head, covers);
        }
    }

    /// What a batch adds to the index.
    pub(crate) fn indexed(&self, header: &freshet_records::BatchHeader, position: u64) -> Indexed {
        Indexed {
            delta: u32::try_from(header.base_offset - self.base).unwrap_or(u32::MAX),
            position: u32::try_from(position).unwrap_or(u32::MAX),
            max_timestamp: header.max_timestamp,
        }
    }

    fn read_index_file(&self) -> Option<StoredIndex> {
        let bytes = self.disk.read_small(&self.path("index"), MAX_INDEX_BYTES);
        StoredIndex::from_bytes(&bytes.ok()?).ok()
    }

    /// Writes the index file, when the whole index is known. Errors do not matter: it is a cache.
    pub(crate) fn save_index(&self) {
        if self.gone.load(Ordering::Acquire) || self.size_bytes() < MIN_INDEXED_BYTES {
            return;
        }
        let _saving = self.saving.lock();
        let (entries, size) = {
            let index = self.index.read();
            (index.whole(), self.size_bytes())
        };
        let (Some(entries), Ok(covers)) = (entries, u32::try_from(size)) else {
            return;
        };
        let bytes = StoredIndex { covers, entries }.to_bytes();
        let written = self
            .disk
            .open(&self.path("index"), OpenMode::Replace)
            .and_then(|file| file.write_all_at(&[io::IoSlice::new(&bytes)], 0));
        if let Err(error) = written {
            let path = self.path("index");
            tracing::debug!(path = %path.display(), %error, "index not saved");
        }
    }

    /// Removes the index file of a segment that was cut, or may have lost its end: an index is known
    /// by the length of its segment, which other batches may reach again.
    pub(crate) fn forget_index_file(&self) -> io::Result<()> {
        let _saving = self.saving.lock();
        match self.disk.remove_file(&self.path("index")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whatever is in its place later belongs to another segment.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// Removes what is on the disk; a reader that has the file open keeps its bytes.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.set_gone();
        for suffix in ["index", "log"] {
            match self.disk.remove_file(&self.path(suffix)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A read that a cut overtook knew of bytes that others have replaced.
    #[test]
    fn what_was_learnt_before_a_cut_is_not_remembered_after_it() {
        let disk: Arc<dyn Disk> = Arc::new(freshet_env::disk::SystemDisk);
        let dir = Path::new("/nowhere").into();
        let segment = Segment::new(disk, dir, 0, 300, &LogConfig::default());
        let cuts = segment.cuts();
        segment.leave_cursor(5, 200, cuts);
        assert_eq!(segment.cursor(5), Some(200));
        segment.cut(100, 4);
        assert_eq!(segment.cursor(5), None);
        segment.leave_cursor(5, 200, cuts);
        assert_eq!(segment.cursor(5), None);
        segment.set_head(Arc::default(), (100, cuts));
        assert!(segment.start_for(4, true).is_err());
        segment.leave_cursor(5, 90, segment.cuts());
        assert_eq!(segment.cursor(5), Some(90));
        segment.set_head(Arc::default(), (100, segment.cuts()));
        assert_eq!(segment.start_for(4, true).unwrap().position, 0);
    }

    #[test]
    fn names_are_kafkas() {
        assert_eq!(file_name(42, "log"), "00000000000000000042.log");
        assert_eq!(parse_file_name("00000000000000000042.log", "log"), Some(42));
        for bad in [
            "42.log",
            "00000000000000000042.index",
            "0000000000000000004x.log",
            "99999999999999999999.log",
            "+0000000000000000042.log",
            "00000000000000000042log",
        ] {
            assert_eq!(parse_file_name(bad, "log"), None, "{bad}");
        }
    }
}
