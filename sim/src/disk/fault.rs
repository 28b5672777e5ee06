//! Faults to order: which call, on which file, how often, and what goes wrong.

use std::io;

/// Kinds of calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Opening and making files, directories and locks.
    Open,
    /// Reads, cached ones included.
    Read,
    /// Writes.
    Write,
    /// `sync_data` of a file.
    Sync,
    /// `sync_dir`.
    SyncDir,
    /// `set_len` and `allocate`.
    Resize,
    /// Renames; the path is the old name.
    Rename,
    /// Removals.
    Remove,
}

impl Op {
    /// Whether it changes the disk: such calls are counted by `FakeDisk::changes`.
    pub(super) fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::Read)
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// EIO. A write leaves an unknown part behind; a sync loses an unknown part of what it should
    /// have saved, and a later sync will not bring it back.
    Eio,
    /// ENOSPC, before anything is done.
    NoSpace,
    /// A sync says yes and does nothing: what code without that sync would meet.
    Lie,
    /// Half of the bytes, as the system may do at any time.
    Short,
    /// Waits until [`crate::FakeDisk::resume`], then goes on as if nothing had been.
    Stall,
    /// One bit of what is read is wrong.
    FlippedBit,
    /// A read or a write goes to the start of the file, and nobody is told. Where a write should have gone
    /// there are zeros.
    Misplaced,
    /// The power goes off during the call.
    PowerOff,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Where {
    Part(String),
    Whole(String),
}

impl Where {
    fn fits(&self, path: &str) -> bool {
        match self {
            Self::Part(part) => path.contains(part),
            Self::Whole(whole) => path == whole,
        }
    }
}

/// A fault that waits for its call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub(super) op: Op,
    pub(super) path: Where,
    pub(super) skip: u64,
    pub(super) times: u64,
    pub(super) effect: Effect,
}

impl Fault {
    /// EIO at the next such call on any path, once.
    pub fn on(op: Op) -> Self {
        Self {
            op,
            path: Where::Part(String::new()),
            skip: 0,
            times: 1,
            effect: Effect::Eio,
        }
    }

    /// Only where the path contains `part`.
    #[must_use]
    pub fn at(mut self, part: &str) -> Self {
        self.path = Where::Part(part.to_owned());
        self
    }

    /// Only at this very path.
    #[must_use]
    pub fn exactly(mut self, path: &str) -> Self {
        self.path = Where::Whole(path.to_owned());
        self
    }

    /// At the nth such call from now on, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    /// So many times in a row.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// For ever.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// With another effect.
    #[must_use]
    pub fn with(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// Whether it strikes at this call; counts the call.
    pub(super) fn strikes(&mut self, op: Op, path: &str) -> bool {
        if op != self.op || self.times == 0 || !self.path.fits(path) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times = self.times.saturating_sub(1);
        true
    }
}

pub(super) fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

pub(super) fn no_space() -> io::Error {
    io::Error::from_raw_os_error(28)
}

pub(super) fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}
