//! Finding out where a log ends after a stop that was not clean.
//!
//! ```text
//!            log start      checkpoint                      torn
//!  ─────────────┼───────────────┼──────────────────────────────╳········
//!               │  durable by   │  scanned: every checksum,    │ cut away
//!               │  promise      │  every offset                │
//! ```
//!
//! What the checkpoint promises is never touched: when the file is shorter than that, or a sealed
//! segment has another length, the log is damaged and stays offline. Behind the checkpoint lies
//! what was written since; the first batch there that is not whole ends the log. Everything that
//! was acknowledged is whole, because it was synced before it was acknowledged.
//!
//! When the state file itself is lost, nothing is promised and everything is scanned. Only the last
//! segment may then have a torn end: a bad batch anywhere before is damage.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use freshet_records::BatchHeader;
use freshet_types::{Offset, Timestamp};

use crate::segment::scan::{Scan, ScanError};
use crate::segment::{Segment, file_name};
use crate::state::{Epochs, Producers, SNAPSHOT};
use crate::view::Shared;

/// Largest producer snapshot that is read: 100,000 producers with five batches each need 19 MB.
const MAX_SNAPSHOT_BYTES: u64 = 1 << 30;

/// State that grows with every scanned batch.
pub(super) struct Replay {
    pub(super) producers: Producers,
    pub(super) epochs: Epochs,
    pub(super) now: Timestamp,
    pub(super) max_producers: usize,
}

impl Replay {
    pub(super) fn apply(&mut self, header: &BatchHeader) {
        let latest = self.epochs.latest().map_or(-1, |(epoch, _)| epoch);
        if header.leader_epoch > latest {
            self.epochs.assign(header.leader_epoch, header.base_offset);
        }
        // The time of the append is not stored; the record's own is, and expiry needs no more. A
        // producer's clock that runs ahead must not keep it for ever.
        let seen = header.max_timestamp.min(self.now);
        self.producers.apply(header, seen, self.max_producers);
    }
}

/// Why a scan ended.
pub(super) enum End {
    /// The file's last byte belongs to a whole batch.
    Whole,
    /// No whole batch follows; why.
    Torn(String),
}

/// Where valid batches end.
pub(super) struct Scanned {
    pub(super) position: u64,
    pub(super) next: Offset,
    pub(super) end: End,
}

/// Reads batches of one segment from `position` on and verifies them. Offsets below the first of `due` are not
/// due, nor is its end or one behind it.
pub(super) fn scan_segment(
    segment: &Segment,
    position: u64,
    due: Range<Offset>,
    replay: &mut Replay,
) -> io::Result<Scanned> {
    let next = due.start;
    let mut scanned = Scanned {
        position,
        next,
        end: End::Whole,
    };
    let file_len = segment.size_bytes();
    if position >= file_len {
        return Ok(scanned);
    }
    let mut scan = Scan::new(segment.reader()?, position, file_len);
    let mut stray = None;
    let mut has_looked = false;
    loop {
        let at = scan.position();
        let header = match scan.next_batch() {
            Ok(Some((header, _))) => header,
            Ok(None) => return Ok(scanned),
            Err(ScanError::Io { source, .. }) => return Err(source),
            Err(ScanError::Bad { what, .. }) => {
                scanned.end = End::Torn(what.to_string());
                return Ok(scanned);
            }
            Err(ScanError::Misplaced { what, .. }) => {
                scanned.end = End::Torn(what.to_string());
                return Ok(scanned);
            }
        };
        if header.base_offset > scanned.next && !has_looked {
            has_looked = true;
            stray = stray_behind_a_hole(segment, at, scanned.next..due.end)?;
        }
        if header.base_offset < scanned.next || stray == Some(at) {
            // A block of an older life of the disk, or of a cut that was not finished.
            let (found, wanted) = (header.base_offset, scanned.next);
            scanned.end = End::Torn(format!("offset {found} where {wanted} was due"));
            return Ok(scanned);
        }
        replay.apply(&header);
        scanned.position = scan.position();
        scanned.next = header.next_offset();
    }
}

/// Where a batch behind a hole is not what should be there, if it shows: those that follow it go on with offsets
/// that lie before its own. To end the log there tells whoever knows what was committed that it is damaged; behind it,
/// records would be missing in its middle, and nobody would know. What is of an older life goes on before the hole.
fn stray_behind_a_hole(
    segment: &Segment,
    position: u64,
    due: Range<Offset>,
) -> io::Result<Option<u64>> {
    let mut scan = Scan::new(segment.reader()?, position, segment.size_bytes());
    let mut next = due.start;
    let mut hole = (position, next);
    loop {
        let at = scan.position();
        let following = match scan.next_batch() {
            Ok(Some((header, _))) if header.base_offset >= next => {
                if header.base_offset > next {
                    hole = (at, next);
                }
                next = header.next_offset();
                continue;
            }
            Ok(Some((header, _))) => header.base_offset,
            Ok(None) if next > due.end => due.end,
            Ok(None) | Err(ScanError::Bad { .. } | ScanError::Misplaced { .. }) => return Ok(None),
            Err(ScanError::Io { source, .. }) => return Err(source),
        };
        return Ok((following > hole.1).then_some(hole.0));
    }
}

/// Producer state at `end`: the newest readable snapshot at or below it, and the headers since.
/// Snapshots that cannot be read are dropped from the list.
pub(crate) fn producers_at(
    shared: &Arc<Shared>,
    segments: &[Arc<Segment>],
    snapshots: &mut Vec<Offset>,
    end: Offset,
    max_producers: usize,
) -> Result<Producers, ScanError> {
    let mut from = segments.first().map_or(end, |segment| segment.base());
    let mut producers = Producers::default();
    while let Some(&offset) = snapshots.last() {
        match read_snapshot(shared, offset) {
            Some(read) => {
                from = offset;
                producers = read;
                break;
            }
            None => snapshots.pop(),
        };
    }
    let mut replay = Replay {
        producers,
        epochs: Epochs::default(),
        now: shared.context.clock.wall(),
        max_producers,
    };
    for (i, segment) in segments.iter().enumerate() {
        let next = segments.get(i + 1).map_or(end, |next| next.base());
        if next > from && segment.base() < end {
            replay_headers(segment, from, end, &mut replay)?;
        }
    }
    Ok(replay.producers)
}

fn read_snapshot(shared: &Shared, offset: Offset) -> Option<Producers> {
    let path = shared.path.join(file_name(offset, SNAPSHOT));
    let bytes = shared.disk().read_small(&path, MAX_SNAPSHOT_BYTES);
    let read = bytes
        .map_err(|error| error.to_string())
        .and_then(|bytes| Producers::from_snapshot(&bytes).map_err(|error| error.to_string()));
    read.inspect_err(|error| tracing::warn!(path = %path.display(), error, "snapshot not usable"))
        .ok()
}

/// Applies the headers of batches in `from..end`; checksums were verified when they were written.
fn replay_headers(
    segment: &Segment,
    from: Offset,
    end: Offset,
    replay: &mut Replay,
) -> Result<(), ScanError> {
    let start = match from <= segment.base() {
        true => segment.all(),
        false => segment.start_for(from, false)?,
    };
    let position = start.position;
    let io = |source| ScanError::Io { position, source };
    let file = segment.reader().map_err(io)?;
    let mut scan = Scan::in_order(file, &start);
    while let Some((header, _)) = scan.next_header()? {
        if header.base_offset >= end {
            return Ok(());
        }
        if header.base_offset >= from {
            replay.apply(&header);
        }
    }
    Ok(())
}
