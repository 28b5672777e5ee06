//! What a process has taken of the machine.

use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use rustix::process::Pid;

/// What a process has, or the most of several.
#[derive(Debug, Default, Clone, Copy)]
pub struct Taken {
    files: usize,
    threads: usize,
    /// Private memory: what it has in the page cache the kernel can take back.
    memory_mib: usize,
}

impl Taken {
    /// Several times what a broker needs for a few topics and clients (34 MiB, 44 files and 22 threads),
    /// whatever has happened to it.
    pub const ENOUGH: Self = Self {
        files: 400,
        threads: 60,
        memory_mib: 250,
    };

    /// Looks at a process.
    pub fn by(process: Pid) -> Result<Self> {
        let folder = format!("/proc/{}", process.as_raw_nonzero());
        let count = |what: &str| fs::read_dir(format!("{folder}/{what}")).map(Iterator::count);
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: usize = kib.context("a process without memory")?.parse()?;
        Ok(Self {
            files: count("fd")?,
            threads: count("task")?,
            memory_mib: kib / 1024,
        })
    }

    /// The more of each.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            files: self.files.max(other.files),
            threads: self.threads.max(other.threads),
            memory_mib: self.memory_mib.max(other.memory_mib),
        }
    }

    /// Whether none is more.
    pub fn is_within(self, limit: Self) -> bool {
        let Self {
            files,
            threads,
            memory_mib,
        } = self;
        files <= limit.files && threads <= limit.threads && memory_mib <= limit.memory_mib
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            files,
            threads,
            memory_mib,
        } = self;
        write!(f, "{memory_mib} MiB, {files} files and {threads} threads")
    }
}
