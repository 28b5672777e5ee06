//! A disk that can lose its power, refuse, and be slow: ext4 on a loop device over one file, which
//! is kept here in memory and handed to the kernel through FUSE.
//!
//! ```text
//! broker ─ files, fsync ─▶ ext4 ─ blocks, flush ─▶ loop ─ write, fsync ─▶ FUSE ─▶ `Blocks`
//! ```
//! What is written is in the disk's volatile cache; a flush makes it durable. When the power goes,
//! each block that was written since the last flush is kept or lost by chance, as disks may do.
//! Above it is a real file system with a real journal, so nothing about names, sizes and order is
//! ours to get wrong, and every system call goes this way: an interposed library would see neither
//! raw system calls nor `syncfs`, and a file system of our own in FUSE is never told of `syncfs`.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::bits::Bits;
use crate::process::run;

const BLOCK: u64 = 4096;
/// Room for what a trial writes; the file system takes some of it.
pub(super) const DISK_BYTES: u64 = 192 << 20;
const LIMIT: Duration = Duration::from_secs(20);

type Block = Box<[u8]>;

/// What the disk does wrong.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    off: bool,
    writes_fail: bool,
    /// Of writes and flushes.
    delay: Duration,
    /// Of flushes, on top of that.
    flush_delay: Duration,
}

/// The content, and what it would be if the power went now.
#[derive(Default)]
struct Blocks {
    now: HashMap<u64, Block>,
    /// Blocks written since the last flush, as they were before; `None` where there was nothing.
    before: HashMap<u64, Option<Block>>,
    /// Blocks that cannot be read before they are written anew.
    bad: HashSet<u64>,
    faults: Faults,
    /// How often the power came: each time the file has another name, so no cache is taken over.
    life: u64,
    flushes: u64,
}

impl Blocks {
    /// Whether all of these bytes can be read.
    fn is_sound(&self, from: u64, size: u32) -> bool {
        let mut blocks = from / BLOCK..(from + u64::from(size)).div_ceil(BLOCK);
        blocks.all(|block| !self.bad.contains(&block))
    }

    /// Every block that holds one of these from now on cannot be read. Gives how many there are.
    fn spoil(&mut self, contents: &HashSet<&[u8]>) -> usize {
        let all = self.now.iter();
        let bad = all.filter(|(_, block)| contents.contains(&***block));
        self.bad = bad.map(|(number, _)| *number).collect();
        self.bad.len()
    }

    fn read(&self, from: u64, size: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size as usize);
        let mut at = from;
        while at < (from + u64::from(size)).min(DISK_BYTES) {
            let within = (at % BLOCK) as usize;
            let left = (from + u64::from(size) - at) as usize;
            let count = (BLOCK as usize - within).min(left);
            match self.now.get(&(at / BLOCK)) {
                Some(block) => bytes.extend_from_slice(&block[within..within + count]),
                None => bytes.resize(bytes.len() + count, 0),
            }
            at += count as u64;
        }
        bytes
    }

    fn write(&mut self, from: u64, mut bytes: &[u8]) {
        let mut at = from;
        while !bytes.is_empty() {
            let (number, within) = (at / BLOCK, (at % BLOCK) as usize);
            let count = (BLOCK as usize - within).min(bytes.len());
            // Disks put what cannot be read elsewhere once it is written anew.
            self.bad.remove(&number);
            let old = self.now.get(&number).cloned();
            self.before.entry(number).or_insert_with(|| old);
            let empty = || vec![0; BLOCK as usize].into_boxed_slice();
            let block = self.now.entry(number).or_insert_with(empty);
            block[within..within + count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            at += count as u64;
        }
    }

    fn flush(&mut self) {
        self.before.clear();
        self.flushes += 1;
    }

    /// Loses what was not flushed, block by block by chance. Gives how many blocks were lost.
    fn lose(&mut self, bits: &mut Bits) -> usize {
        let mut numbers: Vec<u64> = self.before.keys().copied().collect();
        numbers.sort_unstable();
        let mut lost = 0;
        for number in numbers {
            let old = self.before.remove(&number).flatten();
            if bits.below(3) == 0 {
                continue;
            }
            lost += 1;
            match old {
                Some(old) => drop(self.now.insert(number, old)),
                None => drop(self.now.remove(&number)),
            }
        }
        lost
    }
}

type Shared = Arc<Mutex<Blocks>>;

/// A disk with a file system on it; both are gone when it is dropped.
pub struct Disk {
    blocks: Shared,
    folder: PathBuf,
    session: Option<BackgroundSession>,
}

