//! Reading batches: from the hot tail, else from a segment file.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use freshet_env::DiskFile;
use freshet_records::{BatchError, BatchHeader, CRC_FROM, HEADER_BYTES, crc32c};
use freshet_types::Offset;

use super::buffers::{Buffer, Buffers};
use super::{Fetched, Read, ReadSpec, Shared};
use crate::segment::Segment;
use crate::segment::order::{Order, Start};
use crate::segment::scan::{Scan, ScanError};
use crate::{LogError, ReadError};

/// Room for the headers in front of the batch that is looked for.
const MIN_CHUNK_BYTES: u64 = 4096;
/// EIO, on all systems.
const DEVICE_FAILED: i32 = 5;
/// How often a read starts again because files were cut or deleted under it.
const ATTEMPTS: usize = 16;

/// Why a file could not be read right now.
enum Miss {
    /// The device must be asked.
    Cold,
    /// The segment is gone: retention, or a cut.
    Moved,
    /// An error to hand on.
    Failed(ReadError),
}

impl Shared {
    /// Never waits for the device.
    pub(super) fn read(&self, spec: &ReadSpec) -> Result<Read, ReadError> {
        match self.read_with(spec, true)? {
            Some(fetched) => Ok(Read::Ready(fetched)),
            None => Ok(Read::Cold),
        }
    }

    /// Waits for the device.
    pub(super) fn read_blocking(&self, spec: &ReadSpec) -> Result<Fetched, ReadError> {
        match self.read_with(spec, false)? {
            Some(fetched) => Ok(fetched),
            // Only cached reads can miss; this one was not.
            None => Err(ReadError::Io {
                reason: "the file system answered that it would block".into(),
            }),
        }
    }

    fn read_with(&self, spec: &ReadSpec, cached: bool) -> Result<Option<Fetched>, ReadError> {
        self.readable()?;
        for _ in 0..ATTEMPTS {
            let cuts = self.cuts.load(Ordering::Acquire);
            if !cuts.is_multiple_of(2) {
                // A cut is under way, which waits for the device.
                if cached {
                    return Ok(None);
                }
                drop(self.flushing.lock());
                continue;
            }
            let start = self.log_start.load(Ordering::Acquire);
            let end = self.log_end.load(Ordering::Acquire);
            let offset = spec.from;
            if offset < start || offset > end {
                return Err(ReadError::OutOfRange { offset, start, end });
            }
            let bounded = ReadSpec {
                upper_bound: spec.upper_bound.min(end),
                ..*spec
            };
            let fetched = if bounded.upper_bound <= offset {
                Ok(empty(offset))
            } else {
                self.fetch(&bounded, cached)
            };
            // What was read while files were cut may be anything.
            let still = cuts == self.cuts.load(Ordering::Acquire);
            match fetched {
                Ok(mut fetched) if still => {
                    fetched.log_start = start;
                    fetched.log_end = end;
                    return Ok(Some(fetched));
                }
                Err(Miss::Cold) => return Ok(None),
                Err(Miss::Failed(error)) if still => {
                    self.tell_corrupt(&error);
                    return Err(error);
                }
                Ok(_) | Err(Miss::Moved | Miss::Failed(_)) => {}
            }
        }
        Err(ReadError::Io {
            reason: "files were cut under the read again and again".into(),
        })
    }

