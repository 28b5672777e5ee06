//! The hot tail: the last batches of a log as shared buffers, so that readers at the end of a
//! log, consumers and followers alike, touch no file.
//!
//! The budget belongs to the append thread: runs of all its logs leave in the order in which they
//! came ([`HotBudget`]). Since a frame's batches are appended at about the same time, they leave at
//! about the same time too, and a frame is not pinned by its last small slice for long.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use freshet_records::{BatchHeader, HEADER_BYTES};
use freshet_types::Offset;

use super::{Fetched, ReadSpec, Shared};

/// What one run costs beside its bytes: its place in two queues and its buffers' bookkeeping.
const RUN_OVERHEAD_BYTES: usize = 192;

/// Consecutive batches in one or two buffers.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Offset of the first record.
    pub(crate) base: Offset,
    /// Offset after the last record.
    pub(crate) next: Offset,
    /// The bytes. When `tail` is empty, any number of whole batches; else one batch in two parts.
    pub(crate) head: Bytes,
    pub(crate) tail: Bytes,
}

impl Run {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Cuts a run of many batches down to those from the one that holds `from`, below `upper`,
    /// within `max_bytes`. With `at_least_one` the first is taken whatever its size.
    fn within(&self, from: Offset, spec: &ReadSpec, room: usize, first: bool) -> Option<Self> {
        let must = first && spec.at_least_one;
        if !self.tail.is_empty() {
            let fits = self.next <= spec.upper_bound && (must || self.len() <= room);
            return fits.then(|| self.clone());
        }
        let (mut start, mut end, mut next, mut base) = (None, 0, self.base, self.base);
        while let Ok(header) = BatchHeader::parse(&self.head[end.min(self.head.len())..]) {
            let after = end + header.size_bytes;
            if header.next_offset() > from {
                let begin = *start.get_or_insert(end);
                let taken = end > begin;
                let fits = after - begin <= room || (must && !taken);
                if header.next_offset() > spec.upper_bound || !fits {
                    break;
                }
                if !taken {
                    base = header.base_offset;
                }
                next = header.next_offset();
            }
            end = after;
        }
        let start = start.filter(|&start| end > start)?;
        Some(Self {
            base,
            next,
            head: self.head.slice(start..end),
            tail: Bytes::new(),
        })
    }
}

/// The runs of one log, oldest first, without gaps.
#[derive(Debug, Default)]
pub(crate) struct HotTail {
    runs: VecDeque<Run>,
}

impl HotTail {
    pub(crate) fn push(&mut self, run: Run) {
        // A gap (records dropped on the way to a follower, a log restarted elsewhere) makes what
        // was there before useless for a sequential read.
        if self.runs.back().is_some_and(|last| last.next != run.base) {
            self.runs.clear();
        }
        self.runs.push_back(run);
    }

    /// Forgets runs that start at or below `base`; called by the budget.
    fn pop_through(&mut self, base: Offset) {
        while self.runs.front().is_some_and(|run| run.base <= base) {
            self.runs.pop_front();
        }
        if self.runs.is_empty() {
            self.runs.shrink_to(0);
        }
    }

