//! Files of the metadata log: one log of record batches, and the snapshot it continues.
//!
//! Every append is one batch and is synced before the next begins, so a crash can tear only the last
//! batch, and tears all of its append. A batch that is damaged and has a sound one behind it was
//! durable once: that is corruption, and the store refuses to open rather than forget what was
//! agreed.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use freshet_env::disk::OpenMode;
use freshet_env::{Disk, DiskFile};
use freshet_records::{Batch, BatchBuilder, BatchError, Codec, NewRecord, crc32c};
use freshet_types::{ErrorKind, Offset, Timestamp};

/// Snapshots are cut into batches of about this size.
const BATCH_BYTES: usize = 256 << 10;
/// A file larger than this was not written by us.
const FILE_CAP_BYTES: u64 = 4 << 30;
/// Ends a snapshot file, before count and checksum.
const SNAPSHOT_MAGIC: [u8; 8] = *b"FRSHSNP1";
/// Magic, record count (u64), CRC-32C of all before it (u32).
const SNAPSHOT_FOOTER_BYTES: usize = 8 + 8 + 4;

/// Why the files cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{doing} {}: {why}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's words.
        why: Arc<str>,
    },
    /// Bytes that were durable are not what was written.
    #[error(
        "{} is damaged at byte {position}: {why}. Restore it from a copy; nothing was changed",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        position: u64,
        /// What is wrong.
        why: Arc<str>,
    },
}

impl StoreError {
    /// What it means to the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }
}

/// The open log.
#[derive(Debug)]
pub(crate) struct Store {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// First offset in the log file.
    base: Offset,
    next: Offset,
    len_bytes: u64,
}

/// Called with each record's bytes, oldest first; the text says why a record is not readable.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&Bytes) -> Result<(), String>;

