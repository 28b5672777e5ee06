//! A small file system of its own (tmpfs), for a disk that fills up.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A file system of its own, gone when dropped.
pub struct Mount(TempDir);

impl Mount {
    /// One of so many MiB.
    pub fn new(megabytes: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("freshet-disk-").tempdir()?;
        let size = format!("size={megabytes}m");
        mount(&["-t", "tmpfs", "-o", &size, "freshet-test"], folder.path())?;
        Ok(Self(folder))
    }

    /// Why none can be made here: mounting needs root, or a namespace where one is root.
    pub fn missing() -> Option<String> {
        let failed = Self::new(1).err()?;
        Some(format!("no file system can be mounted here: {failed:#}"))
    }

    /// A folder in it.
    pub fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Bytes that can still be written.
    pub fn free_bytes(&self) -> Result<u64> {
        let told = rustix::fs::statvfs(self.0.path())?;
        Ok(told.f_bavail * told.f_frsize)
    }

    /// From now on every write that needs room fails.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast())?;
        let piece = vec![0; 4096];
        loop {
            match file.write_all(&piece) {
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                written => written?,
            }
        }
    }

    /// Takes back what [`Self::fill`] has done.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("removing the ballast")
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> Result<()> {
    let said = Command::new("mount").args(arguments).arg(at).output()?;
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(said.status.success(), "mount {arguments:?}: {why}");
    Ok(())
}
