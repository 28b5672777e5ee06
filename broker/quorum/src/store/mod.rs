//! Files of the metadata log: segments of record batches, the snapshot that they continue, the vote.
//!
//! Every entry is one batch. Entries that arrive together share one write and one sync, and the next
//! write begins only after it, so a crash can tear only the last append, and the batches of an append
//! say together where it began. A batch that is damaged and has a sound one of a later append behind
//! it was durable once: that is corruption, and the store refuses to open rather than forget what
//! was agreed. A voter that forgets is worse than one that is away.

mod entry;
mod error;
mod marks;
mod segment;
mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::Disk;
use freshet_env::disk::{Entry as DirEntry, OpenMode};
use freshet_types::{Offset, Timestamp};

use entry::Landing;
pub(crate) use entry::{Content, Entry, EntryId};
pub use error::StoreError;
use error::{corrupt, io_error};
pub(crate) use marks::{Purged, StoredVote};
use segment::{Placed, Reading, Segment, Slot, read_whole};
pub(crate) use snapshot::{Snapshot, SnapshotMeta, decode as decode_snapshot};

/// A file larger than this was not written by us.
const FILE_CAP_BYTES: u64 = 4 << 30;
/// A segment that is longer is not appended to any more.
const SEGMENT_BYTES: u64 = 4 << 20;

/// The open log.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Never empty; in order, without a hole.
    segments: Vec<Segment>,
    purged: Option<Purged>,
    snapshot: Option<SnapshotMeta>,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) vote: Option<StoredVote>,
    pub(crate) snapshot: Option<Snapshot>,
    /// Everything that is not purged, with first offsets. Some of it may be in the snapshot as well.
    pub(crate) entries: Vec<(Offset, Entry)>,
}

impl Opened {
    /// Whether it was ever kept by a quorum that can have several voters.
    pub(crate) fn is_replicated(&self) -> bool {
        let voters = |entry: &Entry| matches!(entry.content, Content::Voters(_));
        self.vote.is_some()
            || self
                .snapshot
                .as_ref()
                .is_some_and(|s| s.meta.voters_at.is_some())
            || self.entries.iter().any(|(_, entry)| voters(entry))
    }
}