impl Store {
    /// Opens the directory, made when absent, and replays all that is in it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        each: Each<'_>,
    ) -> Result<Self, StoreError> {
        disk.create_dir_all(dir).map_err(io_error("making", dir))?;
        let parent = dir.parent().unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(io_error("syncing", parent))?;
        let names = disk.list(dir).map_err(io_error("listing", dir))?;
        let newest = names
            .iter()
            .filter_map(|entry| offset_of(&entry.name, "snapshot"))
            .max();
        let base = newest.unwrap_or(0);
        if newest.is_some() {
            replay_snapshot(disk.as_ref(), &dir.join(file_name(base, "snapshot")), each)?;
        }
        let path = dir.join(file_name(base, "log"));
        let exists = disk.exists(&path).map_err(io_error("looking at", &path))?;
        let mode = if exists {
            OpenMode::Write
        } else {
            OpenMode::CreateNew
        };
        let file = disk.open(&path, mode).map_err(io_error("opening", &path))?;
        disk.sync_dir(dir).map_err(io_error("syncing", dir))?;
        let dir = dir.to_owned();
        let mut store = Self {
            disk,
            dir,
            path,
            file,
            base,
            next: base,
            len_bytes: 0,
        };
        store.replay_log(each)?;
        store.remove_older()?;
        Ok(store)
    }

    /// Offset of the next record.
    pub(crate) fn next_offset(&self) -> Offset {
        self.next
    }

    /// Bytes of the log behind the snapshot.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Appends records and makes them durable. After an error the store must not be used again.
    pub(crate) fn append(&mut self, records: &[Bytes], now: Timestamp) -> Result<(), StoreError> {
        // Were an append cut into batches, half of it could survive a crash, and a batch that the
        // device wrote early would make a torn one before it look like damage.
        let bytes = self.encode(records, self.next, now, usize::MAX)?;
        self.file
            .write_all_at(&[IoSlice::new(&bytes)], self.len_bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(io_error("appending to", &self.path))?;
        self.next += records.len() as Offset;
        self.len_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Replaces everything before the next offset by a snapshot, and starts an empty log.
    pub(crate) fn snapshot(&mut self, records: &[Bytes], now: Timestamp) -> Result<(), StoreError> {
        if self.next == self.base {
            return Ok(());
        }
        let mut bytes = BytesMut::from(&self.encode(records, 0, now, BATCH_BYTES)?[..]);
        bytes.put_slice(&SNAPSHOT_MAGIC);
        bytes.put_u64(records.len() as u64);
        bytes.put_u32(crc32c(&bytes));
        let base = self.next;
        let path = self.dir.join(file_name(base, "log"));
        let log = self
            .disk
            .open(&path, OpenMode::Replace)
            .map_err(io_error("making", &path))?;
        let snapshot = self.dir.join(file_name(base, "snapshot"));
        // The rename inside is the moment of change: until then the old pair is what opens.
        self.disk
            .replace_small(&snapshot, &bytes)
            .map_err(io_error("writing", &snapshot))?;
        (self.file, self.path, self.base, self.len_bytes) = (log, path, base, 0);
        self.remove_older()
    }

    fn encode(
        &self,
        records: &[Bytes],
        at: Offset,
        now: Timestamp,
        batch_bytes: usize,
    ) -> Result<Bytes, StoreError> {
        encode_batches(records, at, now, batch_bytes).map_err(|error| StoreError::Io {
            doing: "encoding records for",
            path: self.path.clone(),
            why: error.to_string().into(),
        })
    }

    fn replay_log(&mut self, each: Each<'_>) -> Result<(), StoreError> {
        let bytes = read_whole(self.file.as_ref(), &self.path)?;
        let (sound, next) = replay(&bytes, self.base, &self.path, each)?;
        self.next = next;
        self.len_bytes = sound as u64;
        if sound < bytes.len() {
            tracing::warn!(path = %self.path.display(), bytes = bytes.len() - sound, "torn append cut");
            self.file
                .set_len(self.len_bytes)
                .and_then(|()| self.file.sync_data())
                .map_err(io_error("cutting", &self.path))?;
        }
        Ok(())
    }

    fn remove_older(&self) -> Result<(), StoreError> {
        for entry in self
            .disk
            .list(&self.dir)
            .map_err(io_error("listing", &self.dir))?
        {
            let of = |kind| offset_of(&entry.name, kind);
            let other = of("log")
                .or_else(|| of("snapshot"))
                .is_some_and(|o| o != self.base);
            if other || entry.name.ends_with(".tmp") {
                let path = self.dir.join(&entry.name);
                self.disk
                    .remove_file(&path)
                    .map_err(io_error("removing", &path))?;
            }
        }
        Ok(())
    }
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |error| StoreError::Io {
        doing,
        path: path.to_owned(),
        why: error.to_string().into(),
    }
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

fn read_whole(file: &dyn DiskFile, path: &Path) -> Result<Bytes, StoreError> {
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

fn corrupt(path: &Path, position: usize, why: &str) -> StoreError {
    StoreError::Corrupt {
        path: path.to_owned(),
        position: position as u64,
        why: why.into(),
    }
}

fn encode_batches(
    records: &[Bytes],
    at: Offset,
    now: Timestamp,
    batch_bytes: usize,
) -> Result<Bytes, BatchError> {
    let mut bytes = BytesMut::new();
    let mut builder = BatchBuilder::new(Codec::None).at(at, 0);
    for (next, record) in (at..).zip(records) {
        if builder.record_count() > 0
            && builder.size_bytes().saturating_add(record.len()) >= batch_bytes
        {
            let empty = BatchBuilder::new(Codec::None).at(next, 0);
            bytes.put_slice(std::mem::replace(&mut builder, empty).finish()?.bytes());
        }
        let value = Some(&record[..]);
        builder.push(&NewRecord {
            timestamp: now,
            key: None,
            value,
            headers: &[],
        })?;
    }
    if builder.record_count() > 0 {
        bytes.put_slice(builder.finish()?.bytes());
    }
    Ok(bytes.freeze())
}

/// The batch at `position`, if it is whole, sound and starts at `offset`.
fn sound_batch(bytes: &Bytes, position: usize, offset: Offset) -> Result<Batch, String> {
    let batch = Batch::parse(&bytes.slice(position..)).map_err(|error| error.to_string())?;
    batch.check_crc().map_err(|error| error.to_string())?;
    let found = batch.header().base_offset;
    if found == offset {
        Ok(batch)
    } else {
        Err(format!("offset {found} where {offset} belongs"))
    }
}

/// Gives the bytes that are sound and the offset after them.
fn replay(
    bytes: &Bytes,
    base: Offset,
    path: &Path,
    each: Each<'_>,
) -> Result<(usize, Offset), StoreError> {
    let (mut position, mut next) = (0, base);
    while position < bytes.len() {
        let batch = match sound_batch(bytes, position, next) {
            Ok(batch) => batch,
            Err(why) if is_followed(bytes, position) => return Err(corrupt(path, position, &why)),
            Err(_) => break,
        };
        for record in batch
            // Never compressed: no record is larger than what holds it.
            .records(batch.bytes().len())
            .map_err(|e| batch_error(path, position, &e))?
        {
            let record = record.map_err(|error| batch_error(path, position, &error))?;
            let value = record.value.unwrap_or_default();
            each(&value).map_err(|why| corrupt(path, position, &why))?;
        }
        position += batch.bytes().len();
        next = batch.header().next_offset();
    }
    Ok((position, next))
}

fn batch_error(path: &Path, position: usize, error: &BatchError) -> StoreError {
    corrupt(path, position, &error.to_string())
}

/// Whether a sound batch lies anywhere behind a damaged one. Batches begin with an offset that
/// fits this file, so looking at every byte is cheap enough for the rare case.
fn is_followed(bytes: &Bytes, position: usize) -> bool {
    (position + 1..bytes.len()).any(|at| {
        let rest = bytes.slice(at..);
        Batch::parse(&rest).is_ok_and(|batch| batch.check_crc().is_ok())
    })
}

fn replay_snapshot(disk: &dyn Disk, path: &Path, each: Each<'_>) -> Result<(), StoreError> {
    let file = disk
        .open(path, OpenMode::Read)
        .map_err(io_error("opening", path))?;
    let bytes = read_whole(file.as_ref(), path)?;
    let body = bytes
        .len()
        .checked_sub(SNAPSHOT_FOOTER_BYTES)
        .ok_or_else(|| corrupt(path, 0, "it is too short for a snapshot"))?;
    let (magic, count, sum) = (body + 8, body + 16, body + SNAPSHOT_FOOTER_BYTES);
    if bytes[body..magic] != SNAPSHOT_MAGIC
        || bytes[count..sum] != crc32c(&bytes[..count]).to_be_bytes()
    {
        return Err(corrupt(path, body, "the footer does not match the content"));
    }
    let (sound, records) = replay(&bytes.slice(..body), 0, path, each)?;
    if sound != body || bytes[magic..count] != records.to_be_bytes() {
        return Err(corrupt(path, sound, "records are missing"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
