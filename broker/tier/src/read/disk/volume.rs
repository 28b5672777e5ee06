//! The file with the slots, from when it was made until something fails.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use freshet_env::disk::{DiskLock, OpenMode};
use freshet_env::{Disk, DiskFile};
use parking_lot::Mutex;

use super::Key;
use super::slots::{Place, Slots};
use crate::object::CHUNK_BYTES;

const FILE: &str = "chunks";
const LOCK: &str = ".lock";

/// See the module.
#[derive(Debug)]
pub(super) struct Volume {
    file: Arc<dyn DiskFile>,
    slots: Mutex<Slots<Key>>,
    /// Two brokers would write into each other's slots, and find nothing but damage.
    _lock: Box<dyn DiskLock>,
}

impl Volume {
    /// An empty one, for so many chunks.
    pub(super) fn make(disk: &dyn Disk, dir: &Path, room: usize) -> io::Result<Self> {
        disk.create_dir_all(dir)?;
        let lock = disk.lock(&dir.join(LOCK)).map_err(explained)?;
        Ok(Self {
            file: disk.open(&dir.join(FILE), OpenMode::Replace)?,
            slots: Mutex::new(Slots::new(room)),
            _lock: lock,
        })
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.slots.lock().held_bytes()
    }

    pub(super) fn wants(&self, key: &Key) -> bool {
        self.slots.lock().wants(key)
    }

    /// The chunk, if it is there.
    pub(super) fn lease(self: &Arc<Self>, key: &Key) -> Option<Lease> {
        let place = self.slots.lock().enter(key)?;
        let volume = Arc::clone(self);
        Some(Lease { volume, place })
    }

    /// Writes a chunk; says whether there was a slot for it.
    pub(super) fn write(&self, key: Key, bytes: &[u8]) -> io::Result<bool> {
        let Some(slot) = self.slots.lock().take() else {
            return Ok(false);
        };
        let written = self.file.write_all_at(&[IoSlice::new(bytes)], start(slot));
        let mut slots = self.slots.lock();
        match written {
            Ok(()) => slots.fill(slot, key, bytes.len()),
            Err(_) => slots.set_free(slot),
        }
        written.map(|()| true)
    }
}

fn explained(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => io::Error::new(ErrorKind::WouldBlock, "another process uses it"),
        _ => error,
    }
}

fn start(slot: usize) -> u64 {
    slot as u64 * CHUNK_BYTES
}

/// A chunk that somebody reads. Nothing else is written there until this is dropped.
#[derive(Debug)]
pub(in crate::read) struct Lease {
    volume: Arc<Volume>,
    place: Place,
}

impl Lease {
    /// What is there now.
    pub(super) fn read(&self) -> io::Result<Bytes> {
        let mut bytes = vec![0; self.place.len_bytes];
        let position = start(self.place.slot);
        self.volume.file.read_exact_at(&mut bytes, position)?;
        Ok(bytes.into())
    }

    /// It is not what was written there.
    pub(super) fn forget(&self) {
        self.volume.slots.lock().forget(self.place.slot);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.volume.slots.lock().leave(self.place.slot);
    }
}