impl Disk {
    /// Makes a disk, formats it, and mounts its file system; `folder` holds the mount points.
    pub fn new(folder: &Path) -> Result<Self> {
        let mut disk = Self {
            blocks: Shared::default(),
            folder: folder.to_owned(),
            session: None,
        };
        for point in [disk.device_folder(), disk.files()] {
            fs::create_dir_all(&point)?;
        }
        disk.plug_in()?;
        let device = disk.device();
        let device = device.to_str().context("a path that is text")?;
        let lean = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";
        must(
            "mkfs.ext4",
            &[
                "-q", "-F", "-m", "0", "-b", "4096", "-J", "size=8", "-E", lean, device,
            ],
        )?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where its files are.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    fn device_folder(&self) -> PathBuf {
        self.folder.join("device")
    }

    fn device(&self) -> PathBuf {
        let life = locked(&self.blocks).life;
        self.device_folder().join(format!("disk-{life}"))
    }

    fn plug_in(&mut self) -> Result<()> {
        let device = Device(Arc::clone(&self.blocks));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("freshet-trial".into())];
        config.n_threads = Some(2);
        let session = fuser::spawn_mount(device, self.device_folder(), &config);
        self.session = Some(session.context("mounting the device's file")?);
        Ok(())
    }

    fn mount(&self) -> Result<()> {
        let (device, files) = (self.device(), self.files());
        let (device, files) = (device.to_str(), files.to_str());
        let (device, files) = device.zip(files).context("paths that are text")?;
        must("mount", &["-o", "loop,errors=remount-ro", device, files])
    }

    /// The power goes: from now on nothing is written and nothing flushed. The broker is to be
    /// killed next.
    pub fn lose_power(&self) {
        locked(&self.blocks).faults.off = true;
    }

    /// The power comes back, and the file system with what survived. Nobody may use it meanwhile.
    /// Gives how many blocks were lost.
    pub fn regain_power(&mut self, bits: &mut Bits) -> Result<usize> {
        locked(&self.blocks).faults.off = true;
        self.unmount()?;
        let lost = {
            let mut blocks = locked(&self.blocks);
            blocks.life += 1;
            blocks.faults = Faults::default();
            blocks.lose(bits)
        };
        self.mount()?;
        Ok(lost)
    }

    /// Every write and flush fails with EIO, or works again. The file system stays read-only until
    /// it is mounted again.
    pub fn fail_writes(&self, fail: bool) {
        locked(&self.blocks).faults.writes_fail = fail;
    }

