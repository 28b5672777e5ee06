//! The disk, as far as we use it: positional IO, explicit durability, whole-directory operations.
//!
//! What survives a crash is only what was synced: file bytes by [`DiskFile::sync_data`], names by
//! [`Disk::sync_dir`] of their directory. A failed sync is final for the directory's owner: pages
//! are marked clean by the kernel, so it must never be tried again (reliability row 10).

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

mod patient;
mod system;

pub use patient::PatientDisk;
pub use system::SystemDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; reads only.
    Read,
    /// Must exist; reads and writes.
    Write,
    /// Must not exist; reads and writes.
    CreateNew,
    /// Made when absent, emptied when present; reads and writes.
    Replace,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last path component; names that are not UTF-8 are left out of listings.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for directories.
    pub len_bytes: u64,
}

/// Room on the file system that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the file system.
    pub total_bytes: u64,
    /// What an unprivileged process may still use.
    pub available_bytes: u64,
}

/// Held as long as the process may use a directory; dropped with it.
pub trait DiskLock: Debug + Send + Sync {}

/// A file system.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Opens or makes a file. A new name is durable only after [`Disk::sync_dir`].
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a directory and its parents; present ones are fine.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Lists a directory, sorted by name.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Renames within one file system, replacing a file at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all it holds.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything below a directory durable, names too, whoever wrote it: what a process that
    /// died had written. Once per start after a crash, so it may take its time.
    fn sync_tree(&self, path: &Path) -> io::Result<()> {
        for entry in self.list(path)? {
            let path = path.join(&entry.name);
            if entry.is_dir {
                self.sync_tree(&path)?;
            } else {
                self.open(&path, OpenMode::Read)?.sync_data()?;
            }
        }
        self.sync_dir(path)
    }

    /// Room on the file system that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Takes an exclusive lock on a file, made when absent; `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;

    /// Whether a file or directory is there.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Reads a small file whole; refuses one above `cap_bytes` with `InvalidData`.
    fn read_small(&self, path: &Path, cap_bytes: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len > cap_bytes {
            let why = format!("{} has {len} bytes, more than {cap_bytes}", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Replaces a small file so that a crash leaves either the old or the new one:
    /// temporary file, sync, rename, sync of the directory.
    fn replace_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let file = self.open(&temporary, OpenMode::Replace)?;
        file.write_all_at(&[IoSlice::new(bytes)], 0)?;
        file.sync_data()?;
        self.rename(&temporary, path)?;
        self.sync_dir(path.parent().unwrap_or(Path::new(".")))
    }
}

/// An open file. All IO is positional, so a shared handle is safe for readers beside one writer.
pub trait DiskFile: Debug + Send + Sync + 'static {
    /// Reads at most `buffer.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Like [`DiskFile::read_at`], but `WouldBlock` instead of waiting for the device. May return
    /// fewer bytes than are in the file: those that are cached.
    fn read_at_cached(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes the buffers one after another from `position` on; may write fewer bytes than given.
    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize>;
    /// Makes all bytes written before durable, with the length needed to read them.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
    /// Reserves blocks for a range beyond the end without changing the length.
    fn allocate(&self, position: u64, len_bytes: u64) -> io::Result<()>;
    /// Has the memory that caches a range used for something else, as far as the range is durable. A
    /// hint: what can do nothing with it does nothing.
    fn forget(&self, _position: u64, _len_bytes: u64) {}
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills the buffer or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
        while !buffer.is_empty() {
            let read = self.read_at(buffer, position)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            position += read as u64;
            buffer = &mut buffer[read..];
        }
        Ok(())
    }

    /// Writes all buffers; on an error an unknown part of them is written.
    fn write_all_at(&self, buffers: &[IoSlice<'_>], mut position: u64) -> io::Result<()> {
        let mut rest: Vec<IoSlice<'_>> = buffers.to_vec();
        let mut rest = rest.as_mut_slice();
        while rest.iter().any(|b| !b.is_empty()) {
            // The kernel takes at most 1024 buffers a call (IOV_MAX).
            let written = self.write_at(&rest[..rest.len().min(1024)], position)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            position += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }
}