    /// A closed log can still be read; one that is offline or damaged cannot.
    pub(super) fn readable(&self) -> Result<(), LogError> {
        match self.usable() {
            Err(LogError::Closed { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn fetch(&self, spec: &ReadSpec, cached: bool) -> Result<Fetched, Miss> {
        if let Some(fetched) = self.hot.lock().read(spec) {
            let bytes = fetched.bytes as u64;
            self.context.metrics.count_hot_read(bytes);
            return Ok(fetched);
        }
        let mut from = spec.from;
        loop {
            let Some((segment, next_base)) = self.segment_for(from) else {
                return Ok(empty(spec.from));
            };
            if let Some(fetched) = self.fetch_from(&segment, spec, from, cached)? {
                let bytes = fetched.bytes as u64;
                self.context.metrics.count_file_read(bytes);
                return Ok(fetched);
            }
            // Nothing at or behind `from` in this segment: its last records are compacted away.
            match next_base {
                Some(base) if base < spec.upper_bound => from = base,
                _ => return Ok(empty(spec.from)),
            }
        }
    }

    /// The segment that holds `offset`, with the base of the next one.
    pub(super) fn segment_for(&self, offset: Offset) -> Option<(Arc<Segment>, Option<Offset>)> {
        let segments = self.segments.read();
        let next = segments.partition_point(|segment| segment.base() <= offset);
        let segment = segments.get(next.saturating_sub(1))?;
        let next_base = segments.get(next.max(1)).map(|segment| segment.base());
        Some((Arc::clone(segment), next_base))
    }

    /// Opens a segment's file for reading and remembers it for eviction.
    pub(super) fn open_segment(&self, segment: &Arc<Segment>) -> io::Result<Arc<dyn DiskFile>> {
        let was_open = segment.is_open();
        let file = segment.reader()?;
        if !was_open && segment.is_sealed() {
            self.context.open_segments.opened(segment);
        }
        Ok(file)
    }

    /// Batches of one segment; `None` when all its batches end before `from`.
    fn fetch_from(
        &self,
        segment: &Arc<Segment>,
        spec: &ReadSpec,
        from: Offset,
        cached: bool,
    ) -> Result<Option<Fetched>, Miss> {
        let cuts = segment.cuts();
        let size = segment.size_bytes();
        let file = self.open_segment(segment).map_err(from_io)?;
        let reader = Reader {
            file,
            buffers: &self.context.buffers,
            size,
            cached,
        };
        let remembered = reader.remembered(segment, from, spec)?;
        let (position, mut chunk) = match remembered {
            Some(found) => found,
            None => match self.look_up(&reader, segment, from, spec)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let header = BatchHeader::parse(&chunk).map_err(|what| corrupt(from, &what))?;
        let (needed, left) = (header.size_bytes, size - position);
        if needed as u64 > left {
            let what = BatchError::Truncated {
                needed_bytes: needed,
                present_bytes: usize::try_from(left).unwrap_or(usize::MAX),
            };
            return Err(corrupt(from, &what));
        }
        if needed > chunk.len() {
            if !spec.at_least_one && needed > spec.max_bytes {
                return Ok(Some(empty(spec.from)));
            }
            chunk = reader.exactly(position, needed)?.into_bytes();
        }
        let fetched = self.take_batches(chunk, spec)?;
        if fetched.next_offset > spec.from {
            let end = position + fetched.bytes as u64;
            segment.leave_cursor(fetched.next_offset, end, cuts);
        }
        Ok(Some(fetched))
    }

    /// Where the batch lies that holds `from`, or the first one behind, and what begins there: a header at
    /// least. `None` when there is none.
    fn look_up(
        &self,
        reader: &Reader<'_>,
        segment: &Segment,
        from: Offset,
        spec: &ReadSpec,
    ) -> Result<Option<(u64, Bytes)>, Miss> {
        let start = segment
            .start_for(from, reader.cached)
            .map_err(|e| scan_miss(from, e))?;
        // The batch is within one index step of the start; reading that much more saves a search.
        let ahead = start.border().position.min(reader.size);
        let ahead = ahead.saturating_sub(start.position);
        if ahead <= spec.max_bytes as u64 {
            let want = (spec.max_bytes as u64 + ahead).max(MIN_CHUNK_BYTES);
            let chunk = reader.chunk(start.position, want)?;
            if let Some(at) = skip_to(&chunk, &start, from) {
                let chunk = chunk.into_bytes().split_off(at);
                return Ok(Some((start.position + at as u64, chunk)));
            }
        }
        self.search(reader, &start, from, spec)
    }

    /// The same by walking headers, which also looks behind holes and says what is wrong.
    fn search(
        &self,
        reader: &Reader<'_>,
        start: &Start,
        from: Offset,
        spec: &ReadSpec,
    ) -> Result<Option<(u64, Bytes)>, Miss> {
        let mut scan = Scan::in_order(Arc::clone(&reader.file), start);
        if reader.cached {
            scan = scan.cached_only();
        }
        let mut in_front = None;
        let found = loop {
            match scan.next_header().map_err(|e| scan_miss(from, e))? {
                Some((header, position)) if header.next_offset() <= from => {
                    in_front = Some(position..position + header.size_bytes as u64);
                }
                found => break found,
            }
        };
        let is_hole = found.is_none_or(|(header, _)| header.base_offset > from);
        if let Some(range) = in_front.filter(|_| is_hole) {
            // What is asked may be in there, if its length in offsets is damaged.
            let mut whole = Scan::new(Arc::clone(&reader.file), range.start, range.end);
            if reader.cached {
                whole = whole.cached_only();
            }
            whole.next_batch().map_err(|e| scan_miss(from, e))?;
        }
        match found {
            Some((_, position)) if position < reader.size => {
                Ok(Some((position, reader.batch(position, spec)?)))
            }
            // What has been appended meanwhile is not asked for.
            Some(_) | None => Ok(None),
        }
    }

    /// Verifies and counts the whole batches at the start of `chunk`, within the spec's limits. The first one
    /// is whole and where it belongs.
    fn take_batches(&self, chunk: Bytes, spec: &ReadSpec) -> Result<Fetched, Miss> {
        let mut taken = 0;
        let mut next = spec.from;
        while let Ok(header) = BatchHeader::parse(&chunk[taken..]) {
            let until = taken + header.size_bytes;
            let fits = until <= spec.max_bytes || (taken == 0 && spec.at_least_one);
            if !fits || until > chunk.len() {
                break;
            }
            let is_first = taken == 0;
            let reaches_bound = header.next_offset() > spec.upper_bound;
            // Behind a hole, or damage: the next read looks which.
            if !is_first && (reaches_bound || header.base_offset != next) {
                break;
            }
            let computed = crc32c(&chunk[taken + CRC_FROM..until]);
            if computed != header.crc {
                let stored = header.crc;
                if !is_first {
                    // Hand out what is whole; the next read meets the damage first.
                    break;
                }
                return Err(corrupt(next, &BatchError::Crc { stored, computed }));
            }
            // Only now: a damaged length in offsets would have it wait for ever.
            if reaches_bound {
                break;
            }
            taken = until;
            next = header.next_offset();
        }
        if taken == 0 {
            return Ok(empty(spec.from));
        }
        Ok(Fetched {
            chunks: vec![chunk.slice(..taken)],
            bytes: taken,
            next_offset: next,
            log_start: 0,
            log_end: 0,
        })
    }

    fn tell_corrupt(&self, error: &ReadError) {
        if let ReadError::Corrupt { offset, what } = error {
            self.context.metrics.count_corrupt_read();
            tracing::error!(log = %self.name, offset, %what, "a stored batch is damaged");
        }
    }

    /// A scan's error for a reader that waits for the device.
    pub(super) fn scan_failed(&self, offset: Offset, error: ScanError) -> ReadError {
        match scan_miss(offset, error) {
            Miss::Failed(error) => {
                self.tell_corrupt(&error);
                error
            }
            Miss::Cold | Miss::Moved => ReadError::Io {
                reason: "the segment went away".into(),
            },
        }
    }
}

/// A segment file with the rules of one read.
struct Reader<'a> {
    file: Arc<dyn DiskFile>,
    buffers: &'a Arc<Buffers>,
    /// Published size: nothing behind it is looked at.
    size: u64,
    cached: bool,
}

impl Reader<'_> {
    /// What lies where an earlier read has stopped, if it begins there as it should. That read may have been of
    /// another place.
    fn remembered(
        &self,
        segment: &Segment,
        from: Offset,
        spec: &ReadSpec,
    ) -> Result<Option<(u64, Bytes)>, Miss> {
        let Some(position) = segment.cursor(from) else {
            return Ok(None);
        };
        if position.saturating_add(HEADER_BYTES as u64) <= self.size {
            let bytes = self.batch(position, spec)?;
            if BatchHeader::parse(&bytes).is_ok_and(|header| header.base_offset == from) {
                return Ok(Some((position, bytes)));
            }
        }
        segment.forget_cursor(from);
        Ok(None)
    }

    /// What is wanted of the batches from `position` on: a header at least.
    fn batch(&self, position: u64, spec: &ReadSpec) -> Result<Bytes, Miss> {
        let want = (spec.max_bytes as u64).max(MIN_CHUNK_BYTES);
        let bytes = self.chunk(position, want)?;
        if bytes.len() >= HEADER_BYTES {
            return Ok(bytes.into_bytes());
        }
        Ok(self.exactly(position, HEADER_BYTES)?.into_bytes())
    }

    /// At most `want` bytes; fewer at the end, or where less is cached.
    fn chunk(&self, position: u64, want: u64) -> Result<Buffer, Miss> {
        let want = want.min(self.size.saturating_sub(position));
        let mut bytes = self
            .buffers
            .take(usize::try_from(want).unwrap_or(usize::MAX));
        let mut filled = 0;
        while filled < bytes.len() {
            let at = position + filled as u64;
            let read = if self.cached {
                match self.file.read_at_cached(&mut bytes[filled..], at) {
                    Err(error) if filled > 0 && error.kind() == io::ErrorKind::WouldBlock => break,
                    read => read,
                }
            } else {
                self.file.read_at(&mut bytes[filled..], at)
            };
            match read.map_err(from_io)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Exactly `want` bytes.
    fn exactly(&self, position: u64, want: usize) -> Result<Buffer, Miss> {
        let bytes = self.chunk(position, want as u64)?;
        if bytes.len() == want {
            return Ok(bytes);
        }
        if self.cached {
            return Err(Miss::Cold);
        }
        Err(from_io(io::ErrorKind::UnexpectedEof.into()))
    }
}

fn corrupt(offset: Offset, what: &dyn fmt::Display) -> Miss {
    let what = what.to_string().into();
    Miss::Failed(ReadError::Corrupt { offset, what })
}

fn scan_miss(offset: Offset, error: ScanError) -> Miss {
    match error {
        ScanError::Io { source, .. } => from_io(source),
        error => corrupt(offset, &error),
    }
}

/// Where in `chunk` the batch starts that holds `from`; `None` when it is not in there, or may not be
/// what it seems.
fn skip_to(chunk: &[u8], start: &Start, from: Offset) -> Option<usize> {
    let (mut at, mut order) = (0, Order::new(start));
    while let Ok(header) = BatchHeader::parse(chunk.get(at..)?) {
        let is_hole = order.take(&header).ok()?;
        if header.next_offset() > from {
            return (!is_hole && header.base_offset <= from).then_some(at);
        }
        at += header.size_bytes;
    }
    None
}

fn from_io(error: io::Error) -> Miss {
    match error.kind() {
        io::ErrorKind::WouldBlock => Miss::Cold,
        io::ErrorKind::NotFound => Miss::Moved,
        _ => Miss::Failed(failed_read(&error)),
    }
}

/// A read of a segment that is there. What passes is told from what was written and is not given back.
pub(super) fn failed_read(error: &io::Error) -> ReadError {
    let reason = error.to_string().into();
    let ends_early = error.kind() == io::ErrorKind::UnexpectedEof;
    match ends_early || error.raw_os_error() == Some(DEVICE_FAILED) {
        true => ReadError::Unreadable { reason },
        false => ReadError::Io { reason },
    }
}

fn empty(from: Offset) -> Fetched {
    Fetched {
        next_offset: from,
        ..Fetched::default()
    }
}