    /// Forgets everything that reaches beyond `end`.
    pub(crate) fn cut_end(&mut self, end: Offset) {
        while self.runs.back().is_some_and(|run| run.next > end) {
            self.runs.pop_back();
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.runs = VecDeque::new();
    }

    /// Reads, if `spec.from` is in the tail.
    pub(crate) fn read(&self, spec: &ReadSpec) -> Option<Fetched> {
        if self.runs.front()?.base > spec.from {
            return None;
        }
        let mut fetched = Fetched {
            next_offset: spec.from,
            ..Fetched::default()
        };
        let first = self.runs.partition_point(|run| run.next <= spec.from);
        for run in self.runs.range(first..) {
            let room = spec.max_bytes.saturating_sub(fetched.bytes);
            let is_first = fetched.chunks.is_empty();
            let from = fetched.next_offset;
            let Some(part) = run.within(from, spec, room, is_first) else {
                break;
            };
            let whole = part.next == run.next;
            fetched.next_offset = part.next;
            fetched.bytes += part.len();
            fetched.chunks.push(part.head);
            if !part.tail.is_empty() {
                fetched.chunks.push(part.tail);
            }
            if !whole {
                break;
            }
        }
        Some(fetched)
    }
}

/// First in, first out over all logs of one append thread.
#[derive(Debug)]
pub(crate) struct HotBudget {
    limit_bytes: usize,
    held_bytes: usize,
    /// Weak: what waits here must not keep the files of a log open that was deleted or has moved.
    queue: VecDeque<(Weak<Shared>, Offset, usize)>,
}

impl HotBudget {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            held_bytes: 0,
            queue: VecDeque::new(),
        }
    }

    /// `shared` keeps `runs` now; the oldest of all logs leave until the budget holds. Nobody reads the
    /// end of a copy that is on its way.
    pub(crate) fn keep(&mut self, shared: &Arc<Shared>, runs: Vec<Run>) {
        if self.limit_bytes == 0 || shared.name.is_future() {
            return;
        }
        let mut tail = shared.hot.lock();
        for run in runs {
            let cost = run.len() + RUN_OVERHEAD_BYTES;
            self.held_bytes += cost;
            self.queue
                .push_back((Arc::downgrade(shared), run.base, cost));
            tail.push(run);
        }
        drop(tail);
        while self.held_bytes > self.limit_bytes {
            let Some((log, base, cost)) = self.queue.pop_front() else {
                return;
            };
            self.held_bytes -= cost;
            if let Some(log) = log.upgrade() {
                log.hot.lock().pop_through(base);
            }
        }
    }
}

/// Collects the batches of one drain into runs.
///
/// A batch stays a slice of the frame it came in, unless that would keep alive much more than
/// itself: batches of at most [`RunBuilder::COPY_BYTES`], and those of an append that is less than an
/// eighth of its frame, are copied together into one buffer. The copy is of bytes that the checksum
/// has just touched; and neighbours that are copied become one buffer for the file and the socket.
#[derive(Debug, Default)]
pub(crate) struct RunBuilder {
    runs: Vec<Run>,
    copied: Vec<u8>,
    copied_base: Offset,
    copied_next: Offset,
}

impl RunBuilder {
    /// Batches up to this size are copied always.
    pub(crate) const COPY_BYTES: usize = 4096;
    /// A buffer of copies is closed at this size.
    const RUN_BYTES: usize = 64 * 1024;
    const FRAME_SHARE: usize = 8;

    /// Adds a batch of an append of so many `bytes`, a slice of so large a `frame`; `front` replaces the
    /// batch's first bytes.
    pub(crate) fn add(
        &mut self,
        header: &BatchHeader,
        front: &[u8],
        batch: &Bytes,
        (bytes, frame): (usize, usize),
    ) {
        debug_assert!(front.len() <= HEADER_BYTES, "only the header is replaced");
        let size = batch.len();
        let small = size <= Self::COPY_BYTES || bytes.saturating_mul(Self::FRAME_SHARE) < frame;
        if small && size <= Self::RUN_BYTES {
            if self.copied.len() + size > Self::RUN_BYTES {
                self.close_copied();
            }
            if self.copied.is_empty() {
                self.copied_base = header.base_offset;
            }
            self.copied.extend_from_slice(front);
            self.copied.extend_from_slice(&batch[front.len()..]);
            self.copied_next = header.next_offset();
            return;
        }
        self.close_copied();
        let (head, tail) = if small {
            let joined = [front, &batch[front.len()..]].concat();
            (Bytes::from(joined), Bytes::new())
        } else {
            let head = Bytes::copy_from_slice(front);
            (head, batch.slice(front.len()..))
        };
        self.runs.push(Run {
            base: header.base_offset,
            next: header.next_offset(),
            head,
            tail,
        });
    }

    fn close_copied(&mut self) {
        if self.copied.is_empty() {
            return;
        }
        self.runs.push(Run {
            base: self.copied_base,
            next: self.copied_next,
            head: std::mem::take(&mut self.copied).into(),
            tail: Bytes::new(),
        });
    }

    /// All runs, in order.
    pub(crate) fn take(&mut self) -> Vec<Run> {
        self.close_copied();
        std::mem::take(&mut self.runs)
    }
}
