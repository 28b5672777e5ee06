//! One file of the log: batches from its base offset on.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::disk::OpenMode;
use freshet_env::{Disk, DiskFile};
use freshet_records::Batch;
use freshet_types::Offset;

use super::entry::{Entry, EntryId, Read, decode};
use super::error::{StoreError, corrupt, io_error};
use super::{FILE_CAP_BYTES, file_name};
use crate::guard::{Guard, holds};

/// Where an entry is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) id: EntryId,
    pub(super) offset: Offset,
    pub(super) position: u64,
}

/// An open file of the log.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Its first offset.
    pub(super) base: Offset,
    /// The offset after its last entry.
    pub(super) end: Offset,
    pub(super) len_bytes: u64,
    pub(super) slots: Vec<Slot>,
}

/// An entry and its first offset.
pub(super) type Placed = (Offset, Entry);

impl Segment {
    /// Makes an empty file, or empties the one that a crash left, and makes its name durable.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, base: Offset) -> Result<Self, StoreError> {
        let path = dir.join(file_name(base, "log"));
        let file = disk
            .open(&path, OpenMode::Replace)
            .map_err(io_error("making", &path))?;
        disk.sync_dir(dir).map_err(io_error("syncing", dir))?;
        Ok(Self {
            path,
            file,
            base,
            end: base,
            len_bytes: 0,
            slots: Vec::new(),
        })
    }

    /// Reads a file. Only the last one of a log may end in a torn append, which is cut.
    pub(super) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        base: Offset,
        reading: Reading<'_>,
    ) -> Result<Self, StoreError> {
        let file = disk
            .open(&path, OpenMode::Write)
            .map_err(io_error("opening", &path))?;
        let bytes = read_whole(file.as_ref(), &path)?;
        let mut segment = Self {
            path,
            file,
            base,
            end: base,
            len_bytes: 0,
            slots: Vec::new(),
        };
        segment.replay(&bytes, reading)?;
        let torn = bytes.len() as u64 - segment.len_bytes;
        if torn > 0 {
            tracing::warn!(path = %segment.path.display(), bytes = torn, "torn append cut");
            segment.cut(segment.len_bytes)?;
        }
        Ok(segment)
    }

    fn replay(&mut self, bytes: &Bytes, reading: Reading<'_>) -> Result<(), StoreError> {
        let Reading {
            follows,
            is_last,
            entries,
        } = reading;
        let (mut position, mut before) = (0, follows);
        while position < bytes.len() {
            let (batch, read) = match self.sound(bytes, position, before) {
                Ok(sound) => sound,
                Err(why) if !is_last || was_durable(bytes, position, self.end) => {
                    return Err(corrupt(&self.path, position, why));
                }
                Err(_) => break,
            };
            let id = read.entry.id;
            let (offset, at) = (self.end, position as u64);
            self.slots.push(Slot {
                id,
                offset,
                position: at,
            });
            entries.push((offset, read.entry));
            before = Some(id);
            position += batch.bytes().len();
            self.end = batch.header().next_offset();
        }
        self.len_bytes = position as u64;
        Ok(())
    }

    /// The batch at `position`, if it is whole, sound, and goes on where the log is.
    fn sound(
        &self,
        bytes: &Bytes,
        position: usize,
        before: Option<EntryId>,
    ) -> Result<(Batch, Read), String> {
        let batch = sound_batch(bytes, position)?;
        let found = batch.header().base_offset;
        if found != self.end {
            return Err(format!("offset {found} where {} belongs", self.end));
        }
        let read = decode(&batch, before)?;
        let id = read.entry.id;
        match before {
            Some(before) if id.index != before.index + 1 || id.term < before.term => Err(format!(
                "entry {} of term {} after entry {} of term {}",
                id.index, id.term, before.index, before.term
            )),
            _ => Ok((batch, read)),
        }
    }

    /// Writes and syncs. After an error the log must not be used again.
    pub(super) fn append(&mut self, bytes: &[Bytes]) -> Result<(), StoreError> {
        let slices: Vec<_> = bytes.iter().map(|bytes| IoSlice::new(bytes)).collect();
        self.file
            .write_all_at(&slices, self.len_bytes)
            .and_then(|()| match holds(Guard::FlushBeforeReport) {
                true => self.file.sync_data(),
                false => Ok(()),
            })
            .map_err(io_error("appending to", &self.path))?;
        self.len_bytes += bytes.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        Ok(())
    }

    /// Forgets the entries from `index` on.
    pub(super) fn cut_from(&mut self, index: u64) -> Result<(), StoreError> {
        let keep = self.slots.partition_point(|slot| slot.id.index < index);
        let Some(first) = self.slots.get(keep).copied() else {
            return Ok(());
        };
        self.slots.truncate(keep);
        self.end = first.offset;
        self.cut(first.position)
    }

    fn cut(&mut self, len_bytes: u64) -> Result<(), StoreError> {
        self.len_bytes = len_bytes;
        self.file
            .set_len(len_bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(io_error("cutting", &self.path))
    }
}

/// How a file is read.
pub(super) struct Reading<'a> {
    /// The entry before its first, where it is known.
    pub(super) follows: Option<EntryId>,
    /// Whether no file comes after it.
    pub(super) is_last: bool,
    /// Where its entries go.
    pub(super) entries: &'a mut Vec<Placed>,
}

fn sound_batch(bytes: &Bytes, position: usize) -> Result<Batch, String> {
    let batch = Batch::parse(&bytes.slice(position..)).map_err(|error| error.to_string())?;
    batch.check_crc().map_err(|error| error.to_string())?;
    Ok(batch)
}

/// Whether what is damaged at `position`, where `offset` should be, was durable once: a sound batch
/// lies behind it whose append began later, and an append begins only when the one before is synced.
/// Looking at every byte is cheap enough for the rare case.
fn was_durable(bytes: &Bytes, position: usize, offset: Offset) -> bool {
    (position + 1..bytes.len()).any(|at| {
        sound_batch(bytes, at)
            .and_then(|batch| decode(&batch, None))
            .is_ok_and(|read| read.group > offset)
    })
}

pub(super) fn read_whole(file: &dyn DiskFile, path: &Path) -> Result<Bytes, StoreError> {
    let len = file.len().map_err(io_error("reading", path))?;
    if len > FILE_CAP_BYTES {
        return Err(corrupt(
            path,
            0,
            "it is larger than any metadata log of ours",
        ));
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| corrupt(path, 0, "too large"))?];
    file.read_exact_at(&mut bytes, 0)
        .map_err(io_error("reading", path))?;
    Ok(bytes.into())
}
