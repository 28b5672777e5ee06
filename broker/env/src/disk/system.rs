//! The operating system's file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};

use super::{Disk, DiskFile, DiskLock, Entry, OpenMode, Space};

/// The most that one call writes. The kernel takes page-cache memory in pieces as large as the
/// write, and beyond this it pays for finding such pieces: on a busy machine 1 MiB at a time, each
/// synced, cost 1.0 to 2.7 CPU seconds per GB, 128 KiB at a time 0.5.
const WRITE_PIECE_BYTES: usize = 128 * 1024;

/// Files as Linux has them. Interrupted calls are repeated; nothing else is.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemDisk;

#[derive(Debug)]
struct SystemFile(File);

/// The lock lives as long as the open file.
#[derive(Debug)]
struct SystemLock(#[expect(dead_code, reason = "closing it unlocks")] File);

impl DiskLock for SystemLock {}

#[expect(clippy::disallowed_methods, reason = "this is the door")]
impl Disk for SystemDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::Write => options.write(true),
            OpenMode::CreateNew => options.write(true).create_new(true),
            OpenMode::Replace => options.write(true).create(true).truncate(true),
        };
        Ok(Arc::new(SystemFile(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_dir = entry.file_type()?.is_dir();
            // Directories are not asked: a log directory has thousands, each a read of the device
            // when nothing is cached. A name may vanish between the listing and the question.
            let len_bytes = match is_dir {
                true => 0,
                false => match entry.metadata() {
                    Ok(metadata) => metadata.len(),
                    Err(error) if error.kind() == ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                },
            };
            entries.push(Entry {
                name,
                is_dir,
                len_bytes,
            });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // An empty path is what `Path::parent` gives for a bare name.
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        File::open(path)?.sync_all()
    }

    fn sync_tree(&self, path: &Path) -> io::Result<()> {
        // One call for the whole file system instead of three per log.
        let dir = File::open(path)?;
        Ok(rustix::fs::syncfs(&dir)?)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = retry_on_intr(|| rustix::fs::statvfs(path))?;
        Ok(Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            available_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive))?;
        Ok(Box::new(SystemLock(file)))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }
}

impl DiskFile for SystemFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, position) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn read_at_cached(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let buffers = &mut [IoSliceMut::new(buffer)];
        let read = retry_on_intr(|| {
            rustix::io::preadv2(&self.0, buffers, position, ReadWriteFlags::NOWAIT)
        });
        match read {
            // A file system or kernel without RWF_NOWAIT: whether it would wait is unknown.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                Err(ErrorKind::WouldBlock.into())
            }
            done => Ok(done?),
        }
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        let piece = first_piece(buffers, position);
        let written = retry_on_intr(|| rustix::io::pwritev(&self.0, &piece, position))?;
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        // Not repeated when interrupted: whether a second call would tell of a failed writeback
        // is the kernel's secret. Linux does not interrupt it anyway.
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }

    fn allocate(&self, position: u64, len_bytes: u64) -> io::Result<()> {
        if len_bytes == 0 {
            return Ok(());
        }
        let reserve =
            || rustix::fs::fallocate(&self.0, FallocateFlags::KEEP_SIZE, position, len_bytes);
        match retry_on_intr(reserve) {
            // A wish, not a promise: what cannot reserve can still write.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            done => Ok(done?),
        }
    }

    fn forget(&self, position: u64, len_bytes: u64) {
        let len = NonZeroU64::new(len_bytes);
        // A hint that is not taken costs memory, no more.
        let _ = rustix::fs::fadvise(&self.0, position, len, Advice::DontNeed);
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// The buffers up to the next multiple of [`WRITE_PIECE_BYTES`] in the file.
fn first_piece<'a>(buffers: &'a [IoSlice<'_>], position: u64) -> Vec<IoSlice<'a>> {
    let beyond = position % WRITE_PIECE_BYTES as u64;
    let mut room = WRITE_PIECE_BYTES - usize::try_from(beyond).unwrap_or(0);
    let mut piece = Vec::with_capacity(buffers.len().min(64));
    for buffer in buffers {
        if room == 0 {
            break;
        }
        let part = &buffer[..buffer.len().min(room)];
        room -= part.len();
        piece.push(IoSlice::new(part));
    }
    piece
}

#[cfg(test)]
mod tests;
