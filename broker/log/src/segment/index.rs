//! The sparse index of one segment: offset and time, in memory, bounded.
//!
//! What entries are, and their bytes, is in [`freshet_records::envelope::index`].

use std::sync::Arc;

use freshet_records::envelope::index::{Entries, Entry, Indexed, MAX_ENTRIES, MaxTime};
use freshet_types::{Offset, Timestamp};

use super::order::{Border, Start};

/// `segment.index.bytes` lowers how many entries are kept, but not below this.
const MIN_ENTRIES: usize = 64;

/// The index of one segment: `tail` is written as batches are appended, `head` covers what was
/// there when the segment was opened and is read or rebuilt when somebody needs it.
#[derive(Debug)]
pub(crate) struct Index {
    cap: usize,
    /// The segment's first offset.
    base: Offset,
    /// Where the segment ends.
    end: Border,
    head_end: u32,
    head: Option<Arc<Entries>>,
    tail: Entries,
}

impl Index {
    /// Of a segment that has `head_end` bytes already. Its last offset is to be told by
    /// [`Index::set_end`].
    pub(crate) fn new(base: Offset, head_end: u32, interval_bytes: u64, index_bytes: u64) -> Self {
        let cap = usize::try_from(index_bytes / 16).unwrap_or(MAX_ENTRIES);
        let offset = match head_end {
            0 => base,
            _ => Offset::MAX,
        };
        Self {
            cap: cap.clamp(MIN_ENTRIES, MAX_ENTRIES),
            base,
            end: Border {
                position: head_end.into(),
                offset,
            },
            head_end,
            head: (head_end == 0).then(Arc::default),
            tail: Entries::new(u32::try_from(interval_bytes).unwrap_or(u32::MAX)),
        }
    }

    /// A batch was appended.
    pub(crate) fn add(&mut self, batch: Indexed) {
        self.tail.add(batch, self.cap);
    }

    /// Batches that were added end here.
    pub(crate) fn grow(&mut self, end: Border) {
        self.end = end;
    }

    /// Which offset no batch of the segment reaches.
    pub(crate) fn set_end(&mut self, offset: Offset) {
        self.end.offset = offset;
    }

    pub(crate) fn end(&self) -> Border {
        self.end
    }

    /// How many bytes the missing head covers; `None` when it is there.
    pub(crate) fn missing_head(&self) -> Option<u32> {
        self.head.is_none().then_some(self.head_end)
    }

    /// From the segment's first byte to where the head ends.
    pub(crate) fn front(&self) -> Start {
        let tail = self.tail.list.first();
        self.at_base(None, tail.map_or(self.end, |entry| self.border(entry)))
    }

    /// From the segment's first byte to its end.
    pub(crate) fn all(&self) -> Start {
        let tail = self.tail.list.first().filter(|entry| entry.position > 0);
        self.at_base(tail.map(|entry| self.border(entry)), self.end)
    }

    fn at_base(&self, before: Option<Border>, end: Border) -> Start {
        Start {
            position: 0,
            offset: self.base,
            exact: false,
            before,
            end,
        }
    }

    fn border(&self, entry: &Entry) -> Border {
        Border {
            position: entry.position.into(),
            offset: self.base + i64::from(entry.delta),
        }
    }

    /// An empty list to rebuild the head with.
    pub(crate) fn empty_head(&self) -> HeadBuilder {
        HeadBuilder {
            entries: Entries::new(self.tail.spacing),
            cap: self.cap,
        }
    }

    /// Sets the head, unless the segment was cut meanwhile.
    pub(crate) fn set_head(&mut self, head: Arc<Entries>, covers: u32) {
        if self.head_end == covers {
            self.head = Some(head);
        }
    }

    /// Forgets the head: it can be had again from the file.
    pub(crate) fn drop_head(&mut self) {
        if self.head_end > 0 {
            self.head = None;
        }
    }

