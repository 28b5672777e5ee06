//! A disk whose writes wait while it is full.
//!
//! The metadata log has no way back from a failed write, and its node no part in the quorum without
//! it. But a disk that is full has not failed: what lacks room is written when there is some. Until
//! then the node promises nothing, and the others go on without it.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Disk, DiskFile, DiskLock, Entry, OpenMode, Space};
use crate::watch;

/// See the module. For writers with a thread of their own.
#[derive(Debug)]
pub struct PatientDisk {
    disk: Arc<dyn Disk>,
    patience: Arc<Patience>,
}

#[derive(Debug)]
struct PatientFile {
    file: Arc<dyn DiskFile>,
    patience: Arc<Patience>,
}

struct Patience {
    is_there: AtomicBool,
    pause: Box<dyn Fn(u32) + Send + Sync>,
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Patience").field(&self.is_there).finish()
    }
}

impl Patience {
    /// Tries until there is room.
    fn until_room<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut pauses: u32 = 0;
        loop {
            match attempt() {
                Err(error)
                    if error.kind() == ErrorKind::StorageFull
                        && self.is_there.load(Ordering::Acquire) =>
                {
                    watch::resting(|| (self.pause)(pauses));
                    pauses = pauses.saturating_add(1);
                }
                done => return done,
            }
        }
    }
}

impl PatientDisk {
    /// `disk`, without patience yet. `pause` is done between two attempts; it hears how many pauses
    /// there were before.
    pub fn new(disk: Arc<dyn Disk>, pause: impl Fn(u32) + Send + Sync + 'static) -> Self {
        let patience = Arc::new(Patience {
            is_there: AtomicBool::new(false),
            pause: Box::new(pause),
        });
        Self { disk, patience }
    }

    /// Whether a full disk is waited for. Who starts tells the error, and who ends does not wait.
    pub fn be_patient(&self, patient: bool) {
        self.patience.is_there.store(patient, Ordering::Release);
    }
}

impl Disk for PatientDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.patience.until_room(|| self.disk.open(path, mode))?;
        let patience = Arc::clone(&self.patience);
        Ok(Arc::new(PatientFile { file, patience }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.patience.until_room(|| self.disk.create_dir_all(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.patience.until_room(|| self.disk.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn sync_tree(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_tree(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }
}

impl DiskFile for PatientFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn read_at_cached(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at_cached(buffer, position)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.patience
            .until_room(|| self.file.write_at(buffers, position))
    }

    // What a failed sync left on the disk is unknown: it is never tried again.
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }

    fn allocate(&self, position: u64, len_bytes: u64) -> io::Result<()> {
        self.file.allocate(position, len_bytes)
    }

    fn forget(&self, position: u64, len_bytes: u64) {
        self.file.forget(position, len_bytes);
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