impl Store {
    /// Opens the directory, made when absent, and reads all that is in it.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Opened, StoreError> {
        disk.create_dir_all(dir).map_err(io_error("making", dir))?;
        let parent = dir.parent().unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(io_error("syncing", parent))?;
        let names = disk.list(dir).map_err(io_error("listing", dir))?;
        remove(disk.as_ref(), dir, &names, |name| name.ends_with(".tmp"))?;
        let snapshot = newest_snapshot(disk.as_ref(), dir, &names)?;
        let vote = marks::read_vote(disk.as_ref(), dir)?;
        let mut bases: Vec<_> = names
            .iter()
            .filter_map(|e| offset_of(&e.name, "log"))
            .collect();
        bases.sort_unstable();
        let mut purged = marks::read_purged(disk.as_ref(), dir)?;
        if let (None, Some(Snapshot { meta, .. })) = (&purged, &snapshot)
            && bases.contains(&meta.next_offset)
        {
            // The first format began a file with each snapshot, and purged by that alone.
            purged = Some(Purged {
                last: meta.last,
                next_offset: meta.next_offset,
            });
        }
        let meta = snapshot.as_ref().map(|snapshot| snapshot.meta.clone());
        let (dir, segments) = (dir.to_owned(), Vec::new());
        let mut store = Self {
            disk,
            dir,
            segments,
            purged,
            snapshot: meta,
        };
        let entries = store.open_segments(bases)?;
        Ok(Opened {
            store,
            vote,
            snapshot,
            entries,
        })
    }

    fn open_segments(&mut self, mut bases: Vec<Offset>) -> Result<Vec<Placed>, StoreError> {
        if let Some(purged) = self.purged {
            let gone = bases
                .iter()
                .rposition(|&base| base <= purged.next_offset)
                .unwrap_or(0);
            for base in bases.drain(..gone) {
                self.remove_file(&file_name(base, "log"))?;
            }
        }
        let mut entries = Vec::new();
        let mut follows = None;
        for (i, &base) in bases.iter().enumerate() {
            let path = self.dir.join(file_name(base, "log"));
            if let Some(before) = self.segments.last()
                && before.end != base
            {
                let why = format!(
                    "it begins at offset {base}, the file before ends at {}",
                    before.end
                );
                return Err(corrupt(&path, 0, why));
            }
            follows = follows.or_else(|| self.entry_before(base));
            let is_last = i + 1 == bases.len();
            let reading = Reading {
                follows,
                is_last,
                entries: &mut entries,
            };
            let segment = Segment::open(self.disk.as_ref(), path, base, reading)?;
            follows = segment.slots.last().map(|slot| slot.id).or(follows);
            self.segments.push(segment);
        }
        self.catch_up_with_snapshot()?;
        if let Some(purged) = self.purged {
            entries.retain(|(_, entry)| entry.id.index > purged.last.index);
        }
        Ok(entries)
    }

    /// The entry before the first file, where something still says so.
    fn entry_before(&self, base: Offset) -> Option<EntryId> {
        let purged = self.purged.filter(|purged| purged.next_offset == base);
        purged.map(|purged| purged.last)
    }

    /// A crash can come between a snapshot and the purge of what it replaced.
    fn catch_up_with_snapshot(&mut self) -> Result<(), StoreError> {
        let end = self.segments.last().map(|segment| segment.end);
        let snapshot = self
            .snapshot
            .as_ref()
            .map(|meta| (meta.last, meta.next_offset));
        let purged = self.purged.map(|purged| (purged.last, purged.next_offset));
        let (last, next_offset) = match (snapshot.max(purged), end) {
            (Some(floor), Some(end)) if floor.1 > end => floor,
            (Some(floor), None) => floor,
            (_, Some(_)) => return Ok(()),
            (None, None) => {
                self.segments
                    .push(Segment::create(self.disk.as_ref(), &self.dir, 0)?);
                return Ok(());
            }
        };
        self.start_over(Purged { last, next_offset })
    }

    /// Offset of the next record.
    pub(crate) fn next_offset(&self) -> Offset {
        self.active().end
    }

    /// The last entry, present or purged.
    pub(crate) fn last(&self) -> Option<EntryId> {
        let present = self
            .segments
            .iter()
            .rev()
            .find_map(|segment| segment.slots.last());
        present
            .map(|slot| slot.id)
            .max(self.purged.map(|purged| purged.last))
    }

    /// What is gone.
    pub(crate) fn purged(&self) -> Option<Purged> {
        self.purged
    }

    /// Bytes of the log.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len_bytes).sum()
    }

    /// Appends entries and makes them durable with one sync. After an error the store must not be
    /// used again.
    pub(crate) fn append(&mut self, entries: &[Entry], now: Timestamp) -> Result<(), StoreError> {
        if self.active().len_bytes >= SEGMENT_BYTES {
            let segment = Segment::create(self.disk.as_ref(), &self.dir, self.next_offset())?;
            self.segments.push(segment);
        }
        let active = self.segments.last_mut().expect("a log has a segment");
        let (group, mut end, mut position) = (active.end, active.end, active.len_bytes);
        let (mut batches, mut slots) = (Vec::new(), Vec::new());
        for entry in entries {
            let bytes = entry
                .encode(Landing {
                    base: end,
                    group,
                    now,
                })
                .map_err(|error| StoreError::Io {
                    doing: "encoding entries for",
                    path: active.path.clone(),
                    why: error.to_string().into(),
                })?;
            slots.push(Slot {
                id: entry.id,
                offset: end,
                position,
            });
            end += entry.content.offsets();
            position += bytes.len() as u64;
            batches.push(bytes);
        }
        active.append(&batches)?;
        active.slots.append(&mut slots);
        active.end = end;
        Ok(())
    }

    /// Forgets the entries from `index` on: another leader's are in their place. Files go from the
    /// end backwards, each for good before the next, so that no crash leaves a hole.
    pub(crate) fn truncate_from(&mut self, index: u64) -> Result<(), StoreError> {
        while self.segments.len() > 1
            && self
                .active()
                .slots
                .first()
                .is_none_or(|slot| slot.id.index >= index)
        {
            let segment = self.segments.pop().expect("there are two at least");
            self.remove_path(&segment.path)?;
        }
        let active = self.segments.last_mut().expect("a log has a segment");
        active.cut_from(index)
    }

    /// Forgets the entries up to `last`, which a snapshot holds.
    pub(crate) fn purge(&mut self, last: EntryId) -> Result<(), StoreError> {
        if self
            .purged
            .is_some_and(|purged| purged.last.index >= last.index)
        {
            return Ok(());
        }
        let next_offset = self.offset_after(last);
        let purged = Purged { last, next_offset };
        if self
            .last()
            .is_none_or(|present| present.index <= last.index)
        {
            return self.start_over(purged);
        }
        marks::write_purged(self.disk.as_ref(), &self.dir, purged)?;
        self.purged = Some(purged);
        while self.segments.len() > 1 && self.segments[1].base <= next_offset {
            let segment = self.segments.remove(0);
            self.remove_path(&segment.path)?;
        }
        Ok(())
    }

    fn offset_after(&self, last: EntryId) -> Offset {
        let slots = self.segments.iter().flat_map(|segment| &segment.slots);
        let after = slots.into_iter().find(|slot| slot.id.index > last.index);
        match (after, &self.snapshot) {
            (Some(slot), _) => slot.offset,
            (None, Some(meta)) if meta.last == last => meta.next_offset,
            (None, _) => self.next_offset(),
        }
    }

    /// Nothing of the log is left but where it goes on.
    fn start_over(&mut self, purged: Purged) -> Result<(), StoreError> {
        marks::write_purged(self.disk.as_ref(), &self.dir, purged)?;
        self.purged = Some(purged);
        let old = std::mem::take(&mut self.segments);
        for segment in old
            .iter()
            .filter(|segment| segment.base != purged.next_offset)
        {
            self.remove_path(&segment.path)?;
        }
        self.segments = vec![Segment::create(
            self.disk.as_ref(),
            &self.dir,
            purged.next_offset,
        )?];
        Ok(())
    }

    /// Makes a snapshot durable in place of the one before.
    pub(crate) fn write_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let name = file_name(meta.next_offset, "snapshot");
        let path = self.dir.join(&name);
        self.disk
            .replace_small(&path, bytes)
            .map_err(io_error("writing", &path))?;
        self.snapshot = Some(meta.clone());
        let names = self
            .disk
            .list(&self.dir)
            .map_err(io_error("listing", &self.dir))?;
        let older = |other: &str| offset_of(other, "snapshot").is_some() && *other != name;
        remove(self.disk.as_ref(), &self.dir, &names, older)
    }

    /// The bytes of the snapshot.
    pub(crate) fn read_snapshot(&self) -> Result<Option<(SnapshotMeta, Bytes)>, StoreError> {
        let Some(meta) = &self.snapshot else {
            return Ok(None);
        };
        let path = self.dir.join(file_name(meta.next_offset, "snapshot"));
        let bytes = read_file(self.disk.as_ref(), &path)?;
        Ok(Some((meta.clone(), bytes)))
    }

    /// Makes a vote durable.
    pub(crate) fn save_vote(&self, vote: StoredVote) -> Result<(), StoreError> {
        marks::write_vote(self.disk.as_ref(), &self.dir, vote)
    }

    fn active(&self) -> &Segment {
        self.segments.last().expect("a log has a segment")
    }

    fn remove_file(&self, name: &str) -> Result<(), StoreError> {
        self.remove_path(&self.dir.join(name))
    }

    fn remove_path(&self, path: &Path) -> Result<(), StoreError> {
        self.disk
            .remove_file(path)
            .and_then(|()| self.disk.sync_dir(&self.dir))
            .map_err(io_error("removing", path))
    }
}

