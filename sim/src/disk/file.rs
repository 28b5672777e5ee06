//! A file's bytes: what readers see, what the platter has, and what is on the way between them.
//!
//! ```text
//! write ──► cached (all readers see it) ──┐
//!      └──► pending, in order ── sync ──► durable
//!                    └────────── crash ─► durable: any subset of its 512-byte sectors
//! ```
//! Truncations are journaled: a crash keeps them in order, and what was written behind a lost one
//! is lost with it, because its blocks never came to belong to the file.

use crate::Dice;

pub(super) const SECTOR_BYTES: u64 = 512;

#[derive(Debug, Default)]
pub(super) struct FileNode {
    cached: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// End of what `allocate` has reserved.
    reserved_bytes: u64,
}

#[derive(Debug)]
enum Change {
    Write { position: u64, bytes: Vec<u8> },
    SetLen(u64),
}

impl FileNode {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Bytes that it takes on the disk.
    pub(super) fn used_bytes(&self) -> u64 {
        self.reserved_bytes.max(self.cached.len() as u64)
    }

    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        put(&mut self.cached, position, bytes);
        self.pending.push(Change::Write {
            position,
            bytes: bytes.to_vec(),
        });
    }

    pub(super) fn set_len(&mut self, len_bytes: u64) {
        self.cached.resize(index(len_bytes), 0);
        self.reserved_bytes = self.reserved_bytes.min(len_bytes);
        self.pending.push(Change::SetLen(len_bytes));
    }

    pub(super) fn reserve(&mut self, end: u64) {
        self.reserved_bytes = self.reserved_bytes.max(end);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { position, bytes } => put(&mut self.durable, position, &bytes),
                Change::SetLen(len) => self.durable.resize(index(len), 0),
            }
        }
    }

    /// Some of what is pending reaches the platter, the rest never will; readers see no change
    /// until the next crash. This is what a failed sync does.
    pub(super) fn lose_some(&mut self, dice: Dice) {
        let survivors = SURVIVORS[dice.below(5, "survivors") as usize];
        // Whether the length reached the journal although bytes below it did not: zeros remain.
        let stretched = dice.chance(50, "stretched");
        for (i, change) in self.pending.drain(..).enumerate() {
            match change {
                Change::SetLen(len) => {
                    if !dice.chance(survivors, (i, "length")) {
                        break;
                    }
                    self.durable.resize(index(len), 0);
                }
                Change::Write { position, bytes } => {
                    for (start, piece) in sectors(position, &bytes) {
                        if dice.chance(survivors, (i, start)) {
                            put(&mut self.durable, start, piece);
                        } else if stretched {
                            extend(&mut self.durable, start + piece.len() as u64);
                        }
                    }
                }
            }
        }
        self.pending.clear();
    }

    /// The power went off.
    pub(super) fn crash(&mut self, dice: Dice) {
        self.lose_some(dice);
        self.cached.clone_from(&self.durable);
        self.reserved_bytes = self.reserved_bytes.min(self.cached.len() as u64);
    }

    /// The medium itself goes bad: both copies.
    pub(super) fn flip_bit(&mut self, bit: u64) {
        for bytes in [&mut self.cached, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(index(bit / 8)) {
                *byte ^= 1_u8 << (bit % 8);
            }
        }
    }
}

/// How many of 100 pending sectors reach the platter; one of these for each file and crash.
const SURVIVORS: [u64; 5] = [0, 20, 50, 90, 100];

fn put(target: &mut Vec<u8>, position: u64, bytes: &[u8]) {
    extend(target, position + bytes.len() as u64);
    let start = index(position);
    target[start..start + bytes.len()].copy_from_slice(bytes);
}

fn extend(target: &mut Vec<u8>, end: u64) {
    if index(end) > target.len() {
        target.resize(index(end), 0);
    }
}

/// Cuts a write where sectors begin.
fn sectors(position: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut start = position;
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let room = index(SECTOR_BYTES - start % SECTOR_BYTES);
        let (piece, others) = rest.split_at(room.min(rest.len()));
        let at = start;
        start += piece.len() as u64;
        rest = others;
        Some((at, piece))
    })
}

pub(super) fn index(position: u64) -> usize {
    usize::try_from(position).expect("files in memory have positions that fit a usize")
}
