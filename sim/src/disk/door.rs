//! The fake disk behind the doors of `freshet_env`.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;

use freshet_env::disk::{Disk, DiskFile, DiskLock, Entry, OpenMode, Space};

use super::FakeDisk;
use super::fault::{Effect, Op, eio, no_space, power_is_off};
use super::file::index;
use super::tree::NodeId;
use super::world::World;

impl FakeDisk {
    /// The gate that every call goes through.
    fn gate<T>(
        &self,
        op: Op,
        path: &str,
        body: impl FnOnce(&mut World, Option<Effect>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.world.lock();
        if !world.is_on(self.boot) {
            return Err(power_is_off());
        }
        let effect = world.effect(op, path);
        if effect == Some(Effect::Stall) {
            let before = world.resumed;
            world.stalled += 1;
            self.resumed.notify_all();
            while world.resumed == before && world.is_on(self.boot) {
                self.resumed.wait(&mut world);
            }
            world.stalled -= 1;
            if !world.is_on(self.boot) {
                return Err(power_is_off());
            }
        }
        world.run(op, effect, body)
    }

    fn call<T>(
        &self,
        op: Op,
        path: &Path,
        body: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> io::Result<T> {
        self.gate(op, &path.display().to_string(), |world, _| body(world))
    }
}

impl Disk for FakeDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let node = self.call(Op::Open, path, |world| open(world, path, mode))?;
        Ok(Arc::new(FakeFile {
            disk: self.clone(),
            node,
            path: path.display().to_string(),
            writable: mode != OpenMode::Read,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(Op::Open, path, |world| world.tree.make_dirs(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.call(Op::Read, path, |world| {
            let dir = world.tree.find(path)?;
            let names = world.tree.dir(dir)?.cached.clone();
            let entry = |(name, node)| Entry {
                name,
                is_dir: world.tree.is_dir(node),
                len_bytes: world.tree.file(node).map_or(0, |f| f.bytes().len() as u64),
            };
            Ok(names.into_iter().map(entry).collect())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Op::Rename, from, |world| world.tree.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(Op::Remove, path, |world| {
            let node = world.tree.find(path)?;
            world.tree.file(node)?;
            world.tree.remove(path)
        })
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(Op::Remove, path, |world| {
            let node = world.tree.find(path)?;
            world.tree.dir(node)?;
            world.tree.remove(path)
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.gate(Op::SyncDir, &path.display().to_string(), |world, effect| {
            let node = world.tree.find(path)?;
            world.tree.dir(node)?;
            if !matches!(effect, Some(Effect::PowerOff | Effect::Lie)) {
                world.tree.sync_dir(node);
            }
            Ok(())
        })
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.call(Op::Read, path, |world| {
            Ok(Space {
                total_bytes: world.capacity_bytes,
                available_bytes: world.free_bytes(),
            })
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.call(Op::Open, path, |world| {
            let node = match world.tree.find(path) {
                Ok(node) => node,
                Err(_) => world.tree.make_file(path)?,
            };
            if !world.locks.insert(node) {
                return Err(ErrorKind::WouldBlock.into());
            }
            Ok(Box::new(FakeLock {
                disk: self.clone(),
                node,
            }) as Box<dyn DiskLock>)
        })
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.call(Op::Read, path, |world| Ok(world.tree.find(path).is_ok()))
    }
}

fn open(world: &mut World, path: &Path, mode: OpenMode) -> io::Result<NodeId> {
    match (world.tree.find(path), mode) {
        (Ok(_), OpenMode::CreateNew) => Err(ErrorKind::AlreadyExists.into()),
        (Ok(node), _) => {
            let file = world.tree.file(node)?;
            if mode == OpenMode::Replace {
                file.set_len(0);
            }
            Ok(node)
        }
        (Err(error), OpenMode::Read | OpenMode::Write) => Err(error),
        (Err(_), OpenMode::CreateNew | OpenMode::Replace) => world.tree.make_file(path),
    }
}

#[derive(Debug)]
struct FakeLock {
    disk: FakeDisk,
    node: NodeId,
}

impl DiskLock for FakeLock {}

impl Drop for FakeLock {
    fn drop(&mut self) {
        let mut world = self.disk.world.lock();
        if world.is_boot(self.disk.boot) {
            world.locks.remove(&self.node);
        }
    }
}

struct FakeFile {
    disk: FakeDisk,
    node: NodeId,
    /// Where it was opened; faults match on it.
    path: String,
    writable: bool,
}

impl FakeFile {
    fn call<T>(
        &self,
        op: Op,
        body: impl FnOnce(&mut World, Option<Effect>) -> io::Result<T>,
    ) -> io::Result<T> {
        if !self.writable && matches!(op, Op::Write | Op::Resize) {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.disk.gate(op, &self.path, body)
    }

    /// Copies up to `limit` bytes out.
    fn read(
        &self,
        world: &mut World,
        (buffer, position): (&mut [u8], u64),
        effect: Option<Effect>,
    ) -> io::Result<usize> {
        let is_misplaced = effect == Some(Effect::Misplaced);
        let position = if is_misplaced { 0 } else { position };
        let len = world.tree.file(self.node)?.bytes().len();
        let start = usize::try_from(position).map_or(len, |start| start.min(len));
        let count = world.portion(&self.path, buffer.len().min(len - start), effect);
        let bytes = world.tree.file(self.node)?.bytes();
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        if effect == Some(Effect::FlippedBit) && count > 0 {
            let bit = world.next_dice(&self.path).below(count as u64 * 8, "bit");
            buffer[index(bit / 8)] ^= 1_u8 << (bit % 8);
        }
        Ok(count)
    }
}

impl DiskFile for FakeFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.call(Op::Read, |world, effect| {
            let count = self.read(world, (buffer, position), effect)?;
            world.warm(self.node, position, count);
            Ok(count)
        })
    }

    fn read_at_cached(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.call(Op::Read, |world, effect| {
            let limit = world.cached_bytes((self.node, &self.path), position, buffer.len());
            if limit == 0 && !buffer.is_empty() {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.read(world, (&mut buffer[..limit], position), effect)
        })
    }

    fn write_at(&self, buffers: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.call(Op::Write, |world, effect| {
            let mut bytes = Vec::new();
            for buffer in buffers {
                bytes.extend_from_slice(buffer);
            }
            let count = world.portion(&self.path, bytes.len(), effect);
            bytes.truncate(count);
            let free = world.free_bytes();
            let file = world.tree.file(self.node)?;
            let end = file.used_bytes().saturating_add(free);
            let fits = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
            if fits == 0 && !bytes.is_empty() {
                return Err(no_space());
            }
            bytes.truncate(fits);
            if effect == Some(Effect::Misplaced) {
                file.write(position, &vec![0; bytes.len()]);
                file.write(0, &bytes);
            } else {
                file.write(position, &bytes);
            }
            match effect {
                Some(Effect::Eio) => Err(eio()),
                _ => Ok(bytes.len()),
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call(Op::Sync, |world, effect| {
            let dice = world.next_dice(&self.path);
            let file = world.tree.file(self.node)?;
            match effect {
                Some(Effect::PowerOff | Effect::Lie) => Ok(()),
                Some(Effect::Eio) => {
                    file.lose_some(dice);
                    Err(eio())
                }
                _ => {
                    file.sync();
                    Ok(())
                }
            }
        })
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.call(Op::Resize, |world, _| {
            let free = world.free_bytes();
            let file = world.tree.file(self.node)?;
            if len_bytes > file.used_bytes().saturating_add(free) {
                return Err(no_space());
            }
            file.set_len(len_bytes);
            Ok(())
        })
    }

    fn allocate(&self, position: u64, len_bytes: u64) -> io::Result<()> {
        self.call(Op::Resize, |world, _| {
            let free = world.free_bytes();
            let file = world.tree.file(self.node)?;
            let end = position.saturating_add(len_bytes);
            if end > file.used_bytes().saturating_add(free) {
                return Err(no_space());
            }
            file.reserve(end);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.call(Op::Read, |world, _| {
            Ok(world.tree.file(self.node)?.bytes().len() as u64)
        })
    }
}

impl fmt::Debug for FakeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