/// A new snapshot of `records`, as bytes.
pub(crate) fn encode_snapshot(
    meta: &SnapshotMeta,
    records: &[Bytes],
    now: Timestamp,
) -> Result<Bytes, StoreError> {
    snapshot::encode(meta, records, now).map_err(|error| StoreError::Io {
        doing: "encoding a snapshot for",
        path: file_name(meta.next_offset, "snapshot").into(),
        why: error.to_string().into(),
    })
}

fn newest_snapshot(
    disk: &dyn Disk,
    dir: &Path,
    names: &[DirEntry],
) -> Result<Option<Snapshot>, StoreError> {
    let offsets = names
        .iter()
        .filter_map(|entry| offset_of(&entry.name, "snapshot"));
    let Some(newest) = offsets.max() else {
        return Ok(None);
    };
    let path = dir.join(file_name(newest, "snapshot"));
    let bytes = read_file(disk, &path)?;
    let snapshot =
        decode_snapshot(&bytes, newest).map_err(|(position, why)| corrupt(&path, position, why))?;
    if snapshot.meta.next_offset != newest {
        return Err(corrupt(&path, 0, "its name is not what it says"));
    }
    let older = |name: &str| offset_of(name, "snapshot").is_some_and(|offset| offset != newest);
    remove(disk, dir, names, older)?;
    Ok(Some(snapshot))
}

fn read_file(disk: &dyn Disk, path: &Path) -> Result<Bytes, StoreError> {
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(io_error("opening", path))?;
    read_whole(file.as_ref(), path)
}

fn remove(
    disk: &dyn Disk,
    dir: &Path,
    names: &[DirEntry],
    which: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    for entry in names.iter().filter(|entry| which(&entry.name)) {
        let path = dir.join(&entry.name);
        disk.remove_file(&path)
            .map_err(io_error("removing", &path))?;
    }
    Ok(())
}

fn file_name(offset: Offset, kind: &str) -> String {
    format!("{offset:020}.{kind}")
}

fn offset_of(name: &str, kind: &str) -> Option<Offset> {
    let digits = name.strip_suffix(kind)?.strip_suffix('.')?;
    digits
        .parse()
        .ok()
        .filter(|&offset| file_name(offset, kind) == name)
}

#[cfg(test)]
mod tests;