    /// From now on the whole blocks of a file give EIO to whoever reads them, until they are written anew. They
    /// are found by what they hold, which must be nowhere else. Nothing of the file stays in the page cache.
    pub fn spoil(&self, path: &Path) -> Result<()> {
        let file = fs::File::open(path)?;
        file.sync_all()?;
        let content = fs::read(path)?;
        let blocks: HashSet<&[u8]> = content.chunks_exact(BLOCK as usize).collect();
        let spoiled = locked(&self.blocks).spoil(&blocks);
        ensure!(
            spoiled == blocks.len(),
            "{spoiled} blocks hold the {} of {}",
            blocks.len(),
            path.display()
        );
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    /// Every write and flush takes so long.
    pub fn slow_down(&self, delay: Duration) {
        locked(&self.blocks).faults.delay = delay;
    }

    /// Every flush takes so long.
    pub fn slow_flushes(&self, delay: Duration) {
        locked(&self.blocks).faults.flush_delay = delay;
    }

    /// Mounts the file system again, with nothing lost. Nobody may use it meanwhile.
    pub fn mount_again(&mut self) -> Result<()> {
        self.unmount()?;
        let mut blocks = locked(&self.blocks);
        blocks.life += 1;
        blocks.faults = Faults::default();
        blocks.flush();
        drop(blocks);
        self.mount()
    }

    /// Takes all the room that is left, but for some bytes.
    pub fn fill(&self, but_bytes: u64) -> Result<()> {
        let stat = rustix::fs::statvfs(self.files())?;
        let room = stat.f_bavail * stat.f_frsize;
        let file = fs::File::create(self.ballast())?;
        let mode = rustix::fs::FallocateFlags::empty();
        let (mut filled, until) = (0, room.saturating_sub(but_bytes));
        // Others write as well, and the file system needs some for itself.
        let mut piece = until;
        while piece >= stat.f_frsize && filled < until {
            match rustix::fs::fallocate(&file, mode, filled, piece) {
                Ok(()) => filled += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("removing the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.files().join("ballast")
    }

    /// How often it was flushed.
    pub fn flushes(&self) -> u64 {
        locked(&self.blocks).flushes
    }

    fn unmount(&self) -> Result<()> {
        let files = self.files();
        let files = files.to_str().context("a path that is text")?;
        // Somebody who was just killed may hold a file for a moment.
        let mut outcome = Ok(());
        for _ in 0..100 {
            outcome = must("umount", &[files]);
            if outcome.is_ok() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        outcome
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A disk that refuses to be written to would hold up the unmounting.
        locked(&self.blocks).faults = Faults {
            off: true,
            ..Faults::default()
        };
        if self.unmount().is_err() {
            let _ = must("umount", &["-l", &self.files().to_string_lossy()]);
        }
        drop(self.session.take());
    }
}

fn must(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    let told = run(command, "", LIMIT)?;
    ensure!(
        told.status.success(),
        "{program} {arguments:?}: {}",
        told.stderr
    );
    Ok(())
}

fn locked(blocks: &Shared) -> MutexGuard<'_, Blocks> {
    blocks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One folder with one file in it: the disk.
struct Device(Shared);

const FOLDER: u64 = 1;
const NO_CACHE: Duration = Duration::ZERO;

impl Device {
    /// The file's number differs with each life of the disk.
    fn file(&self) -> u64 {
        FOLDER + 1 + locked(&self.0).life
    }

    fn attributes(&self, number: u64) -> FileAttr {
        let folder = number == FOLDER;
        FileAttr {
            ino: INodeNo(number),
            size: if folder { 0 } else { DISK_BYTES },
            blocks: if folder { 0 } else { DISK_BYTES / 512 },
            atime: SystemTime::UNIX_EPOCH,
            mtime: SystemTime::UNIX_EPOCH,
            ctime: SystemTime::UNIX_EPOCH,
            crtime: SystemTime::UNIX_EPOCH,
            kind: if folder {
                FileType::Directory
            } else {
                FileType::RegularFile
            },
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        }
    }

    /// The faults of the moment; waits as long as they say.
    fn suffer(&self, number: u64) -> Result<(), Errno> {
        let stale = number != self.file();
        let faults = locked(&self.0).faults;
        thread::sleep(faults.delay);
        if stale || faults.off || faults.writes_fail {
            return Err(Errno::EIO);
        }
        Ok(())
    }
}

impl Filesystem for Device {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let life = locked(&self.0).life;
        if name == OsStr::new(&format!("disk-{life}")) {
            reply.entry(&NO_CACHE, &self.attributes(self.file()), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&NO_CACHE, &self.attributes(ino.0));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.attr(&NO_CACHE, &self.attributes(ino.0));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if ino.0 != self.file() || !locked(&self.0).is_sound(offset, size) {
            return reply.error(Errno::EIO);
        }
        let bytes = locked(&self.0).read(offset, size);
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.suffer(ino.0) {
            Ok(()) => {
                locked(&self.0).write(offset, bytes);
                reply.written(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            }
            Err(why) => reply.error(why),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // A close makes nothing durable.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let delay = locked(&self.0).faults.flush_delay;
        thread::sleep(delay);
        match self.suffer(ino.0) {
            Ok(()) => {
                locked(&self.0).flush();
                reply.ok();
            }
            Err(why) => reply.error(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(byte: u8) -> Vec<u8> {
        vec![byte; BLOCK as usize]
    }

    #[test]
    fn what_was_flushed_survives_and_the_rest_by_chance() {
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..50 {
            let mut blocks = Blocks::default();
            blocks.write(0, &page(1));
            blocks.write(BLOCK, &page(1));
            blocks.flush();
            blocks.write(BLOCK, &page(2));
            blocks.write(BLOCK, &page(3));
            blocks.lose(&mut Bits::new(seed));
            assert_eq!(blocks.read(0, BLOCK as u32), page(1));
            match blocks.read(BLOCK, 1)[0] {
                1 => lost += 1,
                3 => kept += 1,
                other => panic!("{other} was never there after a write"),
            }
        }
        assert!(kept > 0 && lost > 0);
    }

    #[test]
    fn what_is_spoiled_cannot_be_read_before_it_is_written_anew() {
        let mut blocks = Blocks::default();
        let at = |number: u64| number * BLOCK;
        for number in 0..4 {
            blocks.write(at(number), &page(number as u8));
        }
        let bytes = page(2);
        assert_eq!(blocks.spoil(&HashSet::from([bytes.as_slice()])), 1);
        assert!(blocks.is_sound(0, 2 * BLOCK as u32));
        assert!(!blocks.is_sound(at(1) + 1, BLOCK as u32));
        assert!(!blocks.is_sound(at(2), 1));
        assert!(blocks.is_sound(at(3), BLOCK as u32));
        blocks.write(at(2), &[9]);
        assert!(blocks.is_sound(0, 4 * BLOCK as u32));
    }

    #[test]
    fn reads_and_writes_may_cross_blocks() {
        let mut blocks = Blocks::default();
        blocks.write(BLOCK - 2, &[1, 2, 3, 4]);
        assert_eq!(blocks.read(BLOCK - 3, 6), [0, 1, 2, 3, 4, 0]);
        assert!(blocks.read(DISK_BYTES, 10).is_empty());
    }
}
