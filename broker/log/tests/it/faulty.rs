//! The real disk, except where it is told to fail.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use freshet_env::disk::{DiskLock, Entry, OpenMode, Space};
use freshet_env::{Disk, DiskFile, SystemDisk};

/// What can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    List,
    Create,
    Rename,
    Remove,
    SyncDir,
    Read,
    Cached,
    Write,
    Sync,
    SetLen,
    Allocate,
    Forget,
    Space,
}

#[derive(Debug)]
struct Fault {
    call: Call,
    suffix: &'static str,
    error: io::ErrorKind,
}

/// A disk with faults that stay until they are healed.
#[derive(Debug, Default)]
pub(crate) struct FaultyDisk {
    faults: Arc<Mutex<Vec<Fault>>>,
    calls: Arc<Mutex<Vec<(Call, PathBuf)>>>,
    during_sync: DuringSync,
}

type Happening = Box<dyn Fn() + Send>;

/// What happens while a file is synced.
#[derive(Clone, Default)]
struct DuringSync(Arc<Mutex<Option<Happening>>>);

impl fmt::Debug for DuringSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DuringSync")
    }
}

impl FaultyDisk {
    /// From now on this happens while a file is synced.
    pub(crate) fn during_sync(&self, happens: impl Fn() + Send + 'static) {
        *self.during_sync.0.lock().unwrap() = Some(Box::new(happens));
    }

    /// Calls of this kind on paths with this ending fail from now on.
    pub(crate) fn fail(&self, call: Call, suffix: &'static str, error: io::ErrorKind) {
        let fault = Fault {
            call,
            suffix,
            error,
        };
        self.faults.lock().unwrap().push(fault);
    }

    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// How often a call was made on paths with this ending, successful or not.
    pub(crate) fn count(&self, call: Call, suffix: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        let matching = |(c, path): &&(Call, PathBuf)| *c == call && ends(path, suffix);
        calls.iter().filter(matching).count()
    }

    fn check(&self, call: Call, path: &Path) -> io::Result<()> {
        check(&self.faults, &self.calls, call, path)
    }
}

fn ends(path: &Path, suffix: &str) -> bool {
    path.to_string_lossy().ends_with(suffix)
}

fn check(
    faults: &Mutex<Vec<Fault>>,
    calls: &Mutex<Vec<(Call, PathBuf)>>,
    call: Call,
    path: &Path,
) -> io::Result<()> {
    calls.lock().unwrap().push((call, path.to_owned()));
    let faults = faults.lock().unwrap();
    let fault = faults
        .iter()
        .find(|f| f.call == call && ends(path, f.suffix));
    fault.map_or(Ok(()), |fault| Err(fault.error.into()))
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.check(Call::Open, path)?;
        Ok(Arc::new(FaultyFile {
            file: SystemDisk.open(path, mode)?,
            path: path.to_owned(),
            faults: Arc::clone(&self.faults),
            calls: Arc::clone(&self.calls),
            during_sync: self.during_sync.clone(),
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(Call::Create, path)?;
        SystemDisk.create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.check(Call::List, path)?;
        SystemDisk.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Call::Rename, to)?;
        SystemDisk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.check(Call::Remove, path)?;
        SystemDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.check(Call::Remove, path)?;
        SystemDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(Call::SyncDir, path)?;
        SystemDisk.sync_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.check(Call::Space, path)?;
        SystemDisk.space(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        SystemDisk.lock(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        SystemDisk.exists(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    faults: Arc<Mutex<Vec<Fault>>>,
    calls: Arc<Mutex<Vec<(Call, PathBuf)>>>,
    during_sync: DuringSync,
}

impl FaultyFile {
    fn check(&self, call: Call) -> io::Result<()> {
        check(&self.faults, &self.calls, call, &self.path)
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.check(Call::Read)?;
        // Short reads are legal.
        let half = buffer.len().div_ceil(2);
        self.file.read_at(&mut buffer[..half], position)
    }

    fn read_at_cached(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.check(Call::Cached)?;
        self.file.read_at(buffer, position)
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.check(Call::Write)?;
        // Short writes are legal.
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        let first = first.map_or(&[][..], |buffer| &buffer[..buffer.len().div_ceil(2)]);
        self.file.write_at(&[IoSlice::new(first)], position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check(Call::Sync)?;
        if let Some(happens) = &*self.during_sync.0.lock().unwrap() {
            happens();
        }
        self.file.sync_data()
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.check(Call::SetLen)?;
        self.file.set_len(len_bytes)
    }

    fn allocate(&self, position: u64, len_bytes: u64) -> io::Result<()> {
        self.check(Call::Allocate)?;
        self.file.allocate(position, len_bytes)
    }

    fn forget(&self, position: u64, len_bytes: u64) {
        if self.check(Call::Forget).is_ok() {
            self.file.forget(position, len_bytes);
        }
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
