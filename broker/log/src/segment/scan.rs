//! Walking over the batches of a segment file, from front to back.

use std::io;
use std::sync::Arc;

use freshet_env::DiskFile;
use freshet_records::{BatchError, BatchHeader, CRC_FROM, HEADER_BYTES, crc32c};

use super::order::{Misplaced, Order, Start};

const CHUNK_BYTES: u64 = 256 * 1024;
const SKIP_CHUNK_BYTES: u64 = 4096;

/// Why a walk stopped before the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    /// The device.
    #[error("reading at byte {position}: {source}")]
    Io { position: u64, source: io::Error },
    /// No whole, valid batch starts here.
    #[error("at byte {position}: {what}")]
    Bad { position: u64, what: BatchError },
    /// A batch starts here, but another one should.
    #[error("at byte {position}: {what}")]
    Misplaced { position: u64, what: Misplaced },
}

/// Reads batches from a range of a file. Memory: one chunk, or one batch where batches are wanted
/// whole; a length field cannot claim more than the range still has.
#[derive(Debug)]
pub(crate) struct Scan {
    file: Arc<dyn DiskFile>,
    position: u64,
    end: u64,
    chunk: Vec<u8>,
    chunk_at: u64,
    /// Never wait for the device; the walk then fails with `WouldBlock`.
    cached: bool,
    next_chunk_bytes: u64,
    /// None: anything goes.
    order: Option<Order>,
    /// Up to here holes are believed.
    believed: u64,
}

impl Scan {
    /// Over `from..end`; a batch must start at `from`. Offsets are not looked at.
    pub(crate) fn new(file: Arc<dyn DiskFile>, from: u64, end: u64) -> Self {
        Self {
            file,
            position: from,
            end,
            chunk: Vec::new(),
            chunk_at: from,
            cached: false,
            next_chunk_bytes: SKIP_CHUNK_BYTES,
            order: None,
            believed: end,
        }
    }

    /// From `start` to the end of its segment; offsets must be in order. In front of a batch behind a hole the walk
    /// looks at what follows, once up to each border.
    pub(crate) fn in_order(file: Arc<dyn DiskFile>, start: &Start) -> Self {
        Self {
            order: Some(Order::new(start)),
            believed: 0,
            ..Self::new(file, start.position, start.end.position)
        }
    }

    /// Believes holes: for walks that count for nothing unless they come to the end.
    pub(crate) fn believing(mut self) -> Self {
        self.believed = self.end;
        self
    }

    /// Never waits for the device.
    pub(crate) fn cached_only(mut self) -> Self {
        self.cached = true;
        self
    }

    /// Where the next batch starts; after an error, where the bad one does.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next header with its position. The batch is known to fit the range, no more.
    pub(crate) fn next_header(&mut self) -> Result<Option<(BatchHeader, u64)>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let at = self.position;
        let header =
            BatchHeader::parse(self.bytes(HEADER_BYTES as u64)?).map_err(|what| bad(at, what))?;
        let left = self.end - at;
        if header.size_bytes as u64 > left {
            let what = BatchError::Truncated {
                needed_bytes: header.size_bytes,
                present_bytes: usize::try_from(left).unwrap_or(usize::MAX),
            };
            return Err(bad(at, what));
        }
        self.position += header.size_bytes as u64;
        self.check_order(&header, at)?;
        // Small batches are read many at a time; large ones are skipped over.
        self.next_chunk_bytes = if header.size_bytes < 32 * 1024 {
            CHUNK_BYTES
        } else {
            SKIP_CHUNK_BYTES
        };
        Ok(Some((header, at)))
    }

    fn check_order(&mut self, header: &BatchHeader, at: u64) -> Result<(), ScanError> {
        let Some(order) = &mut self.order else {
            return Ok(());
        };
        let border = order.border().position;
        let is_hole = order.take(header).map_err(|what| {
            self.position = at;
            ScanError::Misplaced { position: at, what }
        })?;
        if !is_hole || at < self.believed {
            return Ok(());
        }
        let mut ahead = Self {
            order: Some(order.clone()),
            cached: self.cached,
            ..Self::new(Arc::clone(&self.file), self.position, border)
        };
        while ahead.next_header()?.is_some() {}
        self.believed = border;
        Ok(())
    }

    /// The next batch whole, with its checksum verified.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(BatchHeader, &[u8])>, ScanError> {
        self.next_chunk_bytes = CHUNK_BYTES;
        let Some((header, at)) = self.next_header()? else {
            return Ok(None);
        };
        self.position = at;
        self.next_chunk_bytes = CHUNK_BYTES;
        let size = header.size_bytes as u64;
        self.load(size)?;
        let from = usize::try_from(at - self.chunk_at).expect("the chunk holds the batch");
        let bytes = &self.chunk[from..from + header.size_bytes];
        let computed = crc32c(&bytes[CRC_FROM..]);
        if computed != header.crc {
            let stored = header.crc;
            return Err(bad(at, BatchError::Crc { stored, computed }));
        }
        self.position += size;
        Ok(Some((header, bytes)))
    }

    /// At most `want` bytes from the position on; fewer at the end of the range.
    fn bytes(&mut self, want: u64) -> Result<&[u8], ScanError> {
        self.load(want)?;
        let from = usize::try_from(self.position - self.chunk_at).expect("within the chunk");
        let want = usize::try_from(want).expect("headers are small");
        let until = (from + want).min(self.chunk.len());
        Ok(&self.chunk[from..until])
    }

    /// Makes the chunk hold `want` bytes from the position on, as far as the range goes.
    fn load(&mut self, want: u64) -> Result<(), ScanError> {
        let want = want.min(self.end - self.position);
        let chunk_end = self.chunk_at + self.chunk.len() as u64;
        if self.position >= self.chunk_at && self.position + want <= chunk_end {
            return Ok(());
        }
        let read = want
            .max(self.next_chunk_bytes)
            .min(self.end - self.position);
        let read = usize::try_from(read).expect("segments fit memory addresses");
        self.chunk.resize(read, 0);
        self.chunk_at = self.position;
        let filled = self.fill();
        if filled.is_err() {
            self.chunk.clear();
        }
        let short = match filled {
            Ok(()) => (self.chunk.len() as u64) < want,
            Err(source) => {
                let position = self.position;
                return Err(ScanError::Io { position, source });
            }
        };
        if short {
            // The file is shorter than the range, or not cached that far.
            let kind = if self.cached {
                io::ErrorKind::WouldBlock
            } else {
                io::ErrorKind::UnexpectedEof
            };
            let position = self.position;
            let source = kind.into();
            return Err(ScanError::Io { position, source });
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut filled = 0;
        while filled < self.chunk.len() {
            let position = self.chunk_at + filled as u64;
            let rest = &mut self.chunk[filled..];
            let read = if self.cached {
                match self.file.read_at_cached(rest, position) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && filled > 0 => 0,
                    read => read?,
                }
            } else {
                self.file.read_at(rest, position)?
            };
            if read == 0 {
                break;
            }
            filled += read;
        }
        self.chunk.truncate(filled);
        Ok(())
    }
}

fn bad(position: u64, what: BatchError) -> ScanError {
    ScanError::Bad { position, what }
}
