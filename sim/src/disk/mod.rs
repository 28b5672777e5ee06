//! A disk in memory that does what disks are allowed to do.
//!
//! ```
//! use freshet_env::{Disk, disk::OpenMode};
//! use freshet_sim::{Effect, FakeDisk, Fault, Op};
//! use std::{io::IoSlice, path::Path};
//!
//! let disk = FakeDisk::new(7);
//! let file = disk.open(Path::new("/log"), OpenMode::CreateNew)?;
//! file.write_all_at(&[IoSlice::new(b"kept")], 0)?;
//! file.sync_data()?;
//! disk.sync_dir(Path::new("/"))?;
//! file.write_all_at(&[IoSlice::new(b"lost, or torn, or not")], 4)?;
//! disk.inject(Fault::on(Op::Sync).at("log"));
//! assert!(file.sync_data().is_err());
//!
//! let disk = disk.crash();
//! assert_eq!(disk.bytes("/log").unwrap()[..4], *b"kept");
//! assert!(file.sync_data().is_err(), "handles die with their machine");
//! # Ok::<(), std::io::Error>(())
//! ```

mod door;
mod fault;
mod file;
mod tree;
mod world;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

pub use fault::{Effect, Fault, Op};
use world::World;

/// One machine's disk, from one boot to the next. Clones are the same disk.
///
/// [`FakeDisk::crash`] and [`FakeDisk::kill`] give the disk as the next process finds it; whatever
/// the old process still holds answers only errors from then on, so its threads can be left behind.
#[derive(Clone)]
pub struct FakeDisk {
    world: Arc<Mutex<World>>,
    /// Stalled calls wait here.
    resumed: Arc<Condvar>,
    boot: u64,
}

impl FakeDisk {
    /// An empty disk without limits. The seed decides what crashes take.
    pub fn new(seed: u64) -> Self {
        Self {
            world: Arc::new(Mutex::new(World::new(seed))),
            resumed: Arc::default(),
            boot: 0,
        }
    }

    /// Orders a fault. Several may wait; the first that fits a call strikes.
    pub fn inject(&self, fault: Fault) {
        self.world.lock().faults.push(fault);
    }

    /// Forgets all faults that wait.
    pub fn heal(&self) {
        self.world.lock().faults.clear();
    }

    /// Waits until so many calls are stalled.
    pub fn wait_stalled(&self, calls: u64) {
        let mut world = self.world.lock();
        while world.stalled < calls {
            self.resumed.wait(&mut world);
        }
    }

    /// Lets all stalled calls go on. The faults that stalled them may still wait for others.
    pub fn resume(&self) {
        self.world.lock().resumed += 1;
        self.resumed.notify_all();
    }

    /// How many faults have struck so far.
    pub fn struck(&self) -> u64 {
        self.world.lock().struck
    }

    /// Limits the size of the disk; writes that do not fit get ENOSPC, after what fits.
    pub fn set_capacity(&self, bytes: u64) {
        self.world.lock().capacity_bytes = bytes;
    }

    /// Bytes that are taken.
    pub fn used_bytes(&self) -> u64 {
        self.world.lock().tree.used_bytes()
    }

    /// Makes so many of 100 reads and writes stop early.
    pub fn set_short_io(&self, percent: u64) {
        self.world.lock().short_percent = percent;
    }

    /// Makes so many of 100 pages uncached until they are read the slow way.
    pub fn set_cold(&self, percent: u64) {
        self.world.lock().cold_percent = percent;
    }

    /// Calls so far that change the disk: writes, syncs, resizes, renames, removals.
    pub fn changes(&self) -> u64 {
        self.world.lock().changes
    }

    /// The power goes off during the nth change from now, counted from 1.
    pub fn power_off_during(&self, nth: u64) {
        let mut world = self.world.lock();
        world.off_at = Some(world.changes + nth);
    }

    /// Whether the power is on.
    pub fn is_on(&self) -> bool {
        self.world.lock().is_on(self.boot)
    }

    /// The power goes off now and comes back: only what was synced is sure to be there.
    #[must_use = "the old disk is dead"]
    pub fn crash(&self) -> Self {
        self.next_boot(World::crash)
    }

    /// The process is killed and started again; the machine, and with it its page cache, goes on.
    #[must_use = "the old disk is dead"]
    pub fn kill(&self) -> Self {
        self.next_boot(|_| {})
    }

    fn next_boot(&self, between: impl FnOnce(&mut World)) -> Self {
        let mut world = self.world.lock();
        between(&mut world);
        let boot = world.reboot();
        self.resumed.notify_all();
        Self {
            boot,
            ..self.clone()
        }
    }

    /// What readers see of a file; `None` when it is not there.
    pub fn bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut world = self.world.lock();
        let node = world.tree.find(path.as_ref()).ok()?;
        Some(world.tree.file(node).ok()?.bytes().to_vec())
    }

    /// What of a file is sure to survive a crash, if its name does.
    pub fn durable_bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let mut world = self.world.lock();
        let node = world.tree.find(path.as_ref()).ok()?;
        Some(world.tree.file(node).ok()?.durable().to_vec())
    }

    /// All files by path with what readers see of them: two equal images are equal disks.
    pub fn image(&self) -> Vec<(String, Vec<u8>)> {
        let mut world = self.world.lock();
        let names = world.tree.walk();
        let files = names.into_iter().filter_map(|(path, node)| {
            let bytes = world.tree.file(node).ok()?.bytes().to_vec();
            Some((path, bytes))
        });
        files.collect()
    }

    /// Damages a stored bit, counted from the start of the file; nothing happens behind its end.
    pub fn flip_bit(&self, path: impl AsRef<Path>, bit: u64) {
        let mut world = self.world.lock();
        if let Ok(node) = world.tree.find(path.as_ref())
            && let Ok(file) = world.tree.file(node)
        {
            file.flip_bit(bit);
        }
    }
}

impl fmt::Debug for FakeDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeDisk")
            .field("boot", &self.boot)
            .finish_non_exhaustive()
    }
}