    /// The segment ends at `position` now, in front of the offset `end`. What is in front of it becomes a
    /// missing head: a cut is rare, and only a scan can say what the largest timestamp is now.
    pub(crate) fn cut(&mut self, position: u32, end: Offset) {
        self.end = Border {
            position: position.into(),
            offset: end,
        };
        self.head_end = position;
        self.head = (position == 0).then(Arc::default);
        self.tail = Entries::new(self.tail.spacing);
    }

    /// Start of the last indexed batch that is not behind `delta` (an offset relative to the
    /// segment's base). `None` when the head is missing and needed.
    pub(crate) fn by_offset(&self, delta: u32) -> Option<Start> {
        let fits = |entry: &Entry| entry.delta <= delta;
        if self.tail.list.first().is_some_and(fits) {
            return Some(self.start(&self.tail.list, fits, None));
        }
        let head = self.head.as_ref()?;
        if head.list.is_empty() {
            return Some(self.start(&self.tail.list, fits, None));
        }
        Some(self.start(&head.list, fits, self.tail.list.first()))
    }

    /// A start with no timestamp of `target` or later in front of it. `None` when the head is
    /// missing: nobody knows then.
    pub(crate) fn by_time(&self, target: Timestamp) -> Option<Start> {
        let fits = |entry: &Entry| entry.max_before < target;
        let head = self.head.as_ref()?;
        let in_head = head.max.is_some_and(|max| max.timestamp >= target);
        if in_head || self.tail.list.is_empty() {
            return Some(self.start(&head.list, fits, self.tail.list.first()));
        }
        Some(self.start(&self.tail.list, fits, None))
    }

    /// The last entry that fits, of a list where those that fit come first.
    fn start(&self, list: &[Entry], fits: impl Fn(&Entry) -> bool, after: Option<&Entry>) -> Start {
        // What lies at the first byte has nothing in front of it, whatever is looked for.
        let at_front = list.first().is_some_and(|first| first.position == 0);
        let fitting = list.partition_point(fits).max(usize::from(at_front));
        let before = list.get(fitting).or(after).map(|entry| self.border(entry));
        let Some(last) = fitting.checked_sub(1) else {
            return self.at_base(before, self.end);
        };
        let Border { position, offset } = self.border(&list[last]);
        Start {
            position,
            offset,
            exact: true,
            before,
            end: self.end,
        }
    }

    /// The batch with the largest timestamp; the outer `None` when the head is missing.
    pub(crate) fn max(&self) -> Option<Option<MaxTime>> {
        let head = self.head.as_ref()?.max;
        Some(match (head, self.tail.max) {
            (Some(head), Some(tail)) if tail.timestamp > head.timestamp => Some(tail),
            (Some(head), _) => Some(head),
            (None, tail) => tail,
        })
    }

    /// Head and tail in one list, to be written to a file; `None` when the head is missing.
    pub(crate) fn whole(&self) -> Option<Entries> {
        let head = self.head.as_ref()?;
        let mut whole = (**head).clone();
        whole.spacing = whole.spacing.max(self.tail.spacing);
        let floor = whole.max.map_or(Timestamp(i64::MIN), |max| max.timestamp);
        whole.list.extend(self.tail.list.iter().map(|entry| Entry {
            max_before: entry.max_before.max(floor),
            ..*entry
        }));
        while whole.list.len() > self.cap {
            whole.thin();
        }
        whole.max = self.max()?;
        Some(whole)
    }
}

/// Rebuilds a head from a scan.
#[derive(Debug)]
pub(crate) struct HeadBuilder {
    entries: Entries,
    cap: usize,
}

impl HeadBuilder {
    pub(crate) fn add(&mut self, batch: Indexed) {
        self.entries.add(batch, self.cap);
    }

    pub(crate) fn finish(self) -> Arc<Entries> {
        Arc::new(self.entries)
    }
}

#[cfg(test)]
mod tests;
